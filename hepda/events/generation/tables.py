"""The results of generative models of events as tables of the report, and their conclusions as text."""

from __future__ import annotations

from hepda.number_format import Cell, Table
from hepda.results.entries.event_generators import (
    ClassifierAlong,
    DialPoint,
    EventGeneratorMetrics,
    EventGeneratorModelMetrics,
)
from hepda.results.record import Measured

INDISTINGUISHABLE = 0.52
"""An AUC of a probe up to which generated events count as those of the generator."""
EXTRAPOLATION = "extrapolation"


def _title(metrics: EventGeneratorMetrics, model: str) -> str:
    return metrics.models[model].title or model


def _auc(value: Measured | None) -> Cell:
    """Return an AUC with half its interval."""
    if value is None or value.value is None or value.low is None or value.high is None:
        return Cell("", None)
    brief = f"{value.value:.4f}"
    return Cell(f"{brief} ± {0.5 * (value.high - value.low):.4f}", float(value.value), brief=brief)


def _text(text: str) -> Cell:
    return Cell(text, text)


def _signed(number: float, digits: int) -> str:
    return f"{number:+.{digits}f}".replace("-", "−")


def _scale(point: DialPoint) -> Cell:
    text = f"{point.scale:g}".replace("-", "−")
    return Cell(f"{text} ({EXTRAPOLATION})" if point.extrapolation else text, float(point.scale), brief=text)


def dial_table(metrics: EventGeneratorMetrics) -> Table:
    """Return probe, effective events and yield of every model at every s, with nulls and the generators themselves."""
    rows = []
    for name, model in metrics.models.items():
        title = _title(metrics, name)
        for point in model.points:
            n_eff = Cell(f"{100.0 * point.n_eff:.1f} %", float(point.n_eff))
            rows.append([
                _text(title), _scale(point), _auc(point.probe_origin), _auc(point.probe_target), n_eff,
                Cell(f"{point.yield_:.0f}", float(point.yield_)),
            ])  # fmt: skip
        rows.append([_text(f"{title}: no difference"), _text(""), _text(""), _auc(model.null), *[Cell("", None)] * 2])
    real = metrics.real
    if real is not None:
        a, b = (Cell(f"{real.yields[side]:.0f}", float(real.yields[side])) for side in ("origin", "target"))
        rows.append([_text("generator A"), _text(""), _text(""), _auc(real.probe), Cell("", None), a])
        rows.append([_text("generator B"), _text(""), _auc(real.probe), _text(""), Cell("", None), b])
    return Table(
        "The dial", ["Model", "s", "Probe against A", "Probe against B", "n_eff", "Yield"], rows,
        f"A: {metrics.origin}, s = 0; B: {metrics.target}, s = 1; beyond, the model extrapolates. Probe: AUC of fresh "
        "boosted trees on the features, of events in a fold that the network has not seen, mean over the folds; no "
        "difference: events at s = 1 and of B mixed and dealt anew. n_eff: effective events of the weights, over those "
        "without the factors of the dial. Yield: after the selection.",
    )  # fmt: skip


def classifier_table(metrics: EventGeneratorMetrics) -> Table | None:
    """Return the shift of the background efficiency and of mu of each classifier at every s; None without any."""
    real = metrics.real
    if real is None or not real.classifiers:
        return None
    names = list(real.classifiers)
    fitted = any(entry.mu for entry in real.classifiers.values())
    head = ["Model", "s", *(f"{name}: Δε/ε [%]" for name in names)]
    head += [f"{name}: μ − 1" for name in names] if fitted else []

    def cells(entries: dict[str, ClassifierAlong]) -> list[Cell]:
        found = [_shift(entries[name].efficiency) for name in names]
        return [*found, *(_mu(entries[name].mu) for name in names)] if fitted else found

    rows = [
        [_text(_title(metrics, name)), _scale(point), *cells(dict(point.classifiers))]
        for name, model in metrics.models.items()
        for point in model.points
    ]
    rows.append([_text("generator B"), _text(""), *cells(dict(real.classifiers))])
    return Table(
        "Bias of classifiers along the dial", head, rows,
        "Δε/ε: background efficiency at the working point over that in generator A, less 1; of events that are "
        "carried, with the error of pairs. μ: of a fit with templates of generator A to what is generated, where it "
        "is 1; ±: the finite samples. Last row: the events of generator B themselves.",
    )  # fmt: skip


def _shift(value: Measured) -> Cell:
    if value.value is None or value.low is None or value.high is None:
        return Cell("–", None)
    brief = _signed(100.0 * value.value, 1)
    return Cell(f"{brief} ± {50.0 * (value.high - value.low):.1f}", float(value.value), brief=brief)


def _mu(value: Measured | None) -> Cell:
    if value is None or value.value is None:
        return Cell("–", None)
    brief = _signed(value.value - 1.0, 3)
    text = brief if value.error is None else f"{brief} ± {value.error:.3f}"
    return Cell(text, float(value.value) - 1.0, brief=brief)


def tables(metrics: EventGeneratorMetrics) -> dict[str, list[Table]]:
    """Return all tables by section of the report."""
    classifiers = classifier_table(metrics)
    return {"summary": [dial_table(metrics)], **({} if classifiers is None else {"domains": [classifiers]})}


def conclusions(metrics: EventGeneratorMetrics) -> list[str]:
    """Return for each model how near it comes to generator B, and whether it is monotonic."""
    real, lines = metrics.real, []
    for name, model in metrics.models.items():
        point = next((point for point in model.points if point.scale == 1.0), None)
        if point is None or point.probe_target.value is None or real is None or real.probe.value is None:
            continue
        auc, null = point.probe_target.value, model.null
        near = "reached" if auc <= INDISTINGUISHABLE else "not reached"
        of_null = "" if null is None or null.value is None else f"; {null.value:.3f} without a difference"
        monotonic = "monotonic" if model.monotonic else "not monotonic"
        lines.append(
            f"{_title(metrics, name)}: at s = 1 a fresh classifier tells it from {metrics.target} with AUC {auc:.3f} "
            f"(A from B: {real.probe.value:.3f}{of_null}): {INDISTINGUISHABLE} is {near}; from 0 to 1 it is "
            f"{monotonic}."
        )
        lines += _agreement(metrics, name, model)
    return lines


def _agreement(metrics: EventGeneratorMetrics, name: str, model: EventGeneratorModelMetrics) -> list[str]:
    """Return how many classifiers have at s = 1 the shift that they have in generator B, within two standard errors."""
    point = next(point for point in model.points if point.scale == 1.0)
    real = metrics.real
    if real is None or not point.classifiers:
        return []
    agree = [
        classifier
        for classifier, entry in point.classifiers.items()
        if _within(entry.efficiency, real.classifiers[classifier].efficiency)
    ]
    return [
        f"{_title(metrics, name)}: at s = 1 the background efficiency of {len(agree)} of {len(point.classifiers)} "
        "classifiers shifts as in generator B, within two standard errors."
    ]


def _within(first: Measured, second: Measured) -> bool:
    values = [(v.value, v.low, v.high) for v in (first, second)]
    if any(None in of for of in values):
        return False
    (a, a_low, a_high), (b, b_low, b_high) = ((float(v), float(low), float(high)) for v, low, high in values)  # type: ignore[arg-type]
    error = float(((0.5 * (a_high - a_low)) ** 2 + (0.5 * (b_high - b_low)) ** 2) ** 0.5)
    return abs(a - b) <= 2.0 * error
