"""Evaluation of checked expressions over the columns of a chunk of events."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import TypeGuard

import numpy as np

from hepda.events.expressions import exact_integers
from hepda.events.expressions.columns import (
    Bools,
    Column,
    Floats,
    UnevenLists,
    Value,
    ValueProblem,
    Vectors,
    align,
    counts,
    either,
    filter_lists,
    pick,
    same_lists,
    slice_lists,
)
from hepda.events.expressions.functions import FUNCTIONS, add_vectors
from hepda.events.expressions.guards import is_has
from hepda.events.expressions.lists import conjunction, disjunction, elementwise, exclusive, negation
from hepda.events.expressions.parser import CONSTANTS, Expression, constant_integer, dotted_name, plain_number
from hepda.events.expressions.user_functions import find_function

_BINARY: dict[type[ast.operator], exact_integers.Operation] = {
    ast.Add: exact_integers.add,
    ast.Sub: exact_integers.subtract,
    ast.Mult: exact_integers.multiply,
    ast.Div: lambda a, b: np.divide(a.astype(np.float64, copy=False), b.astype(np.float64, copy=False)),
    ast.Pow: lambda a, b: np.power(a.astype(np.float64, copy=False), b.astype(np.float64, copy=False)),
    ast.FloorDiv: exact_integers.floor_divide,
    ast.Mod: exact_integers.remainder,
}
_BITWISE: dict[type[ast.operator], exact_integers.Operation] = {
    ast.BitAnd: exact_integers.bits(np.bitwise_and),
    ast.BitOr: exact_integers.bits(np.bitwise_or),
    ast.BitXor: exact_integers.bits(np.bitwise_xor),
}
_LOGIC: dict[type[ast.operator | ast.boolop], Callable[[Value, Value], Value]] = {
    ast.BitAnd: conjunction,
    ast.And: conjunction,
    ast.BitOr: disjunction,
    ast.Or: disjunction,
    ast.BitXor: exclusive,
}
_COMPARE: dict[type[ast.cmpop], exact_integers.Operation] = {
    ast.Lt: exact_integers.compare(np.less),
    ast.LtE: exact_integers.compare(np.less_equal),
    ast.Gt: exact_integers.compare(np.greater),
    ast.GtE: exact_integers.compare(np.greater_equal),
    ast.Eq: exact_integers.compare(np.equal),
    ast.NotEq: exact_integers.compare(np.not_equal),
}


class Evaluator:
    """Evaluates expressions over one chunk; variables and repeated sub-expressions are evaluated only once.

    branches: columns by name; variables: parsed expressions by name; entries: number of events of the chunk; where:
    returns the text for an event in messages, given its number in the chunk.
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
        self._values: dict[str, Value] = {}
        # Four-vectors do not have this attribute.
        lists = {name: getattr(column, "absent", None) for name, column in branches.items()}
        self._absent = {name: absent for name, absent in lists.items() if absent is not None}

    def define(self, name: str, column: Column) -> None:
        """Add a column under a name, e.g. `physical`."""
        self._branches[name] = column

    def value(self, expression: Expression) -> Value:
        """Return the value of `expression`.

        Raises:
            ExpressionError: the expression cannot be evaluated; the message points at the part that fails.

        """
        # Values that are not finite are reported, with sample and entry, when features and weights are checked.
        with np.errstate(all="ignore"):
            return _Walk(self, expression).visit(expression.tree)

    def number(self, expression: Expression) -> tuple[Floats, Bools | None]:
        """Return one float64 per event, and a mask of the missing ones (None: nothing is missing).

        Raises:
            ExpressionError: the value is a list per event or a four-vector.

        """
        column = self._flat(expression)
        return column.values.astype(np.float64, copy=False), column.missing

    def exact_number(self, expression: Expression) -> tuple[Floats, Bools | None]:
        """Do the same as `number`, for numbers that are kept in a table.

        Raises:
            ExpressionError: the value is a list per event or a four-vector, or an integer that would lose digits as
                float64.

        """
        column = self._flat(expression)
        values = column.values if column.missing is None else exact_integers.filled(column.values, column.missing)
        try:
            return exact_integers.as_floats(values), column.missing
        except ValueProblem as problem:
            raise expression.error(expression.tree, f"{problem}.") from problem

    def condition(self, expression: Expression) -> Bools:
        """Return one truth value per event; a missing one is false."""
        return self.truth(expression)[0]

    def truth(self, expression: Expression) -> tuple[Bools, Bools | None]:
        """Return one truth value per event, false where it is missing, and a mask of the missing ones (None: none)."""
        column = self._flat(expression)
        is_true = np.asarray(column.values != 0)
        return (is_true, None) if column.missing is None else (is_true & ~column.missing, column.missing)

    def _flat(self, expression: Expression) -> Column:
        value = self.value(expression)
        if isinstance(value, Vectors):
            raise expression.error(expression.tree, "is a four-vector; take its pt(), eta(), phi() or mass().")
        if not isinstance(value, Column):
            return Column(np.full(self._entries, value))
        if value.jagged:
            raise expression.error(
                expression.tree,
                "is a list per event; make it one number by [0], sum(), max(), count() or the like.",
            )
        return value

    def named(self, name: str) -> Value:
        """Return the value of a variable or branch.

        Raises:
            KeyError: there is neither a variable nor a branch of this name.

        """
        key = f"name {name}"
        if key not in self._values:
            is_variable = name in self._variables
            self._values[key] = self.value(self._variables[name]) if is_variable else self._branches[name]
        return self._values[key]

    def without_absent(self, call: ast.Call, arguments: Sequence[Value], result: Value) -> Value:
        """Mark the result of a function as missing where a list that it was made of is missing in the file.

        This concerns functions that make one value per event of lists.

        Args:
            call: the call in the expression, from which the names of its branches are taken.
            arguments: the values of its arguments.
            result: what the function returned.

        """
        jagged = any(isinstance(value, Column | Vectors) and value.jagged for value in arguments)
        if not self._absent or not jagged or not isinstance(result, Column | Vectors) or result.jagged:
            return result
        missing = reduce(either, (self._absent.get(name) for name in self._branches_of(call.args)), result.missing)
        if isinstance(result, Column):
            return Column(result.values, None, missing)
        return result.take(np.arange(len(result)), None, missing)

    def _branches_of(self, nodes: Iterable[ast.AST]) -> set[str]:
        """Return the names of the branches in parts of an expression, through all variables."""
        parts = [node for top in nodes for node in ast.walk(top)]
        called = {id(node.func) for node in parts if isinstance(node, ast.Call)}
        names = {name for node in parts if id(node) not in called and (name := dotted_name(node)) is not None}
        inner = [self._variables[name].tree for name in names if name in self._variables]
        return names | (self._branches_of(inner) if inner else set())

    @property
    def values(self) -> dict[str, Value]:
        """Values of the sub-expressions that were evaluated, by the text of their tree."""
        return self._values


