"""Arithmetic on 64-bit integers that neither wraps around nor rounds: a result is exact, or it is refused.

numpy wraps results beyond 64 bits (3 - 5 of unsigned numbers is 18446744073709551614) and converts signed together with
unsigned integers to float64, which is exact only for integers up to 2^53. Here the smallest and the largest number of
the operands decide: if every result fits int64 or uint64, numpy computes in that type; otherwise Python's integers are
used. Numbers with a fraction are float64 and rounded as usual; so are the results of /, ** and of functions like sqrt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hepda.events.expressions.columns import Bools, Numbers, Offsets, ValueProblem, counts, reduce_lists

Operation = Callable[..., Numbers]
Bounds = tuple[int, int]
"""The smallest and the largest of several integers."""

EXACT_FLOAT = 2**53
"""float64 holds every integer up to this one."""
_KINDS: tuple[tuple[Bounds, type[np.int64] | type[np.uint64]], ...] = (
    ((-(2**63), 2**63 - 1), np.int64),
    ((0, 2**64 - 1), np.uint64),
)


def bounds(values: Numbers) -> Bounds:
    """Return the smallest and the largest of integers or truth values; 0 and 0 for an empty array."""
    return (int(values.min()), int(values.max())) if values.size else (0, 0)


def add(a: Numbers, b: Numbers) -> Numbers:
    """Return the sum."""
    if not _integers(a, b):
        return np.asarray(np.add(as_numbers(a), as_numbers(b)))
    (a_low, a_high), (b_low, b_high) = bounds(a), bounds(b)
    return _computed_exactly(np.add, [a, b], (a_low + b_low, a_high + b_high))


def subtract(a: Numbers, b: Numbers) -> Numbers:
    """Return the difference."""
    if not _integers(a, b):
        return np.asarray(np.subtract(as_numbers(a), as_numbers(b)))
    (a_low, a_high), (b_low, b_high) = bounds(a), bounds(b)
    return _computed_exactly(np.subtract, [a, b], (a_low - b_high, a_high - b_low))


def multiply(a: Numbers, b: Numbers) -> Numbers:
    """Return the product."""
    if not _integers(a, b):
        return np.asarray(np.multiply(as_numbers(a), as_numbers(b)))
    products = [x * y for x in bounds(a) for y in bounds(b)]
    return _computed_exactly(np.multiply, [a, b], (min(products), max(products)))


def floor_divide(a: Numbers, b: Numbers) -> Numbers:
    """Return the quotient, rounded down; NaN or infinite for a divisor of 0."""
    if not _integers(a, b) or _by_zero(a, b):
        return np.asarray(np.floor_divide(as_floats(a), as_floats(b)))
    most = max(map(abs, bounds(a)))
    return _computed_exactly(np.floor_divide, [a, b], (-most, most))


def remainder(a: Numbers, b: Numbers) -> Numbers:
    """Return the remainder of `floor_divide`, with the sign of the divisor; NaN for a divisor of 0."""
    if not _integers(a, b) or _by_zero(a, b):
        return np.asarray(np.mod(as_floats(a), as_floats(b)))
    return _computed_exactly(np.mod, [a, b])


def _by_zero(a: Numbers, b: Numbers) -> bool:
    """Return whether a divisor is 0.

    numpy returns 0 for it without a warning; float64 has NaN, which is detected later.
    """
    if not np.any(b == 0):
        return False
    if not (_small(a) and _small(b)):
        raise ValueProblem("divides by 0, and float64, which has NaN for it, does not hold the other integers exactly")
    return True


def absolute(a: Numbers) -> Numbers:
    """Return the absolute value."""
    if a.dtype.kind == "f":
        return np.asarray(np.abs(a))
    return _computed_exactly(np.absolute, [a], (0, max(map(abs, bounds(a)))))


def complement(a: Numbers) -> Numbers:
    """Return -a - 1, which inverts all bits of an integer."""
    low, high = bounds(a)
    return _computed_exactly(np.invert, [a], (~high, ~low))


def bits(ufunc: np.ufunc) -> Operation:
    """Return a function for &, | or ^ of two integers; negative ones have as many leading ones as needed."""
    return lambda a, b: _computed_exactly(ufunc, [a, b])


def lesser_or_greater(ufunc: np.ufunc) -> Operation:
    """Return a function for np.minimum or np.maximum of two numbers."""

    def apply(a: Numbers, b: Numbers) -> Numbers:
        return _computed_exactly(ufunc, [a, b]) if _integers(a, b) else np.asarray(ufunc(as_floats(a), as_floats(b)))

    return apply


def clip(values: Numbers, low: Numbers, high: Numbers) -> Numbers:
    """Return the values, `low` where they are below it, `high` where they are above it."""
    return lesser_or_greater(np.minimum)(lesser_or_greater(np.maximum)(values, low), high)


def rounding(ufunc: np.ufunc) -> Operation:
    """Return a function for np.floor or np.ceil that leaves integers unchanged."""
    return lambda a: as_numbers(a) if _integers(a) else np.asarray(ufunc(a))


def compare(ufunc: np.ufunc) -> Operation:
    """Return a function that compares two numbers without rounding, even an integer and one with a fraction."""

    def apply(a: Numbers, b: Numbers) -> Numbers:
        if a.dtype.kind != b.dtype.kind and "f" in (a.dtype.kind, b.dtype.kind) and not (_small(a) and _small(b)):
            a, b = a.astype(object), b.astype(object)
        return np.asarray(ufunc(a, b), dtype=bool)

    return apply


def choose(condition: Numbers, yes: Numbers, no: Numbers) -> Numbers:
    """Return `yes` where the condition holds, else `no`."""
    if yes.dtype.kind == no.dtype.kind == "b":
        return np.asarray(np.where(condition, yes, no))
    if _integers(yes, no):
        return _computed_exactly(lambda a, b: np.where(condition, a, b), [yes, no])
    return np.asarray(np.where(condition, as_floats(yes), as_floats(no)))


def sums(values: Numbers, offsets: Offsets) -> Numbers:
    """Return the sum of each list, [n]; 0 for an empty one."""
    if values.dtype.kind == "f":
        return reduce_lists(np.add, values, offsets, 0)
    longest = int(counts(offsets).max(initial=0))
    low, high = bounds(values)
    span = (min(low * longest, low), max(high * longest, high))
    return _computed_exactly(lambda v: reduce_lists(np.add, v, offsets, 0), [values], span)


def falling(values: Numbers, sign: int) -> Numbers:
    """Return numbers that rise as `values` fall (sign -1) or rise (sign 1)."""
    if sign > 0:
        return values
    return -values if values.dtype.kind == "f" else ~values


def as_numbers(values: Numbers) -> Numbers:
    """Return truth values as 0 and 1, and numbers unchanged."""
    return values.astype(np.int64) if values.dtype.kind == "b" else values


def as_floats(values: Numbers) -> Numbers:
    """Return the same numbers as float64.

    Raises:
        ValueProblem: float64 does not hold one of the integers exactly.

    """
    floats = values.astype(np.float64, copy=False)
    if not _small(values):
        for integer, rounded in zip(values.ravel().tolist(), floats.ravel().tolist(), strict=True):
            if integer != int(rounded):
                raise ValueProblem(
                    f"makes a number with a fraction of the integer {integer}, of which float64 would lose digits (it "
                    "is exact up to 2^53); use only integers (2, not 2.0), or divide it: x // 1000000, x % 1000000"
                )
    return floats


def filled(values: Numbers, missing: Bools) -> Numbers:
    """Return integers in which missing ones are replaced by one that is present.

    Thus the arbitrary value of a missing one cannot cause an error.
    """
    if values.dtype.kind not in "iu" or values.ndim == 0:
        return values
    present = int(np.argmin(missing))
    return np.where(missing, 1 if missing[present] else values[present], values).astype(values.dtype)


def _integers(*arrays: Numbers) -> bool:
    return all(a.dtype.kind in "biu" for a in arrays)


def _small(values: Numbers) -> bool:
    """Return whether float64 holds every integer between the smallest and the largest of these.

    It is true for numbers with a fraction.
    """
    if values.dtype.kind not in "iu":
        return True
    low, high = bounds(values)
    return low >= -EXACT_FLOAT and high <= EXACT_FLOAT


def _computed_exactly(operation: Callable[..., Any], arrays: list[Numbers], *results: Bounds) -> Numbers:
    """Apply `operation` to integers, in a type that holds all of them and all numbers within the bounds of the results.

    Raises ValueProblem if there is no such type and a result is indeed beyond 64 bits.
    """
    limits = [*map(bounds, arrays), *results]
    low, high = min(low for low, _ in limits), max(high for _, high in limits)
    for (least, greatest), kind in _KINDS:
        if least <= low and high <= greatest:
            return np.asarray(operation(*(a.astype(kind, copy=False) for a in arrays)))
    return _narrowed(np.asarray(operation(*(a.astype(object) for a in arrays)), dtype=object))


def _narrowed(values: Numbers) -> Numbers:
    """Return Python's integers as int64, or else as uint64."""
    low, high = bounds(values)
    for (least, greatest), kind in _KINDS:
        if least <= low and high <= greatest:
            return values.astype(kind)
    beyond = high if high >= 2**64 or low >= -(2**63) else low
    also = f" together with {low}" if beyond == high and low < 0 and high < 2**64 else ""
    raise ValueProblem(
        f"gives the integer {beyond}{also}, which 64 bits do not hold; multiply by 1.0 to work with rounded numbers"
    )
