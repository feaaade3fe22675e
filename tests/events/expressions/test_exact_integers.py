"""Integers of 64 bits, held against Python's own: exact, or refused in words; never wrapped, never rounded."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepda.errors import ExpressionError
from hepda.events.expressions.columns import Column, offsets_of
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.parser import parse

EDGES = [0, 1, 2, 3, 10, 2**31, 2**53 - 1, 2**53, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1]
SIGNED = st.sampled_from([s * e for e in EDGES for s in (1, -1) if -(2**63) <= s * e < 2**63]) | st.integers(-9, 9)
UNSIGNED = st.sampled_from(EDGES) | st.integers(0, 9)
OPERATORS: dict[str, Callable[[int, int], Any]] = {
    "a + b": operator.add, "a - b": operator.sub, "a * b": operator.mul, "a // b": operator.floordiv,
    "a % b": operator.mod, "a & b": operator.and_, "a | b": operator.or_, "a ^ b": operator.xor,
    "a & ~b": lambda a, b: a & ~b, "a < b": operator.lt, "a >= b": operator.ge, "a == b": operator.eq,
    "a != b": operator.ne, "minimum(a, b)": min, "maximum(a, b)": max, "clip(a, b, b)": lambda a, b: b,
    "where(a > b, a, b)": max, "default(a, b)": lambda a, b: a, "abs(a) + 0 * b": lambda a, b: abs(a),
    "-a + 0 * b": lambda a, b: -a, "floor(a) + 0 * b": lambda a, b: a,
}  # fmt: skip


@st.composite
def columns(draw: st.DrawFn) -> tuple[Column, Column]:
    """Two columns of the same number of integers, some of them missing."""
    n = draw(st.integers(1, 4))
    result = []
    for _ in range(2):
        values, dtype = (SIGNED, np.int64) if draw(st.booleans()) else (UNSIGNED, np.uint64)
        drawn = np.array(draw(st.lists(values, min_size=n, max_size=n)), dtype=dtype)
        gone = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
        result.append(Column(drawn, None, gone if draw(st.booleans()) else None))
    return result[0], result[1]


@given(columns(), st.sampled_from(list(OPERATORS)))
@settings(max_examples=600, deadline=None, derandomize=True)
def test_operators_are_those_of_python_s_integers(pair: tuple[Column, Column], text: str) -> None:
    a, b = ([None if g else v for v, g in zip(c.values.tolist(), _gone(c), strict=True)] for c in pair)
    try:
        result = Evaluator({"a": pair[0], "b": pair[1]}, {}, len(a)).value(parse(text))
    except ExpressionError as error:
        assert text in str(error)
        assert "64 bits" in str(error) or "divides by 0" in str(error)
        return
    assert isinstance(result, Column)
    for x, y, value, gone in zip(a, b, result.values.tolist(), _gone(result), strict=True):
        if x is None or (y is None and "default" not in text):
            assert gone or "default" in text
        elif y == 0 and ("//" in text or "%" in text):
            assert not np.isfinite(value)
        else:
            assert not gone
            assert value == OPERATORS[text](x, y)


def _gone(column: Column) -> np.ndarray:
    return np.zeros(len(column.values), bool) if column.missing is None else column.missing


@given(st.lists(st.lists(SIGNED, max_size=50), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_lists_of_integers_are_summed_and_sorted_exactly(lists: list[list[int]]) -> None:
    flat = np.array([v for inner in lists for v in inner], dtype=np.int64)
    branches = {"a": Column(flat, offsets_of(np.array([len(inner) for inner in lists], dtype=np.int64)))}
    ordered = Evaluator(branches, {}, len(lists)).value(parse("sort(a)"))
    assert isinstance(ordered, Column)
    assert ordered.values.tolist() == [v for inner in lists for v in sorted(inner, reverse=True)]
    sums = [sum(inner) for inner in lists]
    try:
        totals = Evaluator(branches, {}, len(lists)).value(parse("sum(a)"))
    except ExpressionError:
        assert max(sums) >= 2**63 or min(sums) < -(2**63)
        return
    assert isinstance(totals, Column)
    assert totals.values.tolist() == sums


@given(st.lists(UNSIGNED, min_size=1, max_size=4), st.sampled_from(["<", "<=", "==", "!=", ">", ">="]), UNSIGNED)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_an_integer_beside_a_fraction_is_compared_exactly(values: list[int], sign: str, other: int) -> None:
    branches = {"a": Column(np.array(values, dtype=np.uint64)), "x": Column(np.full(len(values), float(other)))}
    value = Evaluator(branches, {}, len(values)).value(parse(f"a {sign} x"))
    assert isinstance(value, Column)
    assert value.values.tolist() == [eval(f"{v} {sign} {float(other)!r}") for v in values]  # noqa: S307


@pytest.mark.parametrize("chunk", [slice(0, 3), slice(0, 1), slice(0, 0)])
def test_no_result_depends_on_what_else_is_worked_on(chunk: slice) -> None:
    events = np.array([2**63 + 7, 2, 11], dtype=np.uint64)[chunk]
    value = Evaluator({"event": Column(events)}, {}, len(events)).value(parse("(event - 1) % 2 == 0"))
    assert isinstance(value, Column)
    assert value.values.tolist() == [True, False, True][chunk]
