"""P-values by permutation of the domain labels, and the null distribution of two samples of one generator.

Under the null hypothesis both samples have the same joint distribution of score and weight (in units of the mean
weight), so the labels can be exchanged. Each statistic is multiplied by the power of n_eff that makes its
null distribution independent of the sizes of the samples, with the n_eff of the permuted samples: the p-values
then remain correct when the two samples have different weights (Janssen 1997; Chung and Romano,
arXiv:1304.5939). All replicas, and the observed value with which they are compared, are computed in some
thousand quantile bins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike

from hepda.errors import DataError
from hepda.evaluation.arrays import BoolArray, WeightedScores, bin_edges
from hepda.evaluation.bootstrap import poisson_counts
from hepda.evaluation.differences.distances import chi2_of, jensen_shannon_of
from hepda.results.evaluation import FloatArray, Interval, NullDistribution, TwoSampleTest

STATISTICS = ("ks", "wasserstein", "energy", "chi2", "jensen_shannon")
# statistic ~ n_eff^(-power) under the null hypothesis, with 1 / n_eff = 1 / n_eff(source) + 1 / n_eff(other)
_POWER = {"ks": 0.5, "wasserstein": 0.5, "energy": 0.5, "chi2": 0.0, "jensen_shannon": 1.0}


_BLOCK = 250_000
"""Number of events times replicas that are computed at once: temporary arrays stay in the cache of a core, or near."""


class _Pool:
    """Two samples in fine bins, sorted, so that any division of their events is compared in one pass over them."""

    def __init__(self, pair: TwoSamples, bins: int = 2048):
        source, other, edges = pair.source, pair.other, bin_edges(pair.edges)
        score = np.concatenate([source.score, other.score])
        order = np.argsort(score, kind="stable")
        ordered = score[order]
        self.size = len(source.score)
        self.first = np.asarray(order < self.size)  # [n], sorted by score: whether an event is of the source
        # In units of the mean weight: exchanging labels must not mix normalisations.
        scaled = [s.weight * (len(s.weight) / s.sumw) for s in (source, other)]
        self.weight = np.concatenate(scaled)[order]
        self.weight2 = self.weight**2
        limits = np.concatenate([edges[1:-1], ordered[np.linspace(0, len(order) - 1, bins).astype(np.intp)]])
        different = np.flatnonzero(np.diff(ordered, prepend=-np.inf))
        if len(different) > bins:  # a bin begins at the first event at or above each limit; none is empty
            different = np.unique(np.searchsorted(ordered, limits, side="left"))
            different = np.unique(np.append(0, different[different < len(order)]))
        # Sums are formed once, in parts that end at every bin and every cut; both put these parts together.
        cuts = np.searchsorted(ordered, np.asarray(pair.cuts, dtype=np.float64), side="left")
        self._starts = np.union1d(different, cuts[cuts < len(order)])
        self._bins, self._cuts = (np.searchsorted(self._starts, places) for places in (different, cuts))
        self._width = np.diff(ordered[different])
        coarse = np.searchsorted(edges[1:-1], ordered[different], side="right")
        self._coarse = np.flatnonzero(np.diff(coarse, prepend=-1))
        self._coarse_starts = different[self._coarse]
        self._total, self._above = (part[0] for part in self._sums(self.weight[None]))
        self._total2 = np.add.reduceat(self.weight2, self._coarse_starts)
        self._sides = self.weight * self.first, self.weight * ~self.first
        centre, self._observed = self._difference(np.ones((1, len(order))))
        self._centre = centre[0]

    def statistics(self, chosen: FloatArray) -> tuple[dict[str, FloatArray], FloatArray, FloatArray]:
        """Return the statistics [r] between the selected events and the rest, n_eff of the pairs [r], and the shifts.

        The shifts [r, cuts] are those of the efficiencies of the cuts, from the selected events to the rest. All are
        NaN, with n_eff 0, if a part has no positive sum of weights.

        Args:
            chosen: 1 for each selected event, sorted by score, and 0 for the others [r, n].

        """
        first, first_above = self._sums(self.weight * chosen)
        first2 = np.add.reduceat(self.weight2 * chosen, self._coarse_starts, axis=1)
        second, second2 = self._total - first, self._total2 - first2
        totals = first.sum(axis=1), second.sum(axis=1)
        good = (totals[0] > 0) & (totals[1] > 0)
        norm, norm_second = (np.where(good, total, 1.0)[:, None] for total in totals)
        spread = first2.sum(axis=1) / norm[:, 0] ** 2 + second2.sum(axis=1) / norm_second[:, 0] ** 2
        step = np.cumsum(second / norm_second - first / norm, axis=1)[:, :-1]
        coarse = [np.add.reduceat(x, self._coarse, axis=1) for x in (first, second)]
        result = self._distances(step)
        result["chi2"], result["jensen_shannon"] = np.full((2, len(chosen)), np.nan)
        for r in np.flatnonzero(good):
            squared = chi2_of(coarse[0][r], first2[r], coarse[1][r], second2[r])[0]
            divergence = jensen_shannon_of(coarse[0][r], coarse[1][r])
            result["chi2"][r] = np.nan if squared is None else squared
            result["jensen_shannon"][r] = np.nan if divergence is None else divergence
        statistics = {name: np.where(good, values, np.nan) for name, values in result.items()}
        efficiency, efficiency_second = first_above / norm, (self._above - first_above) / norm_second
        shifts = _relative(efficiency_second - efficiency, np.where(good[:, None], efficiency, np.nan))
        return statistics, np.where(good, 1 / np.where(good, spread, 1.0), 0.0), shifts

    def resampled(self, counts: FloatArray) -> tuple[dict[str, FloatArray], FloatArray]:
        """Return statistics [r] of the resampled difference between the two samples minus the observed difference.

        The second array [r, cuts] has the same for the efficiencies of the cuts, in units of the efficiency of the
        source: what shifts of equal samples would be. Both are NaN where a sample has no positive sum of weights.

        Args:
            counts: how often each event, sorted by score, is taken [r, n].

        """
        step, efficiencies = self._difference(counts)
        moved = (efficiencies[1] - efficiencies[0]) - (self._observed[1] - self._observed[0])
        return self._distances(step - self._centre), _relative(moved, self._observed[0])

    def _sums(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the sums of weights [r, n] in the fine bins [r, bins], and those at and above each cut [r, cuts]."""
        parts = np.add.reduceat(weights, self._starts, axis=1)
        above = np.zeros((len(parts), parts.shape[1] + 1))
        above[:, :-1] = np.cumsum(parts[:, ::-1], axis=1)[:, ::-1]
        return np.add.reduceat(parts, self._bins, axis=1), above[:, self._cuts]

    def _distances(self, step: FloatArray) -> dict[str, FloatArray]:
        """Return KS, Wasserstein and energy [r] of differences of cumulative distributions [r, limits]."""
        size = np.abs(step)
        return {
            "ks": np.max(size, axis=1, initial=0.0),
            "wasserstein": size @ self._width,
            "energy": np.sqrt(2 * (np.square(step) @ self._width)),
        }

    def _difference(self, counts: FloatArray) -> tuple[FloatArray, tuple[FloatArray, FloatArray]]:
        """Return F_second - F_first at the limits of the bins [r, limits], and the efficiencies of the cuts [r, cuts].

        Args:
            counts: multiplicities of the events, sorted by score [r, n].

        """
        sides = [self._sums(weight * counts) for weight in self._sides]
        totals = [part.sum(axis=1, keepdims=True) for part, _ in sides]
        norms = [np.where((totals[0] > 0) & (totals[1] > 0), total, np.nan) for total in totals]
        first, second = (part / norm for (part, _), norm in zip(sides, norms, strict=True))
        efficiencies = [above / norm for (_, above), norm in zip(sides, norms, strict=True)]
        return np.asarray(np.cumsum(second - first, axis=1)[:, :-1]), (efficiencies[0], efficiencies[1])


