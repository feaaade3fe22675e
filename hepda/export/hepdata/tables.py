"""Tables as HEPData has them: columns that a number depends on, and columns of numbers with errors and qualifiers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

Number = float | None
Ends = tuple[float, float]
"""A bin, or the lengths of an error bar: downwards (not positive), upwards."""

_UNIT = re.compile(r"(.*\S)\s*\[([^][]+)\]$")
LEVEL = "68.27 % interval"


@dataclass(frozen=True, slots=True)
class Axis:
    """What numbers depend on: numbers, names, or bins."""

    name: str
    values: Sequence[float | str | Ends]
    units: str = ""

    @property
    def is_binned(self) -> bool:
        """Return whether the values are bins."""
        return bool(self.values) and isinstance(self.values[0], tuple)


@dataclass(frozen=True, slots=True)
class Uncertainties:
    """An uncertainty of each number: one standard deviation, or two lengths; None where there is none."""

    label: str
    values: Sequence[Number] | Sequence[Ends | None]


@dataclass(frozen=True, slots=True)
class Dependent:
    """Numbers, None where there is none, their uncertainties, and what they are of."""

    name: str
    values: Sequence[Number]
    errors: Sequence[Uncertainties] = ()
    of: Mapping[str, str] = field(default_factory=dict)
    units: str = ""


@dataclass(frozen=True, slots=True)
class FigureTable:
    """A table of a figure; part: which of several, "" for the only one."""

    axes: Sequence[Axis]
    columns: Sequence[Dependent]
    part: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """Numbers along an axis: of one model, domain or process."""

    axis: Axis
    column: Dependent


def numbers(values: ArrayLike | Sequence[Number]) -> list[Number]:
    """Return numbers, None where they are not finite."""
    floats = np.asarray(
        [np.nan if value is None else value for value in np.atleast_1d(np.asarray(values, dtype=object))]
    )
    return [float(value) if np.isfinite(value) else None for value in floats.astype(np.float64)]


def axis(name: str, values: ArrayLike) -> Axis:
    """Return an axis of numbers; the unit in brackets at the end of its name becomes its unit."""
    found = _UNIT.match(name)
    text, units = (found[1], found[2]) if found else (name, "")
    return Axis(text, np.asarray(values, dtype=np.float64).tolist(), units)


def bins(name: str, edges: ArrayLike) -> Axis:
    """Return an axis of bins between edges [b + 1]."""
    ends = np.asarray(edges, dtype=np.float64).tolist()
    plain = axis(name, [])
    return replace(plain, values=list(pairwise(ends)))


def names(name: str, values: Sequence[str]) -> Axis:
    """Return an axis of names."""
    return Axis(name, list(values))


def symmetric(label: str, errors: ArrayLike | Sequence[Number]) -> Uncertainties:
    """Return standard deviations."""
    return Uncertainties(label, numbers(errors))


def interval(
    values: ArrayLike | Sequence[Number],
    low: ArrayLike | Sequence[Number],
    high: ArrayLike | Sequence[Number],
    label: str = LEVEL,
) -> Uncertainties:
    """Return the errors of values with the ends of their intervals."""
    ends: list[Ends | None] = []
    for value, below, above in zip(numbers(values), numbers(low), numbers(high), strict=True):
        known = value is not None and below is not None and above is not None
        ends.append((below - value, above - value) if known else None)  # type: ignore[operator]
    return Uncertainties(label, ends)


def joined(curves: Sequence[Curve], part: str = "") -> list[FigureTable]:
    """Return a table for each axis that curves share."""
    shared: list[tuple[Axis, list[Dependent]]] = []
    for curve in curves:
        for known, columns in shared:
            if known == curve.axis:
                columns.append(curve.column)
                break
        else:
            shared.append((curve.axis, [curve.column]))
    if len(shared) == 1:
        return [FigureTable([shared[0][0]], shared[0][1], part)]
    return [
        FigureTable([known], columns, "_".join(filter(None, (part, *columns[0].of.values()))))
        for known, columns in shared
    ]
