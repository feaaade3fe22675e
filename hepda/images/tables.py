"""The results of a run of images as tables of the report."""

from __future__ import annotations

from hepda.images.training import SIDES
from hepda.number_format import Cell, Quantity, Table
from hepda.results.few_shot import TITLES
from hepda.results.images import ImageMetrics, PublishedNumber
from hepda.results.record import quantity_in, quantity_of


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
    test = "full test sets" if metrics.protocol is None else metrics.protocol.test
    note = (
        f"Mean over {' or '.join(map(str, counts))} trainings, {test}; the interval includes the spread of "
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


def few_shot_tables(metrics: ImageMetrics) -> list[Table]:
    """Return a table of the accuracies on new classes for each domain; none without `few_shot`."""
    sides = {side for model in metrics.models.values() for side in model.few_shot}
    return [_few_shot_table(metrics, side) for side in SIDES if side in sides]


def _few_shot_table(metrics: ImageMetrics, side: str) -> Table:
    shown = {name: model for name, model in metrics.models.items() if side in model.few_shot}
    shots = sorted({int(number) for model in shown.values() for number in model.few_shot[side]})
    rows, ways = [], 0
    for model in shown.values():
        for method, title in TITLES.items():
            row = [Cell(str(model.title), model.title), Cell(title, method)]
            for number in shots:
                entry = model.few_shot[side][str(number)]
                found, dealt, ways = entry.methods[method], entry.dealt[method], entry.ways
                row += [
                    quantity_of(found.accuracy).cell(digits=4),
                    Cell("–", None) if found.difference is None else quantity_of(found.difference).cell(digits=3),
                    quantity_of(dealt.accuracy).cell(digits=4),
                ]
            rows.append(row)
    head = ["Model", "Way to classify"]
    for number in shots:
        head += [f"{number}-shot", "Difference", f"Classes dealt, {number}-shot"]
    note = (
        f"Share of right answers among {ways} classes that no network was trained on, from so many labelled images of "
        "each; mean over episodes and trainings, one error. Difference: to cosine prototypes on the same episodes. "
        f"Classes dealt: the classes are dealt at random to the images, so that only {1.0 / max(ways, 1):.2f} can be "
        "known; what is above it there is a leak. `Class given` is the published evaluation of channel attention, "
        "which weights a query by its true class: no accuracy. `Others apart` is the attention with a loss that pushes "
        "the other classes away."
    )
    return Table(f"New classes from few labelled images, {side}", head, rows, note)


def images_table(metrics: ImageMetrics) -> Table:
    """Return the table of the images for training and for testing."""
    columns = {"train": "Training images", "test": "Test images", "classes": "Classes"}
    note = ""
    if any(images.labelled is not None for images in metrics.samples.values()):
        columns = {"train": "Training images", "labelled": "With labels", **columns}
        note = "Each training draws its own images with labels, the same for all models of one seed."
    rows = [
        [
            Cell(side, side),
            Cell(images.data, images.data),
            *(images.quantity(key).cell(digits=12) for key in columns),
        ]
        for side, images in metrics.samples.items()
    ]
    return Table("Images", ["Side", "Data set", *columns.values()], rows, note)
