"""One number of the metrics, its interval, and what a table shows of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

THIN = "\u202f"  # narrow no-break space, between thousands


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell shows, what it is sorted by (None: last), the number in full for a pointer over it."""

    text: str
    sort: float | str | None = None
    title: str = ""
    good: bool = False
    brief: str = ""

    @property
    def short(self) -> str:
        """For narrow places: the error in brackets, in units of the last digit."""
        return self.brief or self.text


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table; the first cell of each row names it. `note` is a sentence below the title.

    fold: what tables are called that the page folds away together; "" shows the table.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    fold: str = ""

    @property
    def tells(self) -> bool:
        """Whether any cell but the names of its rows says something."""
        return any(cell.sort is not None for row in self.rows for cell in row[1:])


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its interval, as far as the metrics give them."""

    value: float | None
    low: float | None = None
    high: float | None = None
    present: bool = True

    @classmethod
    def read(cls, holder: object, key: str) -> Quantity:
        """From holder[key]; not `present` if the holder is no mapping or lacks the key."""
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

    def scaled(self, factor: float) -> Quantity:
        """Times a constant."""
        value, low, high = (None if x is None else factor * x for x in (self.value, self.low, self.high))
        return Quantity(value, low, high, self.present)

    def cell(self, *, digits: int = 3, unit: str = "", good: bool = False) -> Cell:
        """Value ± error, with two digits of the error; `digits` significant ones of a value without error."""
        if not self.present:
            return Cell("", None, "not computed for this model")
        if self.value is None:
            return Cell("–", None, "not available: see what is not shown and why")
        title = f"{self.value!r}"
        if self.low is not None and self.high is not None:
            title += f" [{self.low!r}, {self.high!r}]"
        half, brief = self.half, ""
        if half is not None and half > 0:
            places = max(0, 1 - math.floor(math.log10(half)))
            text = f"{spaced(self.value, places)} ± {spaced(half, places)}"
            brief = f"{spaced(self.value, places)}({_last_digits(half, places)})"
        elif self.value.is_integer():
            text = spaced(self.value, 0)
        else:
            places = digits - 1 - math.floor(math.log10(abs(self.value)))
            text = spaced(self.value, min(max(places, 0), 8))
        text, brief = (t.replace("-", "−") for t in (text, brief or text))
        return Cell(text + unit, self.value, title, good, brief)


def _last_digits(half: float, places: int) -> str:
    """The error in units of the last digit, or as it is from 1 on: (21), (3.5)."""
    return f"{half:.{places}f}" if half >= 1 else f"{half * 10**places:.0f}"


def spaced(value: float, places: int) -> str:
    """A number with thin spaces between thousands: 34 812.5."""
    return f"{value:,.{places}f}".replace(",", THIN)


def number(value: object) -> float | None:
    """The value as a float if it is a finite number, else None (true and false are no numbers)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
