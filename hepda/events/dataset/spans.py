"""Spans of a file: what is read at once, here, in another process or on another machine, and comes back as rows."""

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
from hepda.runtime.resources import in_words

LEAST_ENTRIES = 2_000
"""Events of the shortest span."""
_PROBED = 2_000
"""Events that are read to learn how large they are."""
_USUAL = 128
"""Bytes of a branch in an event that are enough for most: a list of sixteen numbers."""
_RESULTS = 4
"""Rows of finished spans that wait for those before them, by span."""
_COPIES = 6
"""Memory of a span over that of its columns: baskets as they are read, as they are unpacked, awkward's and numpy's."""


@dataclass(frozen=True, slots=True)
class SpanFile:
    """A file of a sample, with all that makes rows of its entries; nothing of it is opened yet.

    replaced: branches, and what is read in their place; factor: from the weight expression to the physical weight;
    token: of the reading that this is part of, so that no file which was opened for another one is read.
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
        """What is read of it."""
        return sorted({*self.plan.branches, *self.key})


@dataclass(frozen=True, slots=True)
class Span:
    """The entries [start, stop) of a file. version: of the hepda that wants them, "" for any."""

    file: SpanFile
    start: int
    stop: int
    version: str = ""


@dataclass(frozen=True, slots=True)
class SpanRows:
    """Rows of the selected events of a span, what was not finite there, and missing features by name."""

    rows: SelectedRows
    faults: Faults
    gaps: dict[str, int] = field(default_factory=dict)


def spans_of(file: SpanFile, ends: Sequence[int], usual: int, most: int, version: str = "") -> list[Span]:
    """A file in spans, see `stretches`."""
    return [Span(file, start, stop, version) for start, stop in stretches(file.entries, ends, usual, most)]


def read_span(span: Span) -> SpanRows:
    """The rows of a span.

    Raises:
        SourceError: the file cannot be read.
        ExpressionError, DataError: as `ChunkReader`.
        ProcessError: this process has another hepda than the one that asks.

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
    """The file that a thread read last: the next span is mostly of the same."""

    def __init__(self) -> None:
        self.name: tuple[Any, ...] = ()
        self.tree: Tree | None = None
        self.stack = ExitStack()


_OPEN = _Open()


def _opened(file: SpanFile) -> Tree:
    name = (file.token, file.path, file.tree, tuple(file.aliases.items()), file.retries)
    if _OPEN.tree is None or _OPEN.name != name:
        close_files()
        tree = _OPEN.stack.enter_context(open_tree(file.path, file.tree, file.aliases, file.retries))
        if tree.entries != file.entries:
            close_files()
            raise SourceError(
                f"{file.path}: had {file.entries} entries and has {tree.entries}: it has changed while it was read."
            )
        _OPEN.name, _OPEN.tree = name, tree
    return _OPEN.tree


def close_files() -> None:
    """Close what this thread has open."""
    _OPEN.tree = None
    _OPEN.stack.close()


def joined(rows: Sequence[SelectedRows]) -> SelectedRows:
    """Rows of consecutive chunks as one. Raises DataError for none."""
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
    )


def entries_that_fit(file: SpanFile, memory: int, most: int) -> int:
    """Events of a span of this file that `memory` bytes hold while they are worked on; at most `most`.

    Raises:
        SourceError: the first events cannot be read.
        DataError: not even the shortest span would fit.

    """
    row = _RESULTS * (4 * len(file.plan.features) + 8 * len(file.plan.columns) + 17 * len(file.plan.domains) + 32)
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
    fitting = int(memory / each)
    if fitting < LEAST_ENTRIES:
        raise DataError(
            f"{file.path}: {LEAST_ENTRIES} events of it need {in_words(LEAST_ENTRIES * each)} while they are "
            f"read, and there are {in_words(memory)} for them; give more by --memory, or read fewer branches."
        )
    return min(fitting, most)


def _bytes(column: Column) -> int:
    parts = (column.values, column.offsets, column.missing)
    return sum(part.nbytes for part in parts if part is not None)


def merge(
    found: Iterator[SpanRows] | Sequence[SpanRows], faults: Faults, gaps: dict[str, int]
) -> Iterator[SelectedRows]:
    """Rows of spans in their order; what they met is added to `faults` and `gaps`."""
    for part in found:
        for what, (count, path, entry) in part.faults.found.items():
            before, where, first = faults.found.get(what, (0, path, entry))
            faults.found[what] = (before + count, where, first)
        for name, count in part.gaps.items():
            gaps[name] = gaps.get(name, 0) + count
        yield part.rows
