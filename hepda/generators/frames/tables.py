"""The results of frame prediction as tables of the report, and its conclusions as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hepda.number_format import Cell, Quantity, Table
from hepda.results.entries.frames import FramesMetrics
from hepda.results.record import Measured, quantity_of

NAMES = {
    "psnr": "PSNR [dB]", "ssim": "SSIM", "sharpness": "Sharpness / truth",
    "sharpness_difference": "Sharpness difference [dB]",
}  # fmt: skip
"""Names of the metrics in tables and figures, with their units."""


def _title(metrics: FramesMetrics, model: str) -> str:
    return metrics.models[model].title or model


def _cell(entry: Measured, *, sign: bool = False) -> Cell:
    cell = quantity_of(entry).cell()
    if not sign or entry.value is None or entry.value <= 0.0:
        return cell
    return replace(cell, text=f"+{cell.text}", brief=cell.brief and f"+{cell.brief}")


def quality_table(metrics: FramesMetrics) -> Table:
    """Return every metric of every model."""
    rows = [
        [Cell(_title(metrics, name), _title(metrics, name)), *(_cell(model.quality[m]) for m in metrics.metrics)]
        for name, model in metrics.models.items()
    ]
    return Table(
        "Quality of the predicted frames", ["Model", *(NAMES[m] for m in metrics.metrics)], rows,
        "Mean over the test sequences; ± : half of the 95 % interval of the mean over the trainings (Student's t). "
        "The true frame has the sharpness 1; noise is sharp, too, so that the sharpness difference, which is large if "
        "gradients are where those of the true frame are, has to be read with it.",
    )  # fmt: skip


def difference_table(metrics: FramesMetrics) -> Table:
    """Return the differences between models."""
    rows = []
    for name, of_other in metrics.comparison.items():
        for other, of_metric in of_other.items():
            entries = [of_metric[m] for m in metrics.metrics]
            cells = [_cell(entry.difference, sign=True) for entry in entries]
            names = [Cell(_title(metrics, model), _title(metrics, model)) for model in (name, other)]
            pairs = Cell(f"{entries[0].number} {entries[0].paired}", float(entries[0].number))
            rows.append([*names, *cells, pairs])
    return Table(
        "Differences between models", ["Model", "Minus", *(NAMES[m] for m in metrics.metrics), "Pairs"], rows,
        "± : half of the 95 % interval by Student's t over the pairs: seeds of two trained models, otherwise test "
        "sequences.",
    )  # fmt: skip


def sequences_table(metrics: FramesMetrics) -> Table:
    """Return how many sequences there are, and of what."""
    samples = metrics.samples
    if samples is None:
        raise ValueError("metrics.json does not say what the sequences are")
    numbers = (samples.train, samples.train_images, samples.test, samples.test_images, samples.inputs)
    shape = f"{samples.size} × {samples.size}"
    row = [Cell(samples.data, samples.data), *(Quantity(float(n)).cell() for n in numbers), Cell(shape, shape)]
    head = [
        "Data set",
        "Sequences to train on",
        "of images",
        "Sequences to test on",
        "of images",
        "Given frames",
        "Frame",
    ]
    return Table("Sequences", head, [row], "No image that moves is in sequences of both kinds.")


def tables(metrics: FramesMetrics) -> dict[str, list[Table]]:
    """Return all tables by section of the report."""
    return {
        "summary": [quality_table(metrics)],
        "adaptation": [difference_table(metrics)] if metrics.comparison else [],
        "samples": [sequences_table(metrics)],
    }


def conclusions(metrics: FramesMetrics) -> list[str]:
    """Return, for each pair of trained models, in what one is better, and where nothing can be said."""
    return [line for model in metrics.comparison for line in _sentences(metrics, model)]


def _sentences(metrics: FramesMetrics, model: str) -> Iterator[str]:
    for other, of_metric in metrics.comparison[model].items():
        found: dict[str, list[str]] = {"higher": [], "lower": [], "no clear difference in": []}
        for metric, entry in of_metric.items():
            difference = entry.difference
            if entry.paired != "seeds" or difference.value is None or difference.low is None or difference.high is None:
                continue
            verdict = (
                "higher" if difference.low > 0.0 else "lower" if difference.high < 0.0 else "no clear difference in"
            )
            name, _, unit = NAMES[metric].replace("Sharpness", "sharpness").partition(" [")
            numbers = f"{difference.value:+.3g}, {difference.low:+.3g} to {difference.high:+.3g}".replace("-", "−")
            found[verdict].append(f"{name} ({numbers}{' ' + unit.rstrip(']') if unit else ''})")
        if not any(found.values()):
            continue
        title = _title(metrics, model)
        words = "; ".join(f"{verdict} {', '.join(names)}" for verdict, names in found.items() if names)
        yield f"{title[:1].upper()}{title[1:]} against {_title(metrics, other)}: {words}."
