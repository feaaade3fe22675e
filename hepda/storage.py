"""What a disk refuses, in words: the boundary of everything that is written to a run directory."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hepda.errors import StorageError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of errors of a disk that takes no more."""
_REFUSED = (*FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)
_NUMPY = re.compile(r"\d+ requested and \d+ written")  # numpy's tofile keeps no number of the error


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk, or the memory that processes share, takes no more."""
    return isinstance(error, OSError) and (error.errno in FULL or bool(_NUMPY.search(str(error))))


def full_in_words(error: OSError) -> str:
    """What a user should know of an error of `is_full` that nobody nearer to the file has told."""
    where = error.filename or "a file, or the memory that processes share (/dev/shm)"
    ways = "make space there, or name another place (--output, --plots, --cache, TMPDIR)"
    return f"{where}: {error.strerror or error}; {ways}."


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the disk refuses within the block is a StorageError that names `path`; other errors stay as they are."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSED and not is_full(error):
            raise
        todo = "make space there, or name another place" if is_full(error) else "name another place"
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}; {todo}.") from error
