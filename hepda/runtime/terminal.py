"""Tables of numbers on a terminal of any width and any encoding: no number is cut, every character can be written."""

from __future__ import annotations

import codecs
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from hepda.number_format import Table as ReportTable

_GAP, _FRAME = 1, 2
"""Number of cells between two columns, and of cells at both sides of a table."""


@dataclass(frozen=True, slots=True)
class NumberTable:
    """A table for the terminal: the first column names the rows, the others hold numbers.

    A number is never cut, whatever the width of the terminal: headings break between words, and names anywhere. If the
    columns still do not fit, they are printed below each other in parts, each with the names.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    caption: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield what rich prints: the table, or its parts."""
        cells = [[legible(text, options.encoding) for text in row] for row in (self.head, *self.rows)]
        title, caption = (Text(legible(text, options.encoding)) for text in (self.title, self.caption))
        columns = [_Column.of([row[i] for row in cells], i == 0) for i in range(len(self.head))]
        parts = _parts(columns, options.max_width - _FRAME)
        for number, part in enumerate(parts):
            widths = _widths(part, options.max_width - _FRAME)
            table = Table(
                title=title if title and number == 0 else None,
                caption=caption if caption and number == len(parts) - 1 else None,
                box=box.SIMPLE_HEAD, padding=0, pad_edge=False,
            )  # fmt: skip
            for column, width in zip(part, widths, strict=True):
                side: Literal["left", "right"] = "left" if column is columns[0] else "right"
                table.add_column(Text(column.texts[0]), justify=side, overflow="fold", width=width)
            for row in zip(*(column.texts[1:] for column in part), strict=True):
                table.add_row(*(Text(text) for text in row))
            needed = sum(widths) + _GAP * (len(widths) - 1) + _FRAME
            yield from console.render(table, options.update(width=max(needed, options.max_width)))


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """The heading and the cells of a column, with its smallest width and its width on one line in terminal cells."""

    texts: Sequence[str]
    least: int
    full: int

    @classmethod
    def of(cls, texts: Sequence[str], names: bool) -> _Column:
        """Make a column of its texts; `names` means that it may break anywhere, from 16 cells on."""
        words = max(map(cell_len, [*texts[1:], *texts[0].split()]), default=0)
        return cls(texts, min(words, 16) if names else words, max(map(cell_len, texts), default=0))


def _parts(columns: Sequence[_Column], width: int) -> list[list[_Column]]:
    """Return the columns of each part: the first, and as many others as fit into `width` with it, but at least one."""
    first, *further = columns
    parts: list[list[_Column]] = [[first]]
    for column in further:
        part = [*parts[-1], column]
        if len(part) > 2 and sum(c.least for c in part) + _GAP * (len(part) - 1) > width:
            parts.append([first, column])
        else:
            parts[-1] = part
    return parts


def _widths(part: Sequence[_Column], width: int) -> list[int]:
    """Return the width of each column; the rest of `width` goes to the columns that need most to be on one line."""
    widths = [column.least for column in part]
    for _ in range(width - sum(widths) - _GAP * (len(part) - 1)):
        missing = [column.full - width_of_column for column, width_of_column in zip(part, widths, strict=True)]
        if max(missing) <= 0:
            break
        widths[missing.index(max(missing))] += 1
    return widths


def number_table(name: str | None, table: ReportTable) -> NumberTable:
    """Return a table of the report as the terminal shows it, under the name of a run."""
    rows = [[cell.text for cell in row] for row in table.rows]
    return NumberTable(table.head, rows, name or "", f"{table.title}. {table.note}")


# --- terminals and logs without UTF-8 -----------------------------------------------------------------------------

_REPLACEMENTS = {
    "\N{PLUS-MINUS SIGN}": "+-", "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{EM DASH}": "-", "\u2010": "-",
    "\N{GREEK SMALL LETTER SIGMA}": "sigma", "\N{GREEK SMALL LETTER MU}": "mu", "\N{MICRO SIGN}": "mu",
    "\N{GREEK SMALL LETTER ALPHA}": "alpha", "\N{GREEK SMALL LETTER ETA}": "eta", "\N{GREEK SMALL LETTER PHI}": "phi",
    "\N{GREEK CAPITAL LETTER DELTA}": "Delta", "\N{GREEK SMALL LETTER LAMDA}": "lambda", "\N{SQUARE ROOT}": "sqrt",
    "\N{MULTIPLICATION SIGN}": "x", "\N{RIGHTWARDS ARROW}": "->", "\N{MIDDLE DOT}": "/",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"', "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{LEFT SINGLE QUOTATION MARK}": "'", "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LESS-THAN OR EQUAL TO}": "<=", "\N{GREATER-THAN OR EQUAL TO}": ">=", "\N{CHECK MARK}": "*",
    "\N{SUPERSCRIPT MINUS}": "^-", "\N{SUPERSCRIPT ONE}": "1", "\N{SUPERSCRIPT TWO}": "^2",
}  # fmt: skip
"""Replacements of characters that an encoding lacks; other characters lose their accents, or are shown by number."""


def legible(text: str, encoding: str) -> str:
    """Return the text in characters that `encoding` has."""
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return "".join(_writable(character, encoding) for character in text)
    return text


def _writable(character: str, encoding: str) -> str:
    for candidate in (character, _REPLACEMENTS.get(character, ""), unicodedata.normalize("NFKD", character)):
        kept = "".join(c for c in candidate if not unicodedata.combining(c))
        try:
            kept.encode(encoding)
        except (UnicodeEncodeError, LookupError):
            continue
        if kept:
            return kept
    return character.encode("ascii", "backslashreplace").decode("ascii")


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Replace, as the error handler of the streams, characters that an encoding lacks by text."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(_writable(character, error.encoding) for character in lost), error.end


def write_anything() -> None:
    """Let stdout and stderr accept every text from now on, even if their encoding lacks characters."""
    codecs.register_error("hepda", _replace)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="hepda")
