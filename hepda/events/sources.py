"""Opens files of events: the one place that knows uproot. TTree and RNTuple, local paths, globs and URLs."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hepda.errors import HepdaError, SourceError, nearest
from hepda.events.columns import Column, ValueProblem, widen


class Source(Protocol):
    """A tree of one file, whatever the format."""

    @property
    def path(self) -> str:
        """The file."""
        ...

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Column]:
        """Columns of the entries [start, stop)."""
        ...


def expand(files: Sequence[str], where: str) -> list[str]:
    """Paths, globs and URLs to files, in order, each once.

    Raises SourceError, beginning with `where`, for a path or glob that matches no file and for files twice.
    """
    found: list[str] = []
    for pattern in files:
        if "://" in pattern:
            matches = [pattern]
        elif glob.has_magic(pattern) and not Path(pattern).exists():
            matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute one
        else:
            matches = [pattern] if Path(pattern).is_file() else []
        if not matches:
            raise SourceError(f"{where}: {_why_nothing(pattern)}")
        for match in matches:
            if match in found:
                raise SourceError(f"{where}: {match} is listed twice; its events would count twice.")
            found.append(match)
    return found


def _why_nothing(pattern: str) -> str:
    path = Path(pattern)
    if path.is_dir():
        return f"{pattern} is a folder; name its files, for example {path / '*.root'}."
    if glob.has_magic(pattern):
        return f"no file matches {pattern}."
    if not path.parent.is_dir():
        return f"{pattern} does not exist; there is no folder {path.parent}."
    hint = nearest(path.name, (other.name for other in path.parent.iterdir()))
    return f"{pattern} does not exist.{hint}"


@dataclass(frozen=True, slots=True)
class RootTree:
    """A TTree or RNTuple of an open file."""

    path: str
    tree: str
    entries: int
    branches: tuple[str, ...]
    handle: Any

    def require(self, names: Sequence[str]) -> None:
        """Raise SourceError, suggesting the nearest, for a branch that is not there."""
        for name in names:
            if name not in self.branches:
                hint = nearest(name, self.branches)
                raise SourceError(f"{self.path}: the tree {self.tree!r} has no branch {name!r}.{hint}")

    def read(self, names: Sequence[str], start: int = 0, stop: int | None = None) -> dict[str, Column]:
        """Columns of the entries [start, stop), by name.

        Raises SourceError for a branch that is missing, holds no numbers or cannot be read.
        """
        self.require(names)
        if not names:
            return {}
        with _reading(self.path, f"branches of the tree {self.tree!r}"):
            arrays = self.handle.arrays(
                filter_name=list(names), entry_start=start, entry_stop=stop, library="ak", how=dict
            )
        return {name: self._column(name, arrays) for name in names}

    def _column(self, name: str, arrays: dict[str, Any]) -> Column:
        import awkward as ak

        if name not in arrays:
            raise SourceError(
                f"{self.path}: the branch {name!r} cannot be read as numbers: it is nested or holds objects."
            )
        try:
            return _column_of(ak.to_layout(arrays[name]))
        except ValueProblem as problem:
            raise SourceError(f"{self.path}: the branch {name!r} {problem}.") from problem


def _column_of(layout: Any) -> Column:
    """An awkward layout as a Column. Raises ValueProblem unless it is numbers or lists of numbers."""
    import awkward as ak

    if isinstance(layout, ak.contents.NumpyArray) and layout.data.ndim == 1:
        return Column(widen(np.asarray(layout.data)))
    if not layout.is_list:
        raise ValueProblem(f"holds {layout.form.type}, not numbers or lists of numbers")
    lists = layout.to_ListOffsetArray64(True)
    offsets = np.asarray(lists.offsets.data, dtype=np.int64)
    inner = lists.content
    if not isinstance(inner, ak.contents.NumpyArray) or inner.data.ndim != 1:
        raise ValueProblem(f"holds {layout.form.type}, not numbers or lists of numbers")
    return Column(widen(np.asarray(inner.data)[: offsets[-1]]), offsets)


@contextmanager
def _reading(path: str, what: str) -> Iterator[None]:
    """Whatever uproot meets in a broken file becomes one SourceError."""
    try:
        yield
    except HepdaError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if isinstance(error, ImportError):
            raise SourceError(f"{path}: a package is needed to read it: {reason}") from error
        if "://" in path and isinstance(error, OSError):
            raise SourceError(
                f"{path}: cannot be reached: {type(error).__name__}: {reason[:200]}."
            ) from error
        raise SourceError(
            f"{path}: cannot read {what}: {type(error).__name__}: {reason[:200]}. The file is truncated or "
            "corrupt: copy or produce it again, or take it out of the list."
        ) from error


@contextmanager
def open_file(path: str) -> Iterator[Any]:
    """An open ROOT file. Raises SourceError if it is missing, empty, truncated or of another kind."""
    import uproot

    size = None
    if "://" not in path:
        try:
            size = Path(path).stat().st_size
            with Path(path).open("rb") as stream:
                magic = stream.read(4)
        except OSError as error:
            raise SourceError(f"{path}: cannot be opened: {error.strerror}.") from error
        if size == 0:
            raise SourceError(f"{path}: is empty (0 bytes): produce or copy it again.")
        if magic != b"root":
            raise SourceError(f"{path}: is not a ROOT file (it begins with {magic!r}).")
    with _reading(path, "the file"):
        file = uproot.open(path)
    try:
        end = file.file.fEND
        if size is not None and size < end:
            raise SourceError(
                f"{path}: is truncated: it has {size} of {end} bytes. Copy it again, or take it "
                "out of the list."
            )
        yield file
    finally:
        file.close()


def tree_of(file: Any, path: str, tree: str) -> RootTree:
    """The tree of an open file. Raises SourceError, naming the trees there are, if none is called so."""
    with _reading(path, "the list of trees"):
        kinds = {str(k): str(v) for k, v in file.classnames(cycle=False).items()}
    trees = [name for name, kind in kinds.items() if kind in ("TTree", "ROOT::RNTuple", "TNtuple")]
    if tree not in trees:
        hint = nearest(tree, trees) or (f" It has: {', '.join(trees)}." if trees else " It has no trees.")
        raise SourceError(f"{path}: has no tree {tree!r}.{hint}")
    with _reading(path, f"the tree {tree!r}"):
        handle = file[tree]
        return RootTree(path, tree, int(handle.num_entries), tuple(handle.keys()), handle)


@contextmanager
def open_tree(path: str, tree: str) -> Iterator[RootTree]:
    """The tree of the file at `path`; raises SourceError as `open_file` and `tree_of` do."""
    with open_file(path) as file:
        yield tree_of(file, path, tree)


def size_of(path: str) -> int | None:
    """Bytes of a local file; None for a URL."""
    return None if "://" in path else Path(path).stat().st_size


def integers(column: Column, what: str) -> NDArray[Any]:
    """Flat integers of a key branch. Raises SourceError for lists and fractions: they identify no event."""
    if column.offsets is not None or column.values.dtype.kind not in "iu":
        raise SourceError(f"{what}: must be one integer an event to identify it; see `split.key`.")
    return column.values
