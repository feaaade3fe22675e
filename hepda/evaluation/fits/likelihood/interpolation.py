"""Interpolations of HistFactory between the nominal, the up and the down variation, with derivatives.

`additive` is for shapes (pyhf's code4p) and `factors` for rates (code4): smooth polynomials for |alpha| < 1,
straight lines or exponentials beyond, where up is at alpha = +1 and down at -1 (Cranmer et al.,
CERN-OPEN-2012-016; pyhf's documentation of its interpolators).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepda.results.evaluation import FloatArray

# Rows: coefficients of alpha^1 ... alpha^6; columns: f(1) - 1, f(-1) - 1, f'(1), f'(-1), f''(1), f''(-1).
_CODE4 = (
    np.array(
        [
            [15, -15, -7, -7, 1, -1],
            [24, 24, -9, 9, 1, 1],
            [-10, 10, 10, 10, -2, 2],
            [-24, -24, 14, -14, -2, -2],
            [3, -3, -3, -3, 1, -1],
            [8, 8, -5, 5, 1, 1],
        ]
    )
    / 16.0
)
_POWERS = np.arange(1, 7)


def additive(alpha: FloatArray) -> FloatArray:
    """Return weights [3, 2, ...] of (up - nominal) and (nominal - down): values, first and second derivatives.

    The contents added to the nominal ones are w_up (up - nominal) + w_down (nominal - down).

    Args:
        alpha: values of the parameters, of any shape.

    """
    square = alpha * alpha
    inside = np.abs(alpha) <= 1
    bend = np.where(inside, square * (15 + square * (3 * square - 10)) / 16, 0.0)
    slope = np.where(inside, alpha * (30 + square * (18 * square - 40)) / 16, 0.0)
    second = np.where(inside, (30 + square * (90 * square - 120)) / 16, 0.0)
    up = np.where(inside, 0.5, np.where(alpha > 0, 1.0, 0.0))
    down = 1.0 - up
    return np.stack(
        [
            np.stack([up * alpha + bend, down * alpha - bend]),
            np.stack([up + slope, down - slope]),
            np.stack([second, -second]),
        ]
    )


@dataclass(frozen=True, slots=True, eq=False)
class RateFactors:
    """Factors on rates [p, s]: of p systematics on s samples, `up` at alpha = +1, `down` at -1, all > 0."""

    log_up: FloatArray  # [p, s]
    log_down: FloatArray  # [p, s]
    coefficients: FloatArray  # [6, p, s], of alpha to the powers 1 ... 6 inside

    @classmethod
    def of(cls, up: FloatArray, down: FloatArray) -> RateFactors:
        """Build the interpolation from the factors themselves."""
        log_up, log_down = np.log(up), np.log(down)
        ends = np.stack([up - 1, down - 1, log_up * up, -log_down * down, log_up**2 * up, log_down**2 * down])
        return cls(log_up, log_down, np.tensordot(_CODE4, ends, axes=1))

    def of_row(self, row: int) -> RateFactors:
        """Return the factors [p, 1] of one of the samples."""
        part = slice(row, row + 1)
        return RateFactors(self.log_up[:, part], self.log_down[:, part], self.coefficients[:, :, part])

    def at(self, alpha: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return logarithms of the factors, their first and second derivatives by alpha; alpha [t, p] -> [t, p, s]."""
        if not (self.log_up.any() or self.log_down.any()):  # no rate changes: a third of the time of a small fit
            nothing = np.zeros((*alpha.shape, self.log_up.shape[1]))
            return nothing, nothing, nothing
        inside = np.abs(alpha) <= 1
        a = np.where(inside, alpha, 0.0)  # outside, the polynomial may be negative
        powers = a[..., None] ** np.arange(7)
        by_power = np.moveaxis(self.coefficients, 0, -1)  # [p, s, 6]
        value = 1 + np.einsum("psk,tpk->tps", by_power, powers[..., 1:])
        first = np.einsum("psk,tpk->tps", by_power * _POWERS, powers[..., :6])
        curve = by_power[..., 1:] * (_POWERS[1:] * _POWERS[:-1])
        second = np.einsum("psk,tpk->tps", curve, powers[..., :5])
        slope = first / value
        bend = second / value - slope**2
        within, outer = inside[..., None], np.where((alpha > 0)[..., None], self.log_up, -self.log_down)
        logarithm = np.where(within, np.log(value), alpha[..., None] * outer)
        return logarithm, np.where(within, slope, outer), np.where(within, bend, 0.0)
