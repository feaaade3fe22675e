"""The results of conversion as tables of the report, and its conclusions as text."""

from __future__ import annotations

from hepda.number_format import Cell, Table
from hepda.results.conversion import ConversionMetrics, ConversionQuality
from hepda.results.record import Measured
from hepda.speech.conversion.numbers import QUALITIES
from hepda.speech.results.tables import percent

HEADS = {
    "judged": "Judged as wanted [%]", "distance": "Distance to the truth over that of the source",
    "word_errors": "Word errors [%]", "speaker": "Speaker kept [%]",
}  # fmt: skip
"""Names of the qualities in tables."""
_BETTER = {"judged": 1.0, "distance": -1.0, "word_errors": -1.0, "speaker": 1.0}
_INTERVAL = "95 % intervals of the mean over test strings."
_NONE = Cell("–", None)


def _title(metrics: ConversionMetrics, model: str) -> str:
    return metrics.models[model].title or model


def _number(entry: Measured, *, sign: bool = False) -> Cell:
    if entry.value is None:
        return _NONE
    text = f"{entry.value:{'+' if sign else ''}.2f}".replace("-", "−")
    if entry.low is None or entry.high is None:
        return Cell(text, float(entry.value))
    interval = f"{entry.low:{'+' if sign else ''}.2f} to {entry.high:{'+' if sign else ''}.2f}".replace("-", "−")
    return Cell(f"{text} ({interval})", float(entry.value), brief=text)


def _cells(quality: ConversionQuality) -> list[Cell]:
    return [
        _number(getattr(quality, name)) if name == "distance" else percent(getattr(quality, name)) for name in QUALITIES
    ]


def quality_table(metrics: ConversionMetrics) -> Table:
    """Return every quality of every model for the effects of the training, and the probe of the content."""
    rows = []
    for name, model in metrics.models.items():
        title = _title(metrics, name)
        rows.append([Cell(title, title), *_cells(model.seen), percent(model.probe)])
    chance = next((m.probe.chance for m in metrics.models.values() if m.probe and m.probe.chance is not None), None)
    of_chance = "" if chance is None else f" (chance {100.0 * chance:.0f} %)"
    return Table(
        "Conversion to another effect", ["Model", *HEADS.values(), "Effect found in the content [%]"], rows,
        "Strings of speakers that no training has, each from every effect to every other one. The judges are "
        f"independent classifiers. {_INTERVAL} Last column: a fresh classifier{of_chance}, 95 % over seeds.",
    ).filled  # fmt: skip


def unseen_table(metrics: ConversionMetrics) -> Table:
    """Return every quality of every model for references in effects that are in no training."""
    rows = [
        [Cell(_title(metrics, name), _title(metrics, name)), *_cells(model.unseen)]
        for name, model in metrics.models.items()
        if model.unseen is not None
    ]
    names = ", ".join(metrics.unseen)
    return Table(f"References in {names}, which are in no training", ["Model", *HEADS.values()], rows, _INTERVAL)


def effects_table(metrics: ConversionMetrics) -> Table:
    """Return every quality of every model by wanted effect."""
    rows = [
        [Cell(_title(metrics, name), _title(metrics, name)), Cell(effect, effect), *_cells(quality)]
        for name, model in metrics.models.items()
        for effect, quality in model.effects.items()
    ]
    return Table("By wanted effect", ["Model", "Effect", *HEADS.values()], rows, _INTERVAL, fold="Every effect")


def comparison_table(metrics: ConversionMetrics) -> Table:
    """Return the differences of every model to the baseline."""
    rows = []
    for name, of_quality in metrics.comparison.items():
        entries = [of_quality[quality] for quality in QUALITIES]
        cells = [
            _number(entry.difference, sign=True) if quality == "distance" else percent(entry.difference)
            for quality, entry in zip(QUALITIES, entries, strict=True)
        ]
        pairs = f"{entries[0].number} {entries[0].paired}"
        rows.append([Cell(_title(metrics, name), name), *cells, Cell(pairs, float(entries[0].number))])
    return Table(
        f"Difference to {_title(metrics, str(metrics.baseline))}", ["Model", *HEADS.values(), "Pairs"], rows,
        "95 % by Student's t over the pairs: seeds of two trained models, otherwise strings.",
    )  # fmt: skip


def tables(metrics: ConversionMetrics) -> dict[str, list[Table]]:
    """Return all tables by section of the report."""
    return {
        "summary": [quality_table(metrics)],
        "separation": [*([unseen_table(metrics)] if metrics.unseen else []), effects_table(metrics)],
        "adaptation": [comparison_table(metrics)] if metrics.comparison else [],
    }


def conclusions(metrics: ConversionMetrics) -> list[str]:
    """Return in what every model is better or worse than the baseline, and what its content still knows."""
    lines = []
    for name, of_quality in metrics.comparison.items():
        title = _title(metrics, name)
        title = title[:1].upper() + title[1:]
        found: dict[str, list[str]] = {"better": [], "worse": [], "neither better nor worse": []}
        for quality, entry in of_quality.items():
            if entry.difference.low is None or entry.difference.high is None:
                continue
            low, high = sorted(_BETTER[quality] * end for end in (entry.difference.low, entry.difference.high))
            verdict = "better" if low > 0.0 else "worse" if high < 0.0 else "neither better nor worse"
            found[verdict].append(HEADS[quality].partition(" [")[0].lower())
        for verdict, qualities in found.items():
            if qualities:
                baseline = _title(metrics, str(metrics.baseline))
                lines.append(f"{title} is {verdict} than {baseline} in: {', '.join(qualities)}.")
    return lines
