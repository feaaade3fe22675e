"""From the probabilities of several classes to the score columns of a model: its score, the classes, discriminants.

A discriminant is an expression over p_<class>, the probabilities of the classes, which add up to 1. Before a training,
every discriminant is computed at events that are surely one class and at mixtures of all classes. Afterwards it must be
a finite number for every event.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import ConfigError, DataError, ExpressionError, nearest
from hepda.events.expressions.columns import Column
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.parser import Expression, dotted_name, parse
from hepda.events.specs import ModelSpec

Floats = NDArray[np.float32]
_FUNCTIONS = ("abs", "sqrt", "exp", "log", "log10", "log1p", "tanh", "minimum", "maximum", "where",
              "clip")  # fmt: skip
"""Functions of numbers that a discriminant may call."""
_MIXTURES = 1000
_TOLERANCE = 1e-6
"""By how much rounding may bring a score out of [0, 1]."""
_BLOCK = 1_000_000
"""Number of events of which discriminants are computed at once."""


def head_of(label: str) -> str:
    """Return the name of the head of a network that learns a label."""
    return f"label_{label}"


def score_columns(model: ModelSpec, scores: NDArray[np.floating]) -> dict[str, Floats]:
    """Return the score columns of a model, [n] each; the first is its score.

    Args:
        model: the model.
        scores: what its trainings predict (`ModelSpec.predictions`): P(signal) [n], or the probabilities of
            `model.classes`, then of the labels [n, k], or numbers [n].

    Raises:
        DataError: a discriminant is not a finite number, or the score is not within 0 and 1, for some events.

    """
    probability = np.asarray(scores, dtype=np.float32)
    labels: dict[str, Floats] = {}
    if model.event_labels:
        first = max(1, len(model.classes))
        labels = {f"{model.name}.p_{name}": probability[:, first + i] for i, name in enumerate(model.event_labels)}
        probability = probability[:, :first] if model.classes else probability[:, 0]
    if not model.classes:
        return {model.name: probability, **labels}
    further = {f"p_{name}": probability[:, number] for number, name in enumerate(model.classes)}
    further |= {name: _discriminant(model, name, probability) for name in model.discriminants}
    return (
        {model.name: _score(model, further)}
        | {f"{model.name}.{name}": values for name, values in further.items()}
        | labels
    )


def probabilities_of(models: Mapping[str, ModelSpec], columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the probabilities of the classes [n, classes] by model, for the models of several classes.

    Args:
        models: the models by name.
        columns: the score columns of all models.

    """
    return {
        name: np.stack([columns[f"{name}.p_{class_name}"] for class_name in model.classes], axis=1)
        for name, model in models.items()
        if model.classes
    }


def _score(model: ModelSpec, columns: Mapping[str, Floats]) -> Floats:
    """Return the score [n] in [0, 1] of a model, from its further columns."""
    if model.section.score is None:
        total = sum(columns[f"p_{name}"].astype(np.float64) for name in model.grouping.signal)
        return np.minimum(total, 1.0).astype(np.float32)
    values = columns[model.section.score]
    outside = (values < -_TOLERANCE) | (values > 1.0 + _TOLERANCE)
    if outside.any():
        raise DataError(_outside(model, f"is {values[outside][0]:g} for one of {int(outside.sum())} events"))
    return np.clip(values, 0.0, 1.0)


def _outside(model: ModelSpec, what: str) -> str:
    return (
        f"models.{model.name}.score: discriminants.{model.section.score} {what}; the score of a model is within 0 and "
        "1: change the expression, or leave `score` out (it is a column of its own in any case)."
    )


def _discriminant(model: ModelSpec, name: str, probability: Floats) -> Floats:
    expression = _parsed(name, model.discriminants[name], model.classes)
    blocks = (probability[start : start + _BLOCK] for start in range(0, len(probability), _BLOCK))
    values = np.concatenate([np.zeros(0), *(_values(expression, model.classes, block) for block in blocks)])
    wrong = ~np.isfinite(values)
    if wrong.any():
        at = ", ".join(f"p_{c} {p:g}" for c, p in zip(model.classes, probability[wrong][0], strict=True))
        raise DataError(
            f"discriminants.{name}: is not a finite number for {int(wrong.sum())} of {len(values)} events scored by "
            f"{model.name}, first at {at}: it divides by zero there. Add a small number to the denominator; with "
            "--resume no training is repeated."
        )
    return values.astype(np.float32)


