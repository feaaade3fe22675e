"""`best_of` and its estimators of the expected value of a chosen point."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.evaluation.best_of.errors import ErrorModel, ValueErrors, errors_of_replicas, errors_of_seeds
from hepda.evaluation.best_of.simulation import Luck, Rule, largest, luck_of_choice
from hepda.results.best_of import BestOf
from hepda.results.evaluation import FloatArray

Method = Literal["naive", "split", "double", "self_correcting", "bootstrap"]
METHODS: tuple[str, ...] = get_args(Method)
"""Names of the estimators."""
DRAWS = 1000
ONE_SEED = "one seed has no spread: how much of the best number is luck cannot be known; take more (five or more)"
_MOST_HALVES = 40  # divisions of the seeds that `double` averages over


def best_of(
    values: ArrayLike,
    method: Method = "bootstrap",
    *,
    larger: bool = True,
    paired: bool = True,
    level: float = 0.6827,
    draws: int = DRAWS,
    seed: int = 0,
) -> BestOf:
    """Choose the point with the best mean over seeds, and estimate its expected value.

    The methods, which differ in the number that they give for the chosen point:

    - `naive`: its mean, which is biased towards the better side.
    - `split`: the first half of the seeds chooses, the mean over the other half is the value. Without assumptions
      and without bias, but half of the seeds choose, and half of them measure.
    - `double`: the same with many divisions of the seeds in halves, averaged (van Hasselt, NIPS 2010). The point is
      that of all seeds, which is better on average than what half of them choose: the value is too low by that.
    - `self_correcting`: of Q_n - b (Q_n - Q_{n-1}), with Q_{n-1} the mean without the last seed and b = 1 / (1 - rho),
      the largest chooses, and Q_n is the value (Zhu, Rigotti, AAAI 2021). For means the bias is reduced, not removed.
    - `bootstrap`: the naive number minus the mean luck of the chosen point in simulated measurements
      (`hepda.evaluation.best_of.simulation`). The true values are assumed to scatter about one centre.

    Args:
        values: [points, seeds]; NaN where missing. A point without a value is not chosen.
        method: name of the estimator.
        larger: whether larger values are better.
        paired: whether a column is the same seed at all points. What the points have in common at a seed does not
            change the choice, but is part of the error of the value.
        level: coverage of the interval.
        draws: simulated measurements of `bootstrap`.
        seed: of the simulation, and of the divisions of `double`.

    Returns:
        The point and its numbers; `value` is None, with the reason, if there are too few seeds.

    Raises:
        ValueError: there is no such method, or values are not of the shape [points, seeds].

    Example:
        >>> import numpy as np
        >>> from hepda.evaluation.best_of import best_of
        >>> equal_points = np.random.default_rng(1).normal(0.8, 0.01, size=(20, 5))
        >>> best = best_of(equal_points)
        >>> round(best.naive, 3), round(best.value, 3), round(best.low, 3), round(best.high, 3)
        (0.807, 0.799, 0.797, 0.802)

    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or method not in METHODS:
        raise ValueError(f"best_of takes values [points, seeds] and one of {', '.join(METHODS)}, not {method!r}")
    sign = 1.0 if larger else -1.0
    signed = sign * array
    if method == "bootstrap":
        column = signed[..., None]
        (found,) = best_of_choice(column, column, paired=paired, level=level, draws=draws, seed=seed)
    else:
        usable = np.flatnonzero(np.isfinite(signed).any(axis=1))
        found = _without_simulation(signed[usable], method, paired, level, seed)
        if found.point is not None:
            found = replace(found, point=int(usable[found.point]))
    return found if larger else _mirrored(found)


