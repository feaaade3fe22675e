"""HDF5 as umami and salt read and write it: structured datasets of jets, and of tracks with a flag `valid`.

A tree is a one-dimensional structured dataset (`jets`), or a group of plain one-dimensional ones. Beside a tree's own
fields stand, by a dot, those of the datasets of its group with as many rows: `tracks.d0` is a list a jet, without the
elements that are padding (`valid` false); a plain dataset has its own name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hepda.errors import MissingExtraError, SourceError
from hepda.events.expressions.columns import Column, Numbers, ValueProblem, offsets_of, widen
from hepda.events.files.protocol import Reader, opened

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
        """Structured datasets of one dimension, or else groups of plain ones, by their paths."""
        structured = [d.name.lstrip("/") for d in self._datasets if d.dtype.names and d.ndim == 1]
        plain = [_parent(d) for d in self._datasets if not d.dtype.names and d.ndim == 1 and d.dtype.kind in NUMBERS]
        groups = [group for group in dict.fromkeys(plain) if not any(_parent_of(s) == group for s in structured)]
        return [*structured, *(group or "/" for group in groups)]

    def reader(self, tree: str) -> Reader:
        """The tree of this name, with the datasets beside it."""
        item = self._file[tree]
        own = item if hasattr(item, "dtype") else None
        group = tree.strip("/") if own is None else _parent(own)
        beside = [d for d in self._datasets if _parent(d) == group and d.ndim and d.name != item.name]
        first = next(d for d in beside if d.ndim == 1 and not d.dtype.names) if own is None else own
        return Hdf5Reader(len(first), own, [d for d in beside if len(d) == len(first)])

    def histograms(self) -> Sequence[str]:
        """Not told: any plain dataset might be one."""
        return ()

    def histogram(self, name: str) -> Any:
        """A plain dataset of one dimension, [bins]."""
        found = {d.name.lstrip("/"): d for d in self._datasets if d.ndim == 1 and d.dtype.kind in NUMBERS}
        if name not in found:
            raise SourceError(f"{self._path}: has no plain dataset {name!r} to take for a histogram.")
        return np.asarray(found[name][()], dtype=np.float64)

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
    """Rows of one tree: its own fields, and those of the datasets `beside` it."""

    def __init__(self, entries: int, own: Any, beside: Sequence[Any]) -> None:
        self.entries = entries
        self._places: dict[str, Place] = {}
        if own is not None:
            self._places |= {name: Place(own, name) for name in _numeric(own)}
        for dataset in beside:
            name = dataset.name.rpartition("/")[2]
            if dataset.dtype.names:
                self._places |= {f"{name}.{field}": Place(dataset, field) for field in _numeric(dataset)}
            elif dataset.dtype.kind in NUMBERS and dataset.ndim <= 2:
                self._places.setdefault(name, Place(dataset, None))
        self.fields = tuple(self._places)

    def is_list(self, field: str) -> bool:
        """Whether a field holds a list a row."""
        place = self._places[field]
        shape = place.dataset.dtype[place.field].shape if place.field else ()
        return bool(place.dataset.ndim + len(shape) == 2)

    def ends(self, fields: Sequence[str]) -> Sequence[int]:
        """Chunks of HDF5 are small: rows are cut anywhere."""
        return ()

    def columns(self, fields: Sequence[str], start: int, stop: int | None) -> dict[str, Column]:
        """Columns of the rows [start, stop), each dataset read once."""
        wanted: dict[str, list[str]] = {}
        for field in fields:
            wanted.setdefault(self._places[field].dataset.name, []).append(field)
        found: dict[str, Column] = {}
        for names in wanted.values():
            found.update(self._of_dataset(names, start, self.entries if stop is None else stop))
        return found

    def _of_dataset(self, fields: Sequence[str], start: int, stop: int) -> Iterator[tuple[str, Column]]:
        dataset = self._places[fields[0]].dataset
        inner = [str(self._places[field].field) for field in fields]
        keep = None
        if not dataset.dtype.names:
            rows = dict.fromkeys(fields, dataset[start:stop])
        else:
            flag = [VALID] if dataset.ndim == 2 and VALID in dataset.dtype.names else []
            read = dataset.fields([*dict.fromkeys([*inner, *flag])])[start:stop]
            rows = {field: read[name] for field, name in zip(fields, inner, strict=True)}
            keep = np.asarray(read[VALID], dtype=bool) if flag else None
        for field, values in rows.items():
            yield field, _column(field, values, keep)


def _numeric(dataset: Any) -> list[str]:
    """Fields that hold numbers, flat or as one more dimension."""
    kinds = ((name, dataset.dtype[name]) for name in dataset.dtype.names)
    return [name for name, kind in kinds if kind.base.kind in NUMBERS and dataset.ndim + len(kind.shape) <= 2]


def _column(field: str, values: Numbers, keep: Numbers | None) -> Column:
    """Rows, or lists of those elements that `keep` [rows, elements] admits."""
    try:
        if values.ndim == 1:
            return Column(widen(np.ascontiguousarray(values)))
        inside = np.ones(values.shape, dtype=bool) if keep is None else keep
        return Column(widen(values[inside]), offsets_of(inside.sum(axis=1)))
    except ValueProblem as problem:
        raise ValueProblem(f"{field!r} {problem}") from problem
