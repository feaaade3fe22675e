"""One exception for each purpose. Each message has what is wrong, where, and how to fix it.

Every `HepdaError` is one that the user can fix: the command line prints only the message and ends with exit
status 2. Any other exception is a fault of hepda and ends with status 1 and a traceback.
"""

from __future__ import annotations

import errno
import os
import platform
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath


class HepdaError(Exception):
    """An error that the user can fix: input, configuration or environment."""


class ConfigError(HepdaError):
    """The analysis file or an option is wrong, or does not describe something that can be run."""


class ExpressionError(HepdaError):
    """An expression does not parse, is not allowed, or names something that does not exist."""


class SourceError(HepdaError):
    """A file, tree or branch is missing or cannot be read."""


class MissingTreeError(SourceError):
    """A file opens but does not contain the requested tree of events."""


class DataError(HepdaError):
    """The data cannot be used: not finite, empty, or with a class missing."""


class StorageError(HepdaError):
    """A table of events cannot be written or read back: a full disk, a deleted folder."""


class TrainingError(HepdaError):
    """A training that cannot work: a dead adversary, a loss that is not finite, a wrong shape."""


class ProcessError(HepdaError):
    """A process that did a part of the work was ended from outside."""


class MissingExtraError(HepdaError):
    """A package of an optional extra is needed but not installed. where: what of the analysis file needs it."""

    def __init__(self, package: str, extra: str, where: str = "") -> None:
        prefix = f"{where}: " if where else ""
        super().__init__(f"{prefix}{package} is not installed; install it with: pip install 'hepda[{extra}]'")
        self.package, self.extra, self.where = package, extra, where

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        """Return how the error is pickled for a worker process; the default would take the message for `package`."""
        return type(self), (self.package, self.extra, self.where)


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return a clause that suggests the candidate nearest to `name`, or an empty string if none is near."""
    lowered = {str(c).lower(): str(c) for c in candidates}
    matches = _nearest(name.lower(), lowered)
    return f" Did you mean {lowered[matches[0]]!r}?" if matches else ""


def nearest_file(name: str, candidates: Iterable[str]) -> str:
    """Do the same as `nearest` for names of files, without their endings: a shared `.yaml` makes no names similar."""
    stems = {PurePath(c).stem.lower(): str(c) for c in candidates}
    matches = _nearest(PurePath(name).stem.lower(), stems)
    return f" Did you mean {stems[matches[0]]!r}?" if matches else ""


def _nearest(name: str, candidates: Iterable[str]) -> list[str]:
    from difflib import get_close_matches  # only messages need it

    return get_close_matches(name, list(candidates), n=1, cutoff=0.6)


# --- errors of the disk, the boundary of everything that is written to a run directory --------------------------------

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a full disk."""
_REFUSED = (*FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)
_NUMPY = re.compile(r"\d+ requested and \d+ written")  # the error of numpy's tofile has no error number


def is_full(error: BaseException) -> bool:
    """Return whether an error means that a disk, or the memory that processes share, is full."""
    return isinstance(error, OSError) and (error.errno in FULL or bool(_NUMPY.search(str(error))))


def disk_full_message(error: OSError) -> str:
    """Return the message for an error of `is_full` that no code nearer to the file has turned into one."""
    where = error.filename or "a file, or the memory that processes share (/dev/shm)"
    ways = "make space there, or name another place (--output, --plots, --cache, TMPDIR)"
    return f"{where}: {error.strerror or error}; {ways}."


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn errors of the disk within the block into a StorageError that names `path`; other errors stay as they are."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSED and not is_full(error):
            raise
        todo = "make space there, or name another place" if is_full(error) else "name another place"
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}; {todo}.") from error


@contextmanager
def replacing(path: Path, suffix: str = "") -> Iterator[Path]:
    """Provide a name to write to; its file becomes `path` when the block succeeds, and is removed when it fails.

    Args:
        path: the file that is complete or does not change; its folder is made.
        suffix: how the name to write to ends, for libraries that choose the format by it.

    Raises:
        StorageError: the disk is full or does not allow the writing.

    """
    # With the machine: jobs of a batch system on a shared file system may have the same process id.
    temporary = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.tmp{suffix}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
