"""The Cramer distance of two weighted samples of one number, and the energy distance of several: no critic, no kernel.

For one number x with distribution functions F_A and F_B (Cramer 1928; Szekely & Rizzo 2013, section 2)

    C(A, B) = integral (F_A(x) - F_B(x))^2 dx,
    E(A, B) = 2 E|X - Y| - E|X - X'| - E|Y - Y'| = 2 C(A, B),

with X, X' of A and Y, Y' of B. E has a meaning for points of any dimension, with |.| the Euclidean distance, and is 0
only for equal distributions. `scipy.stats.energy_distance` returns sqrt(E). As a loss of networks: Bellemare et al.
(arXiv:1705.10743), who compare it with the Wasserstein distance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hepda.adversarial.networks.tail import Tail
from hepda.adversarial.networks.term import Term, View, shares

_STRIP = 2**18
"""Pairs of rows whose distances are in memory at once."""
_STRIP_OF_GPU = 2**24
"""The same on a GPU, which needs a thousand times as many numbers to be busy: 128 MB of float64."""


def cramer(
    source: Tensor,
    target: Tensor,
    source_weight: Tensor,
    target_weight: Tensor,
    *,
    factors: Tensor | None = None,
    emphasis: float = 0.0,
    unbiased: bool = False,
) -> Tensor:
    """Return `integral f(x) (F_A(x) - F_B(x))^2 dx` of two weighted samples, exactly, by one sort: O(n log n).

    Between neighbouring values of the joined sample both distribution functions are constant, so that the integral is a
    sum over neighbours of a number times their difference, which is differentiable. In float64.

    Args:
        source: values [n_s].
        target: values [n_t].
        source_weight: signed weights [n_s]; F_A rises by their shares of their sum (`shares`).
        target_weight: signed weights [n_t].
        factors: f at the joined values [n_s + n_t], source first: it holds from a value up to the next one, and has no
            gradient; None: 1.
        emphasis: exponent e of a further factor (4 H (1 - H))^-e, with H the mean of F_A and F_B: 1 at the median, and
            larger in both tails; e = 1 is the weight of Anderson & Darling (1952).
        unbiased: subtract what is expected for two samples of one distribution: the U-statistic, which may be negative.

    """
    p, q = shares(source_weight.double()), shares(target_weight.double())
    values, order = torch.cat([source, target]).double().sort()
    rises = torch.stack([torch.cat([p, torch.zeros_like(q)]), torch.cat([torch.zeros_like(p), q])], dim=1)
    below_source, below_target = rises[order].cumsum(0)[:-1].unbind(1)
    integrand = (below_source - below_target).square()
    if unbiased:
        for below, share in ((below_source, p), (below_target, q)):
            integrand = integrand - _excess(share) * below * (share.sum() - below)
    if factors is not None:
        integrand = integrand * factors.detach()[order][:-1]
    if emphasis:
        middle = 0.5 * (below_source + below_target)
        integrand = integrand * (4.0 * middle * (1.0 - middle)).clamp_min(1.0 / len(values)).pow(-emphasis)
    distance: Tensor = integrand @ values.diff()
    return distance.to(source.dtype)


def _excess(share: Tensor) -> Tensor:
    """Return S / (1 - S), S the sum of the squared shares: pairs of a row with itself over all others."""
    squares: Tensor = share.square().sum().clamp_max(0.5)
    return squares / (1.0 - squares)


def energy_distance(
    source: Tensor, target: Tensor, source_weight: Tensor, target_weight: Tensor, *, unbiased: bool = False
) -> Tensor:
    """Return the energy distance `2 E|X - Y| - E|X - X'| - E|Y - Y'|` of points [n_s, d] and [n_t, d].

    Pairs are taken strip by strip, so that memory grows with the number of rows, not with its square. One number
    (d = 1) costs a sort: `2 cramer`. Weights as in `cramer`.

    Args:
        source: points [n_s, d].
        target: points [n_t, d].
        source_weight: signed weights [n_s].
        target_weight: signed weights [n_t].
        unbiased: leave out the pairs of a row with itself (U-statistic); else they count (V-statistic, never negative
            for weights >= 0).

    """
    if source.shape[1] == 1:
        values = source[:, 0], target[:, 0]
        return 2.0 * cramer(*values, source_weight, target_weight, unbiased=unbiased)
    p, q = shares(source_weight.double()), shares(target_weight.double())
    sides = torch.cat([torch.stack([p, torch.zeros_like(p)], 1), torch.stack([torch.zeros_like(q), q], 1)])
    within = [1.0 + _excess(share) if unbiased else torch.ones_like(p[0]) for share in (p, q)]
    coefficients = torch.ones_like(sides[:2])
    coefficients[0, 0], coefficients[1, 1] = -within[0], -within[1]
    points = torch.cat([source, target])
    result: Tensor = _PairSum.apply(points, sides, coefficients)  # type: ignore[no-untyped-call]
    return result.to(source.dtype)


def _strips(rows: int, device: torch.device) -> Iterator[tuple[slice, slice]]:
    """Yield strips of the upper triangle of a matrix [rows, rows]: rows, and columns from the diagonal on."""
    start, pairs = 0, _STRIP if device.type == "cpu" else _STRIP_OF_GPU
    while start < rows:
        end = min(rows, start + max(16, pairs // (rows - start)))
        yield slice(start, end), slice(start, rows)
        start = end


class _PairSum(torch.autograd.Function):
    """`sum_ij c_ij |x_i - x_j|` of points x [n, d], with c = W M W^T of sides W [n, 2] and coefficients M [2, 2]."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, sides: Tensor, coefficients: Tensor) -> Tensor:
        gradient = torch.zeros_like(points)
        total = sides.new_zeros(())
        for rows, columns in _strips(len(points), points.device):
            a, b = points[rows], points[columns]
            # exact differences: products would lose the distances of near points
            distance = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
            # both orders of a pair count; those of the square on the diagonal are both in the strip
            weight = 2.0 * (sides[rows] @ coefficients @ sides[columns].t())
            weight[:, : len(a)] *= 0.5
            total += torch.dot(weight.flatten(), distance.flatten().to(weight.dtype))
            # the direction of a pair at one place is 0
            slope = torch.where(distance > 0.0, weight.to(distance.dtype) / distance, 0.0)
            gradient[rows] += slope.sum(1, keepdim=True) * a - slope @ b
            gradient[columns] -= slope.t() @ a - slope.sum(0)[:, None] * b
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable  # type: ignore[misc,untyped-decorator,unused-ignore]
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return upstream[0].to(gradient.dtype) * gradient, None, None


