"""The summary table of a run, for the report and the console."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hepda.events.results.tables.cells import EVENTS_ALONE, keys_of, quantity, shift_cell
from hepda.number_format import Cell, Table
from hepda.results.events import EventMetrics, EventModel
from hepda.results.record import Value, quantity_in

TAIL = ("0.3", "0.2", "0.1")
SIGNIFICANCE = {"asimov": "Z (stat.) [σ]", "asimov_with_bias": "Z with bias [σ]"}


def domains_with_values(by_model: Iterable[Mapping[str, Value]]) -> list[str]:
    """Return the domains for which some model has a value; the page states elsewhere why the others have none."""
    values = list(by_model)
    return [d for d in keys_of(values) if any(quantity_in(by_domain, d).value is not None for by_domain in values)]


def summary_table(metrics: EventMetrics, *, points: Sequence[str] = TAIL, all_domains: bool = False) -> Table:
    """Return the quality in the source, the shifts in the tail to every simulated domain, and the significance.

    Args:
        metrics: the numbers of the run.
        points: signal efficiencies of the shifts; those that no model has are left out.
        all_domains: whether to include the quality in the other domains as well.

    Returns:
        A table with one row for each model.

    """
    models = metrics.classifiers
    is_auc = any(model.auc for model in models.values())
    quality = {name: model.auc if is_auc else model.further.get("accuracy", {}) for name, model in models.items()}
    domains = domains_with_values(quality.values())
    domains = domains if all_domains or not is_auc else domains[:1]
    shifts = _compared_shifts(metrics, points)
    worth = [
        key
        for key in SIGNIFICANCE
        if any(m.significance and getattr(m.significance, key) is not None for m in models.values())
    ]
    head = ["Model", *(f"{'AUC' if is_auc else 'Accuracy'} {domain}" for domain in domains)]
    for pair, point in shifts:
        other = pair.partition(":")[2]
        mark = " (unseen)" if other in metrics.held_out else ""
        head.append(f"Shift at {100 * float(point):g} %, {other}{mark}")
    rows = [
        [
            Cell(name, name),
            *(quantity_in(quality[name], domain).cell(digits=4) for domain in domains),
            *(shift_cell(model.bias.get(pair), point) for pair, point in shifts),
            *(quantity(model.significance, key).cell() for key in worth),
        ]
        for name, model in models.items()
    ]
    head += [SIGNIFICANCE[key] for key in worth]
    return Table("Summary", head, rows, _note(models.values(), bool(shifts), bool(metrics.held_out)))


def _compared_shifts(metrics: EventMetrics, points: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs and signal efficiencies with a shift of the compared class; data have none that is known."""
    shifts = []
    for pair in metrics.pairs:
        entries = [model.bias[pair] for model in metrics.classifiers.values() if pair in model.bias]
        class_name = next((entry.class_name for entry in entries if entry.class_name), "all")
        available = keys_of(entry.efficiency_shift for entry in entries)
        shifts += [(pair, point) for point in points if point in available and class_name != "all"]
    return shifts


def _note(models: Iterable[EventModel], has_shifts: bool, has_unseen: bool) -> str:
    sentences = []
    significances = [model.significance for model in models if model.significance]
    if has_shifts:
        sentences.append(
            "Shift: relative change of the background efficiency from the nominal domain to another one, at the cut "
            "with this signal efficiency. The significance comes from this tail, to which a KS distance is insensitive."
        )
    if has_unseen:
        sentences.append("Unseen: held out from all trainings.")
    bias_from = next((entry.bias_from for entry in significances if entry.bias_from), None)
    if bias_from:
        sentences.append(f"Z with bias: the difference to {bias_from} is included as an uncertainty.")
    if any(entry.asimov is not None for entry in significances):
        sentences.append(
            "Cuts are optimised on four fifths of the events and applied to the rest, averaged over ten divisions; "
            "the error of Z is the spread over bootstrap replicas of the events and includes the choice of the cut."
        )
    if sentences:
        sentences.append(EVENTS_ALONE)
    return " ".join(sentences)
