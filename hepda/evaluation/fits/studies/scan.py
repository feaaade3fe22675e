"""The likelihood as a function of one parameter, all others fitted at each point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hepda.errors import DataError, nearest
from hepda.evaluation.fits.channels import POI
from hepda.evaluation.fits.histfactory import Model, Observations, fit
from hepda.evaluation.fits.numerics.newton import solve
from hepda.evaluation.fits.profile import fit_strengths
from hepda.evaluation.fits.templates import Templates
from hepda.results.evaluation import FloatArray
from hepda.results.fits import Scan

_REACH = 3.0  # of the automatic points, in errors about the best value
_POINTS = 61
_NO_MINIMUM = "the fit runs to where a bin expects no events"


def scan(templates: Templates, observed: ArrayLike, *, parameter: str = POI, points: ArrayLike | None = None) -> Scan:
    """Return -2 ln of L over its maximum at values of one parameter.

    Args:
        templates: the samples and their variations.
        observed: counts [b].
        parameter: mu, another free factor or a systematic.
        points: values of the parameter [k]; None takes 61 within three errors of the best value.

    Raises:
        DataError: the templates cannot be fitted, or the fit has no such parameter.

    """
    best = _best(templates, observed)
    column = _column(best.model, parameter)
    if not best.converged:
        given = np.zeros(0) if points is None else np.asarray(points, dtype=np.float64)
        nothing = np.full(len(given), np.nan)
        return Scan(parameter, given, nothing, nothing, None, None, _NO_MINIMUM)
    centre, error = float(best.theta[column]), float(best.errors[column])
    if points is None:
        values = np.linspace(centre - _REACH * error, centre + _REACH * error, _POINTS)
    else:
        values = np.atleast_1d(np.asarray(points, dtype=np.float64))
    theta = np.repeat(best.theta[None], len(values), axis=0)
    theta[:, column] = values
    fixed = Observations(best.data.observed, best.data.alpha, best.data.gamma, best.gamma)[np.zeros(len(values), int)]
    alone = best.model.derivatives(theta, fixed).value - best.value
    return Scan(
        parameter,
        values,
        _rise(best, column, values),
        np.where(np.isfinite(alone), np.maximum(2 * alone, 0.0), np.nan),
        centre,
        error,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Best:
    """The best fit; its numbers have no meaning where it has not converged."""

    model: Model
    data: Observations
    theta: FloatArray  # [q]
    hessian: FloatArray  # [q, q]
    errors: FloatArray  # [q]
    gamma: FloatArray  # [1, b]
    value: float
    converged: bool


def _best(templates: Templates, observed: ArrayLike) -> _Best:
    model = Model.of(templates)
    data = model.nominally(templates.counts(observed)[None])
    fitted = fit_strengths(model, data, intervals=False, last_step=True)
    hessian = fitted.hessian[0]
    variance = solve(np.repeat(hessian[None], len(hessian), axis=0), np.eye(len(hessian))).diagonal()
    errors = np.sqrt(np.where(variance > 0, variance, np.nan))
    gamma = model.gamma(model.expected(fitted.theta), data)
    value = float(model.derivatives(fitted.theta, data).value[0])
    return _Best(model, data, fitted.theta[0], hessian, errors, gamma, value, bool(fitted.converged[0]))


def _column(model: Model, name: str) -> int:
    if name not in model.parameters:
        raise DataError(f"the fit has no parameter {name!r} to scan.{nearest(name, model.parameters)}")
    return model.parameters.index(name)


def _rise(best: _Best, column: int, values: FloatArray) -> FloatArray:
    """Return -2 ln of L over its maximum [k] with one parameter at values [k]; NaN where there is no minimum."""
    start = np.repeat(best.theta[None], len(values), axis=0)
    start[:, column] = values
    others = np.delete(np.arange(start.shape[1]), column)
    if len(others):  # along the valley of the parabola at the minimum
        valley = solve(best.hessian[None][:, others[:, None], others], best.hessian[None, others, column])[0]
        start[:, others] -= (values - best.theta[column])[:, None] * valley
    free = np.ones(start.shape, dtype=np.bool_)
    free[:, column] = False
    data = best.data[np.zeros(len(values), dtype=np.intp)]
    fitted = fit(best.model, data, start, free)
    missing = np.flatnonzero(~fitted.converged)
    value = fitted.at.value.copy()
    if len(missing):  # the valley may lead to where a bin expects no events: once more from the best point
        start[missing] = best.theta
        start[missing, column] = values[missing]
        again = fit(best.model, data[missing], start[missing], free[missing])
        value[missing] = np.where(again.converged, again.at.value, np.nan)
    return np.maximum(2 * (value - best.value), 0.0)