class _Walk:
    """Walks the tree of one expression and evaluates it."""

    def __init__(self, evaluator: Evaluator, expression: Expression) -> None:
        self.evaluator, self.expression = evaluator, expression

    def visit(self, node: ast.expr) -> Value:
        """Return the value at `node`; an error message contains the place in the expression."""
        key = self.expression.key(node) if isinstance(node, ast.Call | ast.Subscript) else None
        if key is not None and key in self.evaluator.values:
            return self.evaluator.values[key]
        try:
            value = self._visit(node)
        except UnevenLists as problem:
            raise self.expression.error(node, f"{problem.message(self.evaluator.where(problem.event))}.") from problem
        except ValueProblem as problem:
            raise self.expression.error(node, f"{problem}.") from problem
        except (MemoryError, OverflowError, FloatingPointError, ValueError, TypeError) as problem:
            raise self.expression.error(node, f"cannot be computed: {problem}.") from problem
        if key is not None:
            self.evaluator.values[key] = value
        return value

    def _visit(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Constant):
            return node.value  # type: ignore[return-value]  # the parser accepts only numbers
        if isinstance(node, ast.Name | ast.Attribute):
            return self._name(node)
        if isinstance(node, ast.BinOp):
            return self._binary(node)
        if isinstance(node, ast.UnaryOp):
            return self._unary(node)
        if isinstance(node, ast.BoolOp):
            return reduce(_LOGIC[type(node.op)], [self.visit(value) for value in node.values])
        if isinstance(node, ast.Compare):
            return self._compare(node)
        if isinstance(node, ast.IfExp):
            parts = [self.visit(part) for part in (node.test, node.body, node.orelse)]
            return FUNCTIONS["where"].compute(*parts)
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        if isinstance(node, ast.Call):
            if is_has(node):
                raise ValueProblem("asks for a branch of a file; there is no file of events here")
            function = find_function(str(dotted_name(node.func)))
            if function is not None:
                written = [_written(argument) for argument in node.args]
                values = {n: self.visit(node.args[n]) for n, text in enumerate(written) if text is None}
                arguments = [values.get(n, text) for n, text in enumerate(written)]
                return self.evaluator.without_absent(node, [*values.values()], function.compute(*arguments))
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
        if type(node.op) in _BITWISE:
            return self._bits(node)
        left, right = self.visit(node.left), self.visit(node.right)
        if isinstance(left, Vectors) and isinstance(right, Vectors) and isinstance(node.op, ast.Add | ast.Sub):
            return add_vectors(left, right, 1.0 if isinstance(node.op, ast.Add) else -1.0)
        return elementwise(_BINARY[type(node.op)], left, right)

    def _bits(self, node: ast.BinOp) -> Value:
        """Evaluate &, | or ^: on the bits of two integers (flags), or as the logic of two conditions."""
        operands = {part: self._bits_operand(part) for part in (node.left, node.right)}
        left, right = operands.values()
        kinds = {_kind(left), _kind(right)}
        if "f" in kinds:
            raise ValueProblem("&, | and ^ take conditions or integers; this is a number with a fraction")
        if kinds <= {"i", "u"}:
            return elementwise(_BITWISE[type(node.op)], left, right)
        for part, value in operands.items():
            if _kind(value) != "b" and _is_complement(part):
                raise ValueProblem(_COMPLEMENT)
            if _kind(value) != "b" and not isinstance(value, Column):
                raise ValueProblem(f"joins a condition with the plain number {value}; compare something with it")
        return _LOGIC[type(node.op)](left, right)

    def _bits_operand(self, node: ast.expr) -> Value:
        """Evaluate an operand of &, | or ^: the only place where ~ of an integer is the complement of its bits."""
        if not _is_complement(node):
            return self.visit(node)
        value = self._bits_operand(node.operand)
        return elementwise(exact_integers.complement, value) if _kind(value) in "iu" else self._opposite(value)

    def _opposite(self, value: Value) -> Value:
        """Evaluate ~ of a condition."""
        if _kind(value) == "f":
            raise ValueProblem("~ takes a condition; this is a number with a fraction")
        if _kind(value) != "b":
            raise ValueProblem(_COMPLEMENT)
        return negation(value)

    def _unary(self, node: ast.UnaryOp) -> Value:
        if _is_complement(node):
            return self._opposite(self._bits_operand(node.operand))
        value = self.visit(node.operand)
        if isinstance(node.op, ast.Not):
            return negation(value)
        if isinstance(value, Vectors):
            raise ValueProblem("is a four-vector; a sign has no meaning here")
        return value if isinstance(node.op, ast.UAdd) else elementwise(exact_integers.subtract, 0, value)

    def _compare(self, node: ast.Compare) -> Value:
        values = [self.visit(node.left), *(self.visit(part) for part in node.comparators)]
        links = [
            elementwise(_COMPARE[type(op)], left, right)
            for op, left, right in zip(node.ops, values, values[1:], strict=False)
        ]
        return reduce(conjunction, links)

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


