"""Maximum mean discrepancy of two weighted samples: of features (DAN), or of several layers together (JAN).

The kernel of a layer is a mean of Gaussians whose squared widths double from one to the next, so that one exponential
and its squares are all of them. Pairs of rows are taken a strip at a time, each pair once, forward and backward while
the strip is in the processor's cache: no matrix of all pairs is ever held.
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

_STRIP = 2**17  # pairs at a time: half a megabyte of a float32 matrix


def signed_shares(source_weight: Tensor, target_weight: Tensor) -> Tensor:
    """+p for source rows, -q for target rows: the difference of the two distributions [n_s + n_t]."""
    return torch.cat([shares(source_weight), -shares(target_weight)])


@torch.no_grad()
def mean_squared_distance(x: Tensor, weight: Tensor) -> Tensor:
    """Mean of |x_i - x_j|^2 over pairs of rows [n, d] with weights [n] that add up to 1: twice the variance."""
    centred = x - weight @ x
    return 2.0 * (weight @ centred.square().sum(dim=1)).clamp_min(torch.finfo(x.dtype).tiny)


def _kernel(exponent: Tensor, kernels: int) -> tuple[Tensor, Tensor]:
    """With e = exp(exponent): the sum of e^(2^k) over k below `kernels`, and of 2^k e^(2^k), its derivative by the
    exponent; each as large as `exponent`, which is written over.
    """
    power = exponent.clamp_max_(0.0).exp_()
    value, slope = power.clone(), power.clone()
    for k in range(1, kernels):
        value.add_(power.square_())
        slope.add_(power, alpha=2.0**k)
    return value, slope


def _exponent(x: Tensor, y: Tensor, rate: Tensor) -> Tensor:
    """-rate |x_i - y_j|^2 [n, m] of rows [n, d] and [m, d], in one product: the squares are columns of their own."""
    a, b = (-rate * rows.square().sum(dim=1, keepdim=True) for rows in (x, y))
    return torch.cat([2.0 * rate * x, a, torch.ones_like(a)], 1) @ torch.cat([y, torch.ones_like(b), b], 1).t()


def _strips(rows: int) -> Sequence[tuple[slice, slice]]:
    """Return strips of the upper triangle of a matrix [rows, rows]: rows, and columns from the diagonal on."""
    found, start = [], 0
    while start < rows:
        end = min(rows, start + max(16, _STRIP // (rows - start)))
        found.append((slice(start, end), slice(start, rows)))
        start = end
    return found


class _KernelSum(torch.autograd.Function):
    """`sum_ij s_i s_j prod_l k_l(x_li, x_lj)` of layers x_l [n, d_l] and signs s [n], with k_l the mean over
    h = -(m // 2), ..., m // 2 of `exp(-|x - x'|^2 / (2^h width_l))`, m = `kernels`; gradients of the layers.
    """

    @staticmethod
    def forward(ctx: Any, signs: Tensor, widths: Tensor, kernels: int, *layers: Tensor) -> Tensor:
        total = signs.new_zeros(())
        gradients = [torch.zeros_like(x) for x in layers]
        rates = 1.0 / (2.0 ** (kernels // 2) * widths)
        for here, there in _strips(len(signs)):
            # both orders of a pair count; those of the square on the diagonal are both in the strip
            left, right = signs[here, None], 2.0 * signs[there, None]
            right[: len(left)] *= 0.5
            exponents = [_exponent(x[here], x[there], rate) for x, rate in zip(layers, rates, strict=True)]
            found = [_kernel(exponent, kernels) for exponent in exponents]
            values = [value for value, _ in found]
            total += (left.t() @ math.prod(values[1:], start=values[0]) @ right)[0, 0]
            for i, (x, gradient) in enumerate(zip(layers, gradients, strict=True)):
                slope = math.prod((value for j, value in enumerate(values) if j != i), start=found[i][1])
                gradient[here] += left * (slope @ (right * x[there]) - (slope @ right) * x[here])
                gradient[there] += right * (slope.t() @ (left * x[here]) - (slope.t() @ left) * x[there])
        scale = 1.0 / kernels ** len(layers)
        gradients = [2.0 * scale * rate * gradient for rate, gradient in zip(rates, gradients, strict=True)]
        total *= scale
        ctx.kernels, ctx.layers = kernels, len(layers)
        ctx.save_for_backward(*gradients, signs, widths, *layers)
        return total

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        gradients, (signs, widths, *layers) = ctx.saved_tensors[: ctx.layers], ctx.saved_tensors[ctx.layers :]
        if torch.is_grad_enabled():  # the gradient will be differentiated
            again = [x if x.requires_grad else x.detach().requires_grad_() for x in layers]
            whole = kernel_sum(signs, widths, ctx.kernels, again)
            gradients = torch.autograd.grad(whole, again, create_graph=True)
        return None, None, None, *(given[0] * gradient for gradient in gradients)


def kernel_sum(signs: Tensor, widths: Tensor, kernels: int, layers: Sequence[Tensor]) -> Tensor:
    """`_KernelSum` by matrices of all pairs, differentiable as often as one likes."""
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
    """Squared MMD of a joint distribution: the kernel is the product of one for each layer (JAN, Long et al. 2017).

    Args:
        source: layers [n_s, d_l], features and predictions for example.
        target: the same layers [n_t, d_l] of the target.
        source_weight: signed event weights [n_s].
        target_weight: signed event weights [n_t].
        kernels: Gaussians of a layer, an odd number; squared widths double from one to the next.
        width: squared width of the middle one over the mean squared distance of rows (with absolute weights, both
            domains counted the same), which is taken as given. Gretton et al. (2012) have the median of the distances;
            the mean needs no pairs, and counts weights: a row of weight 2 is two rows.

    Raises:
        ConfigError: an even number of kernels, which has no middle.

    """
    if kernels < 1 or kernels % 2 == 0:
        raise ConfigError(f"an MMD of {kernels} kernels: an odd number has one in the middle; say {abs(kernels) + 1}")
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
    """Squared maximum mean discrepancy with several kernels (Gretton et al. 2012; DAN, Long et al. 2015).

    `sum_ij s_i s_j k(x_i, x_j)` with s = +p over source and -q over target rows (p, q: shares of the weights).
    Features [n_s, d], [n_t, d], weights [n_s], [n_t]; `kernels` and `width` as in `joint_mmd`.
    """
    return joint_mmd([source], [target], source_weight, target_weight, kernels, width)


class MMD(Term):
    """Multi-kernel MMD of the features.

    Args:
        kernels, width: as in `joint_mmd`.
        scale: factor on it, so that a strength of 1 is a steady one. Ten times as much makes the features alike before
            they tell the classes, and then often the wrong way round (benchmarks/README.md).

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
        said = [class_probabilities(output, view.loss) for output in view.outputs]
        (source, target), (p, q) = view.features, said
        return self.scale * joint_mmd([source, p], [target, q], *view.weights, self.kernels, self.width)
