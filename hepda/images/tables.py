"""The results of a run of images as tables of the report."""

from __future__ import annotations

from hepda.images.training import SIDES
from hepda.number_format import Cell, Quantity, Table
from hepda.results.images import ImageMetrics, PublishedNumber
from hepda.results.record import quantity_in


def accuracy_table(metrics: ImageMetrics) -> Table:
    """Return the table of accuracies, with published numbers for the same methods if there are any.

    Each model has a row. A published number is in the row of the model with the same method; published numbers without
    such a model have rows of their own.
    """
    published = {number.model: number for number in metrics.published if number.model is not None}
    head = ["Model", "Knows", "Source", "Target", "Spread", "Lowest seed", "Gap closed [%]"]
    rows = []
    for name, model in metrics.models.items():
        target, title, knows = model.accuracy["target"], str(model.title), ", ".join(model.knows)
        rows.append([
            Cell(title, title),
            Cell(knows or "–", knows),
            *(quantity_in(model.accuracy, side).cell(digits=4) for side in SIDES),
            Quantity(target.spread).cell(digits=2),
            Quantity(min(target.seeds)).cell(digits=4),
            Quantity(model.gap_closed.value).scaled(100.0).cell(digits=3),
            *(_published(published.get(name)) if metrics.published else ()),
        ])  # fmt: skip
    for number in metrics.published:
        if number.model is None:
            rows.append([Cell(number.method, number.method), *[Cell("", None)] * 6, *_published(number)])
    counts = sorted({len(model.accuracy["target"].seeds) for model in metrics.models.values()})
    note = (
        f"Mean over {' or '.join(map(str, counts))} trainings, full test sets; the interval includes the spread of "
        "the seeds and the size of the test set. A row with random inversion uses knowledge of the shift; compare it "
        "with the row without."
    )
    if not metrics.published:
        return Table("Accuracy", head, rows, note)
    note += " Published numbers are from other networks and schedules."
    return Table("Accuracy and published numbers", [*head, "Published", "By"], rows, note)


def _published(number: PublishedNumber | None) -> tuple[Cell, Cell]:
    """Return a published accuracy and its authors as cells."""
    if number is None:
        return Cell("–"), Cell("–")
    authors = number.by if number.model is None else f"{number.method}, {number.by}"
    return Quantity(number.accuracy).cell(digits=4), Cell(authors, number.by)


def images_table(metrics: ImageMetrics) -> Table:
    """Return the table of the images for training and for testing."""
    rows = [
        [
            Cell(side, side),
            Cell(images.data, images.data),
            *(images.quantity(key).cell(digits=12) for key in ("train", "test", "classes")),
        ]
        for side, images in metrics.samples.items()
    ]
    return Table("Images", ["Side", "Data set", "Training images", "Test images", "Classes"], rows)
