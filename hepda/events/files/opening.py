"""Opens files of events: one interface for all formats and places; names, errors and retries alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hepda.errors import SourceError, nearest
from hepda.events.expressions.columns import Column, counts
from hepda.events.files.branch_names import Field, names_of, plain_order
from hepda.events.files.locations import RETRIES, Result, attempt, expand, is_remote, size_of
from hepda.events.files.protocol import Format, choose_tree, open_format

__all__ = ["EventFile", "Source", "Tree", "expand", "integers", "open_file", "open_tree", "size_of", "tree_of"]


class Source(Protocol):
    """A tree of one file, whatever the format."""

    @property
    def path(self) -> str:
        """The file."""
        ...

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Column]:
        """Columns of the entries [start, stop)."""
        ...


class EventFile:
    """An open file, which is opened again where the way to it breaks."""

    def __init__(self, path: str, retries: int = RETRIES) -> None:
        self.path, self.retries = path, retries
        self._format: Format | None = None

    def do(self, what: str, action: Callable[[Format], Result]) -> Result:
        """`action` on the open file. Raises SourceError, saying that `what` could not be read."""

        def on_file() -> Result:
            self._format = self._format or open_format(self.path)
            return action(self._format)

        return attempt(self.path, what, is_remote(self.path), on_file, self.retries, self.close)

    def close(self) -> None:
        """Close it; whatever is read next opens it again."""
        found, self._format = self._format, None
        if found is not None:
            found.close()


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree of an open file.

    names: what expressions may call its branches, and what the file calls them.
    """

    file: EventFile
    tree: str
    entries: int
    names: Mapping[str, Field]

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
        """The names of the branches in the file, once each."""
        return tuple(plain_order(self.names))

    def require(self, names: Sequence[str]) -> None:
        """Raise SourceError, suggesting the nearest, for a branch that is not there."""
        for name in names:
            if name not in self.names:
                hint = nearest(name, self.names)
                raise SourceError(f"{self.path}: the tree {self.tree!r} has no branch {name!r}.{hint}")

    def replaced(self, branches: Mapping[str, str]) -> Tree:
        """The same tree, where a branch of `branches` (by any of its names) reads as the one given for it.

        Raises SourceError, suggesting the nearest, for a branch that is not there.
        """
        self.require([*branches, *branches.values()])
        for name in branches:
            if self.names[name].counted:
                raise SourceError(f"{self.path}: {name!r} is the length of a collection, no branch to be replaced.")
        instead = {self.names[old].name: self.names[new] for old, new in branches.items()}
        names = {n: f if f.counted else instead.get(f.name, f) for n, f in self.names.items()}
        return Tree(self.file, self.tree, self.entries, names)

    def ends(self, names: Sequence[str]) -> tuple[int, ...]:
        """Entries where a part of the file ends that is unpacked as a whole, see `Reader.ends`."""
        fields = list(dict.fromkeys(self.names[name].name for name in names))
        return tuple(self.file.do(f"the tree {self.tree!r}", lambda f: f.reader(self.tree).ends(fields)))

    def read(self, names: Sequence[str], start: int = 0, stop: int | None = None) -> dict[str, Column]:
        """Columns of the entries [start, stop), by name.

        Raises SourceError for a branch that is missing, holds no numbers or cannot be read.
        """
        self.require(names)
        if not names:
            return {}
        fields = list(dict.fromkeys(self.names[name].name for name in names))
        columns = self.file.do(
            f"branches of the tree {self.tree!r}", lambda f: f.reader(self.tree).columns(fields, start, stop)
        )
        return {name: self._named(name, columns) for name in names}

    def _named(self, name: str, columns: Mapping[str, Column]) -> Column:
        field = self.names[name]
        column = columns[field.name]
        if not field.counted:
            return column
        if column.offsets is None:
            raise SourceError(f"{self.path}: {name!r} counts {field.name!r}, which holds no lists.")
        return Column(counts(column.offsets))


@contextmanager
def open_file(path: str, retries: int = RETRIES) -> Iterator[EventFile]:
    """An open file. Raises SourceError if it is missing, empty, truncated or of no known format."""
    file = EventFile(path, retries)
    try:
        file.do("the file", lambda _: None)
        yield file
    finally:
        file.close()


def tree_of(file: EventFile, path: str, tree: str | None, aliases: Mapping[str, str] | None = None) -> Tree:
    """The tree of an open file: the named one, or None for the one that holds the events.

    aliases: further names of branches. Raises SourceError, naming the trees there are, if it is not there.
    """
    chosen = choose_tree(file.do("the list of trees", lambda f: f.trees()), tree, path)

    def look(found: Format) -> tuple[int, dict[str, Field]]:
        reader = found.reader(chosen)
        where = f"{path}: the tree {chosen!r}"
        return reader.entries, names_of(reader.fields, reader.is_list, aliases or {}, where)

    entries, names = file.do(f"the tree {chosen!r}", look)
    return Tree(file, chosen, entries, names)


@contextmanager
def open_tree(
    path: str, tree: str | None = None, aliases: Mapping[str, str] | None = None, retries: int = RETRIES
) -> Iterator[Tree]:
    """The tree of the file at `path`; raises SourceError as `open_file` and `tree_of` do."""
    with open_file(path, retries) as file:
        yield tree_of(file, path, tree, aliases)


def integers(column: Column, what: str) -> NDArray[Any]:
    """Flat integers of a key branch. Raises SourceError for lists and fractions: they identify no event."""
    if column.offsets is not None or column.values.dtype.kind not in "iu":
        raise SourceError(f"{what}: must be one integer an event to identify it; see `split.key`.")
    if column.missing is not None and np.any(column.missing):
        raise SourceError(f"{what}: is missing in some events, so it cannot identify them; see `split.key`.")
    return column.values
