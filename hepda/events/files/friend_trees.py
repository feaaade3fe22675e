"""Files of friends, written span by span: TTree, RNTuple or Parquet with one flat number per event and branch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config.events.names import branch_of
from hepda.errors import ConfigError, replacing

Array = NDArray[Any]
Write = Callable[[Mapping[str, Array]], None]

SUFFIX = {"ttree": ".root", "rntuple": ".root", "parquet": ".parquet"}
"""The formats, and the endings of their file names."""
TREE = "hepda"
"""The tree of friends, whose name differs from that of the events, so that its branches do not hide theirs."""


def branch_names(texts: Iterable[str]) -> dict[str, str]:
    """Return the branch name of each text: letters, digits and underscores, which every format accepts.

    Raises:
        ConfigError: two texts would have the same name.

    """
    names: dict[str, str] = {}
    for text in texts:
        name = branch_of(text)
        twin = next((other for other, used in names.items() if used == name), None)
        if twin is not None:
            raise ConfigError(f"{twin!r} and {text!r} would be one branch, {name!r}: rename one in the analysis file.")
        names[text] = name
    return names


@contextmanager
def friend_file(path: Path, kind: str, types: Mapping[str, np.dtype[Any]]) -> Iterator[Write]:
    """Open a file of friends; yield a function that writes the columns of a span.

    The file exists only if the block ends without an error.

    Args:
        path: the file.
        kind: the format, a key of SUFFIX.
        types: the branches and their types.

    Raises:
        ConfigError: it cannot be written, for example because the disk is full.

    """
    writer = {"ttree": _ttree, "rntuple": _rntuple, "parquet": _parquet}[kind]
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):  # left by a process that was killed
        leftover.unlink(missing_ok=True)
    with replacing(path) as temporary, _full(path), writer(temporary, types) as write_columns:

        def write(columns: Mapping[str, Array]) -> None:
            with _full(path):
                write_columns({name: np.asarray(columns[name], dtype=kind) for name, kind in types.items()})

        yield write


@contextmanager
def _full(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}.") from error


@contextmanager
def _ttree(path: Path, types: Mapping[str, np.dtype[Any]]) -> Iterator[Write]:
    import uproot

    with uproot.recreate(path) as file:
        file.mktree(TREE, dict(types))
        yield lambda columns: file[TREE].extend(dict(columns))


@contextmanager
def _rntuple(path: Path, types: Mapping[str, np.dtype[Any]]) -> Iterator[Write]:
    import uproot

    with uproot.recreate(path) as file:
        ntuple = file.mkrntuple(TREE, dict(types))
        yield lambda columns: ntuple.extend(dict(columns))


@contextmanager
def _parquet(path: Path, types: Mapping[str, np.dtype[Any]]) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.from_numpy_dtype(kind)) for name, kind in types.items()])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        yield lambda columns: writer.write_table(pa.table(dict(columns), schema=schema))
