"""CSV, read by pyarrow: the first line has the names of the columns, each further line is an event.

The text of a file is read once and completely, since nothing in it says where an event begins; Parquet, which
`hepda` and pandas write, is smaller and is read in parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hepda.errors import SourceError
from hepda.events.expressions.columns import Column
from hepda.events.files.arrow_table import ArrowTable, arrow_column, number_type_of
from hepda.events.files.protocol import opened, unique_names

LARGEST = 2**31 - 1
"""Bytes of text that pyarrow reads as one block, in which it finds the types of the columns."""


class CsvFile(ArrowTable):
    """An open CSV file, which is its own reader; a file whose name has `.tsv` in it is separated by tabs."""

    def __init__(self, path: str) -> None:
        import pyarrow as pa
        from pyarrow import csv

        super().__init__(path, "CSV")
        local = "://" not in path
        if local and Path(path).stat().st_size >= LARGEST and not path.lower().endswith(".gz"):
            raise SourceError(
                f"{path}: is larger than {LARGEST / 1e9:.1f} GB; write it as Parquet, which is read in parts."
            )
        read = csv.ReadOptions(block_size=LARGEST, use_threads=False)
        separator = "\t" if ".tsv" in Path(path.partition("?")[0]).name.lower() else ","
        try:
            self._table = opened(path, lambda source: csv.read_csv(source, read, csv.ParseOptions(delimiter=separator)))
        except pa.ArrowInvalid as error:
            raise SourceError(
                f"{path}: cannot be read as CSV: {' '.join(str(error).split())}. Its first line must name the columns, "
                "and every further line have as many values."
            ) from error
        names = unique_names([name.strip() for name in self._table.column_names])
        kinds = [number_type_of(kind) for kind in self._table.schema.types]
        self._places = {name: i for i, (name, kind) in enumerate(zip(names, kinds, strict=True)) if kind is not None}
        self._kinds = {name: kinds[place] for name, place in self._places.items()}
        texts = [(name, kind) for name, kind in zip(names, self._table.schema.types, strict=True)]
        self.unreadable = {name: f"holds {kind}" for name, kind in texts if name not in self._places}
        self.entries = int(self._table.num_rows)
        self.fields = tuple(self._places)

    def close(self) -> None:
        """Forget the table."""
        self._table = self._table.slice(0, 0)

    def is_list(self, field: str) -> bool:
        """Return False: a value of CSV is one number."""
        return False

    def number_type(self, field: str) -> np.dtype[Any] | None:
        """Return the type of the numbers of a column."""
        return self._kinds[field]

    def ends(self, fields: Sequence[str]) -> Sequence[int]:
        """Return no entries: everything is in memory."""
        return ()

    def columns(self, fields: Sequence[str], start: int, stop: int | None) -> dict[str, Column]:
        """Return columns of the entries [start, stop); an empty value, NA and NaN are missing."""
        import awkward as ak

        stop = self.entries if stop is None else min(stop, self.entries)
        result = {}
        for field in fields:
            array = ak.from_arrow(self._table.column(self._places[field]))[start : max(start, stop)]
            result[field] = arrow_column(field, array)
        return result
