"""SHA-256 of the files of a training: the manifest records them, and a command compares before it reads a model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hepda.errors import ConfigError, SourceError


def hashes_of(run: Path) -> dict[str, str]:
    """Return the SHA-256 of scores.parquet and of every file of the models of a run, by path within the run."""
    return {path.relative_to(run).as_posix(): _hash(path) for path in _files(run)}


def check_hashes(run: Path, manifest: Mapping[str, Any]) -> None:
    """Compare the models and scores of a run with its manifest; that of an earlier hepda contains nothing to compare.

    A missing file is not an error here: the code that needs the file reports it.

    Raises:
        SourceError: a file has another content than the training wrote, or was not written by the training.
        ConfigError: the record is damaged.

    """
    if "sha256" not in manifest:
        return
    recorded = manifest["sha256"]
    if not isinstance(recorded, dict):
        raise ConfigError(f"{run / 'manifest.json'}: `sha256` is damaged; copy the file again, or train again.")
    for path in _files(run):
        name = path.relative_to(run).as_posix()
        if name not in recorded:
            raise SourceError(f"{path}: is not a file that the training of this run wrote; remove it, or train again.")
        if _hash(path) != recorded[name]:
            raise SourceError(
                f"{path}: is not the file that the training of this run wrote (manifest.json has another SHA-256); "
                "copy it again, or train again."
            )


def _files(run: Path) -> Iterator[Path]:
    if (run / "scores.parquet").is_file():
        yield run / "scores.parquet"
    for path in sorted((run / "models").rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            yield path


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
