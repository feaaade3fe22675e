"""The binned likelihood of a signal strength, with the statistics of the templates (Barlow-Beeston lite).

n_i ~ Poisson(g_i nu_i), nu_i = mu s_i + k b_i, with one factor g_i per bin, g_i ~ Normal(a_i, d_i), a_i = 1,
d_i^2 = sumw2_i / sumw_i^2 of the summed template at mu = 1 (Conway, arXiv:1103.0354; pyhf's `staterror`), and
the background's scale k ~ Normal(1, u), fixed for u = 0, free for u = None. The g_i are profiled in closed
form,

    g = [a - nu d^2 + sqrt((a - nu d^2)^2 + 4 n d^2)] / 2,

k by finding the root of its derivative, mu by finding another root; so a fit has no start value and no tolerance to
tune. The likelihood with systematics of rates and shapes is in `histfactory`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from hepda.results.evaluation import FloatArray

_TOLERANCE = 1e-12
_DOUBLINGS = 40  # steps towards a bracket: a factor of 1e12


class NoMinimumError(ValueError):
    """The likelihood has no minimum inside its range: the fit runs to a boundary."""


@dataclass(frozen=True, slots=True, eq=False)
class Likelihood:
    """-2 ln L of mu and k; arrays [b] of finite numbers, signal and background as expected at mu = 1."""

    signal: FloatArray  # >= 0
    background: FloatArray  # > 0
    observed: FloatArray  # >= 0, may be non-integer
    relative_error: FloatArray  # d
    scale_error: float | None  # u
    centre: FloatArray  # a, the control measurements of g
    scale_centre: float = 1.0

    def gamma(self, nu: FloatArray) -> FloatArray:
        """Return the profiled factors of the templates' statistics."""
        d2 = self.relative_error**2
        half = 0.5 * (self.centre - nu * d2)
        return np.asarray(half + np.sqrt(half**2 + self.observed * d2), dtype=np.float64)

    def expected(self, mu: float, scale: float) -> FloatArray:
        """Return the template mu s + k b, without the factors g."""
        return mu * self.signal + scale * self.background

    def value(self, mu: float, scale: float) -> float:
        """Return -2 ln L, which is zero for a perfect description."""
        nu = self.expected(mu, scale)
        gamma = self.gamma(nu)
        rate, n = gamma * nu, self.observed
        some = n > 0
        total = 2 * float(np.sum(rate - n) + np.sum(n[some] * np.log(n[some] / rate[some])))
        fluctuating = self.relative_error > 0
        pulls = (gamma - self.centre)[fluctuating] / self.relative_error[fluctuating]
        total += float(np.dot(pulls, pulls))
        if self.scale_error:
            total += ((scale - self.scale_centre) / self.scale_error) ** 2
        return total

    def slopes(self, mu: float, scale: float) -> tuple[float, float]:
        """Return the derivatives of -2 ln L by mu and by k, with g profiled."""
        nu = self.expected(mu, scale)
        per_nu = 2 * (self.gamma(nu) - self.observed / nu)
        by_scale = float(np.dot(per_nu, self.background))
        if self.scale_error:
            by_scale += 2 * (scale - self.scale_centre) / self.scale_error**2
        return float(np.dot(per_nu, self.signal)), by_scale

    def best_scale(self, mu: float, start: float = 1.0) -> float:
        """Return the best k for a given mu; a `start` near it saves steps."""
        if self.scale_error == 0:
            return self.scale_centre
        scale = self._newton_scale(mu, start)
        if scale is not None:
            return scale
        lowest = max(0.0, float(np.max(-mu * self.signal / self.background)))
        return _root(lambda k: self.slopes(mu, k)[1], max(1.0, 1.5 * lowest), lowest)

    def _newton_scale(self, mu: float, scale: float) -> float | None:
        """Return the best k by Newton's method, in a few steps where it converges; None where it does not."""
        constraint = 1 / self.scale_error**2 if self.scale_error else 0.0
        for _ in range(12):
            nu = self.expected(mu, scale)
            if nu.min() <= 0:
                return None
            gamma = self.gamma(nu)
            slope = float(np.dot(gamma - self.observed / nu, self.background))
            slope += constraint * (scale - self.scale_centre)
            curvature = float(np.dot(self.curvature(nu, gamma), self.background**2)) + constraint
            if curvature <= 0:
                return None
            scale -= slope / curvature
            if abs(slope) < 1e-7 * abs(scale) * curvature:  # the next step would be of order 1e-14
                return scale if self.expected(mu, scale).min() > 0 else None
        return None

    def curvature(self, nu: FloatArray, gamma: FloatArray) -> FloatArray:
        """Return half the second derivative of each bin's -2 ln L by nu, with g profiled."""
        d2 = self.relative_error**2
        root = 2 * gamma + nu * d2 - self.centre  # positive unless d = 0 and a <= 0, where g does not change
        return np.asarray(self.observed / nu**2 - d2 * gamma / np.where(root > 0, root, 1.0), dtype=np.float64)

    def lowest_mu(self) -> float:
        """Return the mu at which a fixed background leaves no event in some bin; -inf if it can be scaled."""
        if self.scale_error != 0:
            return -np.inf
        some = self.signal > 0
        return -float(np.min(self.scale_centre * self.background[some] / self.signal[some]))

    def profiled(self, mu: float, start: float = 1.0) -> float:
        """Return -2 ln L at the best k, searched from `start`."""
        return self.value(mu, self.best_scale(mu, start))


