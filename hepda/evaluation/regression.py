"""How well a number is predicted: bias, resolution, correlation, and their course over the target.

Weights are signed. The residual is prediction minus target. Its quantiles are those of the sum of signed weights from
below, at its first crossing; the resolution is half the distance of those of 15.87 % and 84.13 %, which is the standard
deviation of a Gaussian and does not depend on its tails. Intervals are from Poisson replicas of the events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.errors import DataError
from hepda.evaluation.arrays import WeightedScores, bin_edges, effective, ratio, sample, vector
from hepda.evaluation.bootstrap import Counts, ScoreBins, check_bootstrap, count_blocks, interval
from hepda.evaluation.classes import DEFAULT, Resampling
from hepda.evaluation.efficiency import quantile_edges
from hepda.results.entries.regression import ResidualNumbers, ResponseCurve
from hepda.results.evaluation import FloatArray, Interval

LEVEL = 0.6827
"""Share of the events that the resolution spans, and coverage of the intervals."""
MIN_N_EFF = 10.0
"""Smallest effective number of events of a bin for which numbers are given."""
_AT_ONCE = 4_000_000
"""Number of events times replicas that are counted at once."""
_TAIL = 0.5 * (1.0 - LEVEL)


def weighted_quantiles(values: ArrayLike, weight: ArrayLike | None, shares: Sequence[float]) -> FloatArray:
    """Return the smallest values below or at which lie these shares of the sum of signed weights.

    Args:
        values: numbers [n].
        weight: signed weights [n]; None means ones.
        shares: between 0 and 1.

    Raises:
        DataError: there are no values, or the weights do not add up to more than 0.

    Example:
        >>> from hepda.evaluation.regression import weighted_quantiles
        >>> weighted_quantiles([3.0, 1.0, 2.0], [1.0, 1.0, 2.0], [0.25, 0.5])
        array([1., 2.])

    """
    events = sample(values, weight, "the numbers")
    order = np.argsort(events.score, kind="stable")
    below = np.cumsum(events.weight[order])
    reached = [int(np.argmax(below >= share * below[-1] * (1 - 1e-12))) for share in shares]
    return np.asarray(events.score[order][reached], dtype=np.float64)


def target_edges(target: ArrayLike, bins: int, ends: tuple[float, float] | None = None) -> FloatArray:
    """Return the edges [b + 1] of bins of the target: of equal width between `ends`, or with equal shares of events."""
    return quantile_edges(target, bins) if ends is None else np.linspace(*ends, bins + 1)


@dataclass(slots=True)
class _Resampled:
    """Statistics of the replicas of one group of events: all, or those of a bin [r]."""

    bias: list[FloatArray] = field(default_factory=list)
    resolution: list[FloatArray] = field(default_factory=list)
    rmse: list[FloatArray] = field(default_factory=list)
    correlation: list[FloatArray] = field(default_factory=list)


def residuals(
    prediction: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None,
    edges: ArrayLike,
    resampling: Resampling = DEFAULT,
) -> tuple[ResidualNumbers, ResponseCurve]:
    """Return bias, resolution, RMSE and correlation of a prediction, of all events and in bins of the target.

    Args:
        prediction: numbers [n].
        target: the true numbers [n].
        weight: signed weights [n]; None means ones.
        edges: of the bins of the target [b + 1]; events outside are in no bin.
        resampling: of the intervals.

    Raises:
        DataError: there are no events, a value is not finite, or the weights do not add up to more than 0.

    """
    check_bootstrap(resampling.replicas, LEVEL)
    predicted = vector(prediction, "prediction")
    true = vector(target, "target", len(predicted))
    events = sample(predicted - true, weight, "the residual")
    limits = bin_edges(edges)
    group = np.where((true >= limits[0]) & (true <= limits[-1]), np.searchsorted(limits[1:-1], true, "right") + 1, 0)
    occupied = np.unique(group)
    bins = ScoreBins(events.score, np.searchsorted(occupied, group), len(occupied))
    overall, in_bins = _Resampled(), _Resampled()
    moments = _moments(predicted, true, events.weight)
    for counts in _counted(len(true), resampling):
        sums = bins.replicas(events.weight, counts)
        shifts = bins.replicas(events.weight * events.score, counts).sum(axis=2)
        mean = ratio(shifts, sums.sum(axis=2))
        in_bins.bias.append(mean)
        in_bins.resolution.append(_binned_resolution(bins, sums))
        of_all = counts @ moments
        overall.bias.append(ratio(of_all[:, 1], of_all[:, 0]))
        overall.rmse.append(_rmse(of_all))
        overall.correlation.append(_correlation(of_all))
        overall.resolution.append(_binned_resolution(bins, sums.sum(axis=1)))
    sums = bins.sums(events.weight)
    numbers = _numbers(events, moments.sum(axis=0), overall, float(_binned_resolution(bins, sums.sum(axis=0))))
    curve = _curve(limits, group, occupied, (predicted, true, events), in_bins, _binned_resolution(bins, sums))
    return numbers, curve


def _counted(events: int, resampling: Resampling) -> Iterator[Counts]:
    """Yield the counts of the events in replicas, some replicas at a time [r, n]."""
    counts, step = count_blocks(events, resampling.replicas, resampling.seed), max(1, _AT_ONCE // max(events, 1))
    while len(block := list(islice(counts, step))):
        yield np.stack(block)


def _moments(predicted: FloatArray, true: FloatArray, weight: FloatArray) -> FloatArray:
    """Return weighted powers of each event [n, 8]: 1, residual, its square, prediction and target about their means,
    and what their correlation needs.
    """
    residual = predicted - true
    x, y = predicted - predicted.mean(), true - true.mean()  # small numbers: no digits are lost in squares
    return np.stack([np.ones_like(x), residual, residual**2, x, y, x * x, y * y, x * y], axis=1) * weight[:, None]


def _rmse(sums: FloatArray) -> FloatArray:
    square = ratio(sums[..., 2], sums[..., 0])
    return np.sqrt(np.where(square >= 0, square, np.nan))


def _correlation(sums: FloatArray) -> FloatArray:
    total = np.where(sums[..., 0] > 0, sums[..., 0], np.nan)
    x, y, xx, yy, xy = (sums[..., number] / total for number in range(3, 8))
    product = (xx - x * x) * (yy - y * y)
    return np.asarray((xy - x * y) / np.sqrt(np.where(product > 0, product, np.nan)))


def _binned_resolution(bins: ScoreBins, sums: FloatArray) -> FloatArray:
    """Return half the width of the central part, of sums of weights in fine bins [..., bins]; NaN without a sum."""
    below = np.cumsum(sums, axis=-1)
    total = below[..., -1:]
    ends = [np.argmax(below >= share * total, axis=-1) for share in (_TAIL, 1.0 - _TAIL)]
    value = np.maximum(bins.lower, bins.lower[1] if bins.bins > 1 else 0.0)
    return np.where(total[..., 0] > 0, 0.5 * (value[ends[1]] - value[ends[0]]), np.nan)


def _numbers(
    events: WeightedScores, sums: FloatArray, resampled: _Resampled, binned_resolution: float
) -> ResidualNumbers:
    low, high = weighted_quantiles(events.score, events.weight, (_TAIL, 1.0 - _TAIL))
    exact: dict[str, tuple[float, float]] = {
        "bias": (float(ratio(sums[1], sums[0])),) * 2,
        "resolution": (0.5 * float(high - low), binned_resolution),
        "rmse": (float(_rmse(sums)),) * 2,
        "correlation": (float(_correlation(sums)),) * 2,
    }
    values: dict[str, Interval | None] = {}
    reasons: list[str] = []
    for name, (value, centre) in exact.items():
        values[name] = None
        if not np.isfinite(value):
            reasons.append(f"{name}: negative weights outweigh the others, or a number is the same in all events")
            continue
        try:
            values[name] = interval(value, centre, np.concatenate(getattr(resampled, name)), LEVEL)
        except DataError as reason:
            reasons.append(f"{name}: {reason}")
    return ResidualNumbers(events.n_eff, **values, why="; ".join(reasons) or None)


def _curve(
    limits: FloatArray,
    group: NDArray[np.intp],
    occupied: NDArray[np.intp],
    events: tuple[FloatArray, FloatArray, WeightedScores],
    resampled: _Resampled,
    binned_resolution: FloatArray,
) -> ResponseCurve:
    """Return the numbers in bins; group: number of the bin of each event from 1, 0 outside [n]."""
    predicted, true, residual = events
    empty: Callable[[], FloatArray] = lambda: np.full(len(limits) - 1, np.nan)  # noqa: E731 - one line for each array
    arrays = {part.name: empty() for part in fields(ResponseCurve) if part.name not in ("edges", "n_eff")}
    curve = ResponseCurve(edges=limits, n_eff=np.zeros(len(limits) - 1), **arrays)
    bias, resolution = np.concatenate(resampled.bias), np.concatenate(resampled.resolution)
    for place, number in enumerate(occupied):
        rows, b = group == number, number - 1
        weight = residual.weight[rows]
        if number == 0 or not weight.sum() > 0:
            continue
        curve.n_eff[b] = effective(weight)
        if curve.n_eff[b] < MIN_N_EFF:
            continue
        curve.target[b] = np.average(true[rows], weights=weight)
        shares = (_TAIL, 0.5, 1.0 - _TAIL)
        curve.low[b], curve.median[b], curve.high[b] = weighted_quantiles(predicted[rows], weight, shares)
        low, _, high = weighted_quantiles(residual.score[rows], weight, shares)
        mean = float(np.average(residual.score[rows], weights=weight))
        pairs = (
            (curve.bias, curve.bias_low, curve.bias_high, mean, mean, bias),
            (curve.resolution, curve.resolution_low, curve.resolution_high, 0.5 * float(high - low),
             float(binned_resolution[place]), resolution),
        )  # fmt: skip
        for values, lower, upper, value, centre, replicas in pairs:
            try:
                result = interval(value, centre, replicas[:, place], LEVEL)
            except DataError:
                continue
            values[b], lower[b], upper[b] = result.value, result.low, result.high
    return curve
