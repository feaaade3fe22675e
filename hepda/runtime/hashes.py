"""SHA-256 of the files of a run.

manifest.json records those of the training, which a command compares before it reads a model. SHA256SUMS has those of
all files, as the last command that wrote into the run left them, for whoever gets a copy of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hepda.checksums import sha256_of
from hepda.errors import ConfigError, SourceError
from hepda.runtime import figures, run_directory
from hepda.runtime.log import LOG

NOT_SUMMED = (LOG, run_directory.SUMS, run_directory.PROFILE)
"""Files of a run to which commands append without changing anything else of it."""


def hashes_of(run: Path) -> dict[str, str]:
    """Return the SHA-256 of scores.parquet and of every file of the models of a run, by path within the run."""
    return {path.relative_to(run).as_posix(): sha256_of(path) for path in _files(run)}


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
        if sha256_of(path) != recorded[name]:
            raise SourceError(
                f"{path}: is not the file that the training of this run wrote (manifest.json has another SHA-256); "
                "copy it again, or train again."
            )


def write_sums(run: Path) -> None:
    """Write SHA256SUMS: the SHA-256 of every file of the run, in the format of `sha256sum`."""
    names = {*run_directory.hepda_files(run), *(path.relative_to(run).as_posix() for path in figures.files(run))}
    lines = [f"{sha256_of(run / name)}  {name}\n" for name in sorted(names - {*NOT_SUMMED})]
    run_directory.write_text(run / run_directory.SUMS, "".join(lines))


def read_sums(run: Path) -> dict[str, str]:
    """Return the SHA-256 by path within the run that the run records: of SHA256SUMS, or of an older run's manifest.

    Raises:
        ConfigError: the record is damaged, names a file outside of the run, or is missing.

    """
    path = run / run_directory.SUMS
    if not path.is_file():
        recorded = run_directory.read_manifest(run).get("sha256")
        if not isinstance(recorded, dict):
            raise ConfigError(f"{run}: has no {run_directory.SUMS}, so nothing says what its files should be.")
        return {str(name): str(value) for name, value in recorded.items()}
    sums: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        match = re.fullmatch(r"([0-9a-f]{64})  (\S.*)", line)
        if match is None or Path(match[2]).is_absolute() or ".." in Path(match[2]).parts:
            raise ConfigError(f"{path}: {line[:80]!r} is no checksum of a file of the run; copy the run again.")
        sums[match[2]] = match[1]
    return sums


def sums_of(run: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of files by path within the run; those that do not exist are left out."""
    return {name: sha256_of(run / name) for name in names if (run / name).is_file()}


def _files(run: Path) -> Iterator[Path]:
    if (run / "scores.parquet").is_file():
        yield run / "scores.parquet"
    for path in sorted((run / "models").rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            yield path
