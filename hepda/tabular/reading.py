"""Files of a table as one data frame, with the columns that the analysis names, checked."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hepda.config.tabular import TabularConfig
from hepda.errors import DataError, SourceError, nearest

CSV = (".csv", ".tsv", ".txt")
PARQUET = (".parquet", ".pq")
_PACKED = (".gz", ".bz2", ".xz", ".zip")


def find_files(patterns: Sequence[str]) -> list[Path]:
    """Return the files of paths and patterns, each once.

    Raises:
        SourceError: there is no such file, or its ending is that of no format.

    """
    paths: dict[Path, None] = {}
    for pattern in patterns:
        matches = sorted(glob.glob(pattern)) or ([pattern] if Path(pattern).is_file() else [])  # noqa: PTH207 - absolute
        if not matches:
            raise SourceError(f"files: there is no file {pattern}.")
        paths |= dict.fromkeys(map(Path, matches))
    for path in paths:
        if _ending(path) not in (*CSV, *PARQUET):
            raise SourceError(f"{path}: is neither CSV ({', '.join(CSV)}) nor Parquet ({', '.join(PARQUET)}).")
    return list(paths)


def _ending(path: Path) -> str:
    return (path.with_suffix("") if path.suffix.lower() in _PACKED else path).suffix.lower()


def read_table(config: TabularConfig, progress: Callable[[str, int, int], None]) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the rows of all files, in their order, and the number of rows of each file.

    Args:
        config: the analysis.
        progress: called with "files", the number of files that are read, and how many there are.

    Raises:
        SourceError: a file is missing or cannot be read, lacks a column, or has two columns of one name.

    """
    paths = find_files(config.files)
    frames = []
    for number, path in enumerate(paths):
        progress("files", number, len(paths))
        frame = _read(path)
        _check_columns(config, path, frame.columns)
        frames.append(frame)
    progress("files", len(paths), len(paths))
    joined = pd.concat(frames, ignore_index=True)
    if config.label not in joined:
        raise SourceError(_lacks(str(paths[0]), "label", config.label, joined.columns))
    for name in features_of(config, joined.columns):
        for path, frame in zip(paths, frames, strict=True):
            if name not in frame:
                raise SourceError(
                    f"{path}: has no column {name!r}, which other files have and models read; add it, or name it in "
                    "`ignore`."
                )
    return joined, {str(path): len(frame) for path, frame in zip(paths, frames, strict=True)}


def _read(path: Path) -> pd.DataFrame:
    try:
        if _ending(path) in PARQUET:
            return pd.read_parquet(path)
        separator = "\t" if _ending(path) == ".tsv" else ","
        # pandas renames the second column of a name; the header alone has the names as they are
        header = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str, keep_default_na=False)
        names = [str(name).strip() for name in header.iloc[0]]
        frame: pd.DataFrame = pd.read_csv(path, sep=separator, skipinitialspace=True, low_memory=False)
    except (OSError, ValueError, ImportError) as error:  # pandas, its parser and pyarrow raise these
        raise SourceError(f"{path}: cannot be read as a table: {' '.join(str(error).split())}") from error
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(f"{path}: has two columns {twice[0]!r}; rename one of them.")
    if len(frame.columns) != len(names) or not isinstance(frame.index, pd.RangeIndex):
        raise SourceError(f"{path}: its rows have more values than its first line has names.")
    frame.columns = pd.Index(names)
    return frame


def _check_columns(config: TabularConfig, path: Path, names: Iterable[Any]) -> None:
    there = [str(name) for name in names]
    wanted = {name: key for name, key in config.roles.items() if name != config.label}
    wanted |= {} if config.features == "all" else dict.fromkeys(config.features, "features")
    wanted |= dict.fromkeys(config.categorical, "categorical")
    for name, key in wanted.items():
        if name not in there:
            raise SourceError(_lacks(str(path), key, name, there))


def _lacks(path: str, key: str, name: str, there: Iterable[Any]) -> str:
    names = [str(column) for column in there]
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return f"{path}: has no column {name!r}, which `{key}` names.{nearest(name, names) or f' It has: {shown}.'}"


def features_of(config: TabularConfig, columns: Iterable[Any]) -> list[str]:
    """Return the columns that models read.

    Raises:
        DataError: there are none.

    """
    if config.features != "all":
        return list(config.features)
    names = [str(c) for c in columns if str(c) not in config.roles and str(c) not in config.ignore]
    if not names:
        raise DataError("features: no column is left for the models to read; every one has another role or is ignored.")
    return names


def as_text(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return the values of a column as text, missing ones as None; 1.0 is 1, as in a column of integers with gaps."""
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    text = column.astype("string").str.strip()
    return text.astype(object).where(text.notna() & (text != ""), None)
