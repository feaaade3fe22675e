"""Files that are complete or not there at all."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

from hepda.errors import writing


def write_atomically(path: Path, content: bytes) -> None:
    """Write a temporary file beside `path` and move it there, so that no reader ever sees half a file.

    Raises StorageError for what the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid4().hex[:8]}.tmp")
    try:
        with writing(path):
            temporary.write_bytes(content)  # with the permissions that the umask leaves
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
