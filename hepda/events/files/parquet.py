"""Parquet, read by pyarrow: one table per file, read by row groups and leaf columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hepda.events.expressions.columns import Column, ValueProblem
from hepda.events.files.arrow_table import ArrowTable, arrow_column, number_type_of
from hepda.events.files.protocol import opened, unique_names


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column without columns inside.

    path: its path in the file; top: the position of the column of the table that it is a part of; way: the names from
    that column down to the leaf; in_list: whether it is inside a list; numbers: the type of its numbers, None if it
    holds none; kind: Arrow's name of its type; repeated: whether another leaf has the same path within the same column.
    """

    path: str
    top: int
    way: tuple[str, ...]
    in_list: bool
    numbers: np.dtype[Any] | None
    kind: str
    repeated: bool = False


class ParquetFile(ArrowTable):
    """An open Parquet file, which is its own reader."""

    def __init__(self, path: str) -> None:
        import pyarrow.parquet as pq

        super().__init__(path, "Parquet")
        self._file = opened(path, pq.ParquetFile)
        self._all = _leaves_of(self._file)
        names = unique_names([".".join(leaf.way) for leaf in self._all])
        self._leaves = {name: leaf for name, leaf in zip(names, self._all, strict=True) if leaf.numbers is not None}
        unreadable = [(name, leaf) for name, leaf in zip(names, self._all, strict=True) if leaf.numbers is None]
        self.unreadable = {name: f"holds {leaf.kind}" for name, leaf in unreadable}
        sizes = [self._file.metadata.row_group(i).num_rows for i in range(self._file.metadata.num_row_groups)]
        self._edges = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.entries = int(self._edges[-1])
        self.fields = tuple(self._leaves)
        self._tops_of = _tops_by_path(self._all)

    def close(self) -> None:
        """Close the file."""
        self._file.close(force=True)

    def is_list(self, field: str) -> bool:
        """Return whether a column holds a list per event."""
        return self._leaves[field].in_list

    def number_type(self, field: str) -> np.dtype[Any] | None:
        """Return the type of the numbers of a column, or of those in its lists."""
        return self._leaves[field].numbers

    def ends(self, fields: Sequence[str]) -> Sequence[int]:
        """Return the ends of row groups."""
        return self._edges[1:].tolist()  # type: ignore[no-any-return]  # numpy's type of a list of integers

    def columns(self, fields: Sequence[str], start: int, stop: int | None) -> dict[str, Column]:
        """Return columns of the entries [start, stop); only the row groups that hold them are read."""
        stop = self.entries if stop is None else min(stop, self.entries)
        first = int(np.searchsorted(self._edges, start, side="right")) - 1
        last = max(int(np.searchsorted(self._edges, stop, side="left")), first + 1)
        groups = list(range(max(first, 0), min(last, len(self._edges) - 1)))
        tops = self._tops(list(dict.fromkeys(self._leaves[field].path for field in fields)), groups)
        offset = int(self._edges[groups[0]]) if groups else 0
        result = {}
        for field in fields:
            leaf = self._leaves[field]
            if leaf.repeated:
                raise ValueProblem(f"{field!r} is one of several columns of this name in {leaf.way[0]!r}")
            # Slice the awkward array: from_arrow takes the validity bits of an Arrow slice from the wrong place.
            array = tops[leaf.top][start - offset : max(stop, start) - offset]
            for part in leaf.way[1:]:
                array = array[part]
            result[field] = arrow_column(field, array)
        return result

    def _tops(self, paths: Sequence[str], groups: Sequence[int]) -> dict[int, Any]:
        """Return columns of the table, by position, for the rows of `groups`.

        Each has those of its parts that `paths` names. pyarrow takes only names, and returns everything that has one
        of them, in the order of the names and then of the file.
        """
        import awkward as ak

        table = self._file.read_row_groups(list(groups), columns=list(paths), use_threads=False)
        requested = dict.fromkeys(top for path in paths for top in self._tops_of[path])
        return {top: ak.from_arrow(column) for top, column in zip(requested, table.columns, strict=True)}


def _tops_by_path(leaves: Sequence[Leaf]) -> dict[str, dict[int, None]]:
    """Return the columns of the table, in their order, that have a path or parts of it."""
    tops: dict[str, dict[int, None]] = {}
    for leaf in leaves:
        names = leaf.path.split(".")
        for size in range(1, len(names) + 1):
            tops.setdefault(".".join(names[:size]), {})[leaf.top] = None
    return tops


def _leaves_of(file: Any) -> list[Leaf]:
    """Return the leaves of a file.

    Arrow's schema, which has types, and Parquet's, which has paths, list them in the same order.
    """
    paths = [file.schema.column(i).path for i in range(len(file.schema))]
    walked = [
        (top, *leaf)
        for top, field in enumerate(file.schema_arrow)
        for leaf in _walk_type(field.type, (field.name,), False)
    ]
    number = Counter((top, way) for top, way, *_ in walked)
    return [
        Leaf(path, top, way, in_list, number_type_of(kind), str(kind), number[top, way] > 1)
        for path, (top, way, in_list, kind) in zip(paths, walked, strict=True)
    ]


def _walk_type(kind: Any, way: tuple[str, ...], in_list: bool) -> Iterator[tuple[tuple[str, ...], bool, Any]]:
    """Yield the leaves of an Arrow type: the names on the way to each, whether it is inside a list, and its type."""
    import pyarrow.types as types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        yield from _walk_type(kind.value_type, way, True)
    elif types.is_struct(kind):
        for field in (kind.field(i) for i in range(kind.num_fields)):
            yield from _walk_type(field.type, (*way, field.name), in_list)
    elif types.is_map(kind):
        for part in (kind.key_type, kind.item_type):
            yield from ((inner, listed, kind) for inner, listed, _ in _walk_type(part, way, True))
    else:
        yield way, in_list, kind