def _values(expression: Expression, classes: Iterable[str], probability: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the values [n] of a discriminant at probabilities [n, classes]; NaN where it is missing."""
    columns = {f"p_{name}": Column(probability[:, i].astype(np.float64)) for i, name in enumerate(classes)}
    values, missing = Evaluator(columns, {}, len(probability)).number(expression)
    values = np.broadcast_to(values, len(probability))
    return values if missing is None else np.where(missing, np.nan, values)


def _parsed(name: str, text: str, classes: Iterable[str]) -> Expression:
    """Return the expression of a discriminant.

    Raises:
        ExpressionError: it is no expression of numbers over the probabilities of these classes.

    """
    expression = parse(text, f"discriminants.{name}")
    known = [f"p_{class_name}" for class_name in classes]
    for node in ast.walk(expression.tree):
        if isinstance(node, ast.Call) and (function := dotted_name(node.func)) not in _FUNCTIONS:
            raise expression.error(
                node, f"{function}() is no function of numbers; a discriminant may call {', '.join(_FUNCTIONS)}."
            )
        if isinstance(node, ast.Subscript):
            raise expression.error(node, "a probability is one number, without elements.")
        unknown = dotted_name(node)
        if unknown in expression.names and unknown not in known:
            hint = nearest(unknown, known) or f" There are: {', '.join(known)}."
            raise expression.error(node, f"{unknown!r} is not the probability of a class.{hint}")
    if not expression.names:
        raise ExpressionError(f"discriminants.{name}: has no probability of a class in it, so it is no discriminant.")
    return expression


def check_discriminants(models: Iterable[ModelSpec]) -> list[str]:
    """Check the discriminants of models before anything is read.

    Args:
        models: the models; all of several classes have the same discriminants.

    Returns:
        A line for each discriminant that divides by zero for an event that is surely of one class.

    Raises:
        ExpressionError: an expression is wrong, or names no class.
        ConfigError: a discriminant divides by zero for mixtures of classes, or leaves [0, 1] as a score.

    """
    lines: dict[str, None] = {}
    for model in models:
        for name, text in model.discriminants.items() if model.classes else ():
            expression = _parsed(name, text, model.classes)
            lines |= dict.fromkeys(_at_corners(name, expression, model.classes))
            values = _values(expression, model.classes, _mixtures(len(model.classes)))
            wrong = int((~np.isfinite(values)).sum())
            if wrong:
                raise ConfigError(
                    f"discriminants.{name}: is not a finite number at {wrong} of {len(values)} sets of probabilities "
                    "that are all above 0: it divides by zero there. Change the expression."
                )
            low, high = float(values.min()), float(values.max())
            if name == model.section.score and (low < -_TOLERANCE or high > 1.0 + _TOLERANCE):
                raise ConfigError(_outside(model, f"has values from {low:.3g} to {high:.3g}"))
    return list(lines)


def _mixtures(classes: int) -> NDArray[np.float64]:
    """Return probabilities [n, classes] above 0: all the same, and random ones, many of them near to one class."""
    rng = np.random.default_rng(1)
    spread = [rng.dirichlet(np.full(classes, width), _MIXTURES) for width in (0.3, 1.0)]
    mixtures = np.concatenate([np.ones((1, classes)), np.maximum(np.concatenate(spread), 1e-9)])
    shares: NDArray[np.float64] = mixtures / mixtures.sum(axis=1, keepdims=True)
    return shares


def _at_corners(name: str, expression: Expression, classes: tuple[str, ...]) -> Iterator[str]:
    """Yield a line if a discriminant is no finite number where one class has the probability 1."""
    values = _values(expression, classes, np.eye(len(classes)))
    wrong = [f"p_{c}" for c, value in zip(classes, values, strict=True) if not np.isfinite(value)]
    if wrong:
        yield (
            f"discriminants.{name}: divides by zero where {' or '.join(wrong)} is 1; a run with such an event ends "
            "with an error after its trainings. A small number in the denominator (+ 1e-6) prevents that"
        )
