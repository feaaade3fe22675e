"""The run directory: what a run leaves, written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
import subprocess
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from hepda.errors import ConfigError

PACKAGES = ("hepda", "torch", "numpy", "scikit-learn", "uproot", "awkward", "xgboost", "xgboost-cpu", "lightgbm")

FITTED = ("fit.json", "workspace-*.json")
"""What `hepda fit` adds to a run directory."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name to write to that becomes `path` when the block ends well, and is removed when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(folder: Path, option: str) -> None:
    """Raise ConfigError, naming the option that gave it, for a folder that cannot be made or written to."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise ConfigError(f"{option} {folder}: {there} is a file, not a folder; name another place.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{option} {folder}: {there} cannot be written to; name another place.")


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def plain(value: Any) -> Any:
    """A value as JSON can say it: numpy numbers as Python's; a NaN is an error, a missing number is None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} cannot stand in a JSON file; say None and why")
    return value


def write_json(path: Path, value: Any) -> None:
    """Write JSON in one step; numbers keep all their digits."""
    write_text(path, json.dumps(plain(value), indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote.

    Raises:
        ConfigError: the file is missing, so its folder is not a run directory; or it is not JSON.

    """
    if not path.is_file():
        raise ConfigError(
            f"{path.parent} is not a run directory: it has no {path.name}. Name one that `hepda train` made."
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}. Run `hepda train` again.") from error


def history_csv(histories: Mapping[str, Mapping[str, Sequence[float | None]]]) -> str:
    """All histories as one table: a row an epoch of a job; empty where a quantity was not measured."""
    names = list(dict.fromkeys(name for columns in histories.values() for name in columns))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["training", "epoch", *names])
    for job, columns in histories.items():
        for epoch in range(max((len(column) for column in columns.values()), default=0)):
            # A column that ends early was not measured after that.
            row = [columns[name][epoch] if epoch < len(columns.get(name, ())) else None for name in names]
            numbers = ("" if value is None else repr(float(value)) for value in row)
            writer.writerow([job, epoch + 1, *numbers])
    return text.getvalue()


def read_history(path: Path) -> dict[str, dict[str, list[float | None]]]:
    """What `history_csv` wrote."""
    histories: dict[str, dict[str, list[float | None]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            columns = histories.setdefault(row.pop("training"), {})
            row.pop("epoch")
            for name, value in row.items():
                columns.setdefault(name, []).append(float(value) if value else None)
    # A column that a training never measured is not one of its columns.
    return {
        job: {name: values for name, values in columns.items() if any(v is not None for v in values)}
        for job, columns in histories.items()
    }


def write_scores(path: Path, columns: Mapping[str, Any]) -> None:
    """scores.parquet: equal-length columns; names (sample, domain) as dictionaries."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        pq.write_table(pa.table(dict(columns)), temporary, compression="zstd")


def read_scores(run: Path) -> Any:
    """The table of `write_scores` of a run directory, as pyarrow has it. Raises ConfigError if there is none."""
    import pyarrow.parquet as pq

    path = run / "scores.parquet"
    if not path.is_file():
        raise ConfigError(f"{run} has no scores.parquet; train it with `hepda train --config {run / 'config.yaml'}`.")
    return pq.read_table(path)


def provenance(seed: int) -> dict[str, Any]:
    """What the numbers were made with: versions, machine, git commit of the working folder, seed, time."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions | {"python": platform.python_version()},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "git_commit": git_commit(),
        "seed": seed,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def git_commit() -> str | None:
    """Commit of the working folder, with `+` if it has changes; None outside a repository."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


Figure = tuple[str, str, str, Path]
"""Of the report: section, title, caption, PNG."""


def write_figures(run: Path, by: str, figures: Iterable[tuple[str, str, str, Any]]) -> None:
    """Write figures.json: the figures of the verb `by`, and after them those that other verbs have left.

    Paths are relative to `run` where both lie in one folder, absolute elsewhere.
    """
    old = read_json(run / "figures.json") if (run / "figures.json").is_file() else []
    kept = [entry for entry in old if entry["by"] != by]
    own = [
        {"by": by, "section": section, "title": title, "caption": caption, "file": _place(Path(path), run)}
        for section, title, caption, path in figures
    ]
    write_json(run / "figures.json", [*own, *kept] if by == "evaluate" else [*kept, *own])


def _place(path: Path, run: Path) -> str:
    path, run = path.resolve(), run.resolve()
    common = os.path.commonpath([path, run])
    return str(path) if common == os.sep else os.path.relpath(path, run)


def read_figures(run: Path) -> tuple[list[tuple[str, Figure]], list[str]]:
    """The figures of figures.json, each with the verb that drew it; and in words which are not where they were."""
    found: list[tuple[str, Figure]] = []
    lost = []
    for entry in read_json(run / "figures.json") if (run / "figures.json").is_file() else []:
        path = run / entry["file"]
        if path.is_file():
            found.append((entry["by"], (entry["section"], entry["title"], entry["caption"], path)))
        else:
            lost.append(
                f"The figure \u201c{entry['title']}\u201d is no longer at {path}; `hepda {entry['by']}` draws it again."
            )
    return found, lost


def stamp(run: Path) -> str:
    """What a fit was made of: a checksum of a run's analysis file and scores."""
    value = 0
    for name in ("config.yaml", "scores.parquet"):
        value = zlib.crc32((run / name).read_bytes(), value)
    return f"{value:08x}"


def read_fit(folder: Path, run: Path) -> tuple[Any, list[str]]:
    """fit.json of `folder`, or None; and in words, if it is there, why it is not shown."""
    if not (folder / "fit.json").is_file():
        return None, []
    found = read_json(folder / "fit.json")
    if found.get("stamp") == stamp(run):
        return found, []
    return None, [
        "fit.json is of other scores or another analysis file than this run now has: `hepda fit` makes it again."
    ]
