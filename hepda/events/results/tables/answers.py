"""The table at the top of the report: whether each adaptation helped, what it cost, and what it changed."""

from __future__ import annotations

from collections.abc import Mapping

from hepda.events.results.tables.cells import quantity
from hepda.number_format import Cell, Table
from hepda.results.events import EventMetrics, EventModel, VerdictPoint
from hepda.results.record import quantity_in, quantity_of

ANSWERS = {
    "apparent only": "no: only the apparent difference decreased{at}",
    "fell less": "less than it seems: the difference to {unseen} decreased less{at}",
    "fell": "yes: the difference to {unseen} decreased as well{at}",
    "untested": "unknown: the apparent difference decreased{at}, and no domain is held out",
    "cannot tell": "unknown: {unseen} has too few events{at}",
    "not fallen": "no: the apparent difference did not decrease{at}",
    "unresolved": "unknown: too few events{at}",
}
"""The answer for each judgement of metrics.json, the most adverse first."""


def answers_table(metrics: EventMetrics) -> Table:
    """Return one row for each adapted model: the answer, and the changes relative to the baseline it follows from.

    It has no rows if nothing was adapted, or if no simulated domain of the training is compared.
    """
    judged = {
        name: model
        for name, model in metrics.classifiers.items()
        if name != metrics.baseline_model and model.verdict and model.verdict.adapted and model.verdict.points
    }
    source = metrics.nominal or next(iter(metrics.pairs), "").partition(":")[0]
    columns = {
        (verdict.domain, verdict.third): None
        for verdict in (model.verdict for model in judged.values())
        if verdict is not None
    }
    domains = list(dict.fromkeys(name for pair in columns for name in pair if name))
    point = max((p for model in judged.values() for p in _points(model)), key=float, default="")
    head = [
        "Model", "Did it help?", f"AUC {source}, change",
        *(f"Shift to {name}{' (unseen)' if name in metrics.held_out else ''} / baseline" for name in domains),
        "Z with bias [σ]",
    ]  # fmt: skip
    rows = []
    for name, model in judged.items():
        text = _answer(model)
        ratios = [model.shift_ratio.get(f"{source}:{domain}", {}).get(point) for domain in domains]
        rows.append(
            [
                Cell(name, name),
                Cell(text, text),
                quantity_in(model.auc_difference, source).cell(),
                *(Cell("–") if ratio is None else quantity_of(ratio).cell(digits=2) for ratio in ratios),
                quantity(model.significance, "asimov_with_bias").cell(),
            ]
        )
    note = (
        f"Relative to {metrics.baseline or 'the baseline'}, on the same events. Shift / baseline: of the background "
        f"efficiency at {100 * float(point or 0):g} % signal efficiency; below 1, the difference to that domain "
        "decreased, and only that to an unseen domain tests whether the bias did."
    )
    return Table("Did the adaptation help?", head, rows, note)


def _points(model: EventModel) -> Mapping[str, VerdictPoint]:
    return {} if model.verdict is None else model.verdict.points


def _answer(model: EventModel) -> str:
    """Return the answer of the most adverse judgement, with the signal efficiencies that it is for."""
    points = _points(model)
    judgements = {point.judgement for point in points.values()}
    worst = next((judgement for judgement in ANSWERS if judgement in judgements), "unresolved")
    places = sorted((point for point, entry in points.items() if entry.judgement == worst), key=float, reverse=True)
    at = f" at {', '.join(f'{100 * float(place):g}' for place in places)} %" if len(judgements) > 1 else ""
    unseen = model.verdict.third if model.verdict is not None and model.verdict.third else "the held-out domain"
    return ANSWERS[worst].format(at=at, unseen=unseen)
