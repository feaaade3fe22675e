"""Separation of several classes: AUC, confusion, working points and calibration, with signed weights and errors.

The input is the probability of each class [n, k] and the class of each event as its number [n]. An event is predicted
to be of the class with the largest probability. AUCs, efficiencies and calibration are those of `roc`, `efficiency` and
`calibration`, with their conventions for signed weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.errors import DataError
from hepda.evaluation.arrays import vector
from hepda.evaluation.calibration import calibration_curve
from hepda.evaluation.efficiency import cut_at_efficiency, limit_of_none, weighted_efficiency
from hepda.evaluation.roc import rocs
from hepda.results.entries.classes import ClassEfficiency, ClassNumbers, ClassWorkingPoint, ConfusionMatrix
from hepda.results.entries.decomposition import Contribution
from hepda.results.evaluation import CalibrationCurve, FloatArray, Interval, Roc, RocBand

_ONE_SIGMA = 0.6827


@dataclass(frozen=True, slots=True, eq=False)
class ClassEvents:
    """Checked events of one domain: probabilities, classes and signed weights."""

    names: tuple[str, ...]  # of the classes, [k]
    probability: FloatArray  # [n, k]
    index: NDArray[np.intp]  # [n], in [0, k)
    weight: FloatArray  # [n]

    def of_class(self, name: str) -> NDArray[np.bool_]:
        """Return the mask [n] of the events of a class."""
        return np.asarray(self.index == self.names.index(name))

    def output(self, name: str) -> FloatArray:
        """Return the probability [n] of a class."""
        return np.asarray(self.probability[:, self.names.index(name)])

    def yields(self) -> FloatArray:
        """Return the sum of weights of each class [k]."""
        return np.asarray(np.bincount(self.index, weights=self.weight, minlength=len(self.names)), dtype=np.float64)

    def why_not(self, *names: str) -> str | None:
        """Return the reason why classes cannot be compared: one of them has no positive sum of weights."""
        missing = [name for name in names if self.yields()[self.names.index(name)] <= 0]
        return f"no positive sum of weights in {' and '.join(missing)}" if missing else None


@dataclass(frozen=True, slots=True)
class Resampling:
    """How intervals are computed: number of bootstrap replicas, their seed, and the coverage."""

    replicas: int = 200
    seed: int = 0
    level: float = 0.6827


DEFAULT = Resampling()


def class_events(
    probability: ArrayLike, index: ArrayLike, weight: ArrayLike | None, names: Sequence[str]
) -> ClassEvents:
    """Check the events of one domain.

    Args:
        probability: probability of each class [n, k].
        index: number of the class of each event [n]; leave events out whose class is unknown.
        weight: signed weights [n]; None means ones.
        names: names of the classes [k], at least two.

    Raises:
        ValueError: shapes do not agree, or a class has a number that is not in [0, k).
        DataError: there are no events, or a value is not finite.

    """
    numbers = np.asarray(index, dtype=np.intp)
    outputs = np.asarray(probability, dtype=np.float64)
    if len(names) < 2 or outputs.shape != (len(numbers), len(names)):
        raise ValueError(f"probabilities have shape {outputs.shape} where {(len(numbers), len(names))} is needed")
    vector(outputs.ravel(), "probability")  # called for its checks
    weights = np.ones(len(numbers)) if weight is None else vector(weight, "weight", len(numbers))
    if numbers.min() < 0 or numbers.max() >= len(names):
        raise ValueError(f"classes are from {numbers.min()} to {numbers.max()}, not in [0, {len(names)})")
    return ClassEvents(tuple(names), outputs, numbers, weights)


def class_numbers(
    events: ClassEvents, cuts: Mapping[str, Mapping[float, float]], resampling: Resampling = DEFAULT
) -> ClassNumbers:
    """Return all numbers of one model in one domain.

    Args:
        events: the events.
        cuts: for each class the cut on its output by the share of it that is kept (`cuts_of`, of the source).
        resampling: how intervals are computed.

    """
    return ClassNumbers(
        events.names,
        against_rest={name: one_against_rest(events, name, resampling) for name in events.names},
        against_one={pair: one_against_one(events, *pair, resampling) for pair in combinations(events.names, 2)},
        confusion=confusion_matrix(events),
        working={
            name: tuple(class_working_point(events, name, kept, cut) for kept, cut in by_share.items())
            for name, by_share in cuts.items()
        },
        calibration={name: class_calibration(events, name) for name in events.names},
    )


def one_against_rest(events: ClassEvents, name: str, resampling: Resampling = DEFAULT) -> tuple[Roc, RocBand] | str:
    """Return ROC, AUC and band of one class against all others at their mixture, by its output; or why there is none.

    Args:
        events: the events.
        name: the class.
        resampling: how the intervals are computed.

    """
    of_class = events.of_class(name)
    for side, word in ((of_class, name), (~of_class, f"the classes besides {name}")):
        if not events.weight[side].sum() > 0:
            return f"no positive sum of weights in {word}"
    return _roc(events.output(name), of_class, events.weight, resampling)


def one_against_one(events: ClassEvents, first: str, second: str, resampling: Resampling = DEFAULT) -> Interval | str:
    """Return the AUC of two classes by p(first) / [p(first) + p(second)], or why there is none.

    The score is that of weaver; it is the same for (second, first). The other classes do not matter.

    Args:
        events: the events.
        first: the class that is the signal of the ROC.
        second: the other class.
        resampling: how the interval is computed.

    """
    if why := events.why_not(first, second):
        return why
    is_first = events.of_class(first)
    rows = is_first | events.of_class(second)
    a, b = events.output(first)[rows], events.output(second)[rows]
    total = a + b
    score = np.where(total > 0, a / np.where(total > 0, total, 1.0), 0.5)
    result = _roc(score, is_first[rows], events.weight[rows], resampling)
    return result if isinstance(result, str) else result[0].auc


def score_against_class(
    score: ArrayLike, is_signal: ArrayLike, is_class: ArrayLike, weight: ArrayLike, resampling: Resampling = DEFAULT
) -> Interval | str:
    """Return the AUC of one score for the signal against one other class, or why there is none.

    Args:
        score: scores [n].
        is_signal: mask [n] of the signal.
        is_class: mask [n] of the other class.
        weight: signed weights [n].
        resampling: how the interval is computed.

    """
    signal, other = np.asarray(is_signal, dtype=bool), np.asarray(is_class, dtype=bool)
    weights, rows = np.asarray(weight, dtype=np.float64), signal | other
    for mask, word in ((signal, "the signal"), (other, "the other class")):
        if not weights[mask].sum() > 0:
            return f"no positive sum of weights in {word}"
    result = _roc(np.asarray(score, dtype=np.float64)[rows], signal[rows], weights[rows], resampling)
    return result if isinstance(result, str) else result[0].auc


def _roc(
    score: FloatArray, is_signal: NDArray[np.bool_], weight: FloatArray, resampling: Resampling
) -> tuple[Roc, RocBand] | str:
    try:
        return rocs(
            {"": score},
            is_signal.astype(np.int8),
            weight,
            replicas=resampling.replicas,
            seed=resampling.seed,
            level=resampling.level,
        )[""]
    except DataError as reason:
        return str(reason)


def confusion_matrix(events: ClassEvents) -> ConfusionMatrix:
    """Return the sums of weights by true and predicted class, and their shares with errors.

    The variance of a share e is that of `weighted_efficiency`; where no event is in a cell, the error is the limit at
    68 % confidence.
    """
    k = len(events.names)
    predicted = np.argmax(events.probability, axis=1)
    cell = events.index * k + predicted
    sumw, sumw2 = (
        np.bincount(cell, weights=values, minlength=k * k).astype(np.float64).reshape(k, k)
        for values in (events.weight, events.weight**2)
    )
    count = np.bincount(cell, minlength=k * k).reshape(k, k)
    efficiency, efficiency_error = _shares(sumw, sumw2, count)
    purity, purity_error = (x.T for x in _shares(sumw.T, sumw2.T, count.T))
    balanced = None
    if np.isfinite(efficiency).all():
        errors = np.diag(efficiency_error)
        balanced = Contribution(float(np.diag(efficiency).mean()), float(np.sqrt(np.sum(errors**2)) / k))
    accuracy = Contribution(*weighted_efficiency(predicted == events.index, events.weight))
    return ConfusionMatrix(
        events.names, sumw, sumw2, efficiency, efficiency_error, purity, purity_error, accuracy, balanced
    )


def _shares(sumw: FloatArray, sumw2: FloatArray, count: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
    """Return the shares of each row [k, k] and their errors; NaN where a row has no positive sum."""
    total, total2 = sumw.sum(axis=1, keepdims=True), sumw2.sum(axis=1, keepdims=True)
    usable = np.where(total > 0, total, np.nan)
    share = sumw / usable
    variance = ((1 - share) ** 2 * sumw2 + share**2 * (total2 - sumw2)) / usable**2
    limit = -np.log1p(-_ONE_SIGMA) * total2 / usable**2  # over n_eff, as `limit_of_none`
    return share, np.where(count > 0, np.sqrt(np.maximum(variance, 0.0)), limit)


def cuts_of(events: ClassEvents, shares: Sequence[float]) -> dict[str, dict[float, float]]:
    """Return the cuts on the output of each class that keep shares of it; a class without a positive sum has none.

    Args:
        events: the events of the source.
        shares: efficiencies of the class itself.

    """
    return {
        name: {
            share: cut_at_efficiency(events.output(name)[mask], events.weight[mask], share)
            for share in shares
        }
        for name in events.names
        if (mask := events.of_class(name)).any() and events.weight[mask].sum() > 0
    }  # fmt: skip


def class_working_point(events: ClassEvents, name: str, requested: float, cut: float) -> ClassWorkingPoint:
    """Return the efficiency and the rejection of every class at a cut on the output of one class.

    Args:
        events: the events.
        name: the class whose output is cut on.
        requested: the efficiency for which the cut was chosen in the source.
        cut: an event passes if the output is at least this value.

    """
    passed = events.output(name) >= cut
    classes = {}
    for other, total in zip(events.names, events.yields(), strict=True):
        if total <= 0:
            continue
        mask = events.of_class(other)
        efficiency, error = weighted_efficiency(passed[mask], events.weight[mask])
        if efficiency > 0:
            classes[other] = ClassEfficiency(efficiency, error, 1 / efficiency, error / efficiency**2)
        else:
            limit = None if passed[mask].any() else limit_of_none(events.weight[mask])
            classes[other] = ClassEfficiency(efficiency, error, None, None, limit)
    return ClassWorkingPoint(name, requested, cut, classes)


def class_calibration(events: ClassEvents, name: str) -> CalibrationCurve | str:
    """Return the share of a class against its output, with every class scaled to the same yield.

    To that mixture the probabilities of a classifier refer that was trained with balanced classes. Classes without a
    positive sum of weights are left out.
    """
    yields = events.yields()
    usable = (yields > 0)[events.index]
    if why := events.why_not(name):
        return why
    try:
        return calibration_curve(
            events.output(name)[usable],
            events.of_class(name)[usable].astype(np.int8),
            events.weight[usable] / yields[events.index[usable]],
        )
    except DataError as reason:
        return str(reason)
