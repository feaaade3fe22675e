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

    def by_row(self, alpha: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the same in one product for each systematic, for many samples.

        Args:
            alpha: values [t, p].

        Returns:
            Logarithm of the product of all factors [t, s], first and second derivatives by alpha [t, s, p].

        """
        p, s = self.log_up.shape
        inside = np.abs(alpha) <= 1
        a = np.where(inside, alpha, 0.0)
        powers = (a[..., None] ** np.arange(7)).transpose(1, 0, 2)  # [p, t, 7]
        values, first, second = np.split(powers @ self._polynomials, 3, axis=-1)  # [p, t, s] each
        slope = first / values
        bend = second / values - slope**2
        logarithm = np.log(values)
        outside = ~inside.T  # [p, t]
        if outside.any():
            systematic, point = np.nonzero(outside)
            value = alpha.T[systematic, point][:, None]
            outer = np.where(value > 0, self.log_up[systematic], -self.log_down[systematic])
            logarithm[outside], slope[outside], bend[outside] = value * outer, outer, 0.0
        total = logarithm.sum(axis=0) if p else np.zeros((len(alpha), s))
        return total, np.ascontiguousarray(slope.transpose(1, 2, 0)), np.ascontiguousarray(bend.transpose(1, 2, 0))

    @property
    def _polynomials(self) -> FloatArray:
        """Coefficients [p, 7, 3 s] of alpha to the powers 0 ... 6: of the value and of its two derivatives."""
        by_power = np.moveaxis(self.coefficients, 0, 1)  # [p, 6, s]
        p, _, s = by_power.shape
        coefficients = np.zeros((p, 7, 3, s))
        coefficients[:, 0, 0] = 1.0
        coefficients[:, 1:, 0] = by_power
        coefficients[:, :6, 1] = by_power * _POWERS[:, None]
        coefficients[:, :5, 2] = by_power[:, 1:] * (_POWERS[1:] * _POWERS[:-1])[:, None]
        return coefficients.reshape(p, 7, 3 * s)
