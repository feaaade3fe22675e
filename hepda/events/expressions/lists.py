"""Functions of numbers and of lists of numbers that expressions may call: elements, sums, orders, choices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.events.expressions import kinematics
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
    """`ufunc` on numbers; a single number an event meets a list by repetition."""
    if any(isinstance(value, Vectors) for value in values):
        raise ValueProblem("is a four-vector; take its pt(), eta(), phi(), mass() or energy()")
    plain = [value for value in values if not isinstance(value, Vectors)]
    arrays, offsets, missing = align(*plain)
    with np.errstate(all="ignore"):  # what is not finite is found, with its event, where features are checked
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
    """A list column without missing elements, and its offsets."""
    column = drop_missing(_numbers(value))
    if column.offsets is None:
        raise ValueProblem("needs a list an event; this is one number an event")
    return column, column.offsets


def constant(value: Value) -> Number:
    """A plain number. Raises ValueProblem for a column."""
    if isinstance(value, Column | Vectors):
        raise ValueProblem("needs a plain number here, the same for all events")
    return value


MOST_COMPARED = 40
"""Lists up to this length are sorted by comparing every two elements, of all events at once."""


def _as_numbers(values: Numbers) -> Numbers:
    return values.astype(np.int64) if values.dtype.kind == "b" else values


def total(value: Value) -> Value:
    """Sum of each list; of four-vectors, their sum, missing where there is none."""
    if isinstance(value, Vectors):
        full, offsets = kinematics.lists_of(value)
        parts = [reduce_lists(np.add, p, offsets, 0.0) for p in (full.px, full.py, full.pz, full.energy)]
        empty = counts(offsets) == 0
        return Vectors.of(parts, None, empty if empty.any() else None)
    column, offsets = _list(value)
    return Column(reduce_lists(np.add, _as_numbers(column.values), offsets, 0))


def count(value: Value) -> Column:
    """Length of each list."""
    _, offsets = kinematics.lists_of(value) if isinstance(value, Vectors) else _list(value)
    return Column(counts(offsets))


def extreme(ufunc: np.ufunc) -> Callable[[Value], Column]:
    """A function: the largest or smallest element of each list, missing where there is none."""

    def compute(value: Value) -> Column:
        column, offsets = _list(value)
        empty = counts(offsets) == 0
        values = reduce_lists(ufunc, _as_numbers(column.values), offsets, 0)
        return Column(values, None, empty if empty.any() else None)

    return compute


def mean(value: Value) -> Column:
    """Mean of each list, missing where there is none."""
    column, offsets = _list(value)
    lengths = counts(offsets)
    total = reduce_lists(np.add, column.values.astype(np.float64), offsets, 0.0)
    empty = lengths == 0
    return Column(total / np.maximum(lengths, 1), None, empty if empty.any() else None)


def truth_of(ufunc: np.ufunc, empty: bool) -> Callable[[Value], Column]:
    """A function: whether any, or all, of each list hold; `empty` for lists without elements."""

    def compute(value: Value) -> Column:
        column, offsets = _list(value)
        return Column(reduce_lists(ufunc, column.values != 0, offsets, empty))

    return compute


def _order(key: Column, offsets: Offsets, sign: int = -1) -> NDArray[np.int64]:
    """Flat index that sorts each list by falling key (rising: sign 1); equal keys keep their order."""
    values = _as_numbers(key.values)
    lengths = counts(offsets)
    widest = int(lengths.max(initial=0))
    if widest > MOST_COMPARED or (values.dtype.kind == "f" and np.isnan(values).any()):
        return np.lexsort((sign * values.astype(np.float64), np.repeat(np.arange(len(lengths)), lengths)))
    starts = np.repeat(offsets[:-1], lengths)
    flat = np.arange(len(values))
    local = (flat - starts).astype(np.uint8)
    before = np.greater_equal if sign < 0 else np.less_equal
    rank = np.zeros(len(values), dtype=np.uint8)
    # Neighbours at every distance are compared: the rank is the number of those that come first.
    for distance in range(1, widest):
        both = local[distance:] >= distance
        first = both & before(values[:-distance], values[distance:])
        rank[distance:] += first
        rank[:-distance] += both ^ first
    order = np.empty(len(values), dtype=np.int64)
    order[starts + rank] = flat
    return order


def sort(value: Value, by: Value | None = None) -> Value:
    """Each list in falling order of itself (four-vectors: of pt), or of another list of the same lengths."""
    if by is None:
        by = Column(value.pt, value.offsets, value.missing) if isinstance(value, Vectors) else value
    key = _numbers(by)
    if not isinstance(value, Column | Vectors) or value.offsets is None or key.offsets is None:
        raise ValueProblem("needs a list an event; this is one an event")
    if key.missing is not None:
        raise ValueProblem("the list to sort by has missing elements; give them a value by default()")
    return value.take(_order(key, same_lists(value.offsets, key.offsets)), value.offsets)


def argsort(value: Value, sign: int = -1) -> Column:
    """Places within each list in falling order (sign 1: rising)."""
    key, offsets = _list(value)
    return Column(_order(key, offsets, sign) - np.repeat(offsets[:-1], counts(offsets)), offsets)


def element(position: int) -> Callable[[Value], Value]:
    """A function: the element at `position` of each list."""

    def compute(value: Value) -> Value:
        if not isinstance(value, Column | Vectors):
            raise ValueProblem("needs a list an event, not one constant")
        return pick(value, position)

    return compute


def extreme_index(sign: int) -> Callable[[Value], Value]:
    """Index within its list of the first largest (-1) or smallest (1) element; missing for an empty list."""
    return lambda value: pick(argsort(value, sign), 0)


def _choose(condition: Numbers, yes: Numbers, no: Numbers) -> Numbers:
    return np.asarray(np.where(condition, yes, no))


def where(condition: Value, yes: Value, no: Value) -> Value:
    """One value where a condition holds, another one elsewhere."""
    chosen = elementwise(np.not_equal, truth(condition), 0)
    result = elementwise(_choose, chosen, yes, no)
    if not isinstance(result, Column) or result.missing is None:
        return result
    # Missing is the branch that was taken, not the other one.
    gone = elementwise(_choose, chosen, is_missing(yes), is_missing(no))
    if not isinstance(gone, Column):
        return result
    _, offsets, _ = align(*[v for v in (result, gone) if isinstance(v, Column)])
    arrays, _, _ = align(Column(result.values, result.offsets), gone)
    return Column(arrays[0], offsets, arrays[1].astype(bool))


def truth(value: Value) -> Value:
    """A condition: a missing one is false."""
    if isinstance(value, Vectors):
        raise ValueProblem("is a four-vector, not a condition")
    if not isinstance(value, Column):
        return bool(value)
    holds = value.values != 0
    return Column(holds if value.missing is None else holds & ~value.missing, value.offsets)


def is_missing(value: Value) -> Value:
    """Whether a value is missing, for each event or element."""
    if not isinstance(value, Column | Vectors):
        return False
    size = len(value.values if isinstance(value, Column) else value)
    gone = value.missing if value.missing is not None else np.zeros(size, dtype=bool)
    return Column(gone, value.offsets)


def default(value: Value, replacement: Value) -> Value:
    """The value, and another one where it is missing."""
    if not isinstance(value, Column) or value.missing is None:
        return value
    return where(is_missing(value), replacement, value)


def by_element(ufunc: Callable[..., Any], *, as_float: bool = False) -> Callable[..., Value]:
    """A function of numpy on numbers, which are floats first where it takes only these."""

    def compute(*values: Value) -> Value:
        def apply(*arrays: Numbers) -> Numbers:
            wide = [a.astype(np.float64) if as_float else _as_numbers(a) for a in arrays]
            return np.asarray(ufunc(*wide))

        return elementwise(apply, *values)

    return compute
