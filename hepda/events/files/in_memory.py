"""Columns of events in memory in place of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hepda.events.expressions.columns import Column

ENTRY = "hepda_entry"
"""Name of a column of every source in memory: the number of the entry in its file, which selected events keep."""


@dataclass(frozen=True, slots=True)
class ColumnsInMemory:
    """Consecutive entries of a file as an EventSource; names: the column that is read in place of another one."""

    path: str
    columns: Mapping[str, Column]
    names: Mapping[str, str] = field(default_factory=dict)

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Column]:
        """Return all entries, which are those from `start` to `stop` of the file."""
        columns = {name: self.columns[self.names.get(name, name)] for name in names if name != ENTRY}
        return columns | {ENTRY: Column(np.arange(start, stop))}
