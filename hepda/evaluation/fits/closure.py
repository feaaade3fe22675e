"""A fit to pseudo-data with a known truth as a result: mu, its error and pull, and the error of the finite pseudo-data.

The difference between mu and the injected truth is the bias that a wrong generator causes; it is resolved if it is much
larger than `sample_error`. `toys.expected_fits` makes such fits.
"""

from __future__ import annotations

import numpy as np

from hepda.evaluation.fits.histfactory import Model, Observations
from hepda.evaluation.fits.profile import Strengths
from hepda.results.evaluation import ClosureFit, FloatArray

_NO_INTERVAL = "-2 ln L decreases again next to this minimum: no interval; the error is that of the curvature"


def closure_fit(
    model: Model, data: Observations, fits: Strengths, *, truth: float, edges: FloatArray, background_scale: float
) -> ClosureFit:
    """Return the fit of one data set as a result, without `sample_error`; mu is None where there is no minimum.

    Args:
        model: the templates.
        data: one data set.
        fits: its fit with an interval, from `fit_strengths`.
        truth: the injected mu.
        edges: edges of the bins [b + 1].
        background_scale: the fitted scale of the background.

    """
    (observed,) = data.observed
    if not fits.converged[0]:
        return _unfitted(truth, edges, observed, "the fit runs to where a bin expects no events")
    mu, low, high = float(fits.mu[0]), float(fits.low[0]), float(fits.high[0])
    nu = model.expected(fits.theta)
    is_interval = high > low  # else there is another minimum next to this one, and -2 ln L never rises
    error = 0.5 * (high - low) if is_interval else float(fits.error[0])
    return ClosureFit(
        mu=mu,
        error=error,
        low=low if is_interval else None,
        high=high if is_interval else None,
        truth=truth,
        pull=(mu - truth) / error,
        sample_error=None,
        background_scale=background_scale,
        edges=edges,
        observed=observed,
        fitted=(model.gamma(nu, data) * nu)[0],
        why=None if is_interval else _NO_INTERVAL,
        goodness=2 * float(fits.value[0]),
        ndf=model.bins - len(model.rates),
    )


def sample_errors(model: Model, data: Observations, fits: Strengths, variances: FloatArray) -> list[float | None]:
    """Return the errors of mu [t] because the data are simulated, with `variances` [t, b]; None without a minimum.

    Linear propagation through the fit: d(mu)/dn by the implicit function theorem.
    """
    noise: list[float | None] = [None] * len(data.observed)
    rows = np.flatnonzero(fits.converged)
    response = model.response(fits.theta[rows], data[rows], fits.hessian[rows])
    spread = np.sqrt(np.sum(response**2 * variances[rows], axis=1))
    for row, value in zip(rows.tolist(), spread.tolist(), strict=True):
        noise[row] = value
    return noise


def _unfitted(truth: float, edges: FloatArray, observed: FloatArray, why: str) -> ClosureFit:
    nothing = np.full(len(edges) - 1, np.nan)
    return ClosureFit(None, None, None, None, truth, None, None, None, edges, observed, nothing, 0, why)
