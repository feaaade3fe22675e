"""Files of events, whatever the format: one face for TTree, RNTuple, Parquet and HDF5.

A format opens a file and says which trees it has; a reader gives columns of one tree. Names, messages, retries
and aliases are the same for all of them: see hepda.events.files.opening.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from hepda.errors import SourceError, nearest
from hepda.events.expressions.columns import Column


class Reader(Protocol):
    """One tree of an open file."""

    @property
    def entries(self) -> int:
        """Events in it."""
        ...

    @property
    def fields(self) -> Sequence[str]:
        """What can be read, by the file's own names."""
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
        """The tree of this name, which is one of `trees`."""
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


MAGIC: tuple[tuple[bytes, str], ...] = ((b"root", "root"), (b"PAR1", "parquet"), (b"\x89HDF", "hdf5"))
SUFFIXES = {
    ".root": "root", ".parquet": "parquet", ".pq": "parquet", ".h5": "hdf5", ".hdf5": "hdf5", ".hdf": "hdf5",
}  # fmt: skip
"""Formats by the ending of a name; a folder is searched for these."""
TABLE = "table"
"""How messages call the one table of a file that has no trees."""

SIDE = frozenset(
    ("metadata", "MetaData", "MetaDataTree", "Runs", "LuminosityBlocks", "ParameterSets", "POOLCollectionTree", "Trees")
)
"""Trees of bookkeeping, not of events, in NanoAOD, xAOD and hepda's own ntuples."""
_USUAL = ("events", "Events", "CollectionTree", "jets")
"""Which one is meant where several could be."""


def open_format(path: str) -> Format:
    """Open a file by its first bytes, or by the ending of a URL. Raises SourceError for none of the formats."""
    kind = _kind_of(path)
    if kind == "parquet":
        from hepda.events.files.parquet import ParquetFile

        return ParquetFile(path)
    if kind == "hdf5":
        from hepda.events.files.hdf5 import Hdf5File

        return Hdf5File(path)
    from hepda.events.files.root import RootFile

    return RootFile(path)


def _kind_of(path: str) -> str:
    if "://" in path:
        return SUFFIXES.get(Path(path.partition("?")[0]).suffix.lower(), "root")
    try:
        with Path(path).open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise SourceError(f"{path}: cannot be opened: {error.strerror}.") from error
    if not magic:
        raise SourceError(f"{path}: is empty (0 bytes): produce or copy it again.")
    for bytes_, kind in MAGIC:
        if magic == bytes_:
            return kind
    raise SourceError(f"{path}: is not a ROOT file (it begins with {magic!r}), nor one of Parquet or HDF5.")


def choose_tree(trees: Sequence[str] | None, wanted: str | None, path: str) -> str:
    """The tree that is meant: the one that is named, the only one, or the usual one.

    Raises SourceError, naming those that there are, if it is not there or cannot be told.
    """
    if trees is None:
        return TABLE
    listed = f" It has: {', '.join(trees)}." if trees else " It has no trees."
    if wanted is not None:
        if wanted not in trees:
            raise SourceError(f"{path}: has no tree {wanted!r}.{nearest(wanted, trees) or listed}")
        return wanted
    if len(trees) == 1:
        return trees[0]
    likely = [name for name in trees if name not in SIDE] or list(trees)
    usual = [name for name in _USUAL if name in likely]
    if len(likely) == 1 or usual:
        return likely[0] if len(likely) == 1 else usual[0]
    raise SourceError(f"{path}: does not tell which of its trees holds the events.{listed} Name it by `tree`.")


def opened(path: str, how: Callable[[Any], Any]) -> Any:
    """A local path, or an open stream of a URL, handed to a library that reads either."""
    if "://" not in path:
        return how(path)
    import fsspec

    return how(fsspec.open(path, "rb").open())
