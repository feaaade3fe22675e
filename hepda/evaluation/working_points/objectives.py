"""What a threshold on a score may be chosen for: F1, significance, equal background, a stated efficiency or value.

An objective is a number at every threshold, computed from the sums of weights of the events that pass it. Weights are
signed: a sum above a threshold is not monotone then, and a threshold at which a sum that has to be positive is not is
never chosen.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from hepda.errors import DataError
from hepda.evaluation.arrays import BoolArray, effective, ratio, vector
from hepda.evaluation.bootstrap import ScoreBins
from hepda.evaluation.efficiency import cut_at_efficiency
from hepda.evaluation.significance import asimov
from hepda.results.evaluation import FloatArray

_POSITIVE, _NEGATIVE, _OTHER = 0, 1, 2  # categories of events: wanted, the rest, the rest of the other domain


@dataclass(frozen=True, slots=True, eq=False)
class LabelledScores:
    """Checked events of one part: scores, whether they are of the wanted class, signed weights.

    Attributes:
        score: scores [n].
        positive: whether an event is of the wanted class [n].
        weight: signed weights [n].
        other_score: scores [m] of the rest in another domain; None without one.
        other_weight: signed weights [m] of those.
        counterpart: which events [n] of the rest have a counterpart in the other domain; None: all.

    """

    score: FloatArray
    positive: BoolArray
    weight: FloatArray
    other_score: FloatArray | None = None
    other_weight: FloatArray | None = None
    counterpart: BoolArray | None = None

    @property
    def n_eff(self) -> float:
        """Return the effective number of the wanted events, sumw^2 / sumw2."""
        return effective(self.weight[self.positive])


def labelled_scores(
    score: ArrayLike,
    positive: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    other: tuple[ArrayLike, ArrayLike] | None = None,
    counterpart: ArrayLike | None = None,
) -> LabelledScores:
    """Check the events of one part.

    Args:
        score: scores [n].
        positive: whether an event is of the wanted class [n], bool or 0 and 1.
        weight: signed weights [n]; None means ones.
        other: scores [m] and signed weights [m] of the rest in another domain.
        counterpart: mask [n] of the events whose rest is compared with that of the other domain; None: all.

    Raises:
        ValueError: lengths differ.
        DataError: there are no events of a class, a value is not finite, or weights do not sum to a positive number.

    """
    scores = vector(score, "score")
    weights = np.ones(len(scores)) if weight is None else vector(weight, "weight", len(scores))
    mask = np.asarray(positive, dtype=bool)
    if mask.shape != scores.shape:
        raise ValueError(f"positive has shape {mask.shape} where {scores.shape} is needed")
    matched = None if counterpart is None else np.asarray(counterpart, dtype=bool)
    for part, word in ((mask, "wanted class"), (~mask, "rest")):
        if not weights[part].sum() > 0:
            raise DataError(f"no positive sum of weights in the {word}, of {int(part.sum())} events")
    if other is None:
        return LabelledScores(scores, mask, weights)
    of_other = vector(other[0], "score of the other domain")
    weight_of_other = vector(other[1], "weight of the other domain", len(of_other))
    if not weight_of_other.sum() > 0:
        raise DataError("no positive sum of weights in the rest of the other domain")
    return LabelledScores(scores, mask, weights, of_other, weight_of_other, matched)


@dataclass(frozen=True, slots=True, eq=False)
class Passing:
    """Sums of weights at or above thresholds [..., m], and of all events [..., 1], of the categories of events.

    Attributes:
        positive: of the wanted class.
        negative: of the rest.
        negative2: sums of squared weights of the rest.
        matched: of the rest that has a counterpart in the other domain.
        other: of the rest of the other domain; NaN without one.
        total_positive: of all events of the wanted class.
        total_negative: of the whole rest.
        total_matched: of the whole rest with a counterpart.
        total_other: of the whole rest of the other domain.

    """

    positive: FloatArray
    negative: FloatArray
    negative2: FloatArray
    matched: FloatArray
    other: FloatArray
    total_positive: FloatArray
    total_negative: FloatArray
    total_matched: FloatArray
    total_other: FloatArray

    @property
    def efficiency(self) -> FloatArray:
        """Return the efficiency of the wanted class."""
        return ratio(self.positive, self.total_positive)

    @property
    def n_eff(self) -> FloatArray:
        """Return the effective number of passing events of the rest."""
        return np.where(self.negative2 > 0, ratio(self.negative**2, self.negative2), 0.0)


class ThresholdObjective(ABC):
    """What a threshold is chosen for: a number at each threshold, and its rank, which is largest where it is best."""

    name: ClassVar[str]

    @abstractmethod
    def value(self, passing: Passing) -> FloatArray:
        """Return the number that is reported, for each threshold; NaN where it is not defined."""

    def rank(self, passing: Passing) -> FloatArray:
        """Return what is largest at the best threshold; NaN where a threshold may not be chosen."""
        return self.value(passing)

    def best(self, events: LabelledScores, bins: BinnedScores, counts: ReplicaCounts | None = None) -> float:
        """Return the best threshold of events that are taken `counts` times; NaN if there is none."""
        rank = self.rank(bins.passing(events, counts))
        return float(bins.thresholds[int(np.nanargmax(rank))]) if np.isfinite(rank).any() else np.nan


@dataclass(frozen=True, slots=True)
class F1(ThresholdObjective):
    """Weighted F1 = 2 TP / (2 TP + FP + FN), at the yields of the events (van Rijsbergen, 1979)."""

    name: ClassVar[str] = "f1"

    def value(self, passing: Passing) -> FloatArray:
        """Return F1; NaN where the wanted or the other events that pass have a negative sum."""
        defined = (passing.positive >= 0) & (passing.negative >= 0)
        f1 = ratio(2 * passing.positive, passing.positive + passing.negative + passing.total_positive)
        return np.where(defined, f1, np.nan)


@dataclass(frozen=True, slots=True)
class AsimovSignificance(ThresholdObjective):
    """Median discovery significance of the events that pass, with a relative uncertainty of the background.

    The statistical error of the simulation is left out: it is that of the events that choose, and depends on their
    number.

    Attributes:
        uncertainty: relative uncertainty of the background.
        min_n_eff: smallest effective number of background events above a threshold that may be chosen.

    """

    name: ClassVar[str] = "significance"
    uncertainty: float = 0.1
    min_n_eff: float = 25.0

    def value(self, passing: Passing) -> FloatArray:
        """Return the significance; NaN without a positive background."""
        background = np.where(passing.negative > 0, passing.negative, np.nan)
        z = asimov(passing.positive, np.nan_to_num(background, nan=1.0), self.uncertainty * np.nan_to_num(background))
        return np.where(np.isnan(background), np.nan, z)

    def rank(self, passing: Passing) -> FloatArray:
        """Return the significance where enough background events pass."""
        return np.where(passing.n_eff >= self.min_n_eff, self.value(passing), np.nan)


@dataclass(frozen=True, slots=True)
class EqualBackground(ThresholdObjective):
    """The relative difference of the background efficiency, other domain over this one minus 1: nearest to 0.

    One threshold for both domains. A threshold for each domain would make the efficiencies equal by construction, but
    the two selections would then be different ones: the difference would be hidden, not avoided, and the efficiency of
    the signal would differ instead. It is equal at the loosest and at the tightest threshold in any case, so only
    thresholds within a range of the signal efficiency may be chosen.

    Attributes:
        signal_efficiency: smallest and largest efficiency of the wanted class.
        min_n_eff: smallest effective number of background events above a threshold that may be chosen.

    """

    name: ClassVar[str] = "equal_background"
    signal_efficiency: tuple[float, float] = (0.3, 0.7)
    min_n_eff: float = 25.0

    def value(self, passing: Passing) -> FloatArray:
        """Return eff(other) / eff(this) - 1; NaN where no background passes here or there is no other domain."""
        here = ratio(passing.matched, passing.total_matched)
        there = ratio(passing.other, passing.total_other)
        return ratio(there, here) - 1.0

    def rank(self, passing: Passing) -> FloatArray:
        """Return minus the size of the difference, within the range of the signal efficiency."""
        low, high = self.signal_efficiency
        inside = (passing.efficiency >= low) & (passing.efficiency <= high) & (passing.n_eff >= self.min_n_eff)
        return np.where(inside, -np.abs(self.value(passing)), np.nan)


@dataclass(frozen=True, slots=True)
class FixedEfficiency(ThresholdObjective):
    """A stated efficiency of the wanted class: the tightest threshold that reaches it (`cut_at_efficiency`)."""

    name: ClassVar[str] = "efficiency"
    efficiency: float = 0.5

    def value(self, passing: Passing) -> FloatArray:
        """Return the efficiency of the wanted class."""
        return passing.efficiency

    def best(self, events: LabelledScores, bins: BinnedScores, counts: ReplicaCounts | None = None) -> float:
        """Return the tightest threshold that reaches the efficiency, a score of an event; NaN if there is none."""
        weight = events.weight if counts is None else events.weight * counts.events
        weight = weight[events.positive]
        if not weight.sum() > 0:
            return np.nan
        return cut_at_efficiency(events.score[events.positive], weight, self.efficiency)


@dataclass(frozen=True, slots=True)
class FixedThreshold(ThresholdObjective):
    """A stated threshold, which no event chooses; its value is the efficiency of the wanted class."""

    name: ClassVar[str] = "fixed"
    threshold: float = 0.5

    def value(self, passing: Passing) -> FloatArray:
        """Return the efficiency of the wanted class."""
        return passing.efficiency

    def best(self, events: LabelledScores, bins: BinnedScores, counts: ReplicaCounts | None = None) -> float:
        """Return the stated threshold."""
        return self.threshold


@dataclass(frozen=True, slots=True, eq=False)
class ReplicaCounts:
    """How often the events [n] and those of the other domain [m] are taken in a replica."""

    events: FloatArray
    other: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BinnedScores:
    """Events in fine bins of the score: what passes every threshold, for any multiplicities, in one pass.

    thresholds: the lower limits of the bins, rising; the first is the smallest score.
    """

    thresholds: FloatArray
    bins: ScoreBins

    @classmethod
    def of(cls, events: LabelledScores) -> BinnedScores:
        """Sort events into bins; without an approximation if there are few different scores."""
        category = np.where(events.positive, _POSITIVE, _NEGATIVE)
        score = events.score
        if events.other_score is not None:
            score = np.concatenate([score, events.other_score])
            category = np.concatenate([category, np.full(len(events.other_score), _OTHER)])
        bins = ScoreBins(score, category, int(category.max()) + 1)
        thresholds = bins.lower.copy()
        thresholds[0] = score.min()
        return cls(thresholds, bins)

    def passing(self, events: LabelledScores, counts: ReplicaCounts | None = None) -> Passing:
        """Return the sums above every threshold."""
        weight, other = _taken(events, counts)
        nothing = None if other is None else np.zeros(len(other))

        def above(of_events: FloatArray, of_other: FloatArray | None) -> FloatArray:
            joined = of_events if of_other is None else np.concatenate([of_events, of_other])
            return np.cumsum(self.bins.sums(joined)[:, ::-1], axis=1)[:, ::-1]

        sums, squares = above(weight, other), above(weight * weight, nothing)
        matched = sums[_NEGATIVE]
        if events.counterpart is not None and other is not None:
            matched = above(np.where(events.counterpart, weight, 0.0), nothing)[_NEGATIVE]
        of_other = sums[_OTHER] if other is not None else np.full_like(matched, np.nan)
        return _passing(sums[_POSITIVE], sums[_NEGATIVE], squares[_NEGATIVE], matched, of_other)


def _taken(events: LabelledScores, counts: ReplicaCounts | None) -> tuple[FloatArray, FloatArray | None]:
    """Return the weights of a replica: of the events, and of those of the other domain."""
    if counts is None:
        return events.weight, events.other_weight
    other = None if events.other_weight is None or counts.other is None else events.other_weight * counts.other
    return events.weight * counts.events, other


def _passing(
    positive: FloatArray, negative: FloatArray, negative2: FloatArray, matched: FloatArray, other: FloatArray
) -> Passing:
    """Return the sums with their totals, which are those at the loosest threshold, the first one."""
    totals = (x[..., :1] for x in (positive, negative, matched, other))
    return Passing(positive, negative, negative2, matched, other, *totals)


def passing_at(events: LabelledScores, threshold: float, counts: ReplicaCounts | None = None) -> Passing:
    """Return the sums of all events and of those that pass one threshold [2]."""
    weight, other = _taken(events, counts)
    passed = events.score >= threshold

    def both(weights: FloatArray, mask: BoolArray, inside: BoolArray) -> FloatArray:
        return np.array([weights[mask].sum(), weights[mask & inside].sum()])

    rest = ~events.positive
    matched = rest if events.counterpart is None else rest & events.counterpart
    of_other = np.full(2, np.nan)
    if other is not None and events.other_score is not None:
        everywhere = np.ones(len(other), dtype=bool)
        of_other = both(other, everywhere, events.other_score >= threshold)
    return _passing(
        both(weight, events.positive, passed), both(weight, rest, passed), both(weight * weight, rest, passed),
        both(weight, matched, passed), of_other,
    )  # fmt: skip
