"""Newton's method on many small problems in parallel: as many fits as there are toys, in a few steps of arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hepda.results.evaluation import FloatArray

Rows = NDArray[np.intp]

_STEPS = 60
_PRECISION = 1e-9  # of the function: a parameter is then within 5e-5 of its error
_SUFFICIENT = 1e-4  # share of the expected decrease that a step must achieve


@dataclass(frozen=True, slots=True, eq=False)
class Derivatives:
    """A function and its derivatives at one point of each of t problems of q parameters."""

    value: FloatArray  # [t], inf where the point is not allowed
    gradient: FloatArray  # [t, q]
    hessian: FloatArray  # [t, q, q]
    positive: FloatArray  # [t, q, q], positive definite and near the Hessian: used where that is not

    def put(self, rows: Rows | NDArray[np.bool_], other: Derivatives) -> None:
        """Overwrite some rows."""
        self.value[rows], self.gradient[rows] = other.value, other.gradient
        self.hessian[rows], self.positive[rows] = other.hessian, other.positive

    def __getitem__(self, rows: Rows | NDArray[np.bool_]) -> Derivatives:
        return Derivatives(self.value[rows], self.gradient[rows], self.hessian[rows], self.positive[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Minimum:
    """Points where the functions are smallest; without meaning in the rows that have not converged."""

    point: FloatArray  # [t, q]
    at: Derivatives
    converged: NDArray[np.bool_]  # [t]


Function = Callable[[FloatArray, Rows], Derivatives]


def minimise(
    function: Function,
    start: FloatArray,
    free: NDArray[np.bool_] | None = None,
    largest: FloatArray | None = None,
) -> Minimum:
    """Minimise t functions of q parameters.

    Each step is Newton's, or one with the matrix `positive` where Newton's would lead uphill, and is halved until the
    function decreases enough (Armijo). A row ends when its expected decrease is below 1e-9; rows that have not reached
    this after 60 steps have not converged.

    Args:
        function: function(points [k, q], rows [k]) returns the derivatives of the problems `rows`.
        start: start values [t, q].
        free: parameters that are varied [t, q]; by default all.
        largest: the longest step of each parameter [q]; a step that exceeds it is scaled down in all parameters.

    """
    point = start.copy()
    rows = np.arange(len(point))
    at = function(point, rows)
    converged = np.zeros(len(point), dtype=np.bool_)
    rows = rows[np.isfinite(at.value)]
    length = np.ones(len(point))
    for _ in range(_STEPS):
        if not len(rows):
            break
        step, slope = direction(at[rows], None if free is None else free[rows])
        if largest is not None:
            shorter = 1 / np.maximum(1.0, np.max(np.abs(step) / largest, axis=1))
            step, slope = step * shorter[:, None], slope * shorter
        trial = point[rows] + length[rows, None] * step
        # A first step can lead far out, where numbers overflow; no such point is accepted, and the step is halved.
        with np.errstate(over="ignore", invalid="ignore"):
            at_trial = function(trial, rows)
        enough = _SUFFICIENT * length[rows] * slope
        good = at_trial.value <= at.value[rows] + enough + 1e-12 * (1 + np.abs(at.value[rows]))
        accepted = rows[good]
        at.put(accepted, at_trial[good])
        point[accepted] = trial[good]
        near = -0.5 * slope < _PRECISION
        converged[rows[near & good]] = True
        length[accepted] = 1.0
        length[rows[~good]] *= 0.5
        rows = rows[~(near & good)]
    return Minimum(point, at, converged)


def direction(at: Derivatives, free: NDArray[np.bool_] | None) -> tuple[FloatArray, FloatArray]:
    """Return steps [t, q] downhill and the slopes [t] along them (not positive)."""
    gradient = at.gradient if free is None else np.where(free, at.gradient, 0.0)
    step = _step(at.hessian, gradient, free)
    slope = np.einsum("tq,tq->t", step, gradient)
    uphill = ~(slope < 0) & np.any(gradient != 0, axis=1)  # also NaN, and where a singular Hessian has no step
    if uphill.any():
        fixed = None if free is None else free[uphill]
        step[uphill] = _step(at.positive[uphill], gradient[uphill], fixed)
        slope[uphill] = np.einsum("tq,tq->t", step[uphill], gradient[uphill])
    return step, slope


def solve(matrix: FloatArray, vector: FloatArray) -> FloatArray:
    """Solve symmetric systems [t, q, q]; for a singular system, return the shortest of the least-squares solutions."""
    try:
        return np.asarray(np.linalg.solve(matrix, vector[..., None])[..., 0], dtype=np.float64)
    except np.linalg.LinAlgError:  # one singular matrix makes the call fail for all
        inverse = np.linalg.pinv(matrix, hermitian=True)
        return np.asarray(np.einsum("tqr,tr->tq", inverse, vector), dtype=np.float64)


def _step(matrix: FloatArray, gradient: FloatArray, free: NDArray[np.bool_] | None) -> FloatArray:
    if free is not None:
        matrix = np.where(free[:, :, None] & free[:, None, :], matrix, 0.0)
        index = np.arange(matrix.shape[-1])
        matrix[:, index, index] += ~free  # ones on the diagonal of fixed parameters
    return -solve(matrix, gradient)
