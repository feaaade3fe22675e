"""The signal strength of many data sets in parallel: best value, curvature error, likelihood interval, q0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hepda.evaluation.fits.histfactory import Model, Observations, fit
from hepda.evaluation.fits.numerics.newton import Minimum, Rows, solve
from hepda.results.evaluation import FloatArray

_STEPS = 40
_PRECISION = 1e-5  # of the ends of an interval, in standard deviations


@dataclass(frozen=True, slots=True, eq=False)
class Strengths:
    """mu of t data sets; NaN where there is no minimum (the fit runs to a point where a bin expects no events)."""

    mu: FloatArray  # [t]
    error: FloatArray  # [t], from the curvature at the minimum
    low: FloatArray  # [t], ends of the interval where -2 ln L rises by one
    high: FloatArray  # [t]
    value: FloatArray  # [t], -ln L at the minimum
    theta: FloatArray  # [t, q], best free factors (mu first) and alphas
    hessian: FloatArray  # [t, q, q], of -ln L with the templates' statistics profiled
    converged: NDArray[np.bool_]  # [t]

    def __getitem__(self, rows: Rows | NDArray[np.bool_]) -> Strengths:
        return Strengths(
            self.mu[rows],
            self.error[rows],
            self.low[rows],
            self.high[rows],
            self.value[rows],
            self.theta[rows],
            self.hessian[rows],
            self.converged[rows],
        )


def fit_strengths(model: Model, data: Observations, *, intervals: bool = True, last_step: bool = False) -> Strengths:
    """Fit every data set.

    Args:
        model: the templates.
        data: the data sets.
        intervals: find the interval of each; without it, low and high are NaN.
        last_step: take one more step of Newton's method to the minimum and to the ends, which are within 1e-5 standard
            deviations without it (enough for toys) and within some 1e-9 with it.

    """
    minimum = fit(model, data)
    nothing = np.full(len(minimum.point), np.nan)
    error = nothing.copy()
    error[minimum.converged] = curvature_error(minimum.at.hessian[minimum.converged])
    ok = minimum.converged & np.isfinite(error)
    theta = minimum.point
    if last_step:
        theta[ok] -= solve(minimum.at.hessian[ok], minimum.at.gradient[ok])
    mu = np.where(ok, theta[:, 0], np.nan)
    result = Strengths(mu, error, nothing.copy(), nothing, minimum.at.value, theta, minimum.at.hessian, ok)
    if intervals and ok.any():
        rows = np.flatnonzero(ok)
        ends = _ends(model, data[rows], result[ok], last_step)
        result.low[rows], result.high[rows] = ends
    return result


def curvature_error(hessian: FloatArray) -> FloatArray:
    """Return the error of the first parameter [t] from Hessians [t, q, q] of -ln L; NaN where there is no minimum."""
    first = np.zeros(hessian.shape[:2])
    first[:, 0] = 1.0
    variance = solve(hessian, first)[:, 0]
    return np.sqrt(np.where(variance > 0, variance, np.nan))


def profile(model: Model, data: Observations, mu: FloatArray, start: FloatArray) -> Minimum:
    """Return the best other parameters for given mu [t], from `start` [t, q]."""
    free = np.ones(start.shape, dtype=np.bool_)
    free[:, 0] = False
    point = start.copy()
    point[:, 0] = mu
    return fit(model, data, point, free)


def q0(model: Model, data: Observations, best: Strengths) -> FloatArray:
    """Return the discovery test statistic [t]: -2 ln of L at mu = 0 over L at its maximum; 0 for mu < 0."""
    start = best.theta.copy()
    start[:, 1:] = np.where(best.converged[:, None], start[:, 1:], model.start[1:])
    without = profile(model, data, np.zeros(len(start)), start)
    ratio = np.where(best.mu > 0, np.maximum(2 * (without.at.value - best.value), 0.0), 0.0)
    return np.where(best.converged & without.converged, ratio, np.nan)


def _ends(model: Model, data: Observations, best: Strengths, last_step: bool) -> tuple[FloatArray, FloatArray]:
    """Find where -2 ln L has risen by one, below and above the best mu [t].

    Newton's method is applied to the square root of the rise, which is nearly a straight line. Where the likelihood
    ends before that (a bin would expect no events), its end is taken.
    """
    both = np.tile(np.arange(len(best.mu)), 2)
    side = np.repeat([-1.0, 1.0], len(best.mu))
    data, error, least = data[both], best.error[both], best.value[both]
    distance = error.copy()
    near, far = np.zeros_like(error), np.full_like(error, np.inf)  # distances inside the interval, and beyond its end
    theta = best.theta[both]
    theta[:, 1:] += (side * distance)[:, None] * _ridge(best.hessian)[both]
    rows = np.arange(len(both))
    for _ in range(_STEPS):
        x, sign = distance[rows], side[rows]
        at = profile(model, data[rows], best.mu[both[rows]] + sign * x, theta[rows])
        z = np.sqrt(np.maximum(2 * (at.at.value - least[rows]), 0.0))
        good = at.converged & (z > 0)
        near[rows] = np.where(good & (z <= 1), x, near[rows])
        far[rows] = np.where(good & (z <= 1), far[rows], x)
        theta[rows[good]] = at.point[good]
        slope = np.divide(sign * at.at.gradient[:, 0], z, out=np.zeros_like(z), where=good)  # dz / dx
        newton = x + np.divide(1 - z, slope, out=np.full_like(z, np.inf), where=slope > 0)
        bounded = np.isfinite(far[rows])
        other = np.where(bounded, 0.5 * (near[rows] + np.where(bounded, far[rows], 0.0)), near[rows] + error[rows])
        usable = good & (newton > near[rows]) & (newton < far[rows])
        at_end = good & (np.abs(z - 1) < _PRECISION)
        distance[rows] = np.where(at_end & ~(last_step & usable), x, np.where(usable, newton, other))
        ended = ~at_end & (far[rows] - near[rows] < _PRECISION * error[rows])
        distance[rows[ended]] = near[rows[ended]]
        rows = rows[~(at_end | ended)]
        if not len(rows):
            break
    ends = best.mu[both] + side * distance
    return ends[: len(best.mu)], ends[len(best.mu) :]


def _ridge(hessian: FloatArray) -> FloatArray:
    """Return d(theta) / d(mu) [t, q - 1] of the others, along which the gradient by them stays zero."""
    if hessian.shape[1] == 1:
        return np.zeros((len(hessian), 0))
    return -solve(hessian[:, 1:, 1:], hessian[:, 1:, 0])
