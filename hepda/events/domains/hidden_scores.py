"""The range of scores that a condition hides: exact, because it compares `score` with numbers and nothing else."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hepda.errors import ConfigError
from hepda.events.expressions.columns import Column
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.parser import Expression, parse

_WHERE = "evaluation.blind"
_NUMBER = (ast.Constant, ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator)
_LOGIC = (ast.BitAnd, ast.BitOr, ast.BitXor, ast.Not, ast.Invert)


def hidden_scores(condition: str) -> tuple[float, float]:
    """Return the range low <= score < high that a condition on `score` selects; high is infinite if 1 is in it.

    Every range of floating-point numbers has this form: `score > 0.7` begins at the next number above 0.7, and
    `score <= 0.9` ends before the next one above 0.9.

    Args:
        condition: comparisons of `score` with numbers, combined by `&`, `|`, `^`, `~`, `and`, `or`, `not`.

    Raises:
        ConfigError: the condition is another one, selects no score between 0 and 1, or more than one range.
        ExpressionError: it cannot be evaluated.

    """
    expression = parse(condition, _WHERE)
    _holds(expression, np.array([0.5]))  # the errors of any expression come first, such as an unknown name
    numbers = set(_thresholds(expression, expression.tree))
    begins = {0.0, *numbers, *(float(np.nextafter(number, np.inf)) for number in numbers)}
    start = np.array(sorted(begin for begin in begins if 0 <= begin <= 1))
    # Between two neighbouring starts no comparison changes, so the first number of each part answers for all of it.
    hidden = np.flatnonzero(_holds(expression, start))
    if len(hidden) == 0:
        raise ConfigError(f"{_WHERE}: {condition!r} hides no score: scores are between 0 and 1; null hides nothing.")
    if len(hidden) != hidden[-1] - hidden[0] + 1:
        raise ConfigError(f"{_WHERE}: {condition!r} hides more than one range of the score; give one")
    end = hidden[-1] + 1
    return float(start[hidden[0]]), float(start[end]) if end < len(start) else np.inf


def _holds(expression: Expression, score: NDArray[np.float64]) -> NDArray[np.bool_]:
    return Evaluator({"score": Column(score)}, {}, len(score)).condition(expression)


def _thresholds(expression: Expression, node: ast.expr) -> Iterator[float]:
    """Yield the numbers that `score` is compared with."""
    if isinstance(node, ast.BoolOp):
        for part in node.values:
            yield from _thresholds(expression, part)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, _LOGIC):
        yield from _thresholds(expression, node.left)
        yield from _thresholds(expression, node.right)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, _LOGIC):
        yield from _thresholds(expression, node.operand)
    elif isinstance(node, ast.Compare):
        for part in (node.left, *node.comparators):
            if isinstance(part, ast.Name) and part.id == "score":
                continue
            if not all(isinstance(inner, _NUMBER) for inner in ast.walk(part)):
                raise _not_a_comparison(expression, part)
            number = Expression(expression.text, expression.what, part, frozenset())
            yield float(Evaluator({}, {}, 1).number(number)[0][0])
    elif not (isinstance(node, ast.Constant) and isinstance(node.value, bool)):
        raise _not_a_comparison(expression, node)


def _not_a_comparison(expression: Expression, node: ast.expr) -> ConfigError:
    problem = expression.error(
        node,
        "here `score` itself must be compared with numbers, so that the hidden range is exact: `score > 0.7`, "
        "`0.3 < score`, `(score > 0.2) & (score < 0.9)`, `not score < 0.5`.",
    )
    return ConfigError(str(problem))
