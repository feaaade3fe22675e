"""The tables of a report as CSV: a file for each, all digits, the ends of an interval in columns of their own."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from hepda.export.finished_run import ExportedRun
from hepda.number_format import Cell, Table
from hepda.runtime.run_directory import write_text

_INTERVAL = re.compile(r"\[(\S+), (\S+)\]$")


def rows_of(table: Table) -> list[list[str]]:
    """Return the rows of a table, its head first; an empty cell is a number that is not available."""
    columns: list[list[str]] = []
    for number, heading in enumerate(table.head):
        cells = [row[number] for row in table.rows]
        ends = [_INTERVAL.search(cell.title) for cell in cells]
        columns.append([heading, *map(_value, cells)])
        if any(ends):
            for end, word in enumerate(("low", "high"), 1):
                columns.append([f"{heading} ({word})", *(match.group(end) if match else "" for match in ends)])
    return [list(row) for row in zip(*columns, strict=True)]


def _value(cell: Cell) -> str:
    if cell.sort is None:
        return ""
    if isinstance(cell.sort, str):
        return cell.sort
    return f"{cell.sort:.0f}" if float(cell.sort).is_integer() else repr(float(cell.sort))


def write(run: ExportedRun, folder: Path) -> list[Path]:
    """Write a file for each table."""
    files = []
    for name, table in run.tables().items():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows_of(table))
        files.append(folder / f"{name}.csv")
        write_text(files[-1], text.getvalue())
    return files
