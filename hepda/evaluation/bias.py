"""What differs between two domains: distances of the score with p-values and null, shifts of efficiencies.

Each domain is normalised to unit sum of weights: a difference of yields is not a bias of the score.
Conventions for signed weights stand in `distances`; "source" and "other" are defined in `results`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.errors import DataError
from hepda.evaluation import distances
from hepda.evaluation.arrays import Sample, bin_edges, sample, vector
from hepda.evaluation.bootstrap import ScoreBins, check_bootstrap, interval, poisson_counts
from hepda.evaluation.efficiency import cut_at_efficiency, weighted_efficiency
from hepda.evaluation.permutation import permutation_tests, same_generator_null
from hepda.evaluation.results import (
    BiasResult,
    EfficiencyShift,
    FloatArray,
    Interval,
    NullDistribution,
    ShiftRatio,
)

EFFICIENCIES = (0.1, 0.2, 0.3, 0.5, 0.7)


def compare(
    source_score: ArrayLike,
    source_weight: ArrayLike | None,
    other_score: ArrayLike,
    other_weight: ArrayLike | None,
    *,
    signal_score: ArrayLike | None = None,
    signal_weight: ArrayLike | None = None,
    efficiencies: Sequence[float] = EFFICIENCIES,
    class_name: str = "background",
    edges: ArrayLike | None = None,
    permutations: int = 200,
    null_replicas: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> BiasResult:
    """Compare the score of one class between the source [n] and another domain [m].

    signal_score [s]: the source's signal, whose efficiency fixes the cuts of the efficiency shifts; without
    it there are none. edges: the analysis bins of chi2 and Jensen-Shannon, ten equal shares of the source
    if not given. permutations or null_replicas 0 leave the p-values or the null out. Raises DataError if a
    sample is empty, not finite or without a positive sum of weights.
    """
    source = sample(source_score, source_weight, f"{class_name} of the source")
    other = sample(other_score, other_weight, f"{class_name} of the other domain")
    limits = _equal_shares(source, 10) if edges is None else bin_edges(edges)
    signed, location = distances.kolmogorov_smirnov(source, other)
    squared, ndf = distances.chi2(source, other, limits)
    moved, energy = distances.wasserstein(source, other), distances.energy_distance(source, other)
    divergence = distances.jensen_shannon(source, other, limits)
    values = {
        "ks": abs(signed),
        "wasserstein": moved,
        "energy": energy,
        "chi2": squared,
        "jensen_shannon": divergence,
    }
    tests = (
        permutation_tests(source, other, limits, values, permutations=permutations, seed=seed)
        if permutations
        else {}
    )
    null, why = _null(source, other, null_replicas, level, seed + 1)
    shifts: tuple[EfficiencyShift, ...] = ()
    if signal_score is not None:
        signal = sample(signal_score, signal_weight, "signal of the source")
        shifts = tuple(_shift(signal, source, other, e) for e in efficiencies)
    return BiasResult(
        class_name=class_name,
        ks=abs(signed),
        ks_signed=signed,
        ks_location=location,
        wasserstein=moved,
        chi2=squared,
        ndf=ndf,
        jensen_shannon=divergence,
        energy=energy,
        p_value=tests["ks"].p_value if tests else None,
        null=null,
        efficiency_shift=shifts,
        tests=tests,
        n_eff_source=source.n_eff,
        n_eff_other=other.n_eff,
        why=why if tests else "no permutations were asked for",
    )


def _null(
    source: Sample, other: Sample, replicas: int, level: float, seed: int
) -> tuple[NullDistribution | None, str | None]:
    """The same-generator null of the KS, or why there is none."""
    if not replicas:
        return None, "no replicas of the null were asked for"
    sizes = (source.n_eff, other.n_eff)
    try:
        null = same_generator_null(
            source.score, source.weight, *sizes, replicas=replicas, level=level, seed=seed
        )
    except DataError as reason:
        return None, f"no null: {reason}"
    return null, None


def efficiency_shift(
    signal_score: ArrayLike,
    signal_weight: ArrayLike | None,
    source_score: ArrayLike,
    source_weight: ArrayLike | None,
    other_score: ArrayLike,
    other_weight: ArrayLike | None,
    efficiencies: Sequence[float] = EFFICIENCIES,
) -> tuple[EfficiencyShift, ...]:
    """Shift e_other / e_source - 1 of an efficiency at the cuts that fix the source's signal efficiency.

    The error, (e_other / e_source) sqrt[(d_other / e_other)^2 + (d_source / e_source)^2] with d from sumw2,
    treats the domains as independent and the cut as exact. Shift and error are None, with why, if the
    efficiency of the source is not positive at the cut.
    """
    signal = sample(signal_score, signal_weight, "signal of the source")
    source = sample(source_score, source_weight, "the source")
    other = sample(other_score, other_weight, "the other domain")
    return tuple(_shift(signal, source, other, e) for e in efficiencies)


def _shift(signal: Sample, source: Sample, other: Sample, efficiency: float) -> EfficiencyShift:
    cut = cut_at_efficiency(signal.score, signal.weight, efficiency)
    kept, kept_error = weighted_efficiency(source.score >= cut, source.weight)
    other_kept, other_error = weighted_efficiency(other.score >= cut, other.weight)
    found = (efficiency, cut, kept, other_kept)
    if kept <= 0:
        return EfficiencyShift(*found, None, None, f"source efficiency {kept:.3g} at the cut: no ratio")
    error = np.hypot(other_error / kept, kept_error * other_kept / kept**2)
    return EfficiencyShift(*found, other_kept / kept - 1, float(error))


def _equal_shares(events: Sample, bins: int) -> FloatArray:
    """Open-ended edges of bins that hold equal shares of the |weights|; fewer bins where scores tie."""
    order = np.argsort(events.score)
    share = np.cumsum(np.abs(events.weight[order]))
    at = np.searchsorted(share, share[-1] * np.arange(1, bins) / bins)
    inner = np.unique(events.score[order][at])
    inner = inner[inner > events.score.min()]
    return np.concatenate([[-np.inf], inner, [np.inf]])


def shift_ratio(
    plain: ArrayLike,
    adapted: ArrayLike,
    label: ArrayLike,
    domain: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    source: str | int,
    other: str | int,
    signal_efficiency: float = 0.3,
    replicas: int = 200,
    seed: int = 0,
    level: float = 0.6827,
) -> ShiftRatio:
    """R = |shift of the adapted model| / |shift of the plain one|, of background between source and other.

    plain, adapted [n]: scores of the two models on the same events; label [n] (1 signal, 0 background);
    domain [n]: names or numbers, of which source's signal and background and other's background are used.
    Each model has its own cut. Every replica resamples all of it, the cut's signal too. `ratio` is None
    where the plain shift is zero. R with a third generator that no training saw is the test of
    arXiv:2109.08159: see `verdict`.
    """
    check_bootstrap(replicas, level)
    models, weights, category = _three_samples(plain, adapted, label, domain, weight, source, other)
    binned = [ScoreBins(m, category, 3) for m in models]
    centre = np.array([_binned_shift(b.sums(weights), signal_efficiency) for b in binned])
    drawn = np.array(
        [
            [_binned_shift(b.sums(weights * count), signal_efficiency) for b in binned]
            for count in poisson_counts(len(weights), replicas, seed)
        ]
    )
    shifts = []
    for m, model in enumerate(models):
        source_part, other_part, signal = (
            Sample(model[category == c], weights[category == c]) for c in range(3)
        )
        exact = _shift(signal, source_part, other_part, signal_efficiency).shift
        if exact is None:
            raise DataError(
                f"no source background passes at {signal_efficiency:.0%} signal efficiency; "
                "ask for the shift at a higher one"
            )
        shifts.append(interval(exact, float(centre[m]), drawn[:, m], level))
    return _ratio(str(other), signal_efficiency, shifts[0], shifts[1], drawn, level)


def _three_samples(
    plain: ArrayLike,
    adapted: ArrayLike,
    label: ArrayLike,
    domain: ArrayLike,
    weight: ArrayLike | None,
    source: str | int,
    other: str | int,
) -> tuple[list[FloatArray], FloatArray, NDArray[np.intp]]:
    """Scores of both models, weights, category: background of source 0, of other 1, signal of source 2."""
    domains = np.asarray(domain)
    n = len(domains)
    models = [vector(plain, "plain score", n), vector(adapted, "adapted score", n)]
    weights = np.ones(n) if weight is None else vector(weight, "weight", n)
    signal = np.asarray(label) == 1
    background = np.asarray(label) == 0
    if signal.shape != (n,):
        raise ValueError(f"label has shape {signal.shape} where ({n},) is needed")
    masks = (background & (domains == source), background & (domains == other), signal & (domains == source))
    category = np.full(n, -1, dtype=np.intp)
    for c, (mask, word) in enumerate(
        zip(masks, (f"background of {source}", f"background of {other}", f"signal of {source}"), strict=True)
    ):
        sample(models[0][mask], weights[mask], word)  # for its checks
        category[mask] = c
    used = category >= 0
    return [m[used] for m in models], weights[used], category[used]


def _binned_shift(sums: FloatArray, efficiency: float) -> float:
    """Shift from sums [3, bins]: source background, other background, source signal; NaN if undefined."""
    kept = np.cumsum(sums[:, ::-1], axis=1)
    total = kept[:, -1]
    if np.any(total <= 0):
        return float("nan")
    reached = np.maximum.accumulate(kept[2]) / total[2]
    source, other = (np.interp(efficiency, reached, kept[c] / total[c]) for c in (0, 1))
    return float(other / source - 1) if source > 0 else float("nan")


def _ratio(
    other: str, efficiency: float, plain: Interval, adapted: Interval, drawn: FloatArray, level: float
) -> ShiftRatio:
    resolved = abs(plain.value) > 2 * plain.error
    if plain.value == 0:
        return ShiftRatio(other, efficiency, plain, adapted, None, False, "the plain model shows no shift")
    value = abs(adapted.value) / abs(plain.value)
    usable = np.where(drawn[:, 0] != 0, drawn[:, 0], np.nan)
    low, high = np.nanquantile(np.abs(drawn[:, 1] / usable), [0.5 * (1 - level), 0.5 * (1 + level)])
    why = None if resolved else "the plain model's shift is within two errors of zero: the ratio says nothing"
    ratio = Interval(value, min(float(low), value), max(float(high), value), level)
    return ShiftRatio(other, efficiency, plain, adapted, ratio, resolved, why)


def verdict(trained: ShiftRatio, third: ShiftRatio | None) -> str:
    """What may be said of a fallen shift, given the ratio for a generator that no training saw (or None).

    Removing the difference between two generators is not removing the distance of either to the truth
    (Ghosh, Nachman, arXiv:2109.08159), so without a third the words are "apparent difference".
    """
    pair = f"apparent difference to {trained.other} at {trained.signal_efficiency:.0%} signal efficiency"
    if not trained.resolved or trained.ratio is None:
        return f"The {pair} is not resolved even without adaptation: {trained.why}."
    if trained.ratio.high >= 1:
        return f"The {pair} did not fall significantly (ratio {_text(trained.ratio)})."
    fell = f"The {pair} fell to {_text(trained.ratio)} of the plain model's"
    if third is None:
        return f"{fell}; no third generator tests it, so it must not be quoted as a systematic uncertainty."
    if not third.resolved or third.ratio is None:
        return f"{fell}; the third generator ({third.other}) cannot tell: {third.why}."
    if third.ratio.high < 1:
        unseen = f"that to {third.other}, which no training saw, to {_text(third.ratio)}"
        return f"{fell}, and {unseen}: the bias fell."
    return (
        f"WARNING: {fell}, but that to {third.other}, which no training saw, did not "
        f"(ratio {_text(third.ratio)}): the apparent uncertainty fell, the actual one need not have."
    )


def _text(ratio: Interval) -> str:
    return f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
