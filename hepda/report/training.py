"""The tables and figures of the trainings, and what fusions of models have learned, which every kind of data has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from hepda.number_format import Cell, Quantity, Table
from hepda.report.drawing import Drawing
from hepda.results.metrics import FusionEntry, RunMetrics
from hepda.results.record import Record

TRAINING = {
    "seconds": "Time [s]",
    "cpu_seconds": "CPU time [s]",
    "rows_per_second": "Rows / s",
    "epochs": "Epochs",
    "trainings": "trainings",
}
"""Headings of the numbers of a training."""


def training_table(metrics: RunMetrics) -> Table:
    """Return time, rate and epochs of the trainings of each model."""
    return numbers_table("Training", {name: model.training for name, model in metrics.models.items()}, TRAINING)


def history_drawings(
    histories: Mapping[str, Sequence[Mapping[str, Sequence[float | None]]]], title: Callable[[str], str], caption: str
) -> Iterator[Drawing]:
    """Yield the history of each model, a line for each of its trainings.

    Args:
        histories: of each model, the columns of each training.
        title: the name of a model in figures.
        caption: of the figures.

    """
    from hepda.plotting import training
    from hepda.plotting.base.plot import Plot

    for model, columns in histories.items():
        panels, levels = training.history_panels(
            *({name: [np.nan if x is None else x for x in values] for name, values in c.items()} for c in columns)
        )
        yield Drawing(
            "training", f"history_{model}", f"Training of {title(model)}", caption,
            lambda panels=panels, levels=levels, model=model: Plot.of(  # type: ignore[misc]
                training.training_figure, panels, model=title(model), levels=levels, best_epochs=()
            ),
        )  # fmt: skip


_FUSION = (
    "Weight: of the logit of a model in that of the fusion, in equal parts for the mean; of calibrated probabilities, "
    "the share of each in the mean. Constant: added to the logit, by class. The spread is that between the fusions of "
    "the folds, each learned from the events of the other folds by scores of trainings that did not see them."
)


def fusion_tables(metrics: RunMetrics) -> list[Table]:
    """Return the weight of each model in each fusion, and the constants of the fusion: a table if there are fusions."""
    rows = []
    for name, model in metrics.models.items():
        if model.fusion is None:
            continue
        about = [Cell(name, name), Cell(model.fusion.method, model.fusion.method)]
        rows += [[*about, Cell(of, of), weight.cell(digits=2)] for of, weight in _weights(model.fusion).items()]
    return [Table("Fusions", ["Fusion", "Method", "Part", "Weight"], rows, _FUSION)] if rows else []


def _weights(fusion: FusionEntry) -> dict[str, Quantity]:
    """Return weights by model and, if any was learned, constants by class; the error is the spread between folds."""
    by_fold = {name: [float(fold.weights[name]) for fold in fusion.folds] for name in fusion.of}
    constants = {f"constant, {name}": [float(fold.biases[name]) for fold in fusion.folds]
                 for name in fusion.folds[0].biases}  # fmt: skip
    if any(value for values in constants.values() for value in values):
        by_fold |= constants
    return {
        name: Quantity(float(np.mean(values))).with_error(float(np.std(values, ddof=1)) if len(values) > 1 else None)
        for name, values in by_fold.items()
    }


def numbers_table(
    title: str, entries: Mapping[str, Record | None], headings: Mapping[str, str], note: str = ""
) -> Table:
    """Return a table of the numbers of one entry for each model.

    Args:
        title: title of the table.
        entries: the entry of each model; None for a model that has none.
        headings: the numbers and their headings; a number that no entry has gets no column.
        note: text below the table.

    """
    names = [name for name in headings if any(entry and name in entry.model_fields_set for entry in entries.values())]
    rows = [
        [
            Cell(model, model),
            *((Quantity(None, present=False) if entry is None else entry.quantity(name)).cell() for name in names),
        ]
        for model, entry in entries.items()
    ]
    return Table(title, ["Model", *(headings[name] for name in names)], rows if names else [], note)
