"""Thresholds on a score: chosen on some events for a stated objective, judged on other events.

A threshold at which a number is best on some events is partly the one at which their fluctuations are most favourable,
so the number on the same events is too good on average. `choose` therefore gives that number by a name that says so
(`on_choosing`), and `judge` gives the number on other events, with the interval of a bootstrap of those events. Which
events choose is decided by a hash of their key (`hepda.events.dataset.splits`), never by their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike

from hepda.errors import DataError
from hepda.evaluation.arrays import ratio, vector
from hepda.evaluation.bootstrap import interval, poisson_counts
from hepda.evaluation.classes import DEFAULT, Resampling
from hepda.evaluation.working_points.objectives import (
    BinnedScores,
    FixedThreshold,
    LabelledScores,
    ReplicaCounts,
    ThresholdObjective,
    passing_at,
)
from hepda.results.entries.thresholds import ChosenThreshold, MacroScore
from hepda.results.evaluation import FloatArray, Interval

_TOO_FEW = "there are too few effective events for an interval"


def choose(objective: ThresholdObjective, events: LabelledScores, resampling: Resampling = DEFAULT) -> ChosenThreshold:
    """Return the best threshold of these events, with the spread of the choice.

    Args:
        objective: what is to be best.
        events: the choosing events.
        resampling: replicas of the choosing events, each of which chooses anew; fewer than 2 give no interval.

    Example:
        >>> import numpy as np
        >>> from hepda.evaluation.working_points.objectives import F1, labelled_scores
        >>> from hepda.evaluation.working_points.thresholds import choose
        >>> events = labelled_scores([0.1, 0.4, 0.6, 0.9], [0, 0, 1, 1])
        >>> chosen = choose(F1(), events)
        >>> chosen.threshold.value, chosen.on_choosing
        (0.6, 1.0)

    """
    bins = BinnedScores.of(events)
    threshold = objective.best(events, bins)
    if not np.isfinite(threshold):
        why = f"no threshold may be chosen for {objective.name}: too few events of the rest pass, or sums are negative"
        return ChosenThreshold(None, None, events.n_eff, why)
    value = float(objective.value(passing_at(events, threshold))[1])
    on_choosing = value if np.isfinite(value) else None
    if resampling.replicas < 2 or isinstance(objective, FixedThreshold):
        return ChosenThreshold(Interval(threshold, threshold, threshold), on_choosing, events.n_eff)
    drawn = np.array([objective.best(events, bins, counts) for counts in _replicas(events, resampling)])
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < 2:
        return ChosenThreshold(Interval(threshold, threshold, threshold), on_choosing, events.n_eff, _TOO_FEW)
    tail = 0.5 * (1 - resampling.level)
    low, high = (float(x) for x in np.quantile(drawn, [tail, 1 - tail]))
    return ChosenThreshold(
        Interval(threshold, min(low, threshold), max(high, threshold), resampling.level), on_choosing, events.n_eff
    )


def judge(
    objective: ThresholdObjective, threshold: float, events: LabelledScores, resampling: Resampling = DEFAULT
) -> Interval | str:
    """Return the value of an objective at a threshold that other events chose, or why there is none.

    The interval is that of replicas of these events, at the same threshold: it does not include the choice.

    Args:
        objective: what the threshold was chosen for.
        threshold: an event passes if its score is at least this value.
        events: events that did not choose it.
        resampling: how the interval is computed.

    """
    value = float(objective.value(passing_at(events, threshold))[1])
    if not np.isfinite(value):
        return f"{objective.name} is not defined at {threshold:.6g} on the events that judge: no sum is positive there"
    if resampling.replicas < 2:
        return Interval(value, value, value, resampling.level)
    drawn = [
        float(objective.value(passing_at(events, threshold, counts))[1]) for counts in _replicas(events, resampling)
    ]
    try:
        return interval(value, value, np.asarray(drawn), resampling.level)
    except DataError as reason:
        return str(reason)


def _replicas(events: LabelledScores, resampling: Resampling) -> Iterator[ReplicaCounts]:
    """Yield the replicas of the events, and of those of the other domain, which are drawn independently."""
    n = len(events.score)
    further = 0 if events.other_score is None else len(events.other_score)
    for counts in poisson_counts(n + further, resampling.replicas, resampling.seed):
        yield ReplicaCounts(counts[:n], counts[n:] if further else None)


def macro_f1(
    predicted: Mapping[str, Mapping[str, ArrayLike]],
    truth: Mapping[str, ArrayLike],
    weight: ArrayLike,
    resampling: Resampling = DEFAULT,
) -> dict[str, MacroScore]:
    """Return the weighted F1 of several labels and their mean, for several ways to predict them, on the same events.

    All ways share the replicas, so that differences between them are more precise than the values.

    Args:
        predicted: by the name of the way and the label, whether events are predicted to have the label [n], bool;
            differences are to the first way.
        truth: truth [n] of each label: 1 it holds, 0 it does not, -1 it is not known; such events do not count for it.
        weight: signed weights [n].
        resampling: how intervals are computed.

    Raises:
        ValueError: a way has no prediction of a label, or lengths differ.
        DataError: there are no events, or a value is not finite.

    """
    weights = vector(weight, "weight")
    columns, labels = [], list(truth)
    for name, by_label in predicted.items():
        for label in labels:
            if label not in by_label:
                raise ValueError(f"{name}: no prediction of the label {label!r}; there are {', '.join(by_label)}")
            known = vector(truth[label], f"truth of {label}", len(weights))
            passed = (vector(by_label[label], f"prediction of {label}", len(weights)) != 0) & (known >= 0)
            columns += [2 * weights * (passed & (known == 1)), weights * passed + weights * (known == 1)]
    parts = np.stack(columns, axis=1)

    def values(counts: FloatArray | None) -> FloatArray:
        sums = parts.sum(axis=0) if counts is None else counts @ parts
        return ratio(*np.moveaxis(sums.reshape(len(predicted), len(labels), 2), 2, 0))

    central = values(None)
    drawn = np.array([values(counts) for counts in poisson_counts(len(weights), resampling.replicas, resampling.seed)])
    results: dict[str, MacroScore] = {}
    for place, name in enumerate(predicted):
        macro, of_replicas = central[place].mean(), drawn[:, place].mean(axis=1)
        difference = None
        if place:
            change = _interval_or_why(macro - central[0].mean(), of_replicas - drawn[:, 0].mean(axis=1), resampling)
            difference = None if isinstance(change, str) else change
        of_labels: dict[str, Interval | str] = {
            label: _interval_or_why(central[place, number], drawn[:, place, number], resampling)
            for number, label in enumerate(labels)
        }
        results[name] = MacroScore(_interval_or_why(macro, of_replicas, resampling), of_labels, difference)
    return results


def _interval_or_why(value: float, drawn: FloatArray, resampling: Resampling) -> Interval | str:
    if not np.isfinite(value):
        return "the weights of the events that pass or that are wanted do not sum to a positive number"
    try:
        return interval(float(value), float(value), drawn, resampling.level)
    except DataError as reason:
        return str(reason)
