"""Spans of a file: the entries that are read at once, in this or another process or machine, and returned as rows."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hepda.errors import DataError, ProcessError, SourceError
from hepda.events.dataset.chunks import ChunkReader, Faults, SelectedRows, stretches
from hepda.events.dataset.plan import SamplePlan
from hepda.events.dataset.stitching import Stitching
from hepda.events.expressions.columns import Column
from hepda.events.files.opening import Tree, open_tree
from hepda.runtime.resources import size_text
from hepda.timing import timed

LEAST_ENTRIES = 2_000
"""Number of events of the shortest span."""
_PROBED = 2_000
"""Number of events that are read to measure their size."""
_USUAL = 128
"""Bytes per event that are enough for most branches: a list of sixteen numbers."""
_RESULTS = 4
"""Number of finished spans whose rows may wait in memory for the spans before them."""
_COPIES = 6
"""Memory of a span over that of its columns: baskets as read and as unpacked, arrays of awkward and of numpy."""


@dataclass(frozen=True, slots=True)
class SpanFile:
    """A file of a sample, with everything that is needed to make rows of its entries; it is not opened yet.

    replaced: branches, and those that are read in their place; factor: from the weight expression to the physical
    weight; token: identifies the reading that this is part of, so that no file is used which was opened for another
    reading.
    """

    sample: str
    path: str
    tree: str | None
    aliases: Mapping[str, str]
    retries: int
    plan: SamplePlan
    replaced: Mapping[str, str]
    factor: float | Stitching
    missing: float
    key: tuple[str, ...]
    entries: int
    token: str = ""

    @property
    def branches(self) -> list[str]:
        """The branches that are read."""
        return sorted({*self.plan.branches, *self.key})


@dataclass(frozen=True, slots=True)
class Span:
    """The entries [start, stop) of a file. version: the version of hepda that requests them, "" for any."""

    file: SpanFile
    start: int
    stop: int
    version: str = ""


@dataclass(frozen=True, slots=True)
class SpanRows:
    """Rows of the selected events of a span, its numbers that are not finite, and missing features by name."""

    rows: SelectedRows
    faults: Faults
    gaps: dict[str, int] = field(default_factory=dict)


def spans_of(file: SpanFile, ends: Sequence[int], usual: int, most: int, version: str = "") -> list[Span]:
    """Return the spans of a file, see `stretches`.

    Args:
        file: the file.
        ends: entries where a part of the file ends that is unpacked at once, ascending.
        usual: the usual number of entries of a span.
        most: the largest number of entries of a span.
        version: as of `Span`.

    """
    return [Span(file, start, stop, version) for start, stop in stretches(file.entries, ends, usual, most)]


def read_span(span: Span) -> SpanRows:
    """Return the rows of a span.

    Raises:
        SourceError: the file cannot be read.
        ExpressionError, DataError: as `ChunkReader`.
        ProcessError: this process has another version of hepda than the one that requests the span.

    """
    from hepda.events.table.fingerprint import data_version

    if span.version and span.version != data_version():
        raise ProcessError("a worker of the cluster has another version of hepda; install the same everywhere.")
    file, faults, gaps = span.file, Faults(), dict[str, int]()
    reader = ChunkReader(file.sample, file.plan.variables, file.plan, file.factor, file.missing, file.key, faults, gaps)
    try:
        rows = list(reader.read(_opened(file).replaced(file.replaced), span.start, span.stop))
    except SourceError:
        close_files()
        raise
    return SpanRows(joined(rows), faults, gaps)


class _Open(threading.local):
    """The file that a thread read last: the next span is mostly of the same file."""

    def __init__(self) -> None:
        self.name: tuple[Any, ...] = ()
        self.tree: Tree | None = None
        self.stack = ExitStack()


_OPEN = _Open()


def _opened(file: SpanFile) -> Tree:
    name = (file.token, file.path, file.tree, tuple(file.aliases.items()), file.retries)
    if _OPEN.tree is None or _OPEN.name != name:
        close_files()
        with timed("opening of files"):
            tree = _OPEN.stack.enter_context(open_tree(file.path, file.tree, file.aliases, file.retries))
        if tree.entries != file.entries:
            close_files()
            raise SourceError(
                f"{file.path}: had {file.entries} entries and has {tree.entries}: it has changed while it was read."
            )
        _OPEN.name, _OPEN.tree = name, tree
    return _OPEN.tree


def close_files() -> None:
    """Close the file that this thread has open."""
    _OPEN.tree = None
    _OPEN.stack.close()


def joined(rows: Sequence[SelectedRows]) -> SelectedRows:
    """Return rows of consecutive chunks as one object.

    Raises:
        DataError: there are none.

    """
    if not rows:
        raise DataError("there are no rows to join.")
    if len(rows) == 1:
        return rows[0]
    return SelectedRows(
        np.concatenate([r.features for r in rows]),
        np.concatenate([r.weight for r in rows]),
        np.concatenate([r.key for r in rows]),
        {name: np.concatenate([r.columns[name] for r in rows]) for name in rows[0].columns},
        np.sum([r.cut_counts for r in rows], axis=0),
        {name: np.concatenate([r.collections[name] for r in rows]) for name in rows[0].collections},
    )


def entries_that_fit(file: SpanFile, memory: int, most: int) -> int:
    """Return how many events a span of this file may have so that `memory` bytes are enough to read it; at most `most`.

    Args:
        file: the file.
        memory: bytes that may be used.
        most: the largest number of events.

    Raises:
        SourceError: the first events cannot be read.
        DataError: not even the shortest span would fit.

    """
    inputs = len(file.plan.features) + sum(collection.columns for collection in file.plan.collections.values())
    row = _RESULTS * (4 * inputs + 8 * len(file.plan.columns) + 17 * len(file.plan.domains) + 32)
    usual = _COPIES * _USUAL * len(file.branches) + row
    if file.entries <= LEAST_ENTRIES or min(most, file.entries) * usual <= memory:
        return most
    probed = min(_PROBED, file.entries)
    try:
        columns = _opened(file).read(file.branches, 0, probed)
    except SourceError:
        close_files()
        raise
    each = _COPIES * sum(_bytes(column) for column in columns.values()) / probed + row
    possible = int(memory / each)
    if possible < LEAST_ENTRIES:
        raise DataError(
            f"{file.path}: {LEAST_ENTRIES} events of it need {size_text(LEAST_ENTRIES * each)} while they are "
            f"read, and there are {size_text(memory)} for them; give more by --memory, or read fewer branches."
        )
    return min(possible, most)


def _bytes(column: Column) -> int:
    parts = (column.values, column.offsets, column.missing)
    return sum(part.nbytes for part in parts if part is not None)


def merge(
    spans: Iterator[SpanRows] | Sequence[SpanRows], faults: Faults, gaps: dict[str, int]
) -> Iterator[SelectedRows]:
    """Yield the rows of spans in their order; their faults and missing features are added to `faults` and `gaps`."""
    for part in spans:
        for what, (count, path, entry) in part.faults.by_description.items():
            before, where, first = faults.by_description.get(what, (0, path, entry))
            faults.by_description[what] = (before + count, where, first)
        for name, count in part.gaps.items():
            gaps[name] = gaps.get(name, 0) + count
        yield part.rows