@dataclass(frozen=True, slots=True)
class LikelihoodFit:
    """Best mu and k, and the ends of the interval where -2 ln L rises by one."""

    mu: float
    scale: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Half the width of the interval."""
        return 0.5 * (self.high - self.low)


def fit(likelihood: Likelihood) -> LikelihoodFit:
    """Maximise the likelihood; raise NoMinimumError if it runs to a boundary."""
    lowest = likelihood.lowest_mu()

    def slope(mu: float) -> float:
        return likelihood.slopes(mu, likelihood.best_scale(mu))[0]

    mu = _root(slope, 1.0, lowest)
    scale = likelihood.best_scale(mu)
    least = likelihood.value(mu, scale)

    def rise(at: float) -> float:
        return likelihood.profiled(at, scale) - least - 1.0

    step = np.sqrt(max(1.0, likelihood.observed.sum())) / likelihood.signal.sum()
    high = _root(rise, mu + step, mu)
    try:
        low = 2 * mu - _root(lambda x: rise(2 * mu - x), mu + step, mu, limit=2 * mu - lowest)
    except NoMinimumError:
        low = lowest  # the likelihood ends before it has risen by one: no lower signal strength is possible
    return LikelihoodFit(mu, scale, low, high)


def sample_error(likelihood: Likelihood, found: LikelihoodFit, variance: FloatArray) -> float:
    """Return the standard deviation of mu from variances [b] of the observed contents, to first order.

    It follows from the implicit function theorem: d(mu, k) / dn = -H^-1 dg / dn with H the Hessian and g the gradient.
    """
    s, b, d2 = likelihood.signal, likelihood.background, likelihood.relative_error**2
    nu = likelihood.expected(found.mu, found.scale)
    gamma = likelihood.gamma(nu)
    curvature = likelihood.curvature(nu, gamma)
    root = 2 * gamma + nu * d2 - likelihood.centre
    by_n = d2 / np.where(root > 0, root, 1.0) - 1 / nu
    if likelihood.scale_error == 0:
        response = -by_n * s / np.dot(curvature, s * s)
    else:
        constraint = 0.0 if likelihood.scale_error is None else 1 / likelihood.scale_error**2
        cross = np.dot(curvature, s * b)
        hessian = np.array([[np.dot(curvature, s * s), cross], [cross, np.dot(curvature, b * b) + constraint]])
        response = -np.linalg.solve(hessian, by_n * np.stack([s, b]))[0]
    return float(np.sqrt(np.dot(response**2, variance)))


def _root(function: Callable[[float], float], start: float, lowest: float, limit: float = np.inf) -> float:
    """Find where a function that is negative on the left becomes positive, between `lowest` and `limit`."""
    left = right = start
    width = 0.5 * (start - lowest) if np.isfinite(lowest) else 1.0
    for _ in range(_DOUBLINGS):
        if function(right) >= 0:
            break
        left, right = right, min(right + width, 0.5 * (right + limit))
        width *= 2
    else:
        raise NoMinimumError("the likelihood keeps rising: the templates cannot describe so many events")
    width = 0.5 * (start - lowest) if np.isfinite(lowest) else 1.0
    for _ in range(_DOUBLINGS):
        if function(left) <= 0:
            break
        right, left = left, (left - width if not np.isfinite(lowest) else 0.5 * (left + lowest))
        width *= 2
    else:
        raise NoMinimumError("the fit runs to where a bin expects no events")
    return left if left == right else float(brentq(function, left, right, xtol=_TOLERANCE, rtol=_TOLERANCE))
