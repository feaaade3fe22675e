"""Differences between two domains: distances of the score with p-values and null distributions, shifts of efficiencies.

Each domain is normalised to unit sum of weights: a difference of yields is not a bias of the score.
The conventions for signed weights are in `distances`; "source" and "other" are defined in
`hepda.results.evaluation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from hepda.errors import DataError
from hepda.evaluation.arrays import WeightedScores, bin_edges, sample
from hepda.evaluation.differences import distances
from hepda.evaluation.differences.permutation import (
    STATISTICS,
    Permuted,
    TwoSamples,
    permutation_tests,
    permute,
    same_generator_nulls,
    shift_nulls,
)
from hepda.evaluation.efficiency import cuts_at_efficiencies, efficiency_of, limit_of_none, weighted_efficiency
from hepda.results.evaluation import BiasResult, EfficiencyShift, FloatArray, NullDistribution

EFFICIENCIES = (0.1, 0.2, 0.3, 0.5, 0.7)


@dataclass(frozen=True, slots=True, eq=False)
class BiasSettings:
    """How two domains are compared.

    efficiencies: signal efficiencies at which the shifts are computed; class_name: name of the class that is compared;
    edges: analysis bins of chi2 and Jensen-Shannon, by default ten bins with equal shares of the source; permutations:
    number of permutations for the p-values, 0 omits them; null_replicas: number of replicas for the null distribution,
    0 omits it; level: level of the quantile of the null distribution; seed: of permutations and replicas.
    """

    efficiencies: Sequence[float] = EFFICIENCIES
    class_name: str = "background"
    edges: ArrayLike | None = None
    permutations: int = 200
    null_replicas: int = 200
    level: float = 0.95
    seed: int = 0


DEFAULT = BiasSettings()


def compare(
    source_score: ArrayLike,
    source_weight: ArrayLike | None,
    other_score: ArrayLike,
    other_weight: ArrayLike | None,
    *,
    signal_score: ArrayLike | None = None,
    signal_weight: ArrayLike | None = None,
    settings: BiasSettings = DEFAULT,
) -> BiasResult:
    """Compare the score of one class between the source [n] and another domain [m].

    Args:
        source_score: scores of the source [n].
        source_weight: signed weights of the source [n]; None means ones.
        other_score: scores of the other domain [m].
        other_weight: signed weights of the other domain [m]; None means ones.
        signal_score: scores of the source's signal [s], whose efficiency fixes the cuts of the efficiency shifts;
            without them no shifts are computed.
        signal_weight: signed weights of the source's signal [s].
        settings: how the domains are compared.

    Raises:
        DataError: a sample is empty, has values that are not finite or has no positive sum of weights.

    """
    name = settings.class_name
    return compare_models(
        [
            ModelScores(
                sample(source_score, source_weight, f"{name} of the source"),
                sample(other_score, other_weight, f"{name} of the other domain"),
                None if signal_score is None else sample(signal_score, signal_weight, "signal of the source"),
                None if settings.edges is None else bin_edges(settings.edges),
            )
        ],
        settings,
    )[0]


@dataclass(frozen=True, slots=True, eq=False)
class ModelScores:
    """The scores of one model in a comparison of two domains.

    signal: the source's signal, whose efficiency fixes the cuts of the efficiency shifts; None omits them. edges: as in
    `BiasSettings`, which apply where this is None.
    """

    source: WeightedScores
    other: WeightedScores
    signal: WeightedScores | None = None
    edges: FloatArray | None = None


def compare_models(models: Sequence[ModelScores], settings: BiasSettings = DEFAULT) -> list[BiasResult]:
    """Compare the score of one class between two domains by several models, of the same events.

    The result of a model is that of `compare`; the random numbers are drawn once for all models.

    Args:
        models: the scores of each model.
        settings: how the domains are compared.

    """
    cuts = [None if m.signal is None else cuts_at_efficiencies(m.signal, settings.efficiencies) for m in models]
    pairs = [TwoSamples(m.source, m.other, _edges_of(m, settings), c or ()) for m, c in zip(models, cuts, strict=True)]
    permuted: Sequence[Permuted | None] = [None] * len(pairs)
    if settings.permutations:
        permuted = permute(
            pairs, settings.permutations, settings.seed,
            replicas=settings.null_replicas, bootstrap_seed=settings.seed + 2,
        )  # fmt: skip
    return [_compared(*of_model, settings) for of_model in zip(models, pairs, permuted, strict=True)]


def _edges_of(model: ModelScores, settings: BiasSettings) -> FloatArray:
    if model.edges is not None:
        return model.edges
    return _equal_shares(model.source, 10) if settings.edges is None else bin_edges(settings.edges)


def _compared(model: ModelScores, pair: TwoSamples, permuted: Permuted | None, settings: BiasSettings) -> BiasResult:
    """Return the comparison of one model."""
    source, other, limits = pair.source, pair.other, pair.edges
    result = _distances(source, other, limits, settings.class_name)
    nulls, why = _nulls(source, other, limits, settings, permuted)
    tests = {}
    if permuted is not None:
        exact = {name: getattr(result, name) for name in STATISTICS}
        drawn = permutation_tests(source, other, limits, exact, permuted=permuted)
        tests = {n: replace(t, null=nulls[n].quantile if n in nulls else None) for n, t in drawn.items()}
    at_cuts: tuple[EfficiencyShift, ...] = ()
    if model.signal is not None:
        points = zip(pair.cuts, settings.efficiencies, strict=True)
        at_cuts = tuple(_shift(source, other, cut, efficiency) for cut, efficiency in points)
        if permuted is not None and settings.null_replicas:
            of_one = shift_nulls(permuted, settings.level)
            at_cuts = tuple(replace(shift, null=null) for shift, null in zip(at_cuts, of_one, strict=True))
    return replace(
        result,
        p_value=tests["ks"].p_value if tests else None,
        null=nulls.get("ks"),
        efficiency_shift=at_cuts,
        tests=tests,
        why=why if tests else "no permutations were requested",
    )


def _distances(source: WeightedScores, other: WeightedScores, edges: FloatArray, class_name: str) -> BiasResult:
    """Compute the five statistics, without the quantities that need random numbers."""
    cumulative = distances.cumulative_distances(source, other)
    squared, ndf = distances.chi2(source, other, edges)
    return BiasResult(
        class_name=class_name,
        ks=abs(cumulative.ks_signed),
        ks_signed=cumulative.ks_signed,
        ks_location=cumulative.ks_location,
        wasserstein=cumulative.wasserstein,
        chi2=squared,
        ndf=ndf,
        jensen_shannon=distances.jensen_shannon(source, other, edges),
        energy=cumulative.energy,
        n_eff_source=source.n_eff,
        n_eff_other=other.n_eff,
        ks_error=_ks_error(source, other, cumulative.ks_location),
    )


def _ks_error(source: WeightedScores, other: WeightedScores, location: float) -> float:
    """Return the error of the KS distance: of the difference of both fractions below its location, in quadrature.

    A distance that is well above zero fluctuates like the difference at the place of its maximum (Raghavachari, Ann.
    Statist. 1 (1973) 67); near zero the null distribution says more.
    """
    first, second = (weighted_efficiency(s.score <= location, s.weight)[1] for s in (source, other))
    return float(np.hypot(first, second))


def _nulls(
    source: WeightedScores, other: WeightedScores, edges: FloatArray, settings: BiasSettings, permuted: Permuted | None
) -> tuple[dict[str, NullDistribution], str | None]:
    """Return the null distribution of every statistic for one generator, or the reason why there is none."""
    if not settings.null_replicas:
        return {}, "no replicas of the null distribution were requested"
    replicas, level, seed = settings.null_replicas, settings.level, settings.seed + 1
    try:
        nulls = same_generator_nulls(source, other, edges, replicas=replicas, level=level, seed=seed, permuted=permuted)
    except DataError as reason:
        return {}, f"no null distribution: {reason}"
    return nulls, None


def efficiency_shift(
    signal_score: ArrayLike,
    signal_weight: ArrayLike | None,
    source_score: ArrayLike,
    source_weight: ArrayLike | None,
    other_score: ArrayLike,
    other_weight: ArrayLike | None,
    efficiencies: Sequence[float] = EFFICIENCIES,
) -> tuple[EfficiencyShift, ...]:
    """Compute the shift e_other / e_source - 1 of an efficiency at the cuts that fix the source's signal efficiency.

    The error, (e_other / e_source) sqrt[(d_other / e_other)^2 + (d_source / e_source)^2] with d from sumw2, treats the
    domains as independent and the cut as exact. Shift and error are None, and `why` has the reason, if the efficiency
    of the source is not positive at the cut, or if no event of the other domain passes it. In the second case the shift
    would be -100 % without an error, and `upper` is the limit on the shift at 95 % confidence.
    """
    signal = sample(signal_score, signal_weight, "signal of the source")
    source = sample(source_score, source_weight, "the source")
    other = sample(other_score, other_weight, "the other domain")
    return shifts(signal, source, other, efficiencies)


def shifts(
    signal: WeightedScores, source: WeightedScores, other: WeightedScores, efficiencies: Sequence[float]
) -> tuple[EfficiencyShift, ...]:
    """Compute `efficiency_shift` from samples that are already checked."""
    cuts = cuts_at_efficiencies(signal, efficiencies)
    return tuple(_shift(source, other, cut, e) for cut, e in zip(cuts, efficiencies, strict=True))


def _shift(source: WeightedScores, other: WeightedScores, cut: float, efficiency: float) -> EfficiencyShift:
    """Compute one point of `efficiency_shift`."""
    source_efficiency, source_error = efficiency_of(source.score >= cut, source.weight)
    other_efficiency, other_error = efficiency_of(other.score >= cut, other.weight)
    point = (efficiency, cut, source_efficiency, other_efficiency)
    if source_efficiency <= 0:
        return EfficiencyShift(*point, None, None, f"source efficiency {source_efficiency:.3g} at the cut: no ratio")
    if not np.any(other.score >= cut):
        upper = limit_of_none(other.weight) / source_efficiency - 1
        why = (
            f"no event of the other domain passes the cut of {efficiency:.0%} signal efficiency: the shift is below "
            f"{upper:+.0%} at 95 % confidence"
        )
        return EfficiencyShift(*point, None, None, why, upper)
    error = np.hypot(other_error / source_efficiency, source_error * other_efficiency / source_efficiency**2)
    return EfficiencyShift(*point, other_efficiency / source_efficiency - 1, float(error))


def _equal_shares(events: WeightedScores, bins: int) -> FloatArray:
    """Return open-ended edges of bins with equal shares of the |weights|; there are fewer bins where scores tie."""
    order = np.argsort(events.score)
    share = np.cumsum(np.abs(events.weight[order]))
    last = np.searchsorted(share, share[-1] * np.arange(1, bins) / bins)
    inner = np.unique(events.score[order][last])
    inner = inner[inner > events.score.min()]
    return np.concatenate([[-np.inf], inner, [np.inf]])
