"""Opening of files of events: one interface for all formats and places, with common names, errors and retries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hepda.errors import DataError, SourceError, nearest
from hepda.events.expressions.branch_names import Field, Names, names_of, plain_order
from hepda.events.expressions.columns import Column, counts
from hepda.events.files.formats import choose_tree, open_format
from hepda.events.files.locations import RETRIES, Result, attempt, check_scheme, expand, is_remote, size_of
from hepda.events.files.protocol import Format

__all__ = [
    "EventFile",
    "EventSource",
    "Tree",
    "expand",
    "integers",
    "kept_open",
    "open_file",
    "open_tree",
    "size_of",
    "tree_of",
]


_NAMES: dict[tuple[Any, ...], Names] = {}
"""The names of trees that this process opened before, by file and its state: a command opens a file several times."""
_MOST_NAMES = 64
"""Number of trees whose names are kept: those of 1,500 branches take 1 MB."""


class EventSource(Protocol):
    """A tree of one file, whatever the format."""

    @property
    def path(self) -> str:
        """The file."""
        ...

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Column]:
        """Return columns of the entries [start, stop)."""
        ...


class EventFile:
    """An open file, which is opened again when the connection to it breaks. state: that of `_state` before it."""

    def __init__(self, path: str, retries: int = RETRIES) -> None:
        self.path, self.retries = path, retries
        self.state = _state(path)
        self._format: Format | None = None

    def do(self, what: str, action: Callable[[Format], Result]) -> Result:
        """Run `action` on the open file.

        Args:
            what: what is read, for messages.
            action: takes the open file; its result is returned.

        Raises:
            SourceError: it cannot be read; the message contains `what`.

        """

        def on_file() -> Result:
            self._format = self._format or open_format(self.path)
            return action(self._format)

        return attempt(self.path, what, is_remote(self.path), on_file, self.retries, self.close)

    def close(self) -> None:
        """Close the file; the next reading opens it again."""
        opened, self._format = self._format, None
        if opened is not None:
            opened.close()


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree of an open file.

    names: the names that expressions may use, and the fields of the file that they mean; refused: names that mean
    no branch or no numbers, and why.
    """

    file: EventFile
    tree: str
    entries: int
    names: Mapping[str, Field]
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The file."""
        return self.file.path

    @property
    def branches(self) -> tuple[str, ...]:
        """All names that expressions may use."""
        return tuple(self.names)

    @property
    def own_names(self) -> tuple[str, ...]:
        """The names of the branches in the file, each once."""
        return tuple(plain_order(self.names))

    def require(self, names: Sequence[str]) -> None:
        """Raise SourceError for a name that is no branch, suggesting the nearest one, or that is refused."""
        for name in names:
            if name in self.refused:
                raise SourceError(f"{self.path}: the tree {self.tree!r}: {name!r} {self.refused[name]}.")
            if name not in self.names:
                hint = nearest(name, self.names)
                raise SourceError(f"{self.path}: the tree {self.tree!r} has no branch {name!r}.{hint}")

    def replaced(self, branches: Mapping[str, str]) -> Tree:
        """Return the same tree with branches replaced.

        Args:
            branches: for each branch, by any of its names, the one that is read in its place.

        Raises:
            SourceError: a branch is not there, for which the message suggests the nearest one; or it is the length of a
                collection.

        """
        self.require([*branches, *branches.values()])
        for name in branches:
            if self.names[name].counted:
                raise SourceError(f"{self.path}: {name!r} is the length of a collection, no branch to be replaced.")
        replacements = {self.names[old].name: self.names[new] for old, new in branches.items()}
        names = {n: f if f.counted else replacements.get(f.name, f) for n, f in self.names.items()}
        return Tree(self.file, self.tree, self.entries, names, self.refused)

    def ends(self, names: Sequence[str]) -> tuple[int, ...]:
        """Return the entries where a part of the file ends that is unpacked entirely, see `Reader.ends`."""
        fields = list(dict.fromkeys(self.names[name].name for name in names))
        return tuple(self.file.do(f"the tree {self.tree!r}", lambda f: f.reader(self.tree).ends(fields)))

    def read(self, names: Sequence[str], start: int = 0, stop: int | None = None) -> dict[str, Column]:
        """Return columns of the entries [start, stop), by name.

        Args:
            names: the branches.
            start: the first entry.
            stop: the entry after the last one; None: the end of the tree.

        Raises:
            SourceError: a branch is missing, holds no numbers or cannot be read.

        """
        self.require(names)
        if not names:
            return {}
        fields = list(dict.fromkeys(self.names[name].name for name in names))
        rows = max((self.entries if stop is None else min(stop, self.entries)) - start, 0)

        def look(opened: Format) -> dict[str, Column]:
            columns = opened.reader(self.tree).columns(fields, start, stop)
            for field_name, column in columns.items():
                check_column(field_name, column, rows)
            return columns

        columns = self.file.do(f"branches of the tree {self.tree!r}", look)
        return {name: self._named(name, columns) for name in names}

    def _named(self, name: str, columns: Mapping[str, Column]) -> Column:
        source = self.names[name]
        column = columns[source.name]
        if not source.counted:
            return column
        if column.offsets is None:
            raise SourceError(f"{self.path}: {name!r} counts {source.name!r}, which holds no lists.")
        return Column(counts(column.offsets), None, column.absent)


@contextmanager
def open_file(path: str, retries: int = RETRIES) -> Iterator[EventFile]:
    """Open a file for the block.

    Args:
        path: a path or URL.
        retries: how often something that fails temporarily is tried again.

    Raises:
        SourceError: it is missing, empty or truncated, or of no known format or URL scheme.

    """
    check_scheme(path)
    kept = _KEPT.get()
    file = (None if kept is None else kept.take(path)) or EventFile(path, retries)
    try:
        file.do("the file", lambda _: None)
        yield file
    except BaseException:
        file.close()
        raise
    if kept is None or not kept.put(file):
        file.close()


@contextmanager
def kept_open(most: int) -> Iterator[None]:
    """Keep local files open between their uses in the block, so that what describes their columns is read once.

    Args:
        most: number of files that are kept; further ones are opened anew each time.

    """
    if _KEPT.get() is not None:
        yield
        return
    kept = _KeptFiles(most)
    token = _KEPT.set(kept)
    try:
        yield
    finally:
        _KEPT.reset(token)
        kept.close()


class _KeptFiles:
    """Files that are open and not in use, by path."""

    def __init__(self, most: int) -> None:
        self._most, self._files = most, dict[str, EventFile]()

    def take(self, path: str) -> EventFile | None:
        """Return a file that is unchanged since it was opened, and no longer keep it."""
        file = self._files.pop(path, None)
        if file is not None and file.state != _state(path):
            file.close()
            return None
        return file

    def put(self, file: EventFile) -> bool:
        """Keep a file, if it is local and there is room for it; return whether it is kept."""
        if file.state is None or len(self._files) >= self._most or file.path in self._files:
            return False
        self._files[file.path] = file
        return True

    def close(self) -> None:
        """Close all files."""
        while self._files:
            self._files.popitem()[1].close()


_KEPT: ContextVar[_KeptFiles | None] = ContextVar("_KEPT", default=None)


def tree_of(file: EventFile, path: str, tree: str | None, aliases: Mapping[str, str] | None = None) -> Tree:
    """Return a tree of an open file.

    Args:
        file: the open file.
        path: its name in messages.
        tree: the name of the tree; None: the one that holds the events.
        aliases: further names of branches.

    Raises:
        SourceError: the tree is not there; the message lists the trees that there are.

    """
    chosen = choose_tree(file.do("the list of trees", lambda f: f.trees()), tree, path)
    known = (path, _state(path), chosen, tuple((aliases or {}).items()))

    def look(opened: Format) -> tuple[int, Names]:
        reader = opened.reader(chosen)
        names = _NAMES.get(known)
        if names is None or known[1] is None:
            where = f"{path}: the tree {chosen!r}"
            names = names_of(reader.fields, reader.is_list, aliases or {}, where, reader.unreadable)
            while len(_NAMES) >= _MOST_NAMES:
                _NAMES.pop(next(iter(_NAMES)), None)
            _NAMES[known] = names
        return reader.entries, names

    entries, names = file.do(f"the tree {chosen!r}", look)
    return Tree(file, chosen, entries, names.known, names.refused)


def _state(path: str) -> tuple[int, ...] | None:
    """Return what changes whenever a local file is written or replaced; None for a URL."""
    if is_remote(path):
        return None
    try:
        status = Path(path).stat()
    except OSError:  # reported when it is opened
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


@contextmanager
def open_tree(
    path: str, tree: str | None = None, aliases: Mapping[str, str] | None = None, retries: int = RETRIES
) -> Iterator[Tree]:
    """Open a tree of the file at `path` for the block; arguments and errors are as of `open_file` and `tree_of`."""
    with open_file(path, retries) as file:
        yield tree_of(file, path, tree, aliases)


def check_column(field: str, column: Column, rows: int) -> None:
    """Raise ValueError if a column of a file does not consist of `rows` rows: formats may keep no checksums.

    Lists that begin before the previous one has ended, or that extend beyond the numbers, would fail in the middle of
    an expression, or give wrong numbers.
    """
    total = len(column.values)
    if column.offsets is None:
        sound = total == rows
    else:
        first, last = int(column.offsets[0]), int(column.offsets[-1])
        sound = len(column.offsets) == rows + 1 and (first, last) == (0, total)
        sound = sound and not np.any(column.offsets[1:] < column.offsets[:-1])
    if not sound or (column.missing is not None and len(column.missing) != total):
        raise ValueError(f"{field!r} does not hold {rows} entries one after the other")


def integers(column: Column, what: str, entries: NDArray[np.int64] | None = None) -> NDArray[Any]:
    """Return the flat integers of a key branch, which must identify every event.

    Args:
        column: the branch.
        what: the beginning of messages.
        entries: the entries of its events in the file; None: the column has all entries of the file.

    Raises:
        SourceError: the column holds lists or fractions.
        DataError: it is missing in an event.

    """
    if column.offsets is not None or column.values.dtype.kind not in "iu":
        raise SourceError(f"{what}: must be one integer per event to identify it; see `split.key`.")
    if column.missing is not None and np.any(column.missing):
        places = np.flatnonzero(column.missing)
        entry = int(places[0] if entries is None else entries[places[0]])
        raise DataError(
            f"{what}: is missing in {len(places)} events, first in entry {entry}, so it cannot identify them; cut "
            "these events away, or see `split.key`."
        )
    return column.values
