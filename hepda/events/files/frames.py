"""Events in memory as a file: a pandas frame, an awkward array or columns by name become Parquet.

Everything after this is as for any other file of events, so an analysis of frames reads, caches and checks its events
in the one way that there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hepda.checksums import sha256_of
from hepda.errors import DataError, replacing

ROW_GROUP = 100_000
"""Number of events of a part that is read at once."""


def is_frame(data: Any) -> bool:
    """Return whether `data` are events in memory that `write_frame` takes, and not paths."""
    module = type(data).__module__.partition(".")[0]
    return module in ("pandas", "awkward", "pyarrow", "polars") or isinstance(data, Mapping)


def write_frame(data: Any, path: Path, where: str) -> None:
    """Write events as Parquet, complete or not at all.

    Args:
        data: a DataFrame of pandas or polars, a table of pyarrow, an awkward array of records, or columns [n] by name
            (numpy or awkward arrays). A column has a number or a list of numbers for each event; NaN in a frame of
            pandas is a missing value. A named index of pandas, such as run and event, becomes columns.
        path: the file.
        where: the beginning of messages.

    Raises:
        DataError: the data are of another type, have no events, or cannot be written as columns.

    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = _table(data)
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{where}: cannot be read as columns of events: {' '.join(str(error).split())}") from error
    if not table.num_rows or not table.num_columns:
        raise DataError(
            f"{where}: has {table.num_rows} events and {table.num_columns} columns; give at least one of each."
        )
    with replacing(path) as temporary:
        pq.write_table(table, temporary, row_group_size=ROW_GROUP, compression="zstd")


def kept_frame(data: Any, folder: Path, name: str, where: str) -> Path:
    """Write events as `write_frame`, named by their content, so that the same events are written, and read, once.

    Args:
        data: the events.
        folder: the folder of the file.
        name: the beginning of its name.
        where: the beginning of messages.

    Returns:
        The path of the file.

    Raises:
        DataError: the data are not events.

    """
    path = folder / f"{name}.parquet.new"
    write_frame(data, path, where)
    target = folder / f"{name}-{sha256_of(path)[:12]}.parquet"
    if target.is_file():  # its time of change stays, by which the cache of tables knows it
        path.unlink()
    else:
        path.replace(target)
    return target


def _table(data: Any) -> Any:
    """Return events as a table of pyarrow. Raises TypeError, ValueError or an error of pyarrow if they are not."""
    import pyarrow as pa

    module = type(data).__module__.partition(".")[0]
    if isinstance(data, pa.Table):
        return data
    if module == "pandas":
        frame = data.reset_index() if any(name is not None for name in data.index.names) else data
        return pa.Table.from_pandas(frame, preserve_index=False)
    if module == "polars":
        return data.to_arrow()
    if module == "awkward":
        import awkward as ak

        if not ak.fields(data):
            raise TypeError("an awkward array needs records with names: ak.zip, or ak.Array({'name': ...})")
        return ak.to_arrow_table(data, extensionarray=False)
    if isinstance(data, Mapping):
        return pa.table({str(name): _column(values) for name, values in data.items()})
    raise TypeError(f"{type(data).__name__} is no frame, awkward array or mapping of columns")


def _column(values: Any) -> Any:
    import pyarrow as pa

    if type(values).__module__.partition(".")[0] == "awkward":
        import awkward as ak

        return ak.to_arrow(values, extensionarray=False)
    return pa.array(values)
