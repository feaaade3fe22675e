"""Walks checked expressions over the columns of a chunk of events."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hepda.events.expressions.columns import (
    Bools,
    Column,
    Floats,
    Numbers,
    UnevenLists,
    Value,
    ValueProblem,
    Vectors,
    align,
    counts,
    filter_lists,
    pick,
    same_lists,
    slice_lists,
)
from hepda.events.expressions.functions import FUNCTIONS, add_vectors
from hepda.events.expressions.lists import elementwise, truth
from hepda.events.expressions.parser import CONSTANTS, Expression, constant_integer, dotted_name
from hepda.events.expressions.user_functions import find_function


def _arithmetic(ufunc: Callable[..., Any], *, as_float: bool = False) -> Callable[[Value, Value], Value]:
    def apply(a: Numbers, b: Numbers) -> Numbers:
        if as_float or a.dtype.kind == "b" or b.dtype.kind == "b":
            kind = np.float64 if as_float else None
            a, b = (x.astype(kind or (np.int64 if x.dtype.kind == "b" else x.dtype)) for x in (a, b))
        return np.asarray(ufunc(a, b))

    return lambda a, b: elementwise(apply, a, b)


def _unsigned(a: Numbers, b: Numbers) -> tuple[Numbers, Numbers]:
    """Event numbers above 2^63 beside a small integer: numpy would go to float64 and lose digits."""
    if {a.dtype.kind, b.dtype.kind} == {"i", "u"} and not (np.any(a < 0) or np.any(b < 0)):
        return a.astype(np.uint64), b.astype(np.uint64)
    return a, b


def _remainder(ufunc: Callable[..., Any]) -> Callable[[Value, Value], Value]:
    """Integer division by zero gives 0 in numpy, silently; as floats it gives NaN, which is found later."""

    def apply(a: Numbers, b: Numbers) -> Numbers:
        a, b = _unsigned(a, b)
        if b.dtype.kind != "f" and np.any(b == 0):
            a, b = a.astype(np.float64), b.astype(np.float64)
        return np.asarray(ufunc(a.astype(np.int64) if a.dtype.kind == "b" else a, b))

    return lambda a, b: elementwise(apply, a, b)


_BINARY: dict[type[ast.operator], Callable[[Value, Value], Value]] = {
    ast.Add: _arithmetic(np.add),
    ast.Sub: _arithmetic(np.subtract),
    ast.Mult: _arithmetic(np.multiply),
    ast.Div: _arithmetic(np.divide, as_float=True),
    ast.Pow: _arithmetic(np.power, as_float=True),
    ast.FloorDiv: _remainder(np.floor_divide),
    ast.Mod: _remainder(np.mod),
}
_BITWISE: dict[type[ast.operator], np.ufunc] = {
    ast.BitAnd: np.bitwise_and,
    ast.BitOr: np.bitwise_or,
    ast.BitXor: np.bitwise_xor,
}
_COMPARE: dict[type[ast.cmpop], np.ufunc] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}


class Evaluator:
    """Evaluates expressions over one chunk; variables, and sub-expressions that repeat, only once.

    branches: columns by name; variables: parsed expressions by name; entries: events of the chunk; where: how
    messages call one of them, by its number in the chunk.
    """

    def __init__(
        self,
        branches: Mapping[str, Column],
        variables: Mapping[str, Expression],
        entries: int,
        where: Callable[[int], str] = "entry {}".format,
    ) -> None:
        self.where = where
        self._branches = dict(branches)
        self._variables = variables
        self._entries = entries
        self._known: dict[str, Value] = {}

    def define(self, name: str, column: Column) -> None:
        """Make `column` known as `name`, e.g. `physical`."""
        self._branches[name] = column

    def value(self, expression: Expression) -> Value:
        """The value of `expression`. Raises ExpressionError, pointing at the place that fails."""
        # What is not finite is found, with its sample and entry, where features and weights are checked.
        with np.errstate(all="ignore"):
            return _Walk(self, expression).visit(expression.tree)

    def number(self, expression: Expression) -> tuple[Floats, Bools | None]:
        """One float64 an event, and which are missing. Raises ExpressionError for lists and four-vectors."""
        column = self._flat(expression)
        return column.values.astype(np.float64, copy=False), column.missing

    def condition(self, expression: Expression) -> Bools:
        """One truth value an event; a missing one is false."""
        column = self._flat(expression)
        holds = np.asarray(column.values != 0)
        return holds if column.missing is None else holds & ~column.missing

    def _flat(self, expression: Expression) -> Column:
        value = self.value(expression)
        if isinstance(value, Vectors):
            raise expression.error(expression.tree, "is a four-vector; take its pt(), eta(), phi() or mass().")
        if not isinstance(value, Column):
            return Column(np.full(self._entries, value))
        if value.jagged:
            raise expression.error(
                expression.tree,
                "is a list an event; make it one number by [0], sum(), max(), count() or the like.",
            )
        return value

    def named(self, name: str) -> Value:
        """The value of a variable or branch; KeyError if there is neither."""
        key = f"name {name}"
        if key not in self._known:
            known = name in self._variables
            self._known[key] = self.value(self._variables[name]) if known else self._branches[name]
        return self._known[key]

    @property
    def known(self) -> dict[str, Value]:
        """Sub-expressions that were worked out, by the text of their tree."""
        return self._known


class _Walk:
    """One expression on its way through the evaluator."""

    def __init__(self, evaluator: Evaluator, expression: Expression) -> None:
        self.evaluator, self.expression = evaluator, expression

    def visit(self, node: ast.expr) -> Value:
        """The value at `node`; what goes wrong is told with the place."""
        key = self.expression.key(node) if isinstance(node, ast.Call | ast.Subscript) else None
        if key is not None and key in self.evaluator.known:
            return self.evaluator.known[key]
        try:
            value = self._visit(node)
        except UnevenLists as problem:
            raise self.expression.error(node, f"{problem.told(self.evaluator.where(problem.event))}.") from problem
        except ValueProblem as problem:
            raise self.expression.error(node, f"{problem}.") from problem
        except (MemoryError, OverflowError, FloatingPointError, ValueError, TypeError) as problem:
            raise self.expression.error(node, f"cannot be worked out: {problem}.") from problem
        if key is not None:
            self.evaluator.known[key] = value
        return value

    def _visit(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Constant):
            return node.value  # type: ignore[return-value]  # the parser lets numbers pass only
        if isinstance(node, ast.Name | ast.Attribute):
            return self._name(node)
        if isinstance(node, ast.BinOp):
            return self._binary(node)
        if isinstance(node, ast.UnaryOp):
            return self._unary(node)
        if isinstance(node, ast.BoolOp):
            ufunc = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return self._combine(ufunc, [self.visit(value) for value in node.values])
        if isinstance(node, ast.Compare):
            return self._compare(node)
        if isinstance(node, ast.IfExp):
            parts = [self.visit(part) for part in (node.test, node.body, node.orelse)]
            return FUNCTIONS["where"].compute(*parts)
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        if isinstance(node, ast.Call):
            function = find_function(str(dotted_name(node.func)))
            if function is not None:
                return function.compute(*[self.visit(argument) for argument in node.args])
        raise ValueProblem(f"{type(node).__name__} is not allowed in an expression")

    def _name(self, node: ast.expr) -> Value:
        name = str(dotted_name(node))
        if name in CONSTANTS:
            return CONSTANTS[name]
        try:
            return self.evaluator.named(name)
        except KeyError as error:
            raise self.expression.error(node, f"{name!r} is neither a variable nor a branch.") from error

    def _binary(self, node: ast.BinOp) -> Value:
        left, right = self.visit(node.left), self.visit(node.right)
        if isinstance(left, Vectors) and isinstance(right, Vectors) and isinstance(node.op, ast.Add | ast.Sub):
            return add_vectors(left, right, 1.0 if isinstance(node.op, ast.Add) else -1.0)
        if type(node.op) in _BITWISE:
            return self._bits(_BITWISE[type(node.op)], left, right)
        return _BINARY[type(node.op)](left, right)

    def _bits(self, ufunc: np.ufunc, left: Value, right: Value) -> Value:
        """Bits of two integers (flags), or the logic of two conditions."""
        kinds = {_kind(left), _kind(right)}
        if "f" in kinds:
            raise ValueProblem("&, | and ^ take conditions or integers; this is a number with a fraction")
        if kinds <= {"i", "u"}:
            return elementwise(lambda a, b: ufunc(*_unsigned(a, b)), left, right)
        return self._combine(ufunc, [left, right])

    def _combine(self, ufunc: np.ufunc, values: list[Value]) -> Value:
        result = truth(values[0])
        for value in values[1:]:
            result = elementwise(ufunc, result, truth(value))
        return result

    def _unary(self, node: ast.UnaryOp) -> Value:
        value = self.visit(node.operand)
        if isinstance(node.op, ast.Not | ast.Invert):
            if isinstance(node.op, ast.Invert) and _kind(value) == "f":
                raise ValueProblem("~ takes a condition; this is a number with a fraction")
            return elementwise(np.logical_not, truth(value))
        if isinstance(value, Vectors):
            raise ValueProblem("is a four-vector; a sign has no meaning here")
        return value if isinstance(node.op, ast.UAdd) else _BINARY[ast.Sub](0, value)

    def _compare(self, node: ast.Compare) -> Value:
        values = [self.visit(node.left), *(self.visit(part) for part in node.comparators)]
        links: list[Value] = []
        for op, left, right in zip(node.ops, values, values[1:], strict=False):
            # A comparison with something missing is false, whatever the operator.
            links.append(truth(elementwise(_COMPARE[type(op)], left, right)))
        return self._combine(np.logical_and, links)

    def _subscript(self, node: ast.Subscript) -> Value:
        value = self.visit(node.value)
        if not isinstance(value, Column | Vectors):
            raise ValueProblem("is one constant, so it has no elements to pick")
        if isinstance(node.slice, ast.Slice):
            ends = (node.slice.lower, node.slice.upper, node.slice.step)
            low, high, step = (None if end is None else constant_integer(end) for end in ends)
            return slice_lists(value, low, high, step)  # type: ignore[no-any-return]
        position = constant_integer(node.slice)
        if position is not None:
            return pick(value, position)
        return _by_column(value, self.visit(node.slice))


def _kind(value: Value) -> str:
    if isinstance(value, Vectors):
        raise ValueProblem("is a four-vector, not a condition")
    return str(np.asarray(value.values[:0] if isinstance(value, Column) else value).dtype.kind)


def _by_column(value: Column | Vectors, index: Value) -> Value:
    """A list by a mask (of its elements, or of events), or by the indices that argsort gives."""
    if not isinstance(index, Column):
        raise ValueProblem("the index must be an integer, a slice, a mask or argsort(...)")
    if value.offsets is None:
        raise ValueProblem("is one an event, so it cannot be masked; use where() or a selection")
    if index.values.dtype.kind == "b":
        if index.offsets is None:  # of events: all of a list, or nothing
            repeated, _, gone = align(Column(np.zeros(int(value.offsets[-1]), bool), value.offsets), index)
            return filter_lists(value, repeated[1] if gone is None else repeated[1] & ~gone)
        same_lists(value.offsets, index.offsets)
        return value.take(*index.chosen())
    if index.values.dtype.kind not in "iu":
        raise ValueProblem("a list is indexed by a condition, as in jet_pt[jet_b > 0.5], or by integers")
    local = index.values.astype(np.int64)
    if index.offsets is None:
        lengths, starts = counts(value.offsets), value.offsets[:-1]
        local = np.where(local < 0, local + lengths, local)
        absent = (local < 0) | (local >= lengths)
        if index.missing is not None:
            absent |= index.missing
        if int(value.offsets[-1]) == 0:
            return pick(value, 0)
        return value.take(np.where(absent, 0, starts + local), None, absent if absent.any() else None)
    number = counts(index.offsets)
    lengths, starts = (np.repeat(x, number) for x in (counts(value.offsets), value.offsets[:-1]))
    if np.any((local < 0) | (local >= lengths)) or index.missing is not None:
        raise ValueProblem("an index lies outside its list; are both lists masked alike?")
    return value.take(starts + local, index.offsets)
