"""Numbers that depend on a branch by a table in the analysis file: k factors in bins, or between points."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hepda.events.expressions.columns import Numbers, Value, ValueProblem
from hepda.events.expressions.lists import elementwise

Written = tuple[float, ...]


def lookup(value: Value, edges: Written, values: Written) -> Value:
    """Return the entry of the bin that a number is in.

    A bin contains its lower edge and not its upper one. Numbers below the first edge are in the first bin, those above
    the last edge in the last.

    Args:
        value: numbers, or lists of numbers.
        edges: n + 1 ascending edges of bins.
        values: n entries.

    """
    entries, inner = np.array(values), np.array(edges[1:-1])
    return _applied(lambda x: entries[np.searchsorted(inner, x, side="right")], value)


def interpolate(value: Value, points: Written, values: Written) -> Value:
    """Return numbers on the straight lines between points; outside, the value of the first or of the last point.

    Args:
        value: numbers, or lists of numbers.
        points: n ascending numbers.
        values: n values there.

    """
    return _applied(lambda x: np.interp(x, points, values), value)


def _applied(function: Any, value: Value) -> Value:
    def compute(numbers: Numbers) -> Numbers:
        wide = numbers.astype(np.float64, copy=False)
        # A number that is not finite has no place in a table: it must not become that of the last bin.
        return np.where(np.isfinite(wide), function(wide), np.nan)

    return elementwise(compute, value)


def check_lookup(_: Any, edges: Written, values: Written) -> None:
    """Raise ValueProblem unless there is one value for each bin, and edges ascend."""
    _check_ascending("edges", edges)
    if len(edges) != len(values) + 1:
        raise ValueProblem(
            f"is given {len(edges)} edges, which are {len(edges) - 1} bins, and {len(values)} values; give one value "
            "for each bin"
        )


def check_interpolate(_: Any, points: Written, values: Written) -> None:
    """Raise ValueProblem unless there is one value for each point, and points ascend."""
    _check_ascending("points", points)
    if len(points) != len(values):
        raise ValueProblem(f"is given {len(points)} points and {len(values)} values; give one value for each point")


def _check_ascending(what: str, numbers: Written) -> None:
    wrong = next((i for i in range(1, len(numbers)) if not numbers[i - 1] < numbers[i]), None)
    if wrong is not None:
        raise ValueProblem(f"is given {what} that do not ascend: {numbers[wrong - 1]:g}, {numbers[wrong]:g}")
    if len(numbers) < 2 or not all(map(math.isfinite, numbers)):
        raise ValueProblem(f"needs at least two finite {what}")
