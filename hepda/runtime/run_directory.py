"""The run directory: the files of a run, each written completely or not at all."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
import subprocess
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from hepda import __version__
from hepda.errors import ConfigError, replacing
from hepda.runtime.log import LOG

PACKAGES = ("hepda", "torch", "numpy", "scikit-learn", "uproot", "awkward", "xgboost", "xgboost-cpu", "lightgbm")

FORMAT = 2
"""Format of a run directory, `format` of manifest.json. 1: runs without a number, which have no SHA256SUMS, and the
oldest no data of their figures; they are read, and what needs a file that they lack says which command makes it."""
SUMS = "SHA256SUMS"
"""The file with the SHA-256 of the other files, which `sha256sum --check` reads too."""
REMARKS = "remarks.json"
"""The file with the lines of the report that follow from the events: warnings, and what is hidden or scaled."""
FILES = (
    "manifest.json", "metrics.json", "config.yaml", "scores.parquet", "history.csv", "figures.json", REMARKS,
    "report.html", LOG, SUMS,
)  # fmt: skip
"""The files of a complete run directory, besides models/ and plots/."""
PROFILE = "profile.json"
"""The file of a run directory with the times of `hepda train --profile`."""
MODELS, PLOTS = "models", "plots"
"""The folders of a run directory: trained models by name, and figures."""


def check_writable(folder: Path, option: str) -> None:
    """Raise ConfigError, naming the option that gave it, for a folder that cannot be created or written to."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise ConfigError(f"{option} {folder}: {existing} is a file, not a folder; name another place.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"{option} {folder}: {existing} cannot be written to; name another place.")


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def plain(value: Any) -> Any:
    """Return a value in types of JSON: numpy numbers become Python's; a NaN is an error, a missing number is None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "to_json"):
        return value.to_json()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} cannot be written to a JSON file; use None and a reason")
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


def read_manifest(run: Path) -> dict[str, Any]:
    """Read manifest.json of a run that `hepda train` completed, in this or an older format.

    Raises:
        ConfigError: `run` is no such directory, or was written in a newer format than this version of hepda reads.

    """
    manifest = read_json(run / "manifest.json")
    if not isinstance(manifest, dict) or not isinstance(manifest.get("training"), dict):
        raise ConfigError(
            f"{run / 'manifest.json'} was not written by `hepda train`; name a run directory that it made."
        )
    check_format(run, manifest)
    return manifest


def check_format(run: Path, manifest: Mapping[str, Any]) -> None:
    """Raise ConfigError, with the version that is needed, for a manifest of a format that this version cannot read."""
    number = manifest.get("format", 1)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ConfigError(f"{run / 'manifest.json'}: `format` is damaged; copy the file again, or train again.")
    if number > FORMAT:
        versions = manifest.get("versions")
        writer = versions.get("hepda") if isinstance(versions, dict) else None
        needed = f"hepda {writer} or newer" if isinstance(writer, str) else "a newer hepda"
        raise ConfigError(
            f"{run}: is a run directory in format {number}, and hepda {__version__} reads formats up to {FORMAT}. "
            f"It needs {needed}: pip install --upgrade hepda."
        )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn errors of reading in the block, and content that is not of hepda, into a ConfigError that names `path`."""
    try:
        yield
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, csv.Error) as error:
        raise ConfigError(
            f"{path} cannot be read as what hepda writes there ({type(error).__name__}: {error}); it is damaged or of "
            "something else. Copy it again, or train again."
        ) from error


def history_csv(histories: Mapping[str, Mapping[str, Sequence[float | None]]]) -> str:
    """Return all histories as one table: a row for each epoch of a job; empty cells if a quantity was not measured."""
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
    """Read what `history_csv` wrote.

    Raises:
        ConfigError: the file is missing or of another kind.

    """
    histories: dict[str, dict[str, list[float | None]]] = {}
    with readable(path), path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, strict=True)
        if list(reader.fieldnames or ())[:2] != ["training", "epoch"]:
            raise ValueError("its first line does not name a training and an epoch")
        for row in reader:
            if None in row or None in row.values():
                raise ValueError("a line has more or fewer columns than the first")
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
    """Write scores.parquet: columns of equal length; names (sample, domain) as dictionaries."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(dict(columns))
    # Numbers of runs and events often count up: their differences need a tenth of a byte where the numbers need two.
    counted = [field.name for field in table.schema if field.type == pa.int64()]
    with replacing(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            use_dictionary=[name for name in table.schema.names if name not in counted],
            column_encoding=dict.fromkeys(counted, "DELTA_BINARY_PACKED") or None,
        )


NAMES = "names"
"""The kind of a column of names, which is a dictionary; the other kinds are the letters of numpy's kinds."""


