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

from hepda.adversarial.losses import class_probabilities
from hepda.adversarial.terms import Term, View, shares

_STRIP = 2**17  # pairs at a time: half a megabyte of a float32 matrix


def signed_shares(source_weight: Tensor, target_weight: Tensor) -> Tensor:
    """+p for source rows, -q for target rows: the difference of the two distributions [n_s + n_t]."""
    return torch.cat([shares(source_weight), -shares(target_weight)])


@torch.no_grad()
def mean_squared_distance(x: Tensor, weight: Tensor) -> Tensor:
    """Mean of |x_i - x_j|^2 over pairs of rows [n, d] with weights [n] that add up to 1: twice the variance."""
    centred = x - weight @ x
    return 2.0 * (weight @ centred.square().sum(dim=1)).clamp_min(torch.finfo(x.dtype).tiny)


def _kernel(squared: Tensor, width: Tensor, kernels: int) -> tuple[Tensor, Tensor]:
    """Mean of `exp(-squared / (2^k width))` over k = -h, ..., h (an odd number of kernels, 2 h + 1), and its derivative
    by `squared`; each as large as `squared`.
    """
    widest = 2.0 ** (kernels // 2) * width
    power = torch.exp(squared * (-1.0 / widest))
    value, slope = power.clone(), power.clone()
    for k in range(1, kernels):
        power = power.square()
        value.add_(power)
        slope.add_(power, alpha=2.0**k)
    return value.div_(kernels), slope.mul_(-1.0 / (kernels * widest))


def _strips(rows: int) -> Sequence[tuple[slice, slice]]:
    """Strips of the upper triangle of a matrix [rows, rows]: their rows, and the columns from the diagonal on."""
    found, start = [], 0
    while start < rows:
        end = min(rows, start + max(16, _STRIP // (rows - start)))
        found.append((slice(start, end), slice(start, rows)))
        start = end
    return found


class _KernelSum(torch.autograd.Function):
    """`sum_ij s_i s_j prod_l k_l(x_li, x_lj)` of layers x_l [n, d_l] and signs s [n]; gradients of the layers."""

    @staticmethod
    def forward(ctx: Any, signs: Tensor, widths: Tensor, kernels: int, *layers: Tensor) -> Tensor:
        total = signs.new_zeros(())
        gradients = [torch.zeros_like(x) for x in layers]
        squares = [x.square().sum(dim=1) for x in layers]
        for here, there in _strips(len(signs)):
            n = here.stop - here.start
            factor = 2.0 * signs[here, None] * signs[None, there]
            factor[:, :n] *= 0.5  # both orders of these pairs are in the strip
            found = []
            for x, square, width in zip(layers, squares, widths, strict=True):
                squared = torch.addmm(square[there], x[here], x[there].t(), alpha=-2.0).add_(square[here, None])
                found.append(_kernel(squared.clamp_min_(0.0), width, kernels))
            product = math.prod((value for value, _ in found[1:]), start=found[0][0] * factor)
            total += product.sum()
            for i, (x, gradient) in enumerate(zip(layers, gradients, strict=True)):
                slope = found[i][1].mul_(factor)
                for j, (value, _) in enumerate(found):
                    if j != i:
                        slope.mul_(value)
                gradient[here] += 2.0 * (slope.sum(dim=1, keepdim=True) * x[here] - slope @ x[there])
                gradient[there] += 2.0 * (slope.sum(dim=0)[:, None] * x[there] - slope.t() @ x[here])
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
    """The same by matrices of all pairs, differentiable as often as one likes."""
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

    """
    signs = signed_shares(source_weight, target_weight)
    layers = [torch.cat(pair) for pair in zip(source, target, strict=True)]
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
    """Multi-kernel MMD of the features."""

    def __init__(self, name: str = "mmd", *, kernels: int = 5, width: float = 1.0, **settings: Any) -> None:
        super().__init__(name, **settings)
        self.kernels, self.width = kernels, width

    def forward(self, view: View, strength: Tensor) -> Tensor:
        """`mmd` of the features."""
        return mmd(*view.features, *view.weights, self.kernels, self.width)


class JointMMD(MMD):
    """MMD of features and predictions together."""

    def __init__(self, name: str = "joint_mmd", **settings: Any) -> None:
        super().__init__(name, **settings)

    def forward(self, view: View, strength: Tensor) -> Tensor:
        """`joint_mmd` of features and class probabilities."""
        said = [class_probabilities(output, view.loss) for output in view.outputs]
        (source, target), (p, q) = view.features, said
        return joint_mmd([source, p], [target, q], *view.weights, self.kernels, self.width)
