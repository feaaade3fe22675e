"""Distances between two weighted samples of one variable; weights may be negative.

Convention. Each sample is normalised to unit sum of weights, F(x) = sumw(score <= x) / sumw. With negative
weights F need not rise; it is used as it is, never clipped or made monotone, and a maximum or an integral
is taken over all scores of both samples. So no treatment of signs biases a distance, and its
noise is that of the signed weights: if the weights do not depend on the score, F fluctuates like that of n_eff
events. KS does not change when the score is mapped monotonically; Wasserstein and energy do, because
their units are those of the score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hepda.evaluation.arrays import WeightedScores, histogram
from hepda.results.evaluation import FloatArray

_NO_VARIANCE = 1e-300  # below it, a bin is empty in both samples


def cumulative_difference(source: WeightedScores, other: WeightedScores) -> tuple[FloatArray, FloatArray]:
    """Return all different scores of both samples [u], rising, and F_other - F_source at each [u]."""
    score = np.concatenate([source.score, other.score])
    share = np.concatenate([-source.weight / source.sumw, other.weight / other.sumw])
    order = np.argsort(score, kind="stable")
    score, running = score[order], np.cumsum(share[order])
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)  # events of equal score are added together
    difference = running[last]
    difference[-1] = 0.0  # both end at one; the rounding of the sum must not count as a distance
    return score[last], difference


@dataclass(frozen=True, slots=True)
class CumulativeDistances:
    """The distances that follow from the difference of the two cumulative distributions.

    ks_signed: the difference where its absolute value is largest, at the score ks_location. wasserstein and energy: see
    the functions of these names.
    """

    ks_signed: float
    ks_location: float
    wasserstein: float
    energy: float


def cumulative_distances(source: WeightedScores, other: WeightedScores) -> CumulativeDistances:
    """Return the distances of `kolmogorov_smirnov`, `wasserstein` and `energy_distance` after one sort."""
    score, difference = cumulative_difference(source, other)
    at = int(np.argmax(np.abs(difference)))
    width = np.diff(score)
    return CumulativeDistances(
        float(difference[at]),
        float(score[at]),
        float(np.dot(np.abs(difference[:-1]), width)),
        float(np.sqrt(2 * np.dot(difference[:-1] ** 2, width))),
    )


def kolmogorov_smirnov(source: WeightedScores, other: WeightedScores) -> tuple[float, float]:
    """Return F_other - F_source where its absolute value is largest, and the score there.

    The KS statistic is the absolute value. The difference is positive if the other sample has lower scores. Without
    weights the absolute value is that of scipy's ks_2samp.

    Example:
        >>> from hepda.evaluation.arrays import sample
        >>> from hepda.evaluation.differences.distances import kolmogorov_smirnov
        >>> kolmogorov_smirnov(sample([0.1, 0.2, 0.3, 0.4]), sample([0.3, 0.4, 0.5, 0.6]))
        (-0.5, 0.2)

    """
    distances = cumulative_distances(source, other)
    return distances.ks_signed, distances.ks_location


def wasserstein(source: WeightedScores, other: WeightedScores) -> float:
    """Return the Wasserstein-1 distance, the integral of |F_other - F_source|, in units of the score.

    Example:
        >>> from hepda.evaluation.arrays import sample
        >>> from hepda.evaluation.differences.distances import wasserstein
        >>> round(wasserstein(sample([0.0, 1.0]), sample([0.5, 1.5])), 6)
        0.5

    """
    return cumulative_distances(source, other).wasserstein


def energy_distance(source: WeightedScores, other: WeightedScores) -> float:
    """Return sqrt(2 integral (F_other - F_source)^2), Szekely's energy distance as scipy defines it.

    Its unit is the square root of the unit of the score.
    """
    return cumulative_distances(source, other).energy


def chi2(source: WeightedScores, other: WeightedScores, edges: FloatArray) -> tuple[float | None, int]:
    """Return chi2 between the two normalised histograms, with sumw2 of both, and its degrees of freedom.

    It is the sum over bins of (p - q)^2 / (var p + var q), p = sumw_i / sumw, var p = sumw2_i / sumw^2 (Gagunashvili,
    arXiv:physics/0605123), with one degree of freedom less than bins because of the normalisation. Bins that are empty
    in both samples do not count; the result is (None, 0) if fewer than two bins are left.
    """
    return chi2_of(*histogram(source.score, source.weight, edges), *histogram(other.score, other.weight, edges))


def chi2_of(source: FloatArray, source2: FloatArray, other: FloatArray, other2: FloatArray) -> tuple[float | None, int]:
    """Compute `chi2` from sumw and sumw2 in bins [b] of the two samples."""
    total, total_other = source.sum(), other.sum()
    variance = source2 / total**2 + other2 / total_other**2
    used = variance > _NO_VARIANCE
    if used.sum() < 2:
        return None, 0
    difference = (source / total - other / total_other)[used]
    return float(np.sum(difference**2 / variance[used])), int(used.sum()) - 1


def jensen_shannon(source: WeightedScores, other: WeightedScores, edges: FloatArray) -> float | None:
    """Return the Jensen-Shannon divergence of the two normalised histograms in bits: 0 for equal, 1 for disjoint.

    Bins with a negative sum in either sample are merged with their neighbours first; the result is None if that leaves
    one bin. The divergence of two finite samples of the same distribution is not 0 but near (bins - 1) / (8 ln 2)
    times (1 / n_eff + 1 / n_eff): use its permutation p-value to interpret it.
    """
    return jensen_shannon_of(
        histogram(source.score, source.weight, edges)[0], histogram(other.score, other.weight, edges)[0]
    )


def jensen_shannon_of(source: FloatArray, other: FloatArray) -> float | None:
    """Compute `jensen_shannon` from sumw in bins [b] of the two samples."""
    content = np.stack([source / source.sum(), other / other.sum()])
    if np.any(content < 0):
        remaining = merge_bins(content, lambda bin_content: bool(np.all(bin_content >= 0)))
        if remaining is None or len(remaining) < 3:
            return None
        content = np.add.reduceat(content, remaining[:-1], axis=1)
    mean = content.mean(axis=0)
    ratio = np.divide(content, mean, out=np.ones_like(content), where=content > 0)
    return max(float(0.5 * np.sum(content * np.log2(ratio))), 0.0)


def merge_bins(
    content: FloatArray, accept: Callable[[FloatArray], bool]
) -> np.ndarray[tuple[int], np.dtype[np.intp]] | None:
    """Merge neighbours, from the highest bin down, until every bin is accepted.

    Bins that are left over at the low end are joined with the bin above them.

    Args:
        content: m sums per bin, [m, b].
        accept: whether a (merged) bin with the sums [m] is acceptable.

    Returns:
        Indices of the edges that remain, rising, from 0 to b; None if even all bins together are not accepted.

    """
    bins = content.shape[1]
    indices, running = [bins], np.zeros(content.shape[0])
    for b in range(bins - 1, -1, -1):
        running = running + content[:, b]
        if accept(running):
            indices.append(b)
            running = np.zeros_like(running)
    if indices[-1] != 0:  # the remainder was not accepted: merge it with its neighbours until it is
        while len(indices) > 1:
            indices.pop()
            start = indices[-1]
            if accept(content[:, :start].sum(axis=1)):
                indices.append(0)
                break
        else:
            return None
    return np.asarray(indices[::-1], dtype=np.intp)