def _relative(difference: FloatArray, efficiency: FloatArray) -> FloatArray:
    """Return a difference of efficiencies in units of an efficiency; NaN where that is not positive."""
    positive = np.isfinite(efficiency) & (efficiency > 0)
    return np.asarray(np.where(positive, difference / np.where(positive, efficiency, 1.0), np.nan))


@dataclass(frozen=True, slots=True, eq=False)
class Permuted:
    """Scaled statistics of two samples, as observed and after each random exchange of their labels."""

    observed: Mapping[str, float]
    pair: float  # n_eff of the pair
    drawn: Mapping[str, FloatArray]  # [permutations]
    resampled: Mapping[str, FloatArray]  # [replicas], not scaled: the bootstrap about the observed difference
    shifts: FloatArray  # [permutations, cuts], of the efficiencies of the cuts
    resampled_shifts: FloatArray  # [replicas, cuts], about the observed difference


@dataclass(frozen=True, slots=True, eq=False)
class TwoSamples:
    """The two samples of one model that are compared, and the edges [b + 1] of the bins of chi2 and Jensen-Shannon.

    cuts: cuts on the score whose efficiencies are compared; as many for all models that are compared together.
    """

    source: WeightedScores
    other: WeightedScores
    edges: FloatArray
    cuts: Sequence[float] = ()