def best_of_choice(
    criteria: ArrayLike,
    reported: ArrayLike,
    rule: Rule = largest,
    *,
    paired: bool = True,
    level: float = 0.6827,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[BestOf]:
    """Return the corrected numbers of a point that a rule chose, by the bootstrap.

    The number that is reported need not be the one that chooses: its bias follows from how far their errors belong
    together. The rule may set limits ("the best of those whose loss is near the smallest").

    Args:
        criteria: values that choose [points, seeds, criteria], the larger the better; NaN where missing. Points that
            lack a criterion at all seeds cannot be chosen.
        reported: values that are reported [points, seeds, quantities]; NaN where missing.
        rule: from means [..., points, criteria] to the index of the chosen point [...]; only of the points that can be
            chosen, in their order.
        paired: see `best_of`.
        level: coverage of the intervals.
        draws: number of simulated measurements.
        seed: of the simulation.

    Returns:
        One result for each reported quantity.

    """
    choosing, values = (np.asarray(x, dtype=np.float64) for x in (criteria, reported))
    usable = np.flatnonzero(np.asarray(np.isfinite(choosing).any(axis=1)).all(axis=1))
    number = values.shape[2]
    if len(usable) == 0:
        return [_nothing("no point has a value")] * number
    choosing, values = choosing[usable], values[usable]
    index = int(rule(np.asarray(np.nanmean(choosing, axis=1))))
    results = [_measured(values[..., q], index, int(usable[index]), level) for q in range(number)]
    # Numbers that are missing at the same seeds are corrected together. A point that lacks the reported number can be
    # chosen all the same; its errors are those of the chosen one.
    absent = ~np.asarray(np.isfinite(values).any(axis=1))
    complete = np.where(absent[:, None], values[index], values)
    groups: dict[bytes, list[int]] = {}
    for q in (q for q in range(number) if results[q].naive is not None):
        groups.setdefault(np.isfinite(complete[..., q]).tobytes(), []).append(q)
    for together in groups.values():
        errors = errors_of_seeds(np.concatenate([choosing, complete[..., together]], axis=2), paired=paired)
        if errors is None:
            results = [replace(best, why=ONE_SEED) if q in together else best for q, best in enumerate(results)]
            continue
        found = luck_of_choice(errors, choosing.shape[2], rule, draws=draws, seed=seed, level=level)
        for q, luck in zip(together, found, strict=True):
            results[q] = _without_luck(results[q], luck)
    return results


def _measured(values: FloatArray, index: int, point: int, level: float) -> BestOf:
    """Return the result of values [points, seeds] without its correction; point: the index among all points."""
    seeds = int(np.isfinite(values).sum(axis=1).max(initial=0))
    naive = _mean(values[index])
    why = "the chosen point has no such number" if naive is None else None
    return BestOf(point, naive, None, points=len(values), seeds=seeds, level=level, why=why)


def best_of_values(
    values: ArrayLike,
    *,
    errors: ArrayLike | None = None,
    replicas: ArrayLike | None = None,
    larger: bool = True,
    level: float = 0.6827,
    draws: int = DRAWS,
    seed: int = 0,
) -> BestOf:
    """Choose the best of single values with known errors, and estimate what to expect of it, by the bootstrap.

    Args:
        values: [points].
        errors: standard deviations of the values [points], which are independent.
        replicas: bootstrap replicas of the values [replicas, points] instead, which have their correlations.
        larger: whether larger values are better.
        level: coverage of the interval.
        draws: number of simulated measurements.
        seed: of the simulation.

    Raises:
        ValueError: neither errors nor replicas are given.

    """
    sign = 1.0 if larger else -1.0
    signed = sign * np.asarray(values, dtype=np.float64)[:, None]
    model: ErrorModel
    if replicas is not None:
        drawn = sign * np.asarray(replicas, dtype=np.float64)[..., None]
        model = errors_of_replicas(np.concatenate([signed, signed], axis=1), np.concatenate([drawn, drawn], axis=2))
    elif errors is not None:
        model = ValueErrors(np.concatenate([signed, signed], axis=1), np.asarray(errors, dtype=np.float64))
    else:
        raise ValueError("best_of_values needs the errors of the values, or replicas of them")
    (luck,) = luck_of_choice(model, 1, largest, draws=draws, seed=seed, level=level)
    index = int(signed[:, 0].argmax())
    naive = BestOf(index, float(signed[index, 0]), None, points=len(signed), level=level)
    best = _without_luck(naive, luck)
    return best if larger else _mirrored(best)


def self_correcting(now: FloatArray, before: FloatArray, strength: float) -> FloatArray:
    """Return the estimates that choose in self-correcting learning, Q_n - b (Q_n - Q_{n-1}).

    Their errors and those of Q_n are uncorrelated for b = Var(Q_n) / (Var(Q_n) - Cov(Q_n, Q_{n-1})), which is 1 / alpha
    for running averages with a constant step alpha (Zhu, Rigotti, AAAI 2021, arXiv:2012.01100).

    Args:
        now: estimates Q_n.
        before: estimates Q_{n-1} of one step earlier.
        strength: b.

    """
    return now - strength * (now - before)


# --- estimators without a simulation ------------------------------------------------------------------------------


def _without_simulation(values: FloatArray, method: str, paired: bool, level: float, seed: int) -> BestOf:
    """Return the result of one of the other methods, of values [points, seeds] of which the larger are better."""
    if len(values) == 0:
        return _nothing("no point has a value", method)
    seeds = int(np.isfinite(values).sum(axis=1).max())
    chosen = int(np.nanmean(values, axis=1).argmax())
    best = BestOf(chosen, _mean(values[chosen]), None, method=method, points=len(values), seeds=seeds, level=level)
    if seeds < 2:
        return replace(best, why=ONE_SEED)
    estimators: Mapping[str, Callable[[], tuple[int, float, NDArray[np.intp]]]] = {
        "naive": lambda: (chosen, float(np.nanmean(values[chosen])), np.arange(values.shape[1])),
        "split": lambda: _split(values),
        "double": lambda: _double(values, chosen, seed),
        "self_correcting": lambda: _self_correcting(values),
    }
    point, value, measuring = estimators[method]()
    half = _half_width(values, point, measuring, paired, level)
    if not math.isfinite(value) or half is None:
        return replace(best, why="some seeds are missing at so many points that their halves have no common points")
    return replace(best, point=point, naive=_mean(values[point]), value=value, low=value - half, high=value + half)


def _split(values: FloatArray) -> tuple[int, float, NDArray[np.intp]]:
    columns = np.arange(values.shape[1])
    middle = len(columns) // 2
    point, value = _other_half(values, columns[:middle], columns[middle:])
    return point, value, columns[middle:]


def _double(values: FloatArray, chosen: int, seed: int) -> tuple[int, float, NDArray[np.intp]]:
    columns = np.arange(values.shape[1])
    generator, middle = np.random.default_rng(seed), len(columns) // 2
    found = []
    for _ in range(_MOST_HALVES):
        order = generator.permutation(columns)
        found += [_other_half(values, order[:middle], order[middle:])[1]]
        found += [_other_half(values, order[middle:], order[:middle])[1]]
    return chosen, float(np.mean(found)), columns


def _other_half(values: FloatArray, choosing: NDArray[np.intp], reporting: NDArray[np.intp]) -> tuple[int, float]:
    """Return the best point by some of the seeds, and its mean over the others; NaN if no point has both."""
    both = np.isfinite(values[:, choosing]).any(axis=1) & np.isfinite(values[:, reporting]).any(axis=1)
    if not both.any():
        return 0, math.nan
    points = np.flatnonzero(both)
    point = int(points[np.nanmean(values[np.ix_(points, choosing)], axis=1).argmax()])
    return point, float(np.nanmean(values[point, reporting]))


def _self_correcting(values: FloatArray) -> tuple[int, float, NDArray[np.intp]]:
    columns = np.arange(values.shape[1])
    now = np.nanmean(values, axis=1)
    known = np.asarray(np.isfinite(values[:, :-1]).any(axis=1))
    before = now.astype(np.float64)
    before[known] = np.nanmean(values[known, :-1], axis=1)
    correlation = math.sqrt(1.0 - 1.0 / len(columns))
    point = int(self_correcting(now, before, 1.0 / (1.0 - correlation)).argmax())
    return point, float(now[point]), columns


def _half_width(
    values: FloatArray, point: int, measuring: NDArray[np.intp], paired: bool, level: float
) -> float | None:
    """Return half the width of the interval of a point's mean over the measuring seeds, None if it has no value."""
    from scipy import stats

    errors = errors_of_seeds(values[..., None], paired=paired)
    number = int(np.isfinite(values[point, measuring]).sum())
    if errors is None or number == 0:
        return None
    all_seeds = int(np.isfinite(values[point]).sum())
    variance = (errors.own[point, 0] ** 2 + errors.shared_variance[0]) * all_seeds / number
    return float(stats.t.isf(0.5 * (1.0 - level), errors.degrees) * math.sqrt(variance))


# --- small things -------------------------------------------------------------------------------------------------


def _mean(values: FloatArray) -> float | None:
    present = values[np.isfinite(values)]
    return float(present.mean()) if len(present) else None


def _nothing(why: str, method: str = "bootstrap") -> BestOf:
    return BestOf(None, None, None, method=method, why=why)


def _without_luck(best: BestOf, luck: Luck) -> BestOf:
    """Return the result with the value and the interval that follow from its naive number."""
    naive = best.naive if best.naive is not None else math.nan
    return replace(best, value=naive - luck.mean, low=naive - luck.high, high=naive - luck.low)


def _mirrored(best: BestOf) -> BestOf:
    """Return the result of values whose sign was changed, so that the smaller ones were the better."""
    naive, value, low, high = (None if x is None else -x for x in (best.naive, best.value, best.high, best.low))
    return replace(best, naive=naive, value=value, low=low, high=high)
