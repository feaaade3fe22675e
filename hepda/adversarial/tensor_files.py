"""Read and write safetensors files, completely or not at all; an unreadable file is a SourceError."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from hepda.errors import SourceError, StorageError, writing


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file under another name, then rename it: it is complete, or does not exist.

    Its permissions are those of the umask; safetensors itself gives them only to the owner.

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
    except SafetensorError as error:  # raised when the disk refuses the file
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
    with reading_saved(path), safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        return tensors, dict(file.metadata() or {})


def read_description(path: Path, metadata: Mapping[str, str], key: str) -> Any:
    """Return the JSON that the metadata of a file have under `key`. Raises SourceError if there is none."""
    with reading_saved(path):
        return json.loads(metadata[key])


_NETWORK = "network"


def write_module(path: Path, module: nn.Module, description: Mapping[str, Any]) -> None:
    """Write the weights of a module to a safetensors file, with a description for `read_module`."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    write_tensors(path, tensors, {_NETWORK: json.dumps(description)})


def read_module(path: Path, what: str) -> tuple[dict[str, Tensor], Any]:
    """Return the weights and the description of a file of `write_module`.

    Args:
        path: the file.
        what: what it should be, for the message, such as "a network of SEGAN".

    Raises:
        SourceError: it is missing, or another file.

    """
    tensors, metadata = read_tensors(path)
    if _NETWORK not in metadata:
        raise SourceError(f"{path}: a safetensors file, but not {what} that hepda saved")
    return tensors, read_description(path, metadata, _NETWORK)


@contextmanager
def reading_saved(path: Path) -> Iterator[None]:
    """Raise a SourceError for errors within the block, in which the content of the file at `path` is used."""
    try:
        yield
    except (
        SafetensorError, OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError,
        RecursionError, RuntimeError,
    ) as error:  # fmt: skip
        raise SourceError(
            f"{path} cannot be read as a file that hepda wrote ({type(error).__name__}: {error}); it is truncated or "
            "another kind of file. Copy it again, or train again."
        ) from error