def read_scores(run: Path, kinds: Mapping[str, str] | None = None) -> Any:
    """Read the table of `write_scores` of a run directory.

    Args:
        run: the run directory.
        kinds: the columns that the table must have, with their kinds.

    Returns:
        The table of pyarrow.

    Raises:
        ConfigError: there is no such file, it cannot be read, or a column is missing, of another kind or has gaps.

    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = scores_path(run)
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise unreadable_scores(path, error) from error
    for name, kind in (kinds or {}).items():
        check_column(run, name, kind, [table.schema.field(i).type for i in table.schema.get_all_field_indices(name)])
        if table[name].null_count:
            raise wrong_column(path, name)
    return table


def scores_path(run: Path) -> Path:
    """Return the path of scores.parquet. Raises ConfigError if there is no such file."""
    path = run / "scores.parquet"
    if not path.is_file():
        raise ConfigError(f"{run} has no scores.parquet; train it with `hepda train --config {run / 'config.yaml'}`.")
    return path


def unreadable_scores(path: Path, error: Exception) -> ConfigError:
    """Return the error for a file of scores that cannot be read."""
    return ConfigError(f"{path} cannot be read: {error}. Copy it again, or train again.")


def check_column(run: Path, name: str, kind: str, types: Sequence[Any]) -> None:
    """Raise ConfigError unless scores.parquet has one column of a name and of a kind.

    Args:
        run: the run directory.
        name: of the column.
        kind: as of `read_scores`.
        types: the types that pyarrow gives to the columns of this name.

    """
    import pyarrow as pa

    path = run / "scores.parquet"
    if len(types) != 1:
        raise ConfigError(
            f"{path} has no scores of the model {name!r}, or no column of that name, as {run / 'config.yaml'} "
            "asks for. Train again."
        )
    dictionary = pa.types.is_dictionary(types[0])
    if not (dictionary if kind == NAMES else not dictionary and _kind_of(types[0]) in kind):
        raise wrong_column(path, name)


def wrong_column(path: Path, name: str) -> ConfigError:
    """Return the error for a column of scores.parquet that is of another kind or has gaps."""
    return ConfigError(f"{path}: the column {name!r} is not one that `hepda train` writes. Train again.")


def _kind_of(kind: Any) -> str:
    """Return the letter that numpy has for a type of pyarrow; "O" for one that numpy does not have."""
    try:
        return str(np.dtype(kind.to_pandas_dtype()).kind)
    except (NotImplementedError, TypeError):
        return "O"


def provenance(seed: int) -> dict[str, Any]:
    """Return the origin of the numbers: versions, machine, git commit of the working folder, seed, time."""
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
    """Return the commit of the working folder, with `+` if it has changes; None outside a repository."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603
        return done.stdout.decode("utf-8", "replace").strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def hepda_files(run: Path) -> list[str]:
    """Return the names of the files in `run` that hepda wrote, relative to it: of run, models and fit."""
    patterns = (*FILES, PROFILE, f"{MODELS}/*/fold*-member*", f"{MODELS}/*/fold*-fusion.json")
    paths = [*(path for pattern in patterns for path in run.glob(pattern)), *fitted_files(run)]
    return [path.relative_to(run).as_posix() for path in paths if path.is_file()]


def fitted_files(folder: Path) -> list[Path]:
    """Return fit.json and the workspaces that `hepda fit` left in `folder`; none if its fit.json is not hepda's."""
    try:
        fit = read_json(folder / "fit.json")
    except ConfigError:
        return []
    if not isinstance(fit, dict) or not {"stamp", "toys", "models"} <= set(fit):
        return []
    return [folder / "fit.json", *(folder / f"workspace-{model}.json" for model in fit["models"])]


def stamp(run: Path) -> str:
    """Return a checksum of the input of a fit: the analysis file and the scores of a run."""
    value = 0
    for name in ("config.yaml", "scores.parquet"):
        with (run / name).open("rb") as file:
            while block := file.read(2**22):
                value = zlib.crc32(block, value)
    return f"{value:08x}"


FIT_SCHEMA = 2
"""Version of the format of fit.json."""


def read_fit(folder: Path, run: Path) -> tuple[Any, list[str]]:
    """Read fit.json of `folder`.

    Returns:
        Its content, or None; and a sentence if the file exists but is not shown, with the reason.

    """
    if not (folder / "fit.json").is_file():
        return None, []
    fit = read_json(folder / "fit.json")
    if isinstance(fit, dict) and fit.get("schema", FIT_SCHEMA) != FIT_SCHEMA:
        return None, ["fit.json was written by another version of hepda: `hepda fit` makes it again."]
    if isinstance(fit, dict) and fit.get("stamp") == stamp(run):
        return fit, []
    return None, [
        "fit.json is of other scores or another analysis file than this run now has: `hepda fit` makes it again."
    ]