def permute(
    pairs: Sequence[TwoSamples],
    permutations: int = 200,
    seed: int = 0,
    *,
    replicas: int = 0,
    bootstrap_seed: int = 0,
) -> list[Permuted]:
    """Exchange the labels of two samples `permutations` times, and resample them `replicas` times.

    The pairs are the same events with the scores of several models: random numbers are drawn once for all, and the
    memory does not grow with the number of permutations.

    Args:
        pairs: the two samples of each model, of the same sizes.
        permutations: number of permutations.
        seed: seed of the permutations.
        replicas: number of replicas of a bootstrap, in which every event is taken a Poisson(1) number of times.
        bootstrap_seed: seed of the bootstrap.

    """
    if permutations < 1:
        raise ValueError(f"a permutation test needs at least one permutation, not {permutations}")
    pools = [_Pool(pair) for pair in pairs]
    events, size = len(pools[0].weight), pools[0].size
    if any((len(pool.weight), pool.size) != (events, size) for pool in pools):
        raise ValueError("the samples that are permuted together have different sizes")
    generator = np.random.default_rng(seed)
    masks = (_subset(events, size, generator).astype(np.float64) for _ in range(permutations))
    drawn: list[list[tuple[dict[str, FloatArray], FloatArray]]] = [[] for _ in pools]
    for block in _blocks(masks, events):
        for pool, parts in zip(pools, drawn, strict=True):
            values, pair, shifts = pool.statistics(block)
            parts.append((_scaled(values, pair), shifts))
    moved: list[list[tuple[dict[str, FloatArray], FloatArray]]] = [[] for _ in pools]
    for block in _blocks(poisson_counts(events, replicas, bootstrap_seed), events):
        for pool, parts in zip(pools, moved, strict=True):
            parts.append(pool.resampled(block))
    result = []
    for number, pool in enumerate(pools):
        values, pair, _ = pool.statistics(pool.first[None].astype(np.float64))
        observed = {name: float(value[0]) for name, value in _scaled(values, pair).items()}
        none = np.zeros((0, len(pairs[number].cuts)))
        of_labels, of_events = ([part for part, _ in parts[number]] for parts in (drawn, moved))
        shifts, about = (np.concatenate([none, *(s for _, s in parts[number])]) for parts in (drawn, moved))
        result.append(Permuted(observed, float(pair[0]), _joined(of_labels), _joined(of_events), shifts, about))
    return result


def _blocks(rows: Iterator[FloatArray], events: int) -> Iterator[FloatArray]:
    """Yield arrays [r, n] of rows [n]; a block has at most _BLOCK numbers, or one row."""
    while block := list(islice(rows, max(1, _BLOCK // events))):
        yield np.stack(block)


def _joined(parts: Sequence[Mapping[str, FloatArray]]) -> dict[str, FloatArray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


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
    pair = TwoSamples(source, other, bin_edges(edges))
    labels_exchanged = permuted or permute([pair], permutations, seed)[0]
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


def _scaled(values: Mapping[str, FloatArray], pair: FloatArray) -> dict[str, FloatArray]:
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
        permuted: result of `permute` for these samples, with replicas of the bootstrap, if it is available already.

    Raises:
        DataError: the samples are too small.

    """
    if replicas < 2 or not 0 < level < 1:
        raise ValueError("a null distribution needs two replicas or more and a level in (0, 1)")
    pair = TwoSamples(source, other, bin_edges(edges))
    labels_exchanged = permuted or permute([pair], replicas, seed, replicas=replicas, bootstrap_seed=seed + 1)[0]
    values = {name: [drawn / labels_exchanged.pair ** _POWER[name]] for name, drawn in labels_exchanged.drawn.items()}
    for name, drawn in labels_exchanged.resampled.items():
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


def shift_nulls(permuted: Permuted, level: float = 0.95) -> list[Interval | None]:
    """Return for each cut the central interval of the shifts of its efficiency between two samples of one generator.

    As in `same_generator_nulls`, it is computed by permutation of the labels and by a bootstrap about the observed
    difference, and the wider one is returned. It is None where more than 5 % of the replicas are undefined, because
    no event of the source passes in them.

    Args:
        permuted: result of `permute` for samples with cuts.
        level: the share of the shifts inside.

    """
    tails = (0.5 * (1 - level), 0.5 * (1 + level))
    nulls: list[Interval | None] = []
    for of_cut in zip(permuted.shifts.T, permuted.resampled_shifts.T, strict=True):
        finite = [values[np.isfinite(values)] for values in of_cut if len(values)]
        if not finite or any(len(f) < 0.95 * len(v) for f, v in zip(finite, of_cut, strict=False)):
            nulls.append(None)
            continue
        low, high = max((np.quantile(values, tails) for values in finite), key=lambda ends: float(ends[1] - ends[0]))
        nulls.append(Interval(0.0, float(low), float(high), level))
    return nulls


def _order_statistic(ordered: FloatArray, level: float) -> float:
    """Return the value that one more draw exceeds with probability 1 - level."""
    return float(ordered[min(int(np.ceil(level * (len(ordered) + 1))), len(ordered)) - 1])
