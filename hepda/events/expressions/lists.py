"""Functions of numbers and of lists of numbers that expressions may call: elements, sums, orders, choices.

What is missing (null in the file, or an element that a list does not have) stays missing through arithmetic,
comparisons, elementwise functions and choices. Logic has three values: `false & missing` is false, `true | missing` is
true, every other combination with something missing is missing, and so is `not missing`; a cut or a mask takes only
events or elements for which its condition is true. Functions of lists (sum, count, max, mean, any, argsort, pairs of
four-vectors) ignore missing elements; the result for a list that is missing entirely is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.events.expressions import exact_integers, kinematics
from hepda.events.expressions.columns import (
    Column,
    Number,
    Numbers,
    Offsets,
    Value,
    ValueProblem,
    Vectors,
    align,
    counts,
    drop_missing,
    pick,
    reduce_lists,
    same_lists,
)


def elementwise(ufunc: Callable[..., Numbers], *values: Value) -> Value:
    """Apply `ufunc` to numbers; one number per event is repeated for a list."""
    if any(isinstance(value, Vectors) for value in values):
        raise ValueProblem("is a four-vector; take its pt(), eta(), phi(), mass() or energy()")
    plain = [value for value in values if not isinstance(value, Vectors)]
    arrays, offsets, missing = align(*plain)
    if missing is not None:
        arrays = [exact_integers.filled(array, missing) for array in arrays]
    with np.errstate(all="ignore"):  # values that are not finite are reported where features are checked
        result = ufunc(*arrays)
    if not any(isinstance(value, Column) for value in plain):
        return result.item()  # type: ignore[no-any-return]
    return Column(result, offsets, missing)


def _numbers(value: Value, what: str = "a list of numbers") -> Column:
    if not isinstance(value, Column):
        kind = "a four-vector" if isinstance(value, Vectors) else "one constant"
        raise ValueProblem(f"needs {what}, not {kind}")
    return value


def _list(value: Value) -> tuple[Column, Offsets]:
    """Return a list column without missing elements, and its offsets."""
    column = drop_missing(_numbers(value))
    if column.offsets is None:
        raise ValueProblem("needs a list per event; this is one number per event")
    return column, column.offsets


def constant(value: Value) -> Number:
    """Return a plain number.

    Raises:
        ValueProblem: the value is a column.

    """
    if isinstance(value, Column | Vectors):
        raise ValueProblem("needs a plain number here, the same for all events")
    return value


MOST_COMPARED = 40
"""Lists up to this length are sorted by comparing every two elements, for all events together."""


def total(value: Value) -> Value:
    """Return the sum of each list; for four-vectors their sum, missing where the list is empty."""
    if isinstance(value, Vectors):
        full, offsets = kinematics.lists_of(value)
        parts = [reduce_lists(np.add, p, offsets, 0.0) for p in (full.px, full.py, full.pz, full.energy)]
        empty = counts(offsets) == 0
        return Vectors.of(parts, None, empty if empty.any() else None)
    column, offsets = _list(value)
    return Column(exact_integers.sums(column.values, offsets))


def product(value: Value) -> Column:
    """Return the product of each list, as of the scale factors of its objects; 1 where it is empty."""
    column, offsets = _list(value)
    return Column(reduce_lists(np.multiply, column.values.astype(np.float64), offsets, 1.0))


def count(value: Value) -> Column:
    """Return the length of each list.

    Raises:
        ValueProblem: the value is a condition: the length of its list is not the number of elements for which it holds.

    """
    if isinstance(value, Column) and value.values.dtype.kind == "b":
        raise ValueProblem(
            "counts all elements, whether the condition holds or not; "
            "write sum(pt > 25), or count(pt[pt > 25]), for the number of elements for which it holds"
        )
    _, offsets = kinematics.lists_of(value) if isinstance(value, Vectors) else _list(value)
    return Column(counts(offsets))


def extreme(ufunc: np.ufunc) -> Callable[[Value], Column]:
    """Return a function that takes the largest or smallest element of each list, missing where there is none."""

    def compute(value: Value) -> Column:
        column, offsets = _list(value)
        empty = counts(offsets) == 0
        values = reduce_lists(ufunc, exact_integers.as_numbers(column.values), offsets, 0)
        return Column(values, None, empty if empty.any() else None)

    return compute


def mean(value: Value) -> Column:
    """Return the mean of each list, missing where it is empty."""
    column, offsets = _list(value)
    lengths = counts(offsets)
    total = reduce_lists(np.add, column.values.astype(np.float64), offsets, 0.0)
    empty = lengths == 0
    return Column(total / np.maximum(lengths, 1), None, empty if empty.any() else None)


def truth_of(ufunc: np.ufunc, empty: bool) -> Callable[[Value], Column]:
    """Return a function that computes whether any, or all, of each list hold.

    Args:
        ufunc: np.logical_or or np.logical_and.
        empty: the result for lists without elements.

    """

    def compute(value: Value) -> Column:
        column, offsets = _list(value)
        return Column(reduce_lists(ufunc, column.values != 0, offsets, empty))

    return compute


def _order(key: Column, offsets: Offsets, sign: int = -1) -> NDArray[np.int64]:
    """Return the flat index that sorts each list by falling key (rising: sign 1); equal keys keep their order."""
    values = exact_integers.as_numbers(key.values)
    lengths = counts(offsets)
    widest = int(lengths.max(initial=0))
    if widest > MOST_COMPARED or (values.dtype.kind == "f" and np.isnan(values).any()):
        return np.lexsort((exact_integers.falling(values, sign), np.repeat(np.arange(len(lengths)), lengths)))
    starts = np.repeat(offsets[:-1], lengths)
    flat = np.arange(len(values))
    local = (flat - starts).astype(np.uint8)
    before = np.greater_equal if sign < 0 else np.less_equal
    rank = np.zeros(len(values), dtype=np.uint8)
    # Elements at every distance are compared: the rank of an element is the number of those that come before it.
    for distance in range(1, widest):
        both = local[distance:] >= distance
        first = both & before(values[:-distance], values[distance:])
        rank[distance:] += first
        rank[:-distance] += both ^ first
    order = np.empty(len(values), dtype=np.int64)
    order[starts + rank] = flat
    return order


def sort(value: Value, by: Value | None = None) -> Value:
    """Sort each list in falling order of itself (four-vectors: of pt), or of another list of the same lengths.

    Args:
        value: the lists to sort.
        by: the lists whose falling order is used; None: `value` itself.

    Raises:
        ValueProblem: there is no list per event, or the list to sort by has missing elements.

    """
    if by is None:
        by = Column(value.pt, value.offsets, value.missing) if isinstance(value, Vectors) else value
    key = _numbers(by)
    if not isinstance(value, Column | Vectors) or value.offsets is None or key.offsets is None:
        raise ValueProblem("needs a list per event; this is one value per event")
    if key.missing is not None:
        raise ValueProblem("the list to sort by has missing elements; give them a value by default()")
    return value.take(_order(key, same_lists(value.offsets, key.offsets)), value.offsets)


def argsort(value: Value, sign: int = -1) -> Column:
    """Return the places within each list in falling order (sign 1: rising), without those of missing elements."""
    column = _numbers(value)
    key, offsets = _list(column)
    order = _order(key, offsets, sign)
    if column.missing is None or column.offsets is None:
        return Column(order - np.repeat(offsets[:-1], counts(offsets)), offsets)
    present = np.flatnonzero(~column.missing)[order]
    return Column(present - np.repeat(column.offsets[:-1], counts(offsets)), offsets)


def element(position: int) -> Callable[[Value], Value]:
    """Return a function that takes the element at `position` of each list."""

    def compute(value: Value) -> Value:
        if not isinstance(value, Column | Vectors):
            raise ValueProblem("needs a list per event, not one constant")
        return pick(value, position)

    return compute


def extreme_index(sign: int) -> Callable[[Value], Value]:
    """Return a function for the index within its list of the first largest (-1) or smallest (1) element.

    It is missing for an empty list.
    """
    return lambda value: pick(argsort(value, sign), 0)


def where(condition: Value, yes: Value, no: Value) -> Value:
    """Return one value where a condition holds and another one where it does not; missing where it is missing."""
    if isinstance(yes, Vectors) or isinstance(no, Vectors):
        raise ValueProblem("is a four-vector; take its pt(), eta(), phi(), mass() or energy()")
    parts = truth(condition), yes, no
    arrays, offsets, missing = align(*parts)
    chosen = exact_integers.choose(*arrays)
    if not any(isinstance(part, Column) for part in parts):
        return chosen.item()  # type: ignore[no-any-return]
    if missing is None:
        return Column(chosen, offsets)
    # Only the value that was taken decides whether the result is missing, not the other one.
    (undecided, no_yes, no_no), _, _ = align(*map(is_missing, parts))
    result_missing = np.broadcast_to(undecided | np.where(arrays[0], no_yes, no_no), chosen.shape)
    return Column(chosen, offsets, result_missing if result_missing.any() else None)


def truth(value: Value) -> bool | Column:
    """Return a condition whose values are false where it is missing."""
    if isinstance(value, Vectors):
        raise ValueProblem("is a four-vector, not a condition")
    if not isinstance(value, Column):
        return bool(value)
    holds = value.values != 0
    return Column(holds if value.missing is None else holds & ~value.missing, value.offsets, value.missing)


def conjunction(first: Value, second: Value) -> Value:
    """Return whether both conditions hold; false where one is false, whatever the other."""
    return _logic(np.logical_and, first, second, settles=False)


def disjunction(first: Value, second: Value) -> Value:
    """Return whether one of the conditions or both hold; true where one is true, whatever the other."""
    return _logic(np.logical_or, first, second, settles=True)


def exclusive(first: Value, second: Value) -> Value:
    """Return whether exactly one of the conditions holds."""
    return elementwise(np.logical_xor, truth(first), truth(second))


def negation(value: Value) -> Value:
    """Return the opposite of a condition; missing where it is missing."""
    return elementwise(np.logical_not, truth(value))


def _logic(ufunc: np.ufunc, first: Value, second: Value, *, settles: bool) -> Value:
    """Combine two conditions; settles: the value of one condition that decides the result whatever the other is."""
    parts = truth(first), truth(second)
    result = elementwise(ufunc, *parts)
    if not isinstance(result, Column) or result.missing is None:
        return result
    a, b = (_is_certainly(part, settles) for part in parts)
    settled = elementwise(np.logical_or, a, b)
    decided = settled.values if isinstance(settled, Column) else settled
    gone = result.missing & ~np.asarray(decided, dtype=bool)
    return Column(result.values, result.offsets, gone if gone.any() else None)


def _is_certainly(condition: bool | Column, value: bool) -> bool | Column:
    if not isinstance(condition, Column):
        return condition == value
    certain = condition.values if value else ~condition.values
    return Column(certain if condition.missing is None else certain & ~condition.missing, condition.offsets)


def is_missing(value: Value) -> bool | Column:
    """Return whether a value is missing, for each event or element."""
    if not isinstance(value, Column | Vectors):
        return False
    size = len(value.values if isinstance(value, Column) else value)
    gone = value.missing if value.missing is not None else np.zeros(size, dtype=bool)
    return Column(gone, value.offsets)


def default(value: Value, replacement: Value) -> Value:
    """Return the value, and the replacement where it is missing."""
    if not isinstance(value, Column) or value.missing is None:
        return value
    return where(is_missing(value), replacement, value)


def by_element(ufunc: Callable[..., Any], *, as_float: bool = False) -> Callable[..., Value]:
    """Return a function that applies a function of numpy to numbers.

    Args:
        ufunc: the function of numpy.
        as_float: whether the numbers are converted to float64 first, for functions that take only these.

    """

    def compute(*values: Value) -> Value:
        def apply(*arrays: Numbers) -> Numbers:
            wide = [a.astype(np.float64) if as_float else exact_integers.as_numbers(a) for a in arrays]
            return np.asarray(ufunc(*wide))

        return elementwise(apply, *values)

    return compute
