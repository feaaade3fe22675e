"""P-values by permutation of the domain labels, and the null of a split of one generator's sample.

Under the null both samples have the same joint distribution of score and weight (in units of the mean
weight), so the labels can be exchanged. Each statistic is multiplied by the power of n_eff that makes its
null distribution independent of the sample's sizes, with the n_eff of the permuted samples: the p-values
then stay right when the two samples have different weights (Janssen 1997; Chung and Romano,
arXiv:1304.5939). All replicas, and the observed value that they are compared with, are computed in some
thousand quantile bins.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from hepda.errors import DataError
from hepda.evaluation.arrays import BoolArray, Sample, bin_edges, sample
from hepda.evaluation.differences.distances import chi2_of, jensen_shannon_of
from hepda.evaluation.results import FloatArray, NullDistribution, TwoSampleTest

STATISTICS = ("ks", "wasserstein", "energy", "chi2", "jensen_shannon")
# statistic ~ n_eff^(-power) under the null, with 1 / n_eff = 1 / n_eff(source) + 1 / n_eff(other)
_POWER = {"ks": 0.5, "wasserstein": 0.5, "energy": 0.5, "chi2": 0.0, "jensen_shannon": 1.0}


class _Pool:
    """Events in fine bins, sorted, so that any division into two is compared in a pass over them."""

    def __init__(self, score: FloatArray, weight: FloatArray, edges: FloatArray, bins: int = 2048):
        order = np.argsort(score, kind="stable")
        ordered = score[order]
        self.order = order  # of the caller's events
        self.weight, self.weight2 = weight[order], weight[order] ** 2
        limits = np.concatenate([edges[1:-1], ordered[np.linspace(0, len(order) - 1, bins).astype(np.intp)]])
        different = np.flatnonzero(np.diff(ordered, prepend=-np.inf))
        if len(different) > bins:  # a bin begins at the first event at or above each limit; none is empty
            different = np.unique(np.searchsorted(ordered, limits, side="left"))
            different = np.unique(np.append(0, different[different < len(order)]))
        self._starts = different
        self._width = np.diff(ordered[different])
        coarse = np.searchsorted(edges[1:-1], ordered[different], side="right")
        self._coarse = np.flatnonzero(np.diff(coarse, prepend=-1))
        self._total, self._total2 = self._sums(np.ones(len(order)))

    def _sums(self, chosen: FloatArray) -> tuple[FloatArray, FloatArray]:
        return (
            np.add.reduceat(self.weight * chosen, self._starts),
            np.add.reduceat(self.weight2 * chosen, self._starts),
        )

    def statistics(self, chosen: BoolArray) -> tuple[dict[str, float], float]:
        """Statistics between the events chosen [n] (sorted by score) and the rest, and n_eff of the pair.

        All NaN, with n_eff 0, if a part has no positive sum of weights.
        """
        first, first2 = self._sums(chosen.astype(np.float64))
        return self._compare(first, first2, self._total - first, self._total2 - first2)

    def _compare(
        self, first: FloatArray, first2: FloatArray, second: FloatArray, second2: FloatArray
    ) -> tuple[dict[str, float], float]:
        total, total_second = first.sum(), second.sum()
        if total <= 0 or total_second <= 0:
            return dict.fromkeys(STATISTICS, np.nan), 0.0
        pair = 1 / (first2.sum() / total**2 + second2.sum() / total_second**2)
        step = np.cumsum(second / total_second - first / total)[:-1]
        coarse = [np.add.reduceat(x, self._coarse) for x in (first, first2, second, second2)]
        divergence = jensen_shannon_of(coarse[0], coarse[2])
        squared = chi2_of(*coarse)[0]
        return {
            "ks": float(np.max(np.abs(step), initial=0.0)),
            "wasserstein": float(np.dot(np.abs(step), self._width)),
            "energy": float(np.sqrt(2 * np.dot(step**2, self._width))),
            "chi2": np.nan if squared is None else squared,
            "jensen_shannon": np.nan if divergence is None else divergence,
        }, float(pair)


def permutation_tests(
    source: Sample,
    other: Sample,
    edges: ArrayLike,
    exact: Mapping[str, float | None],
    *,
    permutations: int = 200,
    seed: int = 0,
) -> dict[str, TwoSampleTest]:
    """Each statistic's p-value, (1 + permutations that reach it) / (1 + permutations).

    edges [b + 1]: bins of chi2 and Jensen-Shannon. exact: the values to report (computed without binning), by
    the names in STATISTICS. A statistic that is undefined gets p None and a why.
    """
    if permutations < 1:
        raise ValueError(f"a permutation test needs at least one permutation, not {permutations}")
    limits = bin_edges(edges)
    # Units of the mean weight: exchanging labels must not mix normalisations.
    parts = [s.weight * (len(s.weight) / s.sumw) for s in (source, other)]
    pool = _Pool(np.concatenate([source.score, other.score]), np.concatenate(parts), limits)
    observed = _scaled(*pool.statistics(pool.order < len(source.score)))
    generator = np.random.default_rng(seed)
    reached, valid = dict.fromkeys(STATISTICS, 0), dict.fromkeys(STATISTICS, 0)
    for _ in range(permutations):
        drawn = _scaled(*pool.statistics(_subset(len(pool.order), len(source.score), generator)))
        for name in STATISTICS:
            valid[name] += bool(np.isfinite(drawn[name]))
            reached[name] += bool(drawn[name] >= observed[name] * (1 - 1e-12))
    return {n: _verdict(n, exact.get(n), observed[n], reached[n], valid[n]) for n in STATISTICS}


def _subset(events: int, size: int, generator: np.random.Generator) -> BoolArray:
    """Mask [events] of `size` of them, every subset equally likely, ten times faster than a shuffle.

    Each event is drawn alone, and the excess or lack made up by drawing without replacement: given its
    size, the first draw is uniform over subsets, and so is what remains.
    """
    drawn = generator.integers(0, 1 << 16, size=events, dtype=np.uint16)
    chosen = np.asarray(drawn < round(size / events * (1 << 16)))
    excess = int(np.count_nonzero(chosen)) - size
    if excess:
        candidates = np.flatnonzero(chosen if excess > 0 else ~chosen)
        chosen[generator.choice(candidates, abs(excess), replace=False)] = excess < 0
    return chosen


def _scaled(values: dict[str, float], pair: float) -> dict[str, float]:
    return {name: value * pair ** _POWER[name] for name, value in values.items()}


def _verdict(name: str, value: float | None, observed: float, reached: int, valid: int) -> TwoSampleTest:
    if value is None or not np.isfinite(observed) or valid == 0:
        why = f"{name} is undefined: fewer than two bins with a positive sum of weights in both samples"
        return TwoSampleTest(name, value, None, valid, why)
    return TwoSampleTest(name, value, (1 + reached) / (1 + valid), valid)


def same_generator_nulls(
    score: ArrayLike,
    weight: ArrayLike | None,
    n_eff_source: float,
    n_eff_other: float,
    *,
    edges: ArrayLike = (-np.inf, np.inf),
    replicas: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, NullDistribution]:
    """What each statistic comes to between two samples of ONE generator as large as the two that are compared.

    score, weight [n] of one class of the source. Each replica divides the events at random into two disjoint
    parts in the ratio n_eff_source : n_eff_other and scales the statistics from the parts' n_eff to the
    pair's: disjoint parts of one sample are smaller than the samples that they stand for. edges: bins of
    chi2 and Jensen-Shannon, which are left out where they are undefined. A statistic inside its quantile
    cannot be told from no difference at all. Raises DataError if the sample is too small to be divided.
    """
    if replicas < 2 or not 0 < level < 1 or min(n_eff_source, n_eff_other) <= 0:
        raise ValueError("a null needs two replicas or more, a level in (0, 1) and positive n_eff")
    events = sample(score, weight, "the sample that makes the null")
    pool = _Pool(events.score, events.weight, bin_edges(edges))
    pair = 1 / (1 / n_eff_source + 1 / n_eff_other)
    first = round(len(events.score) * n_eff_source / (n_eff_source + n_eff_other))
    first = min(max(first, 1), len(events.score) - 1)
    generator = np.random.default_rng(seed)
    values = {name: np.full(replicas, np.nan) for name in STATISTICS}
    for r in range(replicas):
        found, parts = pool.statistics(_subset(len(events.score), first, generator))
        for name in STATISTICS:
            values[name][r] = found[name] * (parts / pair) ** _POWER[name]
    good = {name: np.sort(drawn[np.isfinite(drawn)]) for name, drawn in values.items()}
    if len(good["ks"]) < 0.95 * replicas:
        raise DataError(
            f"only {len(good['ks'])} of {replicas} random splits have a positive sum of weights in both parts; "
            "the sample is too small for a null"
        )
    sizes = (float(n_eff_source), float(n_eff_other))
    return {
        name: NullDistribution(name, drawn, level, float(np.quantile(drawn, level)), *sizes)
        for name, drawn in good.items()
        if len(drawn) >= 0.95 * replicas
    }
