"""CLs upper limits on mu with the asymptotic distribution of q~mu (Cowan et al., arXiv:1007.1727)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from hepda.evaluation.fits.histfactory import Model, Observations
from hepda.evaluation.fits.profile import fit_strengths, profile
from hepda.evaluation.fits.templates import Templates
from hepda.results.evaluation import FloatArray
from hepda.results.fits import UpperLimit

_BAND = (-2.0, -1.0, 0.0, 1.0, 2.0)
_DOUBLINGS = 60
_UNBOUNDED = (
    "no strength is excluded: the statistical uncertainty of the signal's template grows with it, and covers the "
    "difference to the data; compare the yields of data and simulation"
)


def upper_limit(templates: Templates, observed: ArrayLike | None = None, *, level: float = 0.05) -> UpperLimit:
    """Return the largest mu with CLs >= level: observed, and expected without signal with its bands.

    The Asimov data set has the nuisance parameters that fit the observed data best at mu = 0 (without data: the
    nominal ones). Without a minimum, or where no strength is excluded, `why` contains the reason.

    Args:
        templates: the samples and their variations.
        observed: counts [b]; None computes the expected limit only.
        level: 1 minus the confidence level of the limit.

    Raises:
        DataError: the templates cannot be fitted.

    """
    from scipy import stats

    model = Model.of(templates)
    counts = templates.total(0.0) if observed is None else templates.counts(observed)
    data = model.nominally(counts[None])
    best = fit_strengths(model, data, intervals=False)
    start = np.where(best.converged[:, None], best.theta, model.start)
    without = profile(model, data, np.zeros(1), start)
    if not (best.converged[0] and without.converged[0]):
        return UpperLimit(None, None, None, level, "the fit runs to where a bin expects no events")
    nu = model.expected(without.point)
    gamma = model.gamma(nu, data)
    asimov = Observations(gamma * nu, without.point[:, len(model.rates) :], gamma)
    scale = float(best.error[0])
    root_of_asimov = _root_q(model, asimov, without.point, 0.0, 0.0)
    if not np.isfinite(scale) or scale <= 0:
        return UpperLimit(None, None, None, level, "the fit has no error, so no strength is known to be excluded")
    crossings: list[float | None] = []
    for shift in _BAND:
        # CLs = (1 - Phi(r - shift)) / Phi(shift) with r = sqrt(q~ of Asimov)
        threshold = float(stats.norm.isf(level * stats.norm.cdf(shift)) + shift)
        crossings.append(_rising(lambda mu, r=threshold: root_of_asimov(mu) - r, scale))  # type: ignore[misc]
    observed_limit: float | None = None
    if observed is not None:
        mu, least = float(best.mu[0]), float(best.value[0])
        if mu < 0:
            mu, least = 0.0, float(without.at.value[0])
        root = _root_q(model, data, best.theta, mu, least)
        observed_limit = _rising(lambda at: level - _cls(root(at), root_of_asimov(at)), scale)
    expected = [crossing for crossing in crossings if crossing is not None]
    if len(expected) < len(crossings) or (observed is not None and observed_limit is None):
        return UpperLimit(None, None, None, level, _UNBOUNDED)
    two_down, down, median, up, two_up = expected
    return UpperLimit(observed_limit, median, (two_down, down, up, two_up), level)


def _root_q(model: Model, data: Observations, start: FloatArray, mu: float, least: float) -> Callable[[float], float]:
    """Return sqrt(q~) of a data set as a function of the tested strength."""

    def at(tested: float) -> float:
        if tested <= mu:
            return 0.0
        value = profile(model, data, np.array([tested]), start).at.value[0]
        return float(np.sqrt(max(2 * (value - least), 0.0)))

    return at


def _cls(q: float, asimov: float) -> float:
    """Return CLs from the roots of q~ of the data and of the Asimov set (equations 62 to 66 of arXiv:1007.1727)."""
    from scipy import stats

    if asimov == 0:
        return 1.0
    if q <= asimov:
        return float(stats.norm.sf(q) / stats.norm.sf(q - asimov))
    both, difference = (q**2 + asimov**2) / (2 * asimov), (q**2 - asimov**2) / (2 * asimov)
    return float(stats.norm.sf(both) / stats.norm.sf(difference))


def _rising(function: Callable[[float], float], scale: float) -> float | None:
    """Return where a rising function of mu > 0 crosses zero; None if it does not.

    The statistics of the signal's template are an uncertainty that grows with mu, so q~ has a bound: where the data
    are far below the templates, possibly no strength is excluded.
    """
    from scipy.optimize import brentq

    high = scale
    for _ in range(_DOUBLINGS):
        if function(high) > 0:
            return float(brentq(function, 0.0, high, xtol=1e-6 * scale))
        high *= 2
    return None
