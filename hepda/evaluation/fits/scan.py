"""The likelihood as a function of one or two parameters, all others fitted at each point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.errors import DataError, nearest
from hepda.evaluation.fits.channels import POI
from hepda.evaluation.fits.histfactory import Model, Observations, fit
from hepda.evaluation.fits.numerics.newton import solve
from hepda.evaluation.fits.profile import fit_strengths
from hepda.evaluation.fits.templates import Templates
from hepda.results.evaluation import FloatArray
from hepda.results.fits import PlaneScan, Scan

_REACH = 3.0  # of the automatic points, in errors about the best value
_POINTS, _POINTS_OF_PLANE = 61, 25
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
    values = _values(points, centre, error, _POINTS)
    theta = np.repeat(best.theta[None], len(values), axis=0)
    theta[:, column] = values
    fixed = Observations(best.data.observed, best.data.alpha, best.data.gamma, best.gamma)[np.zeros(len(values), int)]
    alone = best.model.derivatives(theta, fixed).value - best.value
    return Scan(
        parameter,
        values,
        _rise(best, np.array([column]), values[:, None]),
        np.where(np.isfinite(alone), np.maximum(2 * alone, 0.0), np.nan),
        centre,
        error,
    )


def scan_plane(
    templates: Templates,
    observed: ArrayLike,
    *,
    parameters: tuple[str, str],
    points: tuple[ArrayLike, ArrayLike] | None = None,
) -> PlaneScan:
    """Return -2 ln of L over its maximum at values of two parameters.

    Args:
        templates: the samples and their variations.
        observed: counts [b].
        parameters: names of two parameters: mu, other free factors or systematics.
        points: values of the first [k] and of the second [m]; None takes 25 of each within three errors.

    Raises:
        DataError: the templates cannot be fitted, or the fit has no such parameters.

    """
    best = _best(templates, observed)
    columns = np.array([_column(best.model, name) for name in parameters])
    if columns[0] == columns[1]:
        raise DataError(f"a plane needs two parameters, not {parameters[0]} twice")
    if not best.converged:
        x, y = (np.zeros(0) if points is None else np.asarray(p, dtype=np.float64) for p in points or ((), ()))
        return PlaneScan(parameters, x, y, np.full((len(y), len(x)), np.nan), None, _NO_MINIMUM)
    x, y = (
        _values(None if points is None else points[i], best.theta[c], best.errors[c], _POINTS_OF_PLANE)
        for i, c in enumerate(columns)
    )
    grid = np.stack([a.ravel() for a in np.meshgrid(x, y)], axis=1)
    rise = _rise(best, columns, grid).reshape(len(y), len(x))
    first, second = best.theta[columns]
    return PlaneScan(parameters, x, y, rise, (float(first), float(second)))


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
    found = fit_strengths(model, data, intervals=False, last_step=True)
    hessian = found.hessian[0]
    variance = solve(np.repeat(hessian[None], len(hessian), axis=0), np.eye(len(hessian))).diagonal()
    errors = np.sqrt(np.where(variance > 0, variance, np.nan))
    gamma = model.gamma(model.expected(found.theta), data)
    value = float(model.derivatives(found.theta, data).value[0])
    return _Best(model, data, found.theta[0], hessian, errors, gamma, value, bool(found.converged[0]))


def _column(model: Model, name: str) -> int:
    if name not in model.parameters:
        raise DataError(f"the fit has no parameter {name!r} to scan.{nearest(name, model.parameters)}")
    return model.parameters.index(name)


def _values(points: ArrayLike | None, centre: float, error: float, count: int) -> FloatArray:
    if points is not None:
        return np.atleast_1d(np.asarray(points, dtype=np.float64))
    return np.linspace(centre - _REACH * error, centre + _REACH * error, count)


def _rise(best: _Best, columns: NDArray[np.intp], values: FloatArray) -> FloatArray:
    """Return -2 ln of L over its maximum [k] with the parameters `columns` [c] at values [k, c]; NaN: no minimum."""
    start = np.repeat(best.theta[None], len(values), axis=0)
    others = np.setdiff1d(np.arange(start.shape[1]), columns)
    step = values - start[:, columns]
    start[:, columns] = values
    if len(others):  # along the valley of the parabola at the minimum
        block, cross = best.hessian[np.ix_(others, others)], best.hessian[np.ix_(others, columns)]
        start[:, others] -= solve(np.repeat(block[None], len(values), axis=0), step @ cross.T)
    free = np.ones(start.shape, dtype=np.bool_)
    free[:, columns] = False
    data = best.data[np.zeros(len(values), dtype=np.intp)]
    found = fit(best.model, data, start, free)
    missing = np.flatnonzero(~found.converged)
    value = found.at.value.copy()
    if len(missing):  # the valley may lead to where a bin expects no events: once more from the best point
        start[missing] = best.theta
        start[np.ix_(missing, columns)] = values[missing]
        again = fit(best.model, data[missing], start[missing], free[missing])
        value[missing] = np.where(again.converged, again.at.value, np.nan)
    return np.maximum(2 * (value - best.value), 0.0)
