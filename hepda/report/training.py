"""The table of the trainings, which every kind of data has."""

from __future__ import annotations

from collections.abc import Mapping

from hepda.number_format import Cell, Quantity, Table
from hepda.results.metrics import RunMetrics
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
