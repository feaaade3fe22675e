"""The tables of a report as plain text in one file, for a terminal, a mail, or a wiki."""

from __future__ import annotations

import textwrap
from pathlib import Path

from hepda.export.finished_run import ExportedRun
from hepda.number_format import THIN, Table
from hepda.runtime.run_directory import write_text

WIDTH = 100
"""Characters of a line of a note; rows of tables are as long as they are."""


def text_table(table: Table) -> str:
    """Return a table with its title, its note, and aligned columns: words at the left, numbers at the right."""
    cells = [[cell.text.replace(THIN, " ") for cell in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(table.head, *cells, strict=True)]
    words = [
        not number or any(isinstance(row[number].sort, str) for row in table.rows) for number in range(len(widths))
    ]

    def line(texts: list[str]) -> str:
        aligned = [t.ljust(w) if left else t.rjust(w) for t, w, left in zip(texts, widths, words, strict=True)]
        return "  ".join(aligned).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    note = [*textwrap.wrap(table.note, WIDTH), ""] if table.note else []
    title = [table.title, "=" * len(table.title), *note]
    return "\n".join([*title, line(list(table.head)), rule, *map(line, cells)]) + "\n"


def write(run: ExportedRun, folder: Path) -> list[Path]:
    """Write tables.txt, with every table."""
    path = folder / "tables.txt"
    write_text(path, "\n\n".join(map(text_table, run.tables().values())))
    return [path]
