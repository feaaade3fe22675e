"""Which inputs a trained classifier uses: by how much its AUC falls if one of them is shuffled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.errors import DataError
from hepda.evaluation.arrays import vector
from hepda.evaluation.roc import auc
from hepda.results.evaluation import FeatureImportance, FloatArray

Change = tuple[str, NDArray[np.intp]]
"""The name of an input, and for each event the event from which it takes the value of this input [n]."""
Predict = Callable[[Sequence[Change]], FloatArray]
"""A function that returns the score of each event after each change alone, [changes, n]."""
GROUPS = 10
"""Number of groups of events whose spread gives the errors, which are then known to 24 %."""


def class_importance(
    predict: Predict,
    inputs: Sequence[str],
    label: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    repeats: int = 2,
    at_once: int = 1,
    seed: int = 0,
) -> FeatureImportance:
    """Return by how much the AUC of a trained classifier falls if an input takes the values of other events.

    This is the permutation importance of Breiman (Mach. Learn. 45 (2001) 5, section 10): nothing is trained again, so
    it is about this classifier, not about what an input is worth. Correlated inputs share their importance. The events
    are divided at random into GROUPS groups, and the error is that of the mean of their decreases: it includes the
    fluctuations of the events and of the shuffles. Weights keep their signs.

    Args:
        predict: the classifier.
        inputs: the names of the inputs.
        label: labels [n] (1 signal, 0 background); the events must not have been trained on.
        weight: signed weights [n]; None means ones.
        repeats: number of shuffles of each input.
        at_once: number of changes that `predict` gets in one call.
        seed: of shuffles and groups.

    Returns:
        The inputs, the most important first.

    Raises:
        DataError: a group has no positive sum of weights of a class, or there is no input.

    """
    if not inputs:
        raise DataError("the model has no inputs")
    labels = vector(label, "label")
    events = len(labels)
    weights = np.ones(events) if weight is None else vector(weight, "weight", events)
    generator = np.random.default_rng([seed, 2])
    group = generator.permutation(events) % GROUPS
    [unchanged] = predict([("", np.arange(events))])

    def areas(score: FloatArray) -> FloatArray:
        """Return the AUC of all events, then that of each group [1 + groups]."""
        of_groups = [auc(score[group == g], labels[group == g], weights[group == g]) for g in range(GROUPS)]
        return np.array([auc(score, labels, weights), *of_groups])

    full = areas(unchanged)
    changes = [(name, generator.permutation(events)) for name in inputs for _ in range(repeats)]
    shuffled = [
        areas(score) for start in range(0, len(changes), at_once) for score in predict(changes[start : start + at_once])
    ]
    drops = (full - np.reshape(shuffled, (len(inputs), repeats, 1 + GROUPS))).mean(axis=1)
    drop, error = drops[:, 0], drops[:, 1:].std(axis=1, ddof=1) / np.sqrt(GROUPS)
    order = np.argsort(drop)[::-1]
    return FeatureImportance(tuple(inputs[i] for i in order), drop[order], error[order], float(full[0]), events)
