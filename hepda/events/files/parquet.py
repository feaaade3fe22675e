"""Parquet, by pyarrow: one table a file, read by groups of rows and by leaf columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hepda.errors import SourceError
from hepda.events.expressions.awkward_arrays import column_of
from hepda.events.expressions.columns import Column, ValueProblem
from hepda.events.files.protocol import Reader, opened


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column of numbers: where the file keeps it, and the way to it from the top."""

    path: str
    way: tuple[str, ...]
    in_list: bool


class ParquetFile:
    """An open Parquet file, which is its own reader."""

    def __init__(self, path: str) -> None:
        import pyarrow.parquet as pq

        self._path = path
        self._file = opened(path, pq.ParquetFile)
        paths = (self._file.schema.column(i).path for i in range(len(self._file.schema)))
        # Leaves come in the same order in the schema of Arrow, which knows types, and of Parquet, which knows paths.
        self._leaves = {
            ".".join(way): Leaf(path, way, in_list)
            for (way, in_list, numeric), path in zip(_walk(self._file.schema_arrow, (), False), paths, strict=True)
            if numeric
        }
        sizes = [self._file.metadata.row_group(i).num_rows for i in range(self._file.metadata.num_row_groups)]
        self._edges = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.entries = int(self._edges[-1])
        self.fields = tuple(self._leaves)

    def trees(self) -> None:
        """A Parquet file is one table."""
        return None  # noqa: RET501 - it is an answer

    def reader(self, tree: str) -> Reader:
        """The table."""
        return self

    def histograms(self) -> Sequence[str]:
        """None."""
        return ()

    def histogram(self, name: str) -> Any:
        """There are none in Parquet."""
        raise SourceError(f"{self._path}: has no histogram {name!r}; a Parquet file is one table of events.")

    def close(self) -> None:
        """Close the file."""
        self._file.close(force=True)

    def is_list(self, field: str) -> bool:
        """Whether a column holds a list an event."""
        return self._leaves[field].in_list

    def ends(self, fields: Sequence[str]) -> Sequence[int]:
        """The ends of row groups."""
        return self._edges[1:].tolist()  # type: ignore[no-any-return]  # numpy's word for a list of integers

    def columns(self, fields: Sequence[str], start: int, stop: int | None) -> dict[str, Column]:
        """Columns of the entries [start, stop); only the row groups that hold them are read."""
        import awkward as ak

        stop = self.entries if stop is None else min(stop, self.entries)
        first = int(np.searchsorted(self._edges, start, side="right")) - 1
        last = max(int(np.searchsorted(self._edges, stop, side="left")), first + 1)
        groups = list(range(max(first, 0), min(last, len(self._edges) - 1)))
        leaves = [self._leaves[field] for field in fields]
        table = self._file.read_row_groups(groups, columns=[leaf.path for leaf in leaves], use_threads=False)
        offset = int(self._edges[groups[0]]) if groups else 0
        table = table.slice(start - offset, max(stop - start, 0)).combine_chunks()
        tops = {name: ak.from_arrow(table[name]) for name in table.column_names}
        found = {}
        for field, leaf in zip(fields, leaves, strict=True):
            array = tops[leaf.way[0]]
            for part in leaf.way[1:]:
                array = array[part]
            try:
                found[field] = column_of(ak.to_layout(array))
            except ValueProblem as problem:
                raise ValueProblem(f"{field!r} {problem}") from problem
        return found


def _walk(fields: Any, way: tuple[str, ...], in_list: bool) -> Iterator[tuple[tuple[str, ...], bool, bool]]:
    """The leaves of an Arrow schema: the way to each, whether a list lies on it, whether it holds numbers."""
    for field in fields:
        yield from _walk_type(field.type, (*way, field.name), in_list)


def _walk_type(kind: Any, way: tuple[str, ...], in_list: bool) -> Iterator[tuple[tuple[str, ...], bool, bool]]:
    import pyarrow.types as types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        yield from _walk_type(kind.value_type, way, True)
    elif types.is_struct(kind):
        yield from _walk((kind.field(i) for i in range(kind.num_fields)), way, in_list)
    elif types.is_map(kind):
        for part in (kind.key_type, kind.item_type):
            yield from ((inner, listed, False) for inner, listed, _ in _walk_type(part, way, True))
    else:
        yield way, in_list, types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
