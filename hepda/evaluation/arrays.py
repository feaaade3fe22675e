"""Checks and sums that all modules of the evaluation use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.errors import DataError
from hepda.results.evaluation import FloatArray

BoolArray = NDArray[np.bool_]
Labels = NDArray[np.int8]
Matrix = NDArray[np.float32]  # [events, columns]
Scorer = Callable[[Matrix], FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class WeightedScores:
    """Checked scores and signed weights of one sample: float64, finite, same length, sumw > 0."""

    score: FloatArray  # [n]
    weight: FloatArray  # [n]

    @property
    def sumw(self) -> float:
        """Sum of weights."""
        return float(self.weight.sum())

    @property
    def n_eff(self) -> float:
        """Effective number of events, sumw^2 / sumw2."""
        return effective(self.weight)


def vector(values: ArrayLike, name: str, length: int | None = None) -> FloatArray:
    """Return `values` as a finite float64 vector.

    Args:
        values: the numbers to convert.
        name: name of the values in error messages.
        length: required length; None accepts any.

    Raises:
        ValueError: the array is not one-dimensional or not of the given length.
        DataError: the array is empty or contains a value that is not finite.

    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, not of shape {array.shape}")
    if length is not None and len(array) != length:
        raise ValueError(f"{name} has {len(array)} entries where {length} are needed")
    if len(array) == 0:
        raise DataError(f"{name} is empty; there are no events to evaluate")
    bad = np.count_nonzero(~np.isfinite(array))
    if bad:
        raise DataError(f"{name} has {bad} of {len(array)} values that are not finite; look for them upstream")
    return array


def sample(score: ArrayLike, weight: ArrayLike | None = None, name: str = "sample") -> WeightedScores:
    """Check scores [n] and weights [n].

    Args:
        score: scores [n].
        weight: signed weights [n]; None means ones.
        name: name of the sample in error messages.

    Raises:
        ValueError: an array is not one-dimensional or the lengths differ.
        DataError: an array is empty or has a value that is not finite, or the sum of weights is not positive.

    """
    scores = vector(score, f"score of {name}")
    weights = np.ones(len(scores)) if weight is None else vector(weight, f"weight of {name}", len(scores))
    if weights.sum() <= 0:
        raise DataError(
            f"the weights of {name} sum to {weights.sum():.4g} in {len(weights)} events; "
            "a distribution needs a positive sum of weights"
        )
    return WeightedScores(scores, weights)


def signal_mask(label: ArrayLike, length: int) -> BoolArray:
    """Return True where the label is 1 and False where it is 0; other labels (-1 means unknown class) are an error."""
    labels = np.asarray(label)
    if labels.shape != (length,):
        raise ValueError(f"label has shape {labels.shape} where ({length},) is needed")
    signal = labels == 1
    if not np.all(signal | (labels == 0)):
        other = np.unique(labels[~(signal | (labels == 0))])[:5].tolist()
        raise DataError(f"label holds {other} besides 0 and 1; leave events without a class out first")
    return np.asarray(signal)


def by_class(
    score: ArrayLike, label: ArrayLike, weight: ArrayLike | None = None, name: str = "sample"
) -> tuple[WeightedScores, WeightedScores]:
    """Return the signal (label 1) and the background (label 0) of a sample, each checked as `sample` does."""
    scores = vector(score, f"score of {name}")
    weights = np.ones(len(scores)) if weight is None else vector(weight, f"weight of {name}", len(scores))
    mask = signal_mask(label, len(scores))
    for part, word in ((mask, "signal"), (~mask, "background")):
        if not part.any():
            raise DataError(f"{name} has no {word} events; ROC and significance need both classes")
    return (
        sample(scores[mask], weights[mask], f"signal of {name}"),
        sample(scores[~mask], weights[~mask], f"background of {name}"),
    )


def effective(weight: FloatArray) -> float:
    """Return n_eff = sumw^2 / sumw2; 0 if there are no events or all weights are zero.

    Example:
        >>> import numpy as np
        >>> from hepda.evaluation.arrays import effective
        >>> effective(np.array([1.0, 1.0, 1.0, -1.0]))
        1.0

    """
    sumw2 = float(np.dot(weight, weight))
    return float(weight.sum()) ** 2 / sumw2 if sumw2 > 0 else 0.0


def bin_edges(edges: ArrayLike, name: str = "edges") -> FloatArray:
    """Return bin edges [b + 1]; raise ValueError unless they rise strictly. Infinite ends are allowed."""
    array = np.asarray(edges, dtype=np.float64)
    if array.ndim != 1 or len(array) < 2 or not np.all(np.diff(array) > 0):
        raise ValueError(f"{name} must be at least two rising numbers, not {array.tolist()[:10]}")
    return array


def bin_index(values: FloatArray, edges: FloatArray) -> NDArray[np.intp]:
    """Return the bin of each value, in [0, b); a value on an edge belongs to the bin above it.

    Values beyond the ends belong to the first or the last bin, so that no event is lost from a sum.
    """
    return np.asarray(np.searchsorted(edges[1:-1], values, side="right"))


def histogram(values: FloatArray, weight: FloatArray, edges: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return sums of weights [b] and of squared weights [b] in bins whose ends are open (see `bin_index`)."""
    index, bins = bin_index(values, edges), len(edges) - 1
    sumw = np.bincount(index, weights=weight, minlength=bins)
    sumw2 = np.bincount(index, weights=weight * weight, minlength=bins)
    return np.asarray(sumw, dtype=np.float64), np.asarray(sumw2, dtype=np.float64)


def ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    """Return above / below; NaN where `below` is not positive."""
    usable = np.asarray(below) > 0
    return np.asarray(np.where(usable, above / np.where(usable, below, 1.0), np.nan), dtype=np.float64)


def unit_vectors(values: FloatArray) -> FloatArray:
    """Return vectors [..., d] of length 1; those of length 0 stay."""
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.where(length > 0, length, 1.0), dtype=np.float64)


def finite_rows(values: ArrayLike, least: int) -> FloatArray:
    """Return the features of rows as numbers [n, d]; dimensions after the second are flattened.

    Args:
        values: [n, ...].
        least: the smallest number of rows.

    Raises:
        DataError: there are fewer rows, or some have values that are not finite.

    """
    given = np.asarray(values, np.float64)
    if given.ndim < 2 or len(given) < least:
        raise DataError(f"rows of shape {given.shape}; {least} or more of [rows, features] are needed")
    rows = given.reshape(len(given), -1)
    if not np.isfinite(rows).all():
        raise DataError(f"{int((~np.isfinite(rows).all(axis=1)).sum())} rows have values that are not finite")
    return rows
