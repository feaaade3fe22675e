"""Reading of scores.parquet: only the columns that are asked for, each row group by row group into one array."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.runtime import run_directory


class ScoresFile(Mapping[str, NDArray[Any]]):
    """The columns of numbers of scores.parquet by name; a column is read whenever it is asked for.

    Memory is needed for one column and one row group at a time.
    """

    def __init__(self, run: Path, kinds: Mapping[str, str]) -> None:
        """Open the file of a run directory and check its columns.

        Args:
            run: the run directory.
            kinds: the columns that the file must have, with their kinds (`run_directory.read_scores`).

        Raises:
            ConfigError: there is no such file, it cannot be read, or a column is missing or of another kind.

        """
        import pyarrow.parquet as pq

        self.path = run_directory.scores_path(run)
        with self._readable():
            self._file = pq.ParquetFile(self.path)
        schema = self._file.schema_arrow
        for name, kind in kinds.items():
            fields = schema.get_all_field_indices(name)
            run_directory.check_column(run, name, kind, [schema.field(index).type for index in fields])
        self._names = list(schema.names)
        self.rows: int = self._file.metadata.num_rows

    @contextmanager
    def _readable(self) -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise run_directory.unreadable_scores(self.path, error) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._names:
            raise KeyError(name)
        dtype = np.dtype(self._file.schema_arrow.field(name).type.to_pandas_dtype())
        return self._filled(name, dtype, lambda part: part.to_numpy(zero_copy_only=False))

    def codes(self, name: str) -> tuple[NDArray[np.int16], tuple[str, ...]]:
        """Return a column of names as numbers [n], and the names.

        Raises:
            ConfigError: the column cannot be read or has gaps.

        """
        names: list[str] = []

        def numbers(part: Any) -> NDArray[np.int16]:
            of_part = part.dictionary.to_pylist()  # a row group has a dictionary of its own
            names.extend(value for value in of_part if value not in names)
            place = np.array([names.index(value) for value in of_part], dtype=np.int16)
            return np.asarray(place[np.asarray(part.indices)])

        return self._filled(name, np.dtype(np.int16), numbers), tuple(names)

    def _filled(self, name: str, dtype: np.dtype[Any], values_of: Callable[[Any], NDArray[Any]]) -> NDArray[Any]:
        """Return an array [n] of what `values_of` makes of the parts of a column."""
        values, row = np.empty(self.rows, dtype=dtype), 0
        for part in self._parts(name):
            if part.null_count:
                raise run_directory.wrong_column(self.path, name)
            values[row : row + len(part)] = values_of(part)
            row += len(part)
        return values

    def _parts(self, name: str) -> Iterator[Any]:
        for group in range(self._file.num_row_groups):
            with self._readable():
                chunks: Sequence[Any] = self._file.read_row_group(group, columns=[name], use_threads=False)[name].chunks
            yield from chunks
