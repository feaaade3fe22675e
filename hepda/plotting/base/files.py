"""Writing of files that are complete or do not exist."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

from hepda.errors import writing


def write_atomically(path: Path, content: bytes) -> None:
    """Write a temporary file next to `path` and move it there, so that no reader ever sees half a file.

    Raises:
        StorageError: the file cannot be written.

    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid4().hex[:8]}.tmp")
    try:
        with writing(path):
            temporary.write_bytes(content)  # with the permissions of the umask
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
