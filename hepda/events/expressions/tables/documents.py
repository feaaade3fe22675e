"""Files that functions of expressions read: each is read once, and again when it has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hepda.errors import nearest_file
from hepda.events.expressions.columns import ValueProblem

Content = TypeVar("Content")
_READ: dict[tuple[str, str], tuple[tuple[int, int], object]] = {}
"""Contents by the reader and the path, each with the state of the file."""


def content_of(path: str, read: Callable[[Path], Content]) -> Content:
    """Return what `read` makes of the file at `path`.

    Raises:
        ValueProblem: there is no such file, it cannot be read, or `read` refuses it.

    """
    file, key = Path(path), (read.__qualname__, path)
    try:
        status = file.stat()
        if not file.is_file():
            raise ValueProblem(f"is given {path}, which is no file")
        state = (status.st_mtime_ns, status.st_size)
        known = _READ.get(key)
        if known is None or known[0] != state:
            known = _READ[key] = (state, read(file))
    except FileNotFoundError as error:
        present = sorted(other.name for other in file.parent.glob("*.json*")) if file.parent.is_dir() else []
        raise ValueProblem(
            f"is given the file {path}, which does not exist.{nearest_file(file.name, present)}"
        ) from error
    except OSError as error:
        raise ValueProblem(f"is given the file {path}, which cannot be read: {error.strerror or error}") from error
    return known[1]  # type: ignore[return-value]  # of the same reader
