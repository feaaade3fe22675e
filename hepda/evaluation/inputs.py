"""Inputs before any training: their correlations, and how well each alone separates the classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.errors import DataError
from hepda.evaluation.roc import auc
from hepda.results.evaluation import FloatArray, InputSeparation

BINS, TOYS = 20, 200
"""Bins of the separation, and toys of its error."""


def weighted_correlations(values: ArrayLike, weight: ArrayLike, missing: float | None = None) -> FloatArray:
    """Return the linear correlations [k, k] of columns, with signed weights; NaN where a variance is not positive.

    Args:
        values: columns [n, k].
        weight: signed weights [n].
        missing: the number that stands for a missing value; a pair of columns is correlated over the rows where both
            have a value. None: no value is missing.

    Raises:
        DataError: the shapes differ.

    """
    x = np.asarray(values, dtype=np.float64)
    w = np.asarray(weight, dtype=np.float64)
    if x.ndim != 2 or w.shape != x.shape[:1]:
        raise DataError(f"correlations were given values of shape {x.shape} and weights of shape {w.shape}")
    present = np.isfinite(x) if missing is None else np.isfinite(x) & (x != missing)
    mask = present.astype(np.float64)
    # Centred and scaled first: sums of squares of large numbers would lose their digits.
    count = np.maximum(mask.sum(axis=0), 1.0)
    centre = np.where(present, x, 0.0).sum(axis=0) / count
    x = np.where(present, x - centre, 0.0)
    spread = np.sqrt((x**2).sum(axis=0) / count)
    x /= np.where(spread > 0, spread, 1.0)
    weighted_mask, weighted = mask * w[:, None], x * w[:, None]
    total = weighted_mask.T @ mask
    first, square, product = weighted.T @ mask, (weighted * x).T @ mask, weighted.T @ x
    with np.errstate(divide="ignore", invalid="ignore"):
        covariance = product / total - first / total * (first / total).T
        variance = square / total - (first / total) ** 2
        scale = np.where((variance > 0) & (variance.T > 0), variance * variance.T, np.nan)
        result = covariance / np.sqrt(scale)
    result[:, spread == 0] = np.nan
    result[spread == 0] = np.nan
    return np.asarray(np.clip(result, -1.0, 1.0), dtype=np.float64)


def input_separations(
    names: Sequence[str], values: ArrayLike, label: ArrayLike, weight: ArrayLike, *, seed: int = 0
) -> tuple[InputSeparation, ...]:
    """Return how well each input alone separates signal from background, the best first.

    The separation is that of TMVA (arXiv:physics/0703039): the sum over bins of (s - b)^2 / (s + b) / 2, s
    and b normalised to 1; 0 for equal distributions, 1 without overlap. The bins have equal shares of all rows, and
    the error is the spread over fluctuations of the bins by sqrt(sumw2). A missing value counts as the number that
    stands for it, as a model sees it.

    Args:
        names: of the inputs [k].
        values: columns [n, k].
        label: 1 signal, 0 background [n].
        weight: signed weights [n].
        seed: of the fluctuations.

    """
    x, w = np.asarray(values), np.asarray(weight, dtype=np.float64)
    is_signal = np.asarray(label) == 1
    generator = np.random.default_rng(seed)
    results = []
    for column, name in enumerate(names):
        column_values = np.asarray(x[:, column], dtype=np.float64)
        separation, error = _separation(column_values, is_signal, w, generator)
        results.append(InputSeparation(name, separation, error, auc(column_values, is_signal.astype(np.int8), w)))
    return tuple(sorted(results, key=lambda result: -result.separation))


def _separation(
    values: FloatArray, is_signal: NDArray[np.bool_], weight: FloatArray, generator: np.random.Generator
) -> tuple[float, float]:
    cuts = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    place = np.searchsorted(cuts, values, side="right")
    sums: list[FloatArray] = []
    toys: list[FloatArray] = []
    for mask in (is_signal, ~is_signal):
        content = np.bincount(place[mask], weight[mask], len(cuts) + 1).astype(np.float64)
        error = np.sqrt(np.bincount(place[mask], weight[mask] ** 2, len(cuts) + 1))
        sums.append(content[None])
        toys.append(content + error * generator.standard_normal((TOYS, len(content))))
    return float(_squared(sums[0], sums[1])[0]), float(np.std(_squared(toys[0], toys[1])))


def _squared(signal: FloatArray, background: FloatArray) -> FloatArray:
    """Return the separation of rows of histograms [r, b]; bins whose sum is not positive count nothing."""
    s, b = (x / x.sum(axis=1, keepdims=True) for x in (signal, background))
    both = s + b
    parts = np.where(both > 0, (s - b) ** 2 / np.where(both > 0, both, 1.0), 0.0)
    return np.asarray(0.5 * parts.sum(axis=1), dtype=np.float64)
