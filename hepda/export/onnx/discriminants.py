"""Discriminants, expressions over the probabilities of classes, as operators of ONNX."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from hepda.errors import ConfigError
from hepda.events.expressions.parser import dotted_name, parse
from hepda.export.onnx.graph import OnnxGraph

_BINARY = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Div: "Div", ast.Pow: "Pow"}
_COMPARE = {ast.Lt: "Less", ast.LtE: "LessOrEqual", ast.Gt: "Greater", ast.GtE: "GreaterOrEqual", ast.Eq: "Equal"}
_CALL = {
    "abs": "Abs", "sqrt": "Sqrt", "exp": "Exp", "log": "Log", "tanh": "Tanh", "minimum": "Min", "maximum": "Max",
    "where": "Where",
}  # fmt: skip
_LN10 = 2.302585092994046


def discriminant(graph: OnnxGraph, name: str, text: str, probabilities: Mapping[str, str]) -> str:
    """Return the values [n] of a discriminant.

    Args:
        graph: the graph.
        name: of the discriminant, for messages.
        text: the expression.
        probabilities: the value [n] of each p_<class>.

    Raises:
        ConfigError: the expression has a part that has no form in ONNX here.

    """
    return _Writer(graph, name, probabilities).value(parse(text, f"discriminants.{name}").tree)


class _Writer:
    """Walks the tree of an expression."""

    def __init__(self, graph: OnnxGraph, name: str, known: Mapping[str, str]) -> None:
        self.graph, self.name, self.known = graph, name, known

    def value(self, node: ast.expr) -> str:
        """Return the value of a part of the expression: float, or bool for a condition."""
        for kind, write in self._kinds.items():
            if isinstance(node, kind):
                return write(self, node)
        raise self._unknown(type(node).__name__)

    def _unknown(self, what: str) -> ConfigError:
        return ConfigError(
            f"discriminants.{self.name}: {what} has no form in ONNX here; write the expression with + - * / **, "
            f"comparisons and {', '.join(_CALL)}, log10, log1p, clip, or export without it."
        )

    def _number(self, node: ast.Constant) -> str:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise self._unknown(repr(node.value))
        return self.graph.constant(float(node.value))

    def _named(self, node: ast.Name) -> str:
        return self.known[node.id]

    def _operation(self, node: ast.BinOp) -> str:
        operator = _BINARY.get(type(node.op)) or {ast.BitAnd: "And", ast.BitOr: "Or"}.get(type(node.op))
        if operator is None:
            raise self._unknown(type(node.op).__name__)
        return self.graph.add(operator, self.value(node.left), self.value(node.right))

    def _sign(self, node: ast.UnaryOp) -> str:
        operators = {ast.USub: "Neg", ast.UAdd: "Identity", ast.Not: "Not", ast.Invert: "Not"}
        return self.graph.add(operators[type(node.op)], self.value(node.operand))

    def _comparison(self, node: ast.Compare) -> str:
        if len(node.ops) != 1 or type(node.ops[0]) not in _COMPARE:
            raise self._unknown("this comparison")
        sides = self.value(node.left), self.value(node.comparators[0])
        return self.graph.add(_COMPARE[type(node.ops[0])], *sides)

    def _call(self, node: ast.Call) -> str:
        function, arguments = dotted_name(node.func) or "", [self.value(argument) for argument in node.args]
        if function == "clip":
            return self.graph.add("Min", self.graph.add("Max", *arguments[:2]), arguments[2])
        if function == "log10":
            return self.graph.add("Div", self.graph.add("Log", *arguments), self.graph.constant(_LN10))
        if function == "log1p":
            return self.graph.add("Log", self.graph.add("Add", *arguments, self.graph.constant(1.0)))
        if function not in _CALL:
            raise self._unknown(f"{function}()")
        return self.graph.add(_CALL[function], *arguments)

    _kinds: Mapping[type[ast.expr], Callable[..., str]] = {
        ast.Constant: _number, ast.Name: _named, ast.BinOp: _operation, ast.UnaryOp: _sign, ast.Compare: _comparison,
        ast.Call: _call,
    }  # fmt: skip
