"""Event weights for training: the policy for negative ones, and the balance of classes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.errors import ConfigError, DataError, nearest

POLICIES: dict[str, str] = {
    "keep": "negative weights subtract",
    "absolute": "the absolute value counts",
    "drop": "their weight in training is 0",
    "reject": "their presence is an error",
}


@dataclass(frozen=True, slots=True)
class NegativeWeights:
    """The effect of a policy.

    Attributes:
        weight: the weights for the training [n], float64.
        policy: name of the policy.
        rows: fraction of rows that were changed.
        sumw: their share of the sum of absolute weights.

    """

    weight: NDArray[np.float64]
    policy: str
    rows: float
    sumw: float

    def __str__(self) -> str:
        if not self.rows:
            return f"negative weights: {self.policy}, there are none"
        return (
            f"negative weights: {self.policy} ({POLICIES[self.policy]}), {100 * self.rows:.1f} % of rows, "
            f"{100 * self.sumw:.1f} % of the sum of absolute weights"
        )


def negative_weights(weight: ArrayLike, policy: str = "keep") -> NegativeWeights:
    """Apply a policy for negative weights to the weights of a training [n].

    Raises:
        ConfigError: an unknown policy.
        DataError: policy `reject` and a negative weight, or a weight that is not finite.

    """
    values = np.array(weight, dtype=np.float64)
    if policy not in POLICIES:
        raise ConfigError(
            f"unknown policy {policy!r} for negative weights; one of {', '.join(POLICIES)}.{nearest(policy, POLICIES)}"
        )
    if not np.isfinite(values).all():
        raise DataError(f"{int((~np.isfinite(values)).sum())} of {len(values)} weights are NaN or infinite")
    negative = values < 0.0
    total = float(np.abs(values).sum())
    part = float(np.abs(values[negative]).sum()) / total if total else 0.0
    if policy == "reject" and negative.any():
        raise DataError(
            f"{int(negative.sum())} of {len(values)} weights are negative and the policy is reject; "
            "choose keep, absolute or drop"
        )
    if policy == "absolute":
        values = np.abs(values)
    elif policy == "drop":
        values[negative] = 0.0
    return NegativeWeights(values, policy, float(negative.mean()) if len(values) else 0.0, part)


def negative_share(blocks: Iterable[NDArray[np.float64]], policy: str = "keep") -> NegativeWeights:
    """Return the effect of a policy on weights in blocks; `weight` of the result is empty. Raises as above."""
    rows, negative, total, part = 0, 0, 0.0, 0.0
    for block in blocks:
        treated = negative_weights(block, policy)
        size = float(np.abs(block).sum())
        rows, negative = rows + len(block), negative + round(treated.rows * len(block))
        total, part = total + size, part + treated.sumw * size
    return NegativeWeights(np.zeros(0), policy, negative / rows if rows else 0.0, part / total if total else 0.0)


def mean_one(weight: ArrayLike) -> NDArray[np.float64]:
    """Return weights [n] scaled so that those of rows with a weight have the mean 1; their ratios and signs stay.

    Raises:
        DataError: they do not add up to more than 0.

    Example:
        >>> from hepda.adversarial.data.weights import mean_one
        >>> mean_one([0.0, 1.0, 3.0])
        array([0. , 0.5, 1.5])

    """
    weights = np.asarray(weight, dtype=np.float64)
    total = float(weights.sum())
    if not total > 0.0:
        raise DataError(f"the weights of the training rows add up to {total:g}; they must add up to more than 0")
    return np.asarray(weights * (np.count_nonzero(weights) / total))


def class_weights(label: ArrayLike, weight: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return weights [n] with the same sum for every class and mean 1; labels below 0 (unknown) have weight 0.

    Within a class the weights keep their ratios and signs.

    Raises:
        DataError: a class whose weights do not add up to more than 0, or fewer than two classes.

    Example:
        >>> from hepda.adversarial.data.weights import class_weights
        >>> class_weights([0, 0, 0, 1], [1.0, 1.0, 2.0, 5.0])
        array([0.5, 0.5, 1. , 2. ])

    """
    classes = np.asarray(label)
    event_weight = np.ones(len(classes)) if weight is None else np.asarray(weight, dtype=np.float64)
    known_classes = np.unique(classes[classes >= 0])
    if len(known_classes) < 2:
        raise DataError(f"the training rows hold the classes {known_classes.tolist()}; a classifier needs two or more")
    result = np.zeros(len(classes))
    for value in known_classes:
        rows = classes == value
        total = float(event_weight[rows].sum())
        if not total > 0.0:
            raise DataError(f"the weights of class {value} add up to {total:g}; they must add up to more than 0")
        result[rows] = event_weight[rows] * (int((classes >= 0).sum()) / (len(known_classes) * total))
    return result
