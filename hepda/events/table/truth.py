"""What is true of the events of a table: a class, the signal, or a further label that a condition gives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hepda.events.specs import LABEL, Classes
from hepda.events.table.feature_table import FeatureTable


def truth_of(
    table: FeatureTable, classes: Classes, what: str, rows: NDArray[np.int32] | slice | None = None
) -> NDArray[np.int8]:
    """Return whether something is true of events [n]: 1, 0, or -1 where it is not known.

    Args:
        table: the events, with the columns of labels.
        classes: those of the events.
        what: `signal`, a class, or a label of the analysis file.
        rows: row numbers or a slice; None means all events.

    """
    every = slice(None) if rows is None else rows
    if what == "signal":
        return np.asarray(table.label[every], dtype=np.int8)
    if what in classes.names:
        index = classes.index(table, rows)
        return np.where(index < 0, -1, index == classes.names.index(what)).astype(np.int8)
    values = np.asarray(table.columns[f"{LABEL}{what}"][every], dtype=np.float64)
    return np.where(np.isfinite(values), values != 0, -1).astype(np.int8)
