"""Ratios of shifts: the shift of an adapted model over that of the baseline, in several domains, and their meaning.

Removing the difference between two generators is not removing the distance of either to the truth (Ghosh,
Nachman, arXiv:2109.08159). So the ratio for the domain that was used in a training is compared with that for a domain
that no training used, at cuts of the same signal efficiency, where the significance of a search comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.errors import DataError
from hepda.evaluation.arrays import WeightedScores, sample, vector
from hepda.evaluation.bootstrap import ScoreBins, check_bootstrap, interval, poisson_counts
from hepda.evaluation.differences.bias import shifts
from hepda.results.evaluation import EfficiencyShift, FloatArray, Interval, ShiftRatio

TAIL = (0.3, 0.2, 0.1)
UNCHANGED = 0.9  # a ratio above it is not called a decrease, however precisely it is measured
_BACKGROUND, _SIGNAL = 0, 1  # labels


@dataclass(frozen=True, slots=True, eq=False)
class DomainComparison:
    """Which domains and which events of them are compared.

    source: the domain of the source; others: the domains that are compared with it; compared: the class that is
    compared with that of the source; left_out: by other domain, a mask [n] of the events of the class `compared` (of
    the source and of that domain) that its comparison excludes, such as processes without a counterpart.
    """

    source: str | int
    others: Sequence[str | int]
    compared: Literal["background", "signal"] = "background"
    left_out: Mapping[str, ArrayLike] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RatioSettings:
    """How ratios of shifts are computed.

    efficiencies: signal efficiencies of the cuts; replicas: number of bootstrap replicas; seed: of the replicas; level:
    coverage of the intervals.
    """

    efficiencies: Sequence[float] = TAIL
    replicas: int = 200
    seed: int = 0
    level: float = 0.6827


DEFAULT = RatioSettings()

Judgement = Literal["unresolved", "not fallen", "untested", "cannot tell", "apparent only", "fell less", "fell"]


@dataclass(frozen=True, slots=True, eq=False)
class _Events:
    """The events that the shifts need, by category: those of the source (background, signal), then the other domains.

    Where domains are compared with different processes of the source, its class has a category for each set of domains.
    """

    weight: FloatArray  # [n]
    category: NDArray[np.intp]  # [n]
    rows: Mapping[str, tuple[int, ...]]  # other domain -> categories of the source that it is compared with
    signal: tuple[int, ...]  # categories of the source that fix the cut
    first: int  # category of the first other domain
    others: tuple[str, ...]

    def category_of(self, other: str) -> int:
        """Return the category of another domain."""
        return self.first + self.others.index(other)

    @property
    def categories(self) -> int:
        """How many there are."""
        return self.first + len(self.others)


def shift_ratios(
    scores: Mapping[str, ArrayLike],
    baseline: str,
    label: ArrayLike,
    domain: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    comparison: DomainComparison,
    settings: RatioSettings = DEFAULT,
) -> dict[str, dict[str, tuple[ShiftRatio, ...]]]:
    """Return R = |shift of a model| / |shift of the baseline| by model, other domain and signal efficiency.

    Each model has its own cut, fixed by the source's signal. A domain whose events have no class is compared with all
    events of the source at its physical mixture. Every replica resamples all events, including the signal that fixes
    the cut, and is the same for all models and domains, so the intervals are paired. Where a shift is undefined there
    is no ratio, but a reason in `why`.

    Args:
        scores: one array [n] per model, over the same events.
        baseline: name of the baseline.
        label: labels [n] (1 signal, 0 background, -1 unknown).
        domain: names or numbers of the domains [n].
        weight: signed weights [n]; None means ones.
        comparison: the domains and the class that are compared.
        settings: efficiencies, replicas and intervals.

    Raises:
        DataError: a class of the source or a domain has no positive sum of weights.

    """
    replicas, level, efficiencies = settings.replicas, settings.level, settings.efficiencies
    check_bootstrap(replicas, level)
    if baseline not in scores:
        raise ValueError(f"{baseline!r} is none of the models {sorted(scores)}")
    used, events = _select(label, domain, weight, comparison)
    models = {m: vector(s, f"score of {m}", len(used))[used] for m, s in scores.items()}
    binned = {m: ScoreBins(s, events.category, events.categories) for m, s in models.items()}
    drawn = {m: np.empty((replicas, len(events.others), len(efficiencies))) for m in models}
    for r, count in enumerate(poisson_counts(len(events.weight), replicas, settings.seed)):
        counted = events.weight * count
        for m, bins in binned.items():
            drawn[m][r] = _binned_shifts(bins.sums(counted), events, efficiencies)
    centre = {m: _binned_shifts(b.sums(events.weight), events, efficiencies) for m, b in binned.items()}
    ratios: dict[str, dict[str, tuple[ShiftRatio, ...]]] = {m: {} for m in models if m != baseline}
    for o, other in enumerate(events.others):
        exact = {m: _exact(s, events, other, efficiencies) for m, s in models.items()}
        for m, by_domain in ratios.items():
            by_domain[other] = tuple(
                _ratio(
                    other,
                    (exact[baseline][e], exact[m][e]),
                    (centre[baseline][o, e], centre[m][o, e]),
                    (drawn[baseline][:, o, e], drawn[m][:, o, e]),
                    level,
                )
                for e in range(len(efficiencies))
            )
    return ratios


def _select(
    label: ArrayLike, domain: ArrayLike, weight: ArrayLike | None, comparison: DomainComparison
) -> tuple[NDArray[np.bool_], _Events]:
    """Return which events are used [n], and those events."""
    source, others, left_out = comparison.source, comparison.others, comparison.left_out
    labels, domains = np.asarray(label), np.asarray(domain)
    if labels.shape != domains.shape:
        raise ValueError(f"label has shape {labels.shape} where {domains.shape} is needed")
    weights = np.ones(len(domains)) if weight is None else vector(weight, "weight", len(domains))
    compared_class = _SIGNAL if comparison.compared == "signal" else _BACKGROUND
    category = np.full(len(domains), -1, dtype=np.intp)
    labelled = [bool(np.any(labels[domains == other] >= 0)) for other in others]
    excluded = [np.asarray(left_out.get(str(other), np.zeros(len(domains))), dtype=bool) for other in others]
    # One bit for each other domain that excludes an event of the source: events with equal bits form one category.
    bits = sum(
        (mask.astype(np.int64) << i for i, mask in enumerate(excluded) if labelled[i]),
        np.zeros(len(domains), np.int64),
    )
    by_label: dict[int, list[tuple[int, int]]] = {_BACKGROUND: [], _SIGNAL: []}  # by label: category and its bits
    first = 0
    for name, of_label in by_label.items():
        mask = (domains == source) & (labels == name)
        for value in np.unique(bits[mask]).tolist() if name == compared_class and mask.any() else [0]:
            category[mask & (bits == value) if name == compared_class else mask] = first
            of_label.append((first, value))
            first += 1
    rows: dict[str, tuple[int, ...]] = {}
    for index, other in enumerate(others):
        inside = domains == other
        category[inside & (labels == compared_class) & ~excluded[index] if labelled[index] else inside] = first + index
        matching = [
            (c, 0 if name != compared_class else value)
            for name, of_label in by_label.items()
            for c, value in of_label
            if not labelled[index] or name == compared_class
        ]
        rows[str(other)] = tuple(c for c, value in matching if not (labelled[index] and value >> index & 1))
    signal = tuple(c for c, _ in by_label[_SIGNAL])
    checked = {f"signal of {source}": signal} | {f"the source against {other}": row for other, row in rows.items()}
    checked |= {f"{comparison.compared} of {other}": (first + index,) for index, other in enumerate(others)}
    for text, row in checked.items():
        mask = np.isin(category, row)
        sample(np.zeros(int(np.sum(mask))), weights[mask], text)  # called for its checks
    used = category >= 0
    return used, _Events(weights[used], category[used], rows, signal, first, tuple(map(str, others)))


def _exact(
    score: FloatArray, events: _Events, other: str, efficiencies: Sequence[float]
) -> tuple[EfficiencyShift, ...]:
    def part(categories: Sequence[int]) -> WeightedScores:
        mask = np.isin(events.category, categories)
        return WeightedScores(score[mask], events.weight[mask])

    return shifts(part(events.signal), part(events.rows[other]), part([events.category_of(other)]), efficiencies)


def _binned_shifts(sums: FloatArray, events: _Events, efficiencies: Sequence[float]) -> FloatArray:
    """Return shifts [others, efficiencies] from sums [categories, bins]; NaN where they are undefined."""
    passing = np.cumsum(sums[:, ::-1], axis=1)
    result = np.full((len(events.others), len(efficiencies)), np.nan)
    signal = passing[list(events.signal)].sum(axis=0)
    if signal[-1] <= 0:
        return result
    reached = np.maximum.accumulate(signal) / signal[-1]
    for o, other in enumerate(events.others):
        source, target = passing[list(events.rows[other])].sum(axis=0), passing[events.category_of(other)]
        if source[-1] > 0 and target[-1] > 0:
            source_efficiency = np.interp(efficiencies, reached, source / source[-1])
            target_efficiency = np.interp(efficiencies, reached, target / target[-1])
            result[o] = np.where(
                source_efficiency > 0,
                target_efficiency / np.where(source_efficiency > 0, source_efficiency, 1.0) - 1,
                np.nan,
            )
    return result


def _ratio(
    other: str,
    points: tuple[EfficiencyShift, EfficiencyShift],
    centre: tuple[float, float],
    drawn: tuple[FloatArray, FloatArray],
    level: float,
) -> ShiftRatio:
    """Return the ratio at one signal efficiency; arguments are for (baseline, adapted): exact, binned, replicas [r]."""
    at = points[0].signal_efficiency
    intervals: list[Interval] = []
    for point, middle, replicas in zip(points, centre, drawn, strict=True):
        if point.shift is None:
            return ShiftRatio(other, at, None, None, None, False, point.why)
        try:
            intervals.append(interval(point.shift, float(middle), replicas, level))
        except DataError as reason:
            return ShiftRatio(other, at, None, None, None, False, str(reason))
    before, after = intervals
    if before.value == 0:
        return ShiftRatio(other, at, before, after, None, False, "the baseline has no shift")
    value = abs(after.value / before.value)
    usable = np.where(drawn[0] != 0, drawn[0], np.nan)
    low, high = np.nanquantile(np.abs(drawn[1] / usable), [0.5 * (1 - level), 0.5 * (1 + level)])
    resolved = abs(before.value) > 2 * before.error
    why = None if resolved else "the shift of the baseline is within two errors of zero: the ratio is undefined"
    ratio = Interval(value, min(float(low), value), max(float(high), value), level)
    return ShiftRatio(other, at, before, after, ratio, resolved, why)


def judge(trained: ShiftRatio, held_out: ShiftRatio | None) -> Judgement:
    """Classify the change from the ratio for the training domain and the ratio for a held-out domain.

    A shift has decreased if the interval of its ratio is below 1 and its ratio is not above UNCHANGED. "fell": the
    shift of the held-out domain decreased by at least half as much; "fell less": by less than that; "apparent only": it
    did not decrease.
    """
    if not trained.resolved or trained.ratio is None:
        return "unresolved"
    if not has_fallen(trained.ratio.value, trained.ratio.high):
        return "not fallen"
    if held_out is None:
        return "untested"
    if not held_out.resolved or held_out.ratio is None:
        return "cannot tell"
    if not has_fallen(held_out.ratio.value, held_out.ratio.high):
        return "apparent only"
    return "fell less" if 1 - held_out.ratio.value < 0.5 * (1 - trained.ratio.value) else "fell"


def has_fallen(value: float, high: float) -> bool:
    """Return whether a shift decreased: the upper end of its ratio is below 1, and its ratio is not above UNCHANGED."""
    return high < 1 and value <= UNCHANGED


def verdict(trained: ShiftRatio, held_out: ShiftRatio | None) -> str:
    """Return the result of `judge` as text.

    Without a held-out domain, or if its shift did not decrease, only the apparent difference has decreased.
    """
    pair = f"apparent difference to {trained.other} at {trained.signal_efficiency:.0%} signal efficiency"
    judgement = judge(trained, held_out)
    if judgement == "unresolved" or trained.ratio is None:
        return f"The {pair} is not resolved even without adaptation: {trained.why}."
    if judgement == "not fallen":
        return f"The {pair} did not decrease significantly (ratio {_text(trained.ratio)})."
    smaller = f"The {pair} decreased to {_text(trained.ratio)} of that of the baseline"
    if held_out is None:
        untested = "there is no held-out generator to test it, so it must not be quoted as a systematic uncertainty"
        return f"{smaller}; {untested}."
    if held_out.ratio is None or judgement == "cannot tell":
        return f"{smaller}; the held-out generator ({held_out.other}) gives no answer: {held_out.why}."
    unseen = f"that to the held-out domain {held_out.other} to {_text(held_out.ratio)}"
    if judgement == "fell":
        return f"{smaller}, and {unseen}: the bias decreased."
    if judgement == "fell less":
        return f"{smaller}, but {unseen} only: the decrease is mostly in the apparent difference."
    return (
        f"WARNING: {smaller}, but that to the held-out domain {held_out.other} did not "
        f"(ratio {_text(held_out.ratio)}): the smaller difference must not be taken as a smaller uncertainty."
    )


def _text(ratio: Interval) -> str:
    return f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
