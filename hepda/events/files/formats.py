"""The format of a file, and the tree with its events. A new format is a module and a line of FORMATS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from hepda.errors import MissingTreeError, SourceError, nearest
from hepda.events.files.protocol import Format


@dataclass(frozen=True, slots=True)
class FormatEntry:
    """A format of the registry: its name, the first four bytes of its files, their endings, and `module:class`.

    A format of text has no such bytes, and is known by its endings alone. The module is imported when a file of the
    format is opened: some need a package that only some users have.
    """

    name: str
    magic: bytes
    suffixes: tuple[str, ...]
    reader: str

    def open(self, path: str) -> Format:
        """Open a file of this format. Raises SourceError if it cannot be read as one."""
        module, name = self.reader.split(":")
        opened: Format = getattr(import_module(module), name)(path)
        return opened


FORMATS = [
    FormatEntry("ROOT", b"root", (".root",), "hepda.events.files.root:RootFile"),
    FormatEntry("Parquet", b"PAR1", (".parquet", ".pq"), "hepda.events.files.parquet:ParquetFile"),
    FormatEntry("HDF5", b"\x89HDF", (".h5", ".hdf5", ".hdf"), "hepda.events.files.hdf5:Hdf5File"),
    FormatEntry("CSV", b"", (".csv", ".tsv", ".csv.gz", ".tsv.gz"), "hepda.events.files.csv_table:CsvFile"),
]
"""The first one is that of URLs with another ending."""
TABLE = "table"
"""Name in messages of the one table of a file that has no trees."""

SIDE = frozenset(
    ("metadata", "MetaData", "MetaDataTree", "Runs", "LuminosityBlocks", "ParameterSets", "POOLCollectionTree", "Trees")
)
"""Trees of bookkeeping, not of events, in NanoAOD, xAOD and hepda's own ntuples."""
_USUAL = ("events", "Events", "CollectionTree", "jets")
"""The tree that is taken where several are possible."""


def suffixes() -> tuple[str, ...]:
    """Return the endings of all formats; a folder is searched for these."""
    return tuple(suffix for entry in FORMATS for suffix in entry.suffixes)


def has_suffix(path: str, entry: FormatEntry | None = None) -> bool:
    """Return whether the name of a file ends as those of a format do, or of any format."""
    return Path(path).name.lower().endswith(suffixes() if entry is None else entry.suffixes)


def is_text(path: str) -> bool:
    """Return whether the name of a file is that of a format of text."""
    return any(has_suffix(path, entry) for entry in FORMATS if not entry.magic)


def open_format(path: str) -> Format:
    """Open a file by its first bytes, or by the ending of a URL. Raises SourceError for none of the formats."""
    return _format_of(path).open(path)


def _format_of(path: str) -> FormatEntry:
    if "://" in path:
        return next((entry for entry in FORMATS if has_suffix(path.partition("?")[0], entry)), FORMATS[0])
    try:
        with Path(path).open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise SourceError(f"{path}: cannot be opened: {error.strerror}.") from error
    if not magic:
        raise SourceError(f"{path}: is empty (0 bytes): produce or copy it again.")
    for entry in FORMATS:
        if magic == entry.magic or (not entry.magic and has_suffix(path, entry)):
            return entry
    first, *further = (entry.name for entry in FORMATS)
    raise SourceError(f"{path}: is not a {first} file (it begins with {magic!r}), nor one of {' or '.join(further)}.")


def choose_tree(trees: Sequence[str] | None, requested: str | None, path: str) -> str:
    """Return the tree of the events: the named one, the only one, or the usual one.

    Raises SourceError, with the names of the trees, if it does not exist or is not clear.
    """
    if trees is None:
        return TABLE
    listed = f" It has: {', '.join(trees)}." if trees else " It has no trees."
    if requested is not None:
        if requested not in trees:
            raise MissingTreeError(f"{path}: has no tree {requested!r}.{nearest(requested, trees) or listed}")
        return requested
    if len(trees) == 1:
        return trees[0]
    likely = [name for name in trees if name not in SIDE] or list(trees)
    usual = [name for name in _USUAL if name in likely]
    if len(likely) == 1 or usual:
        return likely[0] if len(likely) == 1 else usual[0]
    unclear = SourceError if trees else MissingTreeError
    raise unclear(f"{path}: does not say which of its trees holds the events.{listed} Name it by `tree`.")
