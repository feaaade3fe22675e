"""Expected events of a fit at many points, with their derivatives: the sum over samples of rates times shapes.

A row is one sample in one channel. `RowByRow` adds row after row and is what a fit of one channel uses; its sums have
the order that they always had, so that such fits keep their numbers to the last bit. `Blocks` takes the samples of a
channel together in products of matrices, so that a toy of many channels takes no longer than one of a single channel.
Tests compare the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hepda.evaluation.fits.numerics.interpolation import RateFactors, additive
from hepda.results.evaluation import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One sample in one channel."""

    bins: slice  # of the channel, in the bins of all
    rate: int | None  # column of the free factor that scales it
    nominal: FloatArray  # [b]
    up: FloatArray  # [p, b], shape up - nominal
    down: FloatArray  # [p, b], nominal - shape down


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """Expected events nu and the quantities from which its second derivatives are computed."""

    nu: FloatArray  # [t, b]
    slopes: FloatArray  # [t, q, b]
    contents: list[FloatArray]  # before rates and free factors: of rows [t, b], or of blocks [t, s, b]
    rates: FloatArray  # [t, r], without free factors
    weights: FloatArray  # [3, 2, t, p], of `additive`
    by_alpha: FloatArray  # of the logarithm of the rate: of rows [t, p, r], or of blocks [t, r, p]
    bend: FloatArray  # its second derivative


@dataclass(frozen=True, eq=False)
class RowByRow:
    """Expected events [b] as a sum, row by row, of points theta [q]: free factors, then systematics."""

    rows: tuple[Row, ...]
    factors: RateFactors  # [p, r]
    free: int  # number of free factors
    bins: int

    def at(self, theta: FloatArray) -> Expected:
        """Return the expected events at theta [t, q]."""
        k = self.free
        free, alpha = theta[:, :k], theta[:, k:]
        weights = additive(alpha)
        logarithm, by_alpha, bend = self.factors.at(alpha)
        rates = np.exp(logarithm.sum(axis=1))  # [t, r]
        nu = np.zeros((len(theta), self.bins))
        slopes = np.zeros((*theta.shape, self.bins))
        contents = []
        for r, row in enumerate(self.rows):
            shape = row.nominal + weights[0, 0] @ row.up + weights[0, 1] @ row.down
            unscaled = rates[:, r, None] * shape
            rate = rates[:, r] if row.rate is None else rates[:, r] * free[:, row.rate]
            slopes[:, k:, row.bins] += rate[:, None, None] * (
                weights[1, 0][..., None] * row.up
                + weights[1, 1][..., None] * row.down
                + by_alpha[:, :, r, None] * shape[:, None]
            )
            if row.rate is not None:
                slopes[:, row.rate, row.bins] += unscaled
            nu[:, row.bins] += unscaled if row.rate is None else free[:, row.rate, None] * unscaled
            contents.append(shape)
        return Expected(nu, slopes, contents, rates, weights, by_alpha, bend)

    def add_bend(self, at: Expected, theta: FloatArray, by_nu: FloatArray, hessian: FloatArray) -> None:
        """Add sum_b by_nu[b] times the second derivatives of nu_b to the Hessian [t, q, q]."""
        k = self.free
        diagonal = np.arange(k, theta.shape[1])
        for r, row in enumerate(self.rows):
            by_bin = by_nu[:, row.bins]
            total = np.einsum("tb,tb->t", by_bin, at.contents[r])[:, None]
            up, down = by_bin @ row.up.T, by_bin @ row.down.T  # [t, p]
            shape = at.weights[1, 0] * up + at.weights[1, 1] * down
            rate, log_slope = at.rates[:, r, None], at.by_alpha[:, :, r]
            scale = rate if row.rate is None else rate * theta[:, row.rate, None]
            part = log_slope[:, :, None] * (total * log_slope + shape)[:, None, :]
            part += shape[:, :, None] * log_slope[:, None, :]
            hessian[:, k:, k:] += scale[..., None] * part
            second = at.weights[2, 0] * up + at.weights[2, 1] * down + at.bend[:, :, r] * total
            hessian[:, diagonal, diagonal] += scale * second
            if row.rate is not None:
                cross = rate * (shape + log_slope * total)
                hessian[:, row.rate, k:] += cross
                hessian[:, k:, row.rate] += cross


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """The samples s of one channel."""

    bins: slice
    rows: slice
    nominal: FloatArray  # [s, b]
    up: FloatArray  # [s, p, b]
    down: FloatArray  # [s, p, b]


