"""Files of events in any format: one interface for TTree, RNTuple, Parquet and HDF5.

A format opens a file and lists its trees; a reader gives columns of one tree. Names, messages, retries
and aliases are the same for all of them: see hepda.events.files.opening.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from hepda.events.expressions.columns import Column


class Reader(Protocol):
    """One tree of an open file."""

    @property
    def entries(self) -> int:
        """Events in it."""
        ...

    @property
    def fields(self) -> Sequence[str]:
        """Fields that can be read, by their names in the file, each of them once; see `unique_names`."""
        ...

    @property
    def unreadable(self) -> Mapping[str, str]:
        """Fields of the file that are not numbers, by name, with their content (`holds string`)."""
        ...

    def is_list(self, field: str) -> bool:
        """Whether a field holds a list per event."""
        ...

    def number_type(self, field: str) -> np.dtype[Any] | None:
        """Type of the numbers, or of those in the lists, of a field; None where only its values tell what it holds."""
        ...

    def ends(self, fields: Sequence[str]) -> Sequence[int]:
        """Entries, ascending, where a part of the file ends that is unpacked entirely; none where that is cheap."""
        ...

    def columns(self, fields: Sequence[str], start: int, stop: int | None) -> dict[str, Column]:
        """Columns of the entries [start, stop). Raises ValueProblem, with its name, for a field that is not numbers."""
        ...


class Format(Protocol):
    """An open file."""

    def trees(self) -> Sequence[str] | None:
        """Names of its trees; None if the file is one table without a name."""
        ...

    def reader(self, tree: str) -> Reader:
        """Return the tree of this name, which is one of `trees`."""
        ...

    def histograms(self) -> Sequence[str]:
        """Names of one-dimensional histograms."""
        ...

    def histogram(self, name: str) -> Any:
        """Contents of histograms without overflows, [..., bins]. Raises SourceError if there is none."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def unique_names(names: Sequence[str]) -> list[str]:
    """Return the names in their order; one that occurs more than once gets numbers, `pt;1` and `pt;2`."""
    number, so_far = Counter(names), Counter[str]()
    result = []
    for name in names:
        so_far[name] += 1
        result.append(name if number[name] == 1 else f"{name};{so_far[name]}")
    return result


def opened(path: str, open_with: Callable[[Any], Any]) -> Any:
    """Open a local path, or the stream of a URL, by a library that reads either."""
    if "://" not in path:
        return open_with(path)
    import fsspec

    return open_with(fsspec.open(path, "rb").open())
