"""HDF5 as umami and salt read and write it: structured datasets of jets, and of tracks with a flag `valid`.

A tree is a one-dimensional structured dataset (`jets`), or a group of plain one-dimensional ones. In addition to its
fields, a tree has, joined by a dot, the fields of those datasets of its group that have as many rows: `tracks.d0`
is a list per jet, without the elements that are padding (`valid` false); `lepton.pt`, one number per jet, is missing
where `lepton.valid` is false. A plain dataset has its own name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hepda.errors import MissingExtraError, SourceError
from hepda.events.expressions.columns import Column, Numbers, ValueProblem, offsets_of, widen
from hepda.events.files.protocol import Reader, opened, unique_names

NUMBERS = "biuf"
VALID = "valid"


class Hdf5File:
    """An open HDF5 file."""

    def __init__(self, path: str) -> None:
        try:
            import h5py
        except ImportError as error:
            raise MissingExtraError("h5py", "hdf5") from error
        self._path = path
        self._file = opened(path, lambda source: h5py.File(source, "r"))
        self._datasets: list[Any] = []
        self._file.visititems(lambda _, item: self._datasets.append(item) if isinstance(item, h5py.Dataset) else None)

    def trees(self) -> Sequence[str]:
        """Return structured datasets of one dimension, and groups of plain ones that contain none of these, by path."""
        structured = [d.name.lstrip("/") for d in self._datasets if d.dtype.names and d.ndim == 1]
        plain = [_parent(d) for d in self._datasets if not d.dtype.names and d.ndim == 1 and d.dtype.kind in NUMBERS]
        groups = [group for group in dict.fromkeys(plain) if not any(_parent_of(s) == group for s in structured)]
        return [*structured, *(group or "/" for group in groups)]

    def reader(self, tree: str) -> Reader:
        """Return the tree of this name, with the other datasets of its group."""
        item = self._file[tree]
        table = item if hasattr(item, "dtype") else None
        group = tree.strip("/") if table is None else _parent(table)
        neighbours = [d for d in self._datasets if _parent(d) == group and d.ndim and d.name != item.name]
        first = next(d for d in neighbours if d.ndim == 1 and not d.dtype.names) if table is None else table
        return Hdf5Reader(len(first), table, [d for d in neighbours if len(d) == len(first)])

    def histograms(self) -> Sequence[str]:
        """Return no names: any plain dataset might be a histogram."""
        return ()

    def histogram(self, name: str) -> Any:
        """Return a plain dataset of one dimension, [bins]."""
        datasets = {d.name.lstrip("/"): d for d in self._datasets if d.ndim == 1 and d.dtype.kind in NUMBERS}
        if name not in datasets:
            raise SourceError(f"{self._path}: has no plain dataset {name!r} to take for a histogram.")
        return np.asarray(datasets[name][()], dtype=np.float64)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _parent(dataset: Any) -> str:
    return _parent_of(dataset.name.lstrip("/"))


def _parent_of(name: str) -> str:
    return name.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Place:
    """A field of a dataset (None: the dataset is plain)."""

    dataset: Any
    field: str | None


class Hdf5Reader:
    """Rows of one tree: the fields of its table, and those of the `neighbours`, other datasets of its group."""

    def __init__(self, entries: int, table: Any, neighbours: Sequence[Any]) -> None:
        self.entries, self._table = entries, table
        places = [] if table is None else [(name, Place(table, name)) for name in table.dtype.names]
        for dataset in neighbours:
            name = dataset.name.rpartition("/")[2]
            if dataset.dtype.names:
                places += [(f"{name}.{field}", Place(dataset, field)) for field in dataset.dtype.names]
            else:
                places.append((name, Place(dataset, None)))
        contents = [_what(place) for _, place in places]
        names = unique_names([name for name, _ in places])
        self._places = {n: place for n, (_, place), what in zip(names, places, contents, strict=True) if what is None}
        self.unreadable = {n: f"holds {what}" for n, what in zip(names, contents, strict=True) if what is not None}
        self.fields = tuple(self._places)

    def is_list(self, field: str) -> bool:
        """Return whether a field holds a list per row."""
        place = self._places[field]
        shape = place.dataset.dtype[place.field].shape if place.field else ()
        return bool(place.dataset.ndim + len(shape) == 2)

    def number_type(self, field: str) -> np.dtype[Any] | None:
        """Return the type of the numbers of a field."""
        place = self._places[field]
        kind: np.dtype[Any] = place.dataset.dtype[place.field] if place.field else place.dataset.dtype
        return kind.base

    def ends(self, fields: Sequence[str]) -> Sequence[int]:
        """Return no ends: chunks of HDF5 are small, so rows may be cut anywhere."""
        return ()

    def columns(self, fields: Sequence[str], start: int, stop: int | None) -> dict[str, Column]:
        """Return columns of the rows [start, stop); each dataset is read once."""
        fields_of_dataset: dict[str, list[str]] = {}
        for field in fields:
            fields_of_dataset.setdefault(self._places[field].dataset.name, []).append(field)
        columns: dict[str, Column] = {}
        for names in fields_of_dataset.values():
            columns.update(self._of_dataset(names, start, self.entries if stop is None else stop))
        return columns

    def _of_dataset(self, fields: Sequence[str], start: int, stop: int) -> Iterator[tuple[str, Column]]:
        dataset = self._places[fields[0]].dataset
        inner = [str(self._places[field].field) for field in fields]
        keep = None
        if not dataset.dtype.names:
            rows = dict.fromkeys(fields, dataset[start:stop])
        else:
            # For the rows of the tree itself, `valid` is a field like any other: all of them are events.
            flag = [VALID] if VALID in dataset.dtype.names and not self._is_of_rows(dataset) else []
            read = dataset.fields([*dict.fromkeys([*inner, *flag])])[start:stop]
            rows = {field: read[name] for field, name in zip(fields, inner, strict=True)}
            keep = np.asarray(read[VALID], dtype=bool) if flag else None
        for field, values in rows.items():
            is_flag = self._places[field].field == VALID and values.ndim == 1
            yield field, _column(field, values, None if is_flag else keep)

    def _is_of_rows(self, dataset: Any) -> bool:
        """Return whether `valid`, if it exists, describes a row of the tree, not an object in it."""
        is_table = self._table is not None and dataset.name == self._table.name
        return is_table and dataset.ndim + len(dataset.dtype[VALID].shape) == 1


def _what(place: Place) -> str | None:
    """Return what a field holds; None for numbers, flat or with one more dimension."""
    kind = place.dataset.dtype[place.field] if place.field else place.dataset.dtype
    dimensions = place.dataset.ndim + len(kind.shape)
    if kind.base.kind in NUMBERS and dimensions <= 2:
        return None
    return f"{kind.base} of {dimensions} dimensions"


def _column(field: str, values: Numbers, keep: Numbers | None) -> Column:
    """Return rows, or lists, as a Column.

    Where `keep` [rows] is false the row is missing; where `keep` [rows, elements] is false the element is left out.
    """
    gone = None if keep is None or keep.ndim == 2 or keep.all() else ~keep
    try:
        if values.ndim == 1:
            return Column(widen(np.ascontiguousarray(values)), None, gone)
        inside = np.ones(values.shape, dtype=bool)
        if gone is not None:
            inside &= ~gone[:, np.newaxis]
        elif keep is not None and keep.shape == values.shape:
            inside = keep
        return Column(widen(values[inside]), offsets_of(inside.sum(axis=1)), None, gone)
    except ValueProblem as problem:
        raise ValueProblem(f"{field!r} {problem}") from problem