@dataclass(frozen=True, eq=False)
class Blocks:
    """The same sum, the samples of each channel together."""

    rows: tuple[Row, ...]  # those of a channel one after another
    factors: RateFactors  # [p, r]
    free: int
    bins: int

    def at(self, theta: FloatArray) -> Expected:
        """Return the expected events at theta [t, q]."""
        k, t, p = self.free, len(theta), theta.shape[1] - self.free
        alpha = theta[:, k:]
        weights = additive(alpha)
        logarithm, by_alpha, bend = self.factors.by_row(alpha)  # [t, r], [t, r, p], [t, r, p]
        rates = np.exp(logarithm)
        scale = rates * self._factors(theta)
        nu = np.empty((t, self.bins))
        slopes = np.zeros((*theta.shape, self.bins))
        contents = []
        for block in self._blocks:
            s, b = block.nominal.shape
            up, down = (block.up.transpose(1, 0, 2).reshape(p, s * b), block.down.transpose(1, 0, 2).reshape(p, s * b))
            shape = (block.nominal.reshape(-1) + weights[0, 0] @ up + weights[0, 1] @ down).reshape(t, s, b)
            of_block = scale[:, block.rows]
            nu[:, block.bins] = (of_block[:, None] @ shape)[:, 0]
            slope = (of_block[..., None] * by_alpha[:, block.rows]).transpose(0, 2, 1) @ shape
            slope += weights[1, 0][..., None] * (of_block @ block.up.reshape(s, p * b)).reshape(t, p, b)
            slope += weights[1, 1][..., None] * (of_block @ block.down.reshape(s, p * b)).reshape(t, p, b)
            slopes[:, k:, block.bins] = slope
            for r in range(*block.rows.indices(len(self.rows))):
                column = self.rows[r].rate
                if column is not None:
                    slopes[:, column, block.bins] += rates[:, r, None] * shape[:, r - block.rows.start]
            contents.append(shape)
        return Expected(nu, slopes, contents, rates, weights, by_alpha, bend)

    def add_bend(self, at: Expected, theta: FloatArray, by_nu: FloatArray, hessian: FloatArray) -> None:
        """Add sum_b by_nu[b] times the second derivatives of nu_b to the Hessian [t, q, q]."""
        k, t, p = self.free, len(theta), theta.shape[1] - self.free
        total = np.empty((t, len(self.rows)))
        up, down = np.empty((2, t, len(self.rows), p))
        for block, shape in zip(self._blocks, at.contents, strict=True):
            by_bin = by_nu[:, block.bins]
            s, b = block.nominal.shape
            total[:, block.rows] = (shape @ by_bin[..., None])[..., 0]
            up[:, block.rows] = (by_bin @ block.up.reshape(s * p, b).T).reshape(t, s, p)
            down[:, block.rows] = (by_bin @ block.down.reshape(s * p, b).T).reshape(t, s, p)
        moved = at.weights[1, 0][:, None] * up + at.weights[1, 1][:, None] * down  # [t, r, p]
        scale = at.rates * self._factors(theta)
        scaled = scale[..., None] * at.by_alpha
        by_rate = total[..., None] * at.by_alpha + moved
        hessian[:, k:, k:] += scaled.transpose(0, 2, 1) @ by_rate
        hessian[:, k:, k:] += moved.transpose(0, 2, 1) @ scaled
        diagonal = np.arange(k, theta.shape[1])
        second = at.weights[2, 0] * (scale[:, None] @ up)[:, 0] + at.weights[2, 1] * (scale[:, None] @ down)[:, 0]
        second += ((scale * total)[:, None] @ at.bend)[:, 0]
        hessian[:, diagonal, diagonal] += second
        for column in range(k):
            cross = ((at.rates * (self._columns == column))[:, None] @ by_rate)[:, 0]
            hessian[:, column, k:] += cross
            hessian[:, k:, column] += cross

    @cached_property
    def _columns(self) -> NDArray[np.intp]:
        return np.array([-1 if row.rate is None else row.rate for row in self.rows], dtype=np.intp)

    @cached_property
    def _blocks(self) -> Sequence[_Block]:
        starts = [r for r, row in enumerate(self.rows) if r == 0 or row.bins != self.rows[r - 1].bins]
        blocks = []
        for start, end in zip(starts, [*starts[1:], len(self.rows)], strict=True):
            rows = self.rows[start:end]
            nominal, up, down = (np.stack([getattr(row, name) for row in rows]) for name in ("nominal", "up", "down"))
            blocks.append(_Block(rows[0].bins, slice(start, end), nominal, up, down))
        return blocks

    def _factors(self, theta: FloatArray) -> FloatArray:
        """Return the free factors [t, r] of the rows."""
        with_one = np.concatenate([theta[:, : self.free], np.ones((len(theta), 1))], axis=1)
        return with_one[:, self._columns]  # -1: the last column
