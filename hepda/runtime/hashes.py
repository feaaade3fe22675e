"""SHA-256 of what a training leaves: the manifest records them, and a verb compares before it reads a model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hepda.errors import ConfigError, SourceError


def hashes_of(run: Path) -> dict[str, str]:
    """SHA-256 of scores.parquet and of every file of the models of a run, by path within it."""
    return {path.relative_to(run).as_posix(): _hash(path) for path in _files(run)}


def check_hashes(run: Path, manifest: Mapping[str, Any]) -> None:
    """Compare the models and scores of a run with its manifest; one of an earlier hepda has nothing to compare.

    A file that is missing is for whoever needs it to name.

    Raises:
        SourceError: a file has another content than the training wrote, or is not one that it wrote.
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
