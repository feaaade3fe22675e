"""Reliability of a score interpreted as a probability, with signed weights and errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hepda.errors import DataError
from hepda.evaluation.arrays import bin_edges, bin_index, by_class, signal_mask, vector
from hepda.results.evaluation import CalibrationCurve, FloatArray


def calibration_curve(
    score: ArrayLike,
    label: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    edges: ArrayLike | None = None,
    balance: bool = False,
) -> CalibrationCurve:
    """Return the signal fraction f = sumw(signal) / sumw in bins of the score, against the bin's mean score.

    The variance of f is [(1 - f)^2 sumw2(signal) + f^2 sumw2(background)] / sumw^2. A bin with sumw <= 0 is NaN and
    excluded from `expected_error`, with the reason in `why`.

    Args:
        score: scores [n] in [0, 1].
        label: labels [n] (1 signal, 0 background).
        weight: signed weights [n].
        edges: edges of the bins; by default ten equal bins of [0, 1].
        balance: scale the weights so that both classes have the same sum, which is what the probabilities of a
            classifier trained with balanced classes refer to.

    Raises:
        DataError: scores are outside [0, 1].

    """
    signal, background = by_class(score, label, weight)
    scores = vector(score, "score")
    if scores.min() < 0 or scores.max() > 1:
        raise DataError(f"scores from {scores.min():.3g} to {scores.max():.3g} are no probabilities in [0, 1]")
    limits = np.linspace(0, 1, 11) if edges is None else bin_edges(edges)
    mask = signal_mask(label, len(scores))
    weights = np.ones(len(scores)) if weight is None else vector(weight, "weight", len(scores))
    if balance:
        weights = weights / np.where(mask, signal.sumw, background.sumw)
    index, bins = bin_index(scores, limits), len(limits) - 1

    def total(values: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(index, weights=values, minlength=bins), dtype=np.float64)

    sumw, sumw2 = total(weights), total(weights**2)
    signal_sumw, signal_sumw2 = total(weights * mask), total(weights**2 * mask)
    usable = sumw > 0
    safe = np.where(usable, sumw, 1.0)
    fraction = np.where(usable, signal_sumw / safe, np.nan)
    mean = np.where(usable, total(weights * scores) / safe, np.nan)
    variance = (1 - fraction) ** 2 * signal_sumw2 + fraction**2 * (sumw2 - signal_sumw2)
    distance = np.abs(fraction - mean)[usable]
    lost = int(np.sum(~usable & (sumw2 > 0)))
    return CalibrationCurve(
        edges=limits,
        mean_score=mean,
        fraction=fraction,
        error=np.sqrt(variance) / safe,
        n_eff=np.where(sumw2 > 0, sumw**2 / np.where(sumw2 > 0, sumw2, 1.0), 0.0),
        expected_error=float(np.dot(distance, sumw[usable]) / sumw[usable].sum()),
        why=f"{lost} bins with events have no positive sum of weights" if lost else None,
    )
