"""Safetensors files, the one place where they are written and read: whole or not at all, and never a traceback."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hepda.errors import SourceError, StorageError, writing


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file under another name, then rename it: it is there whole, or not at all.

    Its permissions are those that the umask leaves; safetensors itself gives them to the owner alone.

    Raises:
        StorageError: the disk is full or refuses the file.

    """
    part = path.with_name(f".{path.name}.part")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            part.touch()
            mode = part.stat().st_mode & 0o777
            save_file(dict(tensors), part, metadata=dict(metadata))
            part.chmod(mode)
            part.replace(path)
    except SafetensorError as error:  # its word for what the disk refuses
        raise StorageError(f"{path}: cannot be written: {error}; make space there, or name another place.") from error
    finally:
        part.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file by name, and its metadata.

    Raises:
        SourceError: there is no such file, or it cannot be read as one.

    """
    if not path.is_file():
        raise SourceError(f"{path}: no such file; was the model trained and saved there?")
    with described(path), safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        return tensors, dict(file.metadata() or {})


def read_said(path: Path, metadata: Mapping[str, str], key: str) -> Any:
    """Return what the metadata of a file say as JSON under `key`. Raises SourceError if they do not."""
    with described(path):
        return json.loads(metadata[key])


@contextmanager
def described(path: Path) -> Iterator[None]:
    """Raise a SourceError for what does not fit within the block: it was made of what the file at `path` says of
    itself.
    """
    try:
        yield
    except (
        SafetensorError, OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError,
        RecursionError, RuntimeError,
    ) as error:  # fmt: skip
        raise SourceError(
            f"{path} cannot be read as a file that hepda wrote ({type(error).__name__}: {error}); it is truncated or "
            "of something else. Copy it again, or train again."
        ) from error
