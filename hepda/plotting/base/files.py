"""Writing of files that are complete or do not exist."""

from __future__ import annotations

from pathlib import Path

from hepda.errors import replacing


def write_atomically(path: Path, content: bytes) -> None:
    """Write a temporary file next to `path` and move it there, so that no reader ever sees half a file.

    Raises:
        StorageError: the file cannot be written.

    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)  # with the permissions of the umask
