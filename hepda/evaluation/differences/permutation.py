"""P-values by permutation of the domain labels, and the null distribution of two samples of one generator.

Under the null hypothesis both samples have the same joint distribution of score and weight (in units of the mean
weight), so the labels can be exchanged. Each statistic is multiplied by the power of n_eff that makes its
null distribution independent of the sizes of the samples, with the n_eff of the permuted samples: the p-values
then remain correct when the two samples have different weights (Janssen 1997; Chung and Romano,
arXiv:1304.5939). All replicas, and the observed value with which they are compared, are computed in some
thousand quantile bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hepda.errors import DataError
from hepda.evaluation.arrays import BoolArray, WeightedScores, bin_edges
from hepda.evaluation.bootstrap import poisson_counts
from hepda.evaluation.differences.distances import chi2_of, jensen_shannon_of
from hepda.results.evaluation import FloatArray, NullDistribution, TwoSampleTest

STATISTICS = ("ks", "wasserstein", "energy", "chi2", "jensen_shannon")
# statistic ~ n_eff^(-power) under the null hypothesis, with 1 / n_eff = 1 / n_eff(source) + 1 / n_eff(other)
_POWER = {"ks": 0.5, "wasserstein": 0.5, "energy": 0.5, "chi2": 0.0, "jensen_shannon": 1.0}


class _Pool:
    """Events in fine bins, sorted, so that any division into two samples is compared in one pass over them."""

    def __init__(self, score: FloatArray, weight: FloatArray, edges: FloatArray, bins: int = 2048):
        order = np.argsort(score, kind="stable")
        ordered = score[order]
        self.order = order  # positions in the caller's events
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
        """Return the statistics between the selected events [n] (sorted by score) and the rest, and n_eff of the pair.

        All are NaN, with n_eff 0, if a part has no positive sum of weights.
        """
        first, first2 = self._sums(chosen.astype(np.float64))
        return self._compare(first, first2, self._total - first, self._total2 - first2)

    def bootstrap(self, first: BoolArray, replicas: int, seed: int) -> dict[str, FloatArray]:
        """Return statistics [replicas] of the resampled difference between two samples minus the observed difference.

        Every event is taken a Poisson(1) number of times, with its weight.
        The result is NaN where a sample has no positive sum of weights.

        Args:
            first: mask [n] of the events of the first sample.
            replicas: number of replicas.
            seed: seed of the resampling.

        """
        in_first = first.astype(np.float64)
        centre = self._difference(in_first, 1 - in_first)
        drawn = {name: np.full(replicas, np.nan) for name in ("ks", "wasserstein", "energy")}
        for r, count in enumerate(poisson_counts(len(self.order), replicas, seed)):
            moved = self._difference(in_first * count, (1 - in_first) * count)
            if moved is None or centre is None:
                continue
            step = moved - centre
            drawn["ks"][r] = np.max(np.abs(step), initial=0.0)
            drawn["wasserstein"][r] = np.dot(np.abs(step), self._width)
            drawn["energy"][r] = np.sqrt(2 * np.dot(step**2, self._width))
        return drawn

    def _difference(self, first: FloatArray, second: FloatArray) -> FloatArray | None:
        """Return F_second - F_first at the limits of the bins, for events with these multiplicities [n]."""
        sums = [np.add.reduceat(self.weight * count, self._starts) for count in (first, second)]
        totals = [part.sum() for part in sums]
        if min(totals) <= 0:
            return None
        return np.cumsum(sums[1] / totals[1] - sums[0] / totals[0])[:-1]

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


@dataclass(frozen=True, slots=True, eq=False)
class Permuted:
    """Scaled statistics of two samples, as observed and after each random exchange of their labels."""

    pool: _Pool
    first: BoolArray  # [n], over the events of both samples sorted by score: whether an event is of the source
    observed: Mapping[str, float]
    pair: float  # n_eff of the pair
    drawn: Mapping[str, FloatArray]  # [permutations]


def permute(
    source: WeightedScores, other: WeightedScores, edges: ArrayLike, permutations: int = 200, seed: int = 0
) -> Permuted:
    """Exchange the labels of two samples `permutations` times.

    Args:
        source: the sample of the source.
        other: the sample of the other domain.
        edges: edges of the bins of chi2 and Jensen-Shannon [b + 1].
        permutations: number of permutations.
        seed: seed of the permutations.

    """
    if permutations < 1:
        raise ValueError(f"a permutation test needs at least one permutation, not {permutations}")
    # In units of the mean weight: exchanging labels must not mix normalisations.
    parts = [s.weight * (len(s.weight) / s.sumw) for s in (source, other)]
    pool = _Pool(np.concatenate([source.score, other.score]), np.concatenate(parts), bin_edges(edges))
    first = np.asarray(pool.order < len(source.score))
    values, pair = pool.statistics(first)
    generator = np.random.default_rng(seed)
    drawn = {name: np.empty(permutations) for name in STATISTICS}
    for r in range(permutations):
        scaled = _scaled(*pool.statistics(_subset(len(pool.order), len(source.score), generator)))
        for name in STATISTICS:
            drawn[name][r] = scaled[name]
    return Permuted(pool, first, _scaled(values, pair), pair, drawn)


def permutation_tests(
    source: WeightedScores,
    other: WeightedScores,
    edges: ArrayLike,
    exact: Mapping[str, float | None],
    *,
    permutations: int = 200,
    seed: int = 0,
    permuted: Permuted | None = None,
) -> dict[str, TwoSampleTest]:
    """Return the p-value of each statistic, (1 + permutations that reach its value) / (1 + permutations).

    A statistic that is undefined has p-value None and a reason in `why`.

    Args:
        source: the sample of the source.
        other: the sample of the other domain.
        edges: edges of the bins of chi2 and Jensen-Shannon [b + 1].
        exact: the values to report (computed without binning), by the names in STATISTICS.
        permutations: number of permutations.
        seed: seed of the permutations.
        permuted: result of `permute` for these samples, if it is available already.

    """
    labels_exchanged = permuted or permute(source, other, edges, permutations, seed)
    tests = {}
    for name in STATISTICS:
        drawn, observed = labels_exchanged.drawn[name], labels_exchanged.observed[name]
        reached = int(np.count_nonzero(drawn >= observed * (1 - 1e-12)))
        value, valid = exact.get(name), int(np.isfinite(drawn).sum())
        if value is None or not np.isfinite(observed) or valid == 0:
            why = f"{name} is undefined: fewer than two bins with a positive sum of weights in both samples"
            tests[name] = TwoSampleTest(name, value, None, valid, why)
        else:
            tests[name] = TwoSampleTest(name, value, (1 + reached) / (1 + valid), valid, p_is_limit=reached == 0)
    return tests


def _subset(events: int, size: int, generator: np.random.Generator) -> BoolArray:
    """Return a mask [events] of `size` events; every subset is equally likely, ten times faster than a shuffle.

    Each event is drawn independently, and the excess or deficit is corrected by drawing without replacement: given its
    size, the first draw is uniform over subsets, and so is the corrected one.
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


