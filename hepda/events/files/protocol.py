"""Files of events, whatever the format: one face for TTree, RNTuple, Parquet and HDF5.

A format opens a file and says which trees it has; a reader gives columns of one tree. Names, messages, retries
and aliases are the same for all of them: see hepda.events.files.opening.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from hepda.events.expressions.columns import Column


class Reader(Protocol):
    """One tree of an open file."""

    @property
    def entries(self) -> int:
        """Events in it."""
        ...

    @property
    def fields(self) -> Sequence[str]:
        """What can be read, by the file's own names, each of them once; see `told_apart`."""
        ...

    @property
    def others(self) -> Mapping[str, str]:
        """What is in the file and holds no numbers, by name: what it holds instead (`holds string`)."""
        ...

    def is_list(self, field: str) -> bool:
        """Whether a field holds a list an event."""
        ...

    def ends(self, fields: Sequence[str]) -> Sequence[int]:
        """Entries, ascending, where a part of the file ends that is unpacked as a whole; none where that is cheap."""
        ...

    def columns(self, fields: Sequence[str], start: int, stop: int | None) -> dict[str, Column]:
        """Columns of the entries [start, stop). Raises ValueProblem, by name, for what is not numbers."""
        ...


class Format(Protocol):
    """An open file."""

    def trees(self) -> Sequence[str] | None:
        """Names of its trees; None if the whole file is one table without a name."""
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


def told_apart(names: Sequence[str]) -> list[str]:
    """Return the names in their order; one that occurs more than once gets numbers, `pt;1` and `pt;2`."""
    number, seen = Counter(names), Counter[str]()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if number[name] == 1 else f"{name};{seen[name]}")
    return found


def opened(path: str, how: Callable[[Any], Any]) -> Any:
    """Return a local path, or an open stream of a URL, handed to a library that reads either."""
    if "://" not in path:
        return how(path)
    import fsspec

    return how(fsspec.open(path, "rb").open())