def log_odds(output: Tensor, loss: str) -> Tensor:
    """Return the raw output of a head as points whose distances are differences of its predictions.

    For two classes the log-odds [n, 1]; for k > 2 logits the centred ones times sqrt(2) [n, k], whose distance is
    `sqrt((2 / k) sum_ij d_ij^2)`, d_ij the difference of the log-odds of classes i < j, which it is for k = 2 as well.
    The output itself if it is no class.
    """
    if loss == "multiclass":
        if output.shape[1] == 2:
            return output[:, 1:] - output[:, :1]
        return (output - output.mean(dim=1, keepdim=True)) * math.sqrt(2.0)
    return output


class Cramer(Term):
    """Cramer distance of the logits of source and target; for more than two classes, half the energy distance.

    Args:
        tail: cuts whose signal efficiency is above that of the tail count little (tail.py): the integral's factor.
        emphasis: factor of both tails of the pooled distribution, as in `cramer`.
        unbiased: as in `cramer`.

    """

    def __init__(
        self,
        name: str = "cramer",
        *,
        tail: Tail | None = None,
        emphasis: float = 0.0,
        unbiased: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(name, **settings)
        self.tail, self.emphasis, self.unbiased = tail, emphasis, unbiased

    def forward(self, view: View, strength: Tensor) -> Tensor:
        """`cramer` of the log-odds, or half the `energy_distance` of several."""
        source, target = (log_odds(output, view.loss) for output in view.outputs)
        if source.shape[1] > 1:
            return 0.5 * energy_distance(source, target, *view.weights, unbiased=self.unbiased)
        factors = None
        if self.tail is not None:
            signal = view.label_weights * (view.labels[:, 0] > 0.5)
            factors = self.tail.factors(torch.cat([source, target])[:, 0], source[:, 0], signal).double()
        values = source[:, 0], target[:, 0]
        return cramer(*values, *view.weights, factors=factors, emphasis=self.emphasis, unbiased=self.unbiased)
