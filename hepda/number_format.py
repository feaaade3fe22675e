"""One number of the metrics, its interval, and how a table shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

THIN = "\u202f"  # narrow no-break space, between thousands


@dataclass(frozen=True, slots=True)
class Cell:
    """The text of a cell, the key it is sorted by (None: last), and the number with all digits for a tooltip.

    latex: what LaTeX sets instead of the text, such as a label with formulas; "" for the text.
    """

    text: str
    sort: float | str | None = None
    title: str = ""
    good: bool = False
    brief: str = ""
    latex: str = ""

    @property
    def short(self) -> str:
        """The text for narrow places: the error in brackets, in units of the last digit."""
        return self.brief or self.text


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table; the first cell of each row names it. `note` is a sentence below the title.

    fold: the heading under which the page folds tables together; "" shows the table.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    fold: str = ""

    @property
    def has_values(self) -> bool:
        """Whether any cell besides the names of the rows has a value."""
        return any(cell.sort is not None for row in self.rows for cell in row[1:])

    @property
    def filled(self) -> Table:
        """The same table without columns that have no value in any row."""
        columns = [i for i in range(len(self.head)) if not i or any(row[i].sort is not None for row in self.rows)]
        return replace(self, head=[self.head[i] for i in columns], rows=[[r[i] for i in columns] for r in self.rows])


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its interval, as far as the metrics contain them."""

    value: float | None
    low: float | None = None
    high: float | None = None
    present: bool = True

    @classmethod
    def read(cls, holder: object, key: str) -> Quantity:
        """Read a quantity from holder[key]; it is not `present` if the holder is not a mapping or has no such key."""
        if not isinstance(holder, Mapping) or key not in holder:
            return cls(None, present=False)
        entry = holder[key]
        if isinstance(entry, Mapping):
            value = number(entry.get("value"))
            low, high, error = (number(entry.get(k)) for k in ("low", "high", "error"))
            if error is not None and value is not None and low is None:
                low, high = value - error, value + error
            return cls(value, low, high)
        value, error = number(entry), number(holder.get(f"{key}_error"))
        if value is None or error is None:
            return cls(value)
        return cls(value, value - error, value + error)

    @property
    def half(self) -> float | None:
        """Half the width of the interval."""
        return None if self.low is None or self.high is None else 0.5 * (self.high - self.low)

    def with_error(self, error: float | None) -> Quantity:
        """Return the quantity with a symmetric interval; unchanged without a value or an error."""
        if self.value is None or error is None:
            return self
        return replace(self, low=self.value - error, high=self.value + error)

    def scaled(self, factor: float) -> Quantity:
        """Return the quantity times a constant."""
        value, low, high = (None if x is None else factor * x for x in (self.value, self.low, self.high))
        return Quantity(value, low, high, self.present)

    def below(self, *, digits: int = 3, unit: str = "") -> Cell:
        """Return the value as an upper bound: "< 0.005"."""
        cell = self.cell(digits=digits, unit=unit)
        if self.value is None:
            return cell
        return replace(cell, text=f"< {cell.text}", title=f"below {cell.title}", brief=f"<{cell.short}")

    def cell(self, *, digits: int = 3, unit: str = "", good: bool = False) -> Cell:
        """Format as value ± error.

        Args:
            digits: number of significant digits of a value without an error; an error has two digits.
            unit: appended to the text.
            good: whether the cell is marked.

        """
        if not self.present:
            return Cell("", None, "not computed for this model")
        if self.value is None:
            return Cell("–", None, "not available: see the section on missing numbers")
        title = f"{self.value!r}"
        if self.low is not None and self.high is not None:
            title += f" [{self.low!r}, {self.high!r}]"
        half, brief = self.half, ""
        if half is not None and half > 0:
            places = max(0, 1 - math.floor(math.log10(half)))
            text = f"{spaced(self.value, places)} ± {spaced(half, places)}"
            # The error is in units of the last digit, or unchanged if it is 1 or more: (21), (3.5).
            digits_of_error = f"{half:.{places}f}" if half >= 1 else f"{half * 10**places:.0f}"
            brief = f"{spaced(self.value, places)}({digits_of_error})"
        elif self.value.is_integer():
            text = spaced(self.value, 0)
        else:
            places = digits - 1 - math.floor(math.log10(abs(self.value)))
            text = spaced(self.value, min(max(places, 0), 8))
        text, brief = (t.replace("-", "−") for t in (text, brief or text))
        return Cell(text + unit, self.value, title, good, brief)


def p_text(value: float, is_limit: bool, digits: int = 2) -> str:
    """Return a p-value as "= 0.031", or as "< 0.005" for an upper limit.

    Args:
        value: the p-value.
        is_limit: whether no permutation reaches the tested value; the limit is rounded up to one digit.
        digits: significant digits of a p-value that is not a limit.

    """
    if not is_limit or not 0 < value < 1:
        return f"= {value:.{digits}g}"
    power = math.floor(math.log10(value))
    return f"< {math.ceil(value / 10.0**power - 1e-9) * 10.0**power:.1g}"


def p_cell(p_value: Quantity, is_limit: bool, digits: int = 3) -> Cell:
    """Return a p-value, as a limit ("< 0.005") if no permutation reaches the tested value."""
    cell = p_value.cell(digits=digits)
    if not is_limit or not isinstance(cell.sort, float):
        return cell
    return Cell(p_text(cell.sort, is_limit=True), cell.sort, f"at most {cell.title}: no permutation reaches the value")


def spaced(value: float, places: int) -> str:
    """Return a number with thin spaces between thousands: 34 812.5."""
    return f"{value:,.{places}f}".replace(",", THIN)


def number(value: object) -> float | None:
    """Return the value as a float if it is a finite number, else None (true and false are not numbers)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
