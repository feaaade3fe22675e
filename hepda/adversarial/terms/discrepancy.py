"""Maximum mean discrepancy of two weighted samples: of features (DAN), or of several layers together (JAN).

The kernel of a layer is a mean of Gaussians whose squared widths double from one to the next, so that one exponential
and its squares are all of them. Pairs of rows are taken strip by strip, each pair once, forward and backward while the
strip is in the processor's cache: there is never a matrix of all pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hepda.adversarial.networks.losses import class_probabilities
from hepda.adversarial.networks.term import Term, View, shares
from hepda.errors import ConfigError

_STRIP = 2**17  # pairs of a strip: half a megabyte of a float32 matrix
_STRIP_OF_GPU = 2**24  # which needs that many to be busy


def signed_shares(source_weight: Tensor, target_weight: Tensor) -> Tensor:
    """Return +p for source rows and -q for target rows: the difference of the two distributions [n_s + n_t]."""
    return torch.cat([shares(source_weight), -shares(target_weight)])


@torch.no_grad()
def mean_squared_distance(x: Tensor, weight: Tensor) -> Tensor:
    """Return the mean of |x_i - x_j|^2 over pairs of rows [n, d] with weights [n] of sum 1: twice the variance."""
    centred = x - weight @ x
    return 2.0 * (weight @ centred.square().sum(dim=1)).clamp_min(torch.finfo(x.dtype).tiny)


def _kernel(exponent: Tensor, kernels: int) -> tuple[Tensor, Tensor]:
    """Return, with e = exp(exponent), the sum of e^(2^k) over k below `kernels`, and of 2^k e^(2^k), its derivative.

    Both have the shape of `exponent`, which is overwritten.
    """
    power = exponent.clamp_max_(0.0).exp_()
    value, slope = power.clone(), power.clone()
    for k in range(1, kernels):
        value.add_(power.square_())
        slope.add_(power, alpha=2.0**k)
    return value, slope


def _exponent(x: Tensor, y: Tensor, rate: Tensor) -> Tensor:
    """Return -rate |x_i - y_j|^2 [n, m] of rows [n, d] and [m, d], as one product with the squares as extra columns."""
    a, b = (-rate * rows.square().sum(dim=1, keepdim=True) for rows in (x, y))
    return torch.cat([2.0 * rate * x, a, torch.ones_like(a)], 1) @ torch.cat([y, torch.ones_like(b), b], 1).t()


def _strips(rows: int, device: torch.device) -> Sequence[tuple[slice, slice]]:
    """Return strips of the upper triangle of a matrix [rows, rows]: rows, and columns from the diagonal on."""
    strips, start, pairs = [], 0, _STRIP if device.type == "cpu" else _STRIP_OF_GPU
    while start < rows:
        end = min(rows, start + max(16, pairs // (rows - start)))
        strips.append((slice(start, end), slice(start, rows)))
        start = end
    return strips


class _KernelSum(torch.autograd.Function):
    """`sum_ij s_i s_j prod_l k_l(x_li, x_lj)` of layers x_l [n, d_l] and signs s [n], with k_l the mean over
    h = -(m // 2), ..., m // 2 of `exp(-|x - x'|^2 / (2^h width_l))`, m = `kernels`; gradients of the layers.
    """

    @staticmethod
    def forward(ctx: Any, signs: Tensor, widths: Tensor, kernels: int, *layers: Tensor) -> Tensor:
        total = signs.new_zeros(())
        gradients = [torch.zeros_like(x) for x in layers]
        rates = 1.0 / (2.0 ** (kernels // 2) * widths)
        for rows, columns in _strips(len(signs), signs.device):
            # both orders of a pair count; those of the square on the diagonal are both in the strip
            row_signs, column_signs = signs[rows, None], 2.0 * signs[columns, None]
            column_signs[: len(row_signs)] *= 0.5
            exponents = [_exponent(x[rows], x[columns], rate) for x, rate in zip(layers, rates, strict=True)]
            values_and_slopes = [_kernel(exponent, kernels) for exponent in exponents]
            values = [value for value, _ in values_and_slopes]
            total += (row_signs.t() @ math.prod(values[1:], start=values[0]) @ column_signs)[0, 0]
            for i, (x, gradient) in enumerate(zip(layers, gradients, strict=True)):
                slope = math.prod((value for j, value in enumerate(values) if j != i), start=values_and_slopes[i][1])
                a, b = x[rows], x[columns]
                gradient[rows] += row_signs * (slope @ (column_signs * b) - (slope @ column_signs) * a)
                gradient[columns] += column_signs * (slope.t() @ (row_signs * a) - (slope.t() @ row_signs) * b)
        scale = 1.0 / kernels ** len(layers)
        gradients = [2.0 * scale * rate * gradient for rate, gradient in zip(rates, gradients, strict=True)]
        total *= scale
        ctx.kernels, ctx.layers = kernels, len(layers)
        ctx.save_for_backward(*gradients, signs, widths, *layers)
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        gradients, (signs, widths, *layers) = ctx.saved_tensors[: ctx.layers], ctx.saved_tensors[ctx.layers :]
        if torch.is_grad_enabled():  # the gradient will be differentiated
            again = [x if x.requires_grad else x.detach().requires_grad_() for x in layers]
            total = kernel_sum(signs, widths, ctx.kernels, again)
            gradients = torch.autograd.grad(total, again, create_graph=True)
        return None, None, None, *(upstream[0] * gradient for gradient in gradients)


def kernel_sum(signs: Tensor, widths: Tensor, kernels: int, layers: Sequence[Tensor]) -> Tensor:
    """Return `_KernelSum` by matrices of all pairs, which can be differentiated any number of times."""
    half = kernels // 2
    kernel = torch.ones_like(signs[:, None] * signs)
    for x, width in zip(layers, widths, strict=True):
        square = x.square().sum(dim=1)
        squared = (square[:, None] + square - 2.0 * x @ x.t()).clamp_min(0.0)
        kernel = kernel * sum(torch.exp(squared * (-(2.0**k) / width)) for k in range(-half, half + 1)) / kernels
    return signs @ kernel @ signs


def joint_mmd(
    source: Sequence[Tensor],
    target: Sequence[Tensor],
    source_weight: Tensor,
    target_weight: Tensor,
    kernels: int = 5,
    width: float = 1.0,
) -> Tensor:
    """Return the squared MMD of a joint distribution, with a product of kernels of the layers (JAN, Long et al. 2017).

    Args:
        source: layers [n_s, d_l], features and predictions for example.
        target: the same layers [n_t, d_l] of the target.
        source_weight: signed event weights [n_s].
        target_weight: signed event weights [n_t].
        kernels: Gaussians of a layer, an odd number; squared widths double from one to the next.
        width: squared width of the middle one over the mean squared distance of rows (with absolute weights, both
            domains with equal sums), which has no gradient. Gretton et al. (2012) use the median of the distances;
            the mean needs no pairs, and uses weights: a row of weight 2 is two rows.

    Raises:
        ConfigError: an even number of kernels, which has no middle.

    """
    if kernels < 1 or kernels % 2 == 0:
        raise ConfigError(f"an MMD of {kernels} kernels: only an odd number has a middle one; take {abs(kernels) + 1}")
    signs = signed_shares(source_weight, target_weight)
    layers = [torch.cat(pair) for pair in zip(source, target, strict=True)]
    layers = [x - x.detach().mean(dim=0) for x in layers]  # far from 0 the squares of a distance would cancel
    pooled = torch.cat([0.5 * shares(weight.abs()) for weight in (source_weight, target_weight)])
    widths = torch.stack([width * mean_squared_distance(x.detach(), pooled.to(x.dtype)) for x in layers])
    result: Tensor = _KernelSum.apply(signs.to(widths.dtype), widths, kernels, *layers)  # type: ignore[no-untyped-call]
    return result


def mmd(
    source: Tensor,
    target: Tensor,
    source_weight: Tensor,
    target_weight: Tensor,
    kernels: int = 5,
    width: float = 1.0,
) -> Tensor:
    """Return the squared maximum mean discrepancy with several kernels (Gretton et al. 2012; DAN, Long et al. 2015).

    `sum_ij s_i s_j k(x_i, x_j)` with s = +p over source and -q over target rows (p, q: shares of the weights).
    Features [n_s, d], [n_t, d], weights [n_s], [n_t]; `kernels` and `width` as in `joint_mmd`.
    """
    return joint_mmd([source], [target], source_weight, target_weight, kernels, width)


class MMD(Term):
    """Multi-kernel MMD of the features.

    Args:
        kernels, width: as in `joint_mmd`.
        scale: factor on it, so that a strength of 1 is stable. With ten times as much the features of the domains
            agree before they separate the classes, and then often with exchanged classes (benchmarks/README.md).

    """

    def __init__(
        self, name: str = "mmd", *, kernels: int = 5, width: float = 1.0, scale: float = 0.1, **settings: Any
    ) -> None:
        super().__init__(name, **settings)
        self.kernels, self.width, self.scale = kernels, width, scale

    def forward(self, view: View, strength: Tensor) -> Tensor:
        """`mmd` of the features."""
        return self.scale * mmd(*view.features, *view.weights, self.kernels, self.width)


class JointMMD(MMD):
    """MMD of features and predictions together; arguments as those of `MMD`."""

    def __init__(self, name: str = "joint_mmd", **settings: Any) -> None:
        super().__init__(name, **settings)

    def forward(self, view: View, strength: Tensor) -> Tensor:
        """`joint_mmd` of features and class probabilities."""
        probabilities = [class_probabilities(output, view.loss) for output in view.outputs]
        (source, target), (p, q) = view.features, probabilities
        return self.scale * joint_mmd([source, p], [target, q], *view.weights, self.kernels, self.width)