def _written(node: ast.expr) -> str | tuple[float | None, ...] | None:
    """Return an argument that is text or a list of plain numbers, which the parser has checked; None for any other."""
    if isinstance(node, ast.List):
        return tuple(plain_number(part) for part in node.elts)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


_COMPLEMENT = (
    "~ of an integer is the complement of its bits, which as a condition would always be true; write not (...), or "
    "compare with 0, for a condition (for bits, together with an integer: flags & ~4)"
)


def _is_complement(node: ast.expr) -> TypeGuard[ast.UnaryOp]:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert)


def _kind(value: Value) -> str:
    if isinstance(value, Vectors):
        raise ValueProblem("is a four-vector, not a condition")
    return str(np.asarray(value.values[:0] if isinstance(value, Column) else value).dtype.kind)


def _by_column(value: Column | Vectors, index: Value) -> Value:
    """Index a list by a mask (of its elements, or of events), or by the indices that argsort returns."""
    if not isinstance(index, Column):
        raise ValueProblem("the index must be an integer, a slice, a mask or argsort(...)")
    if value.offsets is None:
        raise ValueProblem("is one value per event, so it cannot be masked; use where() or a selection")
    if index.values.dtype.kind == "b":
        if index.offsets is None:  # a mask of events: keeps a whole list, or nothing of it
            repeated, _, missing = align(Column(np.zeros(int(value.offsets[-1]), bool), value.offsets), index)
            return filter_lists(value, repeated[1] if missing is None else repeated[1] & ~missing)
        same_lists(value.offsets, index.offsets)
        return value.take(*index.chosen())
    if index.values.dtype.kind not in "iu":
        raise ValueProblem("a list is indexed by a condition, as in jet_pt[jet_b > 0.5], or by integers")
    local = np.minimum(index.values, 2**62).astype(np.int64)  # larger unsigned ones would become negative
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
        raise ValueProblem("an index is outside its list; do both lists have the same mask?")
    return value.take(starts + local, index.offsets)
