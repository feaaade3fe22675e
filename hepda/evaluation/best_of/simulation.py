"""The choice, repeated on simulated measurements: its bias, and the error of the corrected number.

The shrunken parametric bootstrap. How far the points truly differ, tau, is unknown: a simulated world takes it from its
posterior with a flat prior (Gelman, Bayesian Analysis 1 (2006) 515), and the true values from theirs, which are the
means moved towards their centre by the share v / (v + tau^2), v the variance of a mean (James and Stein 1961; Efron,
Journal of the American Statistical Association 106 (2011) 1602). New errors are added, the same rule chooses, and the
error of the chosen mean is known. Its average is the bias of the naive number.

The correction is an estimate itself: where the winner was lucky, the points seem to differ more, and the correction is
too small. Therefore the correction is made in every world as well, from the world's own measurements alone, and the
interval is that of the errors which are left. Its level is the one that covers in the worlds as often as was asked
(prepivoting: Beran, Biometrika 74 (1987) 457).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from hepda.evaluation.best_of.errors import ErrorModel, log_likelihood
from hepda.results.evaluation import FloatArray

Rule = Callable[[FloatArray], NDArray[np.intp]]
"""From means [..., points, criteria], the larger the better, to the index of the chosen point [...]."""

_RATIOS = np.concatenate([[0.0], np.geomspace(0.1, 50.0, 27)])
"""Standard deviations of the true values that are considered, in errors of a mean."""
_PRIOR = np.gradient(_RATIOS)
_FEW = 8
_RANKED = 250
"""Number of worlds, evenly over their errors, from which the level of the interval follows."""


def largest(means: FloatArray) -> NDArray[np.intp]:
    """Return the index of the point whose first criterion is the largest."""
    return np.asarray(means[..., 0].argmax(axis=-1))


@dataclass(frozen=True, slots=True, eq=False)
class _Worlds:
    """Simulated measurements of one criterion.

    measured: [worlds, points]; spread: index of the spread of each world's true values [worlds]; ratio: posterior of
    each spread given the measurements of a world, over that given the observed ones [worlds, spreads].
    """

    measured: FloatArray
    spread: NDArray[np.intp]
    ratio: FloatArray


@dataclass(frozen=True, slots=True)
class Luck:
    """How far the number of a chosen point is above its expected value: the mean, and the ends of an interval."""

    mean: float
    low: float
    high: float


def luck_of_choice(errors: ErrorModel, criteria: int, rule: Rule, *, draws: int, seed: int, level: float) -> list[Luck]:
    """Return the luck of the chosen point in every quantity that is reported.

    Args:
        errors: means and errors of the quantities; the first are those that choose, the others are reported.
        criteria: number of quantities that choose.
        rule: the choice.
        draws: number of simulated worlds.
        seed: of the simulation.
        level: coverage of the intervals.

    """
    generator = np.random.default_rng(seed)
    own, shared = errors.draw(draws, generator)
    total = own + shared[:, None]
    worlds = [_worlds(errors.mean[:, q], errors.own[:, q], total[..., q], generator) for q in range(criteria)]
    chosen = rule(np.stack([world.measured for world in worlds], axis=-1))
    luck = total[np.arange(draws), chosen][:, criteria:]
    # A world's own estimate of its bias: the mean over all worlds, each weighted by how well its spread agrees with
    # the measurements of this one.
    weight = np.ones((draws, draws))
    for world in worlds:
        weight *= world.ratio[:, world.spread]
    weight /= weight.sum(axis=1, keepdims=True)
    left = luck - weight @ luck
    result = []
    for mean, rest in zip(luck.mean(axis=0), left.T, strict=True):
        low, high = mean + np.quantile(rest, _ends(rest, weight, level))
        both = float(mean + rest.mean())
        result.append(Luck(both, float(min(low, both)), float(max(high, both))))
    return result


def _ends(rest: FloatArray, weight: FloatArray, level: float) -> list[float]:
    """Return the quantiles of the errors that are left whose interval covers `level` of the worlds."""
    order = np.argsort(rest)
    some = np.arange(0, len(order), max(1, len(order) // _RANKED))
    weights = weight[np.ix_(order[some], order)]
    below = np.cumsum(weights, axis=1) - 0.5 * weights
    rank = below[np.arange(len(some)), some]  # of a world's error among those that it expects
    covering = float(np.quantile(np.abs(2.0 * rank - 1.0), level))
    return [0.5 * (1.0 - covering), 0.5 * (1.0 + covering)]


def _worlds(mean: FloatArray, error: FloatArray, drawn: FloatArray, generator: Generator) -> _Worlds:
    """Return simulated measurements of a criterion.

    Args:
        mean: measured means [points].
        error: of each mean, without what all points have in common [points].
        drawn: simulated errors [worlds, points].
        generator: of the random numbers.

    """
    draws = len(drawn)
    unit = float(np.median(error))
    if not unit > 0.0:  # without noise the choice is always the same
        return _Worlds(mean + drawn, np.zeros(draws, dtype=np.intp), np.ones((draws, 1)))
    middle = float(mean.mean())
    scaled, scaled_error = _without_outliers((mean - middle) / unit), np.maximum(error / unit, 1e-3)
    posterior, centre = _posterior(scaled, scaled_error)
    uniform = (generator.permutation(draws) + generator.random(draws)) / draws
    spread = np.minimum(np.searchsorted(posterior.cumsum(), uniform), len(_RATIOS) - 1)
    variance, about = _RATIOS[spread][:, None] ** 2, centre[spread][:, None]
    kept = variance / (variance + scaled_error**2)
    noise = generator.standard_normal(drawn.shape) * np.sqrt(kept) * scaled_error
    true = middle + unit * (about + kept * (scaled - about) + noise)
    measured = true + drawn
    there, _ = _posterior(_without_outliers((measured - middle) / unit), scaled_error)
    return _Worlds(measured, spread, there / np.maximum(posterior, 1e-12))


def _without_outliers(values: FloatArray) -> FloatArray:
    """Return values [..., points] in errors of a mean, with those far below the others moved to where they begin.

    A point at which a training collapses is never chosen, and says nothing about how the others differ. Far is three
    standard deviations, estimated by the median absolute deviation; few points have none that is far.
    """
    if values.shape[-1] < _FEW:
        return values
    median = np.median(values, axis=-1, keepdims=True)
    deviation = 1.4826 * np.median(np.abs(values - median), axis=-1, keepdims=True)
    return np.asarray(np.maximum(values, median - 3.0 * np.maximum(deviation, 1.0)))


def _posterior(values: FloatArray, error: FloatArray) -> tuple[FloatArray, Any]:
    """Return the posterior of each spread [..., spreads] and the centre of the true values at each."""
    likelihood, centre = log_likelihood(values, error, _RATIOS)
    weight = _PRIOR * np.exp(likelihood - likelihood.max(axis=-1, keepdims=True))
    return weight / weight.sum(axis=-1, keepdims=True), centre
