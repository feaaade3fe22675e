"""Weighted efficiencies: efficiency of a cut, cut at an efficiency, working points, efficiency against a variable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hepda.evaluation.arrays import WeightedScores, bin_edges, bin_index, by_class, effective, sample, vector
from hepda.results.evaluation import EfficiencyCurve, FloatArray, WorkingPoint

_ONE_SIGMA = 0.6827


def weighted_efficiency(passed: ArrayLike, weight: ArrayLike) -> tuple[float, float]:
    """Return the efficiency sumw(passed) / sumw and its standard deviation, for signed weights.

    The variance is that of a ratio of correlated sums,
    [(1 - e)^2 sumw2(passed) + e^2 sumw2(failed)] / sumw^2, which for weights of one is e (1 - e) / n.
    Where no event passes this variance is zero, which a finite sample cannot establish: the error is then the limit at
    68 % confidence.

    Args:
        passed: whether an event passes [n], bool.
        weight: signed weights [n].

    Raises:
        DataError: the sum of weights is not positive.

    Example:
        >>> from hepda.evaluation.efficiency import weighted_efficiency
        >>> efficiency, error = weighted_efficiency([True, True, False, False], [1, 1, 1, -1])
        >>> efficiency, round(error, 3)
        (1.0, 0.707)

    """
    mask = np.asarray(passed, dtype=bool)
    checked = sample(np.zeros(len(mask)), weight, "the sample whose efficiency is computed")
    return efficiency_of(mask, checked.weight)


def efficiency_of(passed: np.ndarray[tuple[int], np.dtype[np.bool_]], weight: FloatArray) -> tuple[float, float]:
    """Return `weighted_efficiency` of a mask [n] and weights [n] that are already checked."""
    total = weight.sum()
    passing = weight[passed]
    if len(passing) == 0:
        return 0.0, limit_of_none(weight, _ONE_SIGMA)
    efficiency = passing.sum() / total
    sumw2, passing2 = np.dot(weight, weight), np.dot(passing, passing)
    variance = ((1 - efficiency) ** 2 * passing2 + efficiency**2 * max(sumw2 - passing2, 0.0)) / total**2
    return float(efficiency), float(np.sqrt(variance))


def limit_of_none(weight: FloatArray, level: float = 0.95) -> float:
    """Return the upper limit on the efficiency of a sample of which no event passes: -ln(1 - level) / n_eff.

    It is the Poisson limit for no event, times the average weight sumw2 / sumw with which an event of the sample counts
    (Bohm and Zech, arXiv:1309.1287), divided by sumw.
    """
    return float(-np.log1p(-level) / effective(weight))


def cut_at_efficiency(score: ArrayLike, weight: ArrayLike | None, efficiency: float) -> float:
    """Return the tightest cut whose efficiency reaches `efficiency`.

    This is the largest score t with sumw(score >= t) / sumw >= efficiency. Ties are kept together, so the efficiency
    reached may be higher than the requested one. With negative weights the cumulative sum is not monotone; "tightest"
    then means the first crossing when the cut is loosened.

    Args:
        score: scores [n].
        weight: signed weights [n]; None means ones.
        efficiency: the requested efficiency.

    Raises:
        ValueError: the efficiency is not in (0, 1].
        DataError: the sample is not usable (see `sample`).

    Example:
        >>> from hepda.evaluation.efficiency import cut_at_efficiency
        >>> cut_at_efficiency([0.1, 0.4, 0.6, 0.9], None, 0.5)
        0.6

    """
    return cuts_at_efficiencies(sample(score, weight, "the sample that fixes the cut"), [efficiency])[0]


def cuts_at_efficiencies(events: WeightedScores, efficiencies: Sequence[float]) -> list[float]:
    """Return `cut_at_efficiency` of checked events for several efficiencies, after one sort.

    Raises:
        ValueError: an efficiency is not in (0, 1].

    """
    order = np.argsort(events.score)[::-1]
    ordered = events.score[order]
    total = np.cumsum(events.weight[order])
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # last event of each group of ties
    passed = total[last]
    cuts = []
    for efficiency in efficiencies:
        if not 0 < efficiency <= 1:
            raise ValueError(f"an efficiency must be in (0, 1], not {efficiency}")
        # The relative tolerance prevents the rounding of the sum from loosening the cut by an event.
        reached = passed >= efficiency * total[-1] * (1 - 1e-12)
        cuts.append(float(ordered[last[int(np.argmax(reached))]]))
    return cuts


def working_point(score: ArrayLike, label: ArrayLike, weight: ArrayLike | None, cut: float) -> WorkingPoint:
    """Return the efficiencies and the background rejection at a cut.

    The rejection is None, with a reason in `why`, where no background passes or the passing background has a negative
    sum.

    Args:
        score: scores [n].
        label: labels [n] (1 signal, 0 background).
        weight: signed weights [n]; None means ones.
        cut: an event passes if its score is at least this value.

    """
    signal, background = by_class(score, label, weight)
    signal_efficiency, signal_error = efficiency_of(signal.score >= cut, signal.weight)
    background_rate, background_rate_error = efficiency_of(background.score >= cut, background.weight)
    point = (float(cut), signal_efficiency, signal_error, background_rate, background_rate_error)
    if not np.any(background.score >= cut):
        limit = limit_of_none(background.weight)
        why = f"no background event passes the cut: an efficiency below {limit:.2g} at 95 % confidence, no rejection"
        return WorkingPoint(*point, None, None, why, limit)
    if background_rate <= 0:
        return WorkingPoint(*point, None, None, f"background efficiency {background_rate:.3g} at the cut: no rejection")
    return WorkingPoint(*point, 1 / background_rate, background_rate_error / background_rate**2)


def efficiency_curve(
    variable: ArrayLike, score: ArrayLike, weight: ArrayLike | None, cut: float, edges: ArrayLike
) -> EfficiencyCurve:
    """Return the efficiency of score >= cut in bins of `variable` [n]; open end bins, NaN where sumw <= 0."""
    events = sample(score, weight)
    values = vector(variable, "variable", len(events.score))
    limits = bin_edges(edges)
    index = bin_index(values, limits)
    bins = len(limits) - 1
    efficiency, error = np.full(bins, np.nan), np.full(bins, np.nan)
    n_eff = np.zeros(bins)
    for b in range(bins):
        weights, passed = events.weight[index == b], events.score[index == b] >= cut
        n_eff[b] = effective(weights)
        if weights.sum() > 0:
            efficiency[b], error[b] = efficiency_of(passed, weights)
    return EfficiencyCurve(limits, efficiency, error, n_eff)


def quantile_edges(variable: ArrayLike, bins: int = 8) -> FloatArray:
    """Return edges [b + 1] of at most `bins` bins with about equal numbers of events, or one bin per value if few.

    The first and the last per cent of the events are beyond the ends, whose bins are open. Whole numbers, such as
    numbers of jets, with up to 2 `bins` different values get one bin each.

    Args:
        variable: values of the variable [n].
        bins: largest number of bins.

    """
    ordered = np.sort(vector(variable, "variable"))
    inner = ordered[len(ordered) // 100 : len(ordered) - len(ordered) // 100]
    different = np.unique(inner)
    if len(different) <= 2 * bins and np.all(different == np.round(different)):
        return np.append(different - 0.5, different[-1] + 0.5)
    edges = np.unique(inner[(np.linspace(0, 1, bins + 1) * (len(inner) - 1)).astype(np.intp)])
    return edges if len(edges) > 1 else np.array([edges[0] - 0.5, edges[0] + 0.5])