def same_generator_nulls(
    source: WeightedScores,
    other: WeightedScores,
    edges: ArrayLike = (-np.inf, np.inf),
    *,
    replicas: int = 200,
    level: float = 0.95,
    seed: int = 0,
    permuted: Permuted | None = None,
) -> dict[str, NullDistribution]:
    """Return the null distribution of each statistic, for two samples of one generator like these two.

    They have the sizes and weights of these two.

    It is computed in two ways: by permutation of the labels, which is exact if score and weight have one joint
    distribution in both samples, however broad the weights are or however much they depend on the score; and for KS,
    Wasserstein and energy by a bootstrap about the observed difference, which keeps the weights of each sample with its
    events, and is valid in large samples if they are weighted in different ways, such as simulation and data. The one
    with the larger quantile is returned. A statistic inside its quantile is compatible with no difference.

    Args:
        source: the sample of the source.
        other: the sample of the other domain.
        edges: edges of the bins of chi2 and Jensen-Shannon; these two are omitted where they are undefined.
        replicas: number of replicas.
        level: level of the quantile.
        seed: seed of permutations and bootstrap.
        permuted: result of `permute` for these samples, if it is available already.

    Raises:
        DataError: the samples are too small.

    """
    if replicas < 2 or not 0 < level < 1:
        raise ValueError("a null distribution needs two replicas or more and a level in (0, 1)")
    labels_exchanged = permuted or permute(source, other, edges, replicas, seed)
    values = {name: [drawn / labels_exchanged.pair ** _POWER[name]] for name, drawn in labels_exchanged.drawn.items()}
    resampled = labels_exchanged.pool.bootstrap(labels_exchanged.first, replicas, seed + 1)
    for name, drawn in resampled.items():
        values[name].append(drawn)
    nulls = {}
    for name, both in values.items():
        finite_sets = [np.sort(drawn[np.isfinite(drawn)]) for drawn in both]
        if any(len(finite) < 0.95 * len(drawn) for finite, drawn in zip(finite_sets, both, strict=True)):
            if name == "ks":
                raise DataError(
                    f"only {min(map(len, finite_sets))} of {len(both[0])} random divisions have a positive sum of "
                    "weights in both parts; the samples are too small for a null distribution"
                )
            continue
        quantiles = [_order_statistic(finite, level) for finite in finite_sets]
        wider = int(np.argmax(quantiles))
        nulls[name] = NullDistribution(name, finite_sets[wider], level, quantiles[wider], source.n_eff, other.n_eff)
    return nulls


def _order_statistic(ordered: FloatArray, level: float) -> float:
    """Return the value that one more draw exceeds with probability 1 - level."""
    return float(ordered[min(int(np.ceil(level * (len(ordered) + 1))), len(ordered)) - 1])
