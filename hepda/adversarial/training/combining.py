"""One step from the gradients of several losses of the same parameters.

Every rule is a weight for each gradient, `g = sum_t w_t g_t`, and follows from their inner products alone: the matrix
`G[s, t] = <g_s, g_t>` [k, k], which costs one pass over the gradients and no wait for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hepda.errors import ConfigError, nearest

Gradients = Sequence[Tensor | None]
"""The gradient of a loss by each parameter; None where the loss does not depend on it."""

_TINY = 1e-30


def inner(a: Gradients, b: Gradients) -> Tensor:
    """Return the sum over tensors of the inner products of gradients; a gradient that is None counts as zero."""
    terms = [torch.dot(x.flatten(), y.flatten()) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    return torch.stack(terms).sum() if terms else torch.zeros(())


def inner_products(gradients: Sequence[Gradients]) -> Tensor:
    """Return the matrix [k, k] of the inner products of k gradients."""
    products: dict[tuple[int, int], Tensor] = {}
    for row, first in enumerate(gradients):
        for column, second in enumerate(gradients[: row + 1]):
            products[row, column] = products[column, row] = inner(first, second)
    device = next((g.device for gradient in gradients for g in gradient if g is not None), None)
    k = range(len(gradients))
    return torch.stack([torch.stack([products[row, column].to(device) for column in k]) for row in k])


def sum_weights(products: Tensor) -> Tensor:
    """Return the weights 1 of the plain sum [..., k], from inner products [..., k, k]."""
    return torch.ones_like(products[..., 0])


def projection_weights(products: Tensor) -> Tensor:
    """Return the weights [..., k] with which no later gradient opposes the first one.

    If <a, g> < 0 for the first gradient g and a later one a, a becomes a - <a, g> / |g|^2 g: the projection of Yu et
    al. (PCGrad, 2001.06782), of the later ones alone. The first loss is the task of a network, or the real rows of a
    discriminator. It limits how far a shift can be removed that lies along the direction of the task.

    Args:
        products: the inner products [..., k, k].

    """
    weights = torch.ones_like(products[..., 0])
    opposing = (-products[..., 0, 1:]).clamp_min(0.0).sum(dim=-1)
    weights[..., 0] += opposing / products[..., 0, 0].clamp_min(_TINY)
    return weights


def self_correcting_weights(products: Tensor) -> Tensor:
    """Return the weights [..., k] of the self-correcting optimisation of SCP-GAN (2210.14474), in the order given.

    With g = g_1 at first, for each further gradient t: w = 1 if <g, t> > 0, else -<g, t> / |t|^2; g becomes g + w t.
    Where it corrects, the sum is orthogonal to t, never against it. With three or more gradients a later one may turn
    the sum against an earlier one, but never against the first: the order is a choice.

    Args:
        products: the inner products [..., k, k].

    """
    weights = torch.ones_like(products[..., 0])
    for t in range(1, products.shape[-1]):
        product = (weights[..., :t] * products[..., :t, t]).sum(dim=-1)
        corrected = -product / products[..., t, t].clamp_min(_TINY)
        weights[..., t] = torch.where(product > 0.0, torch.ones_like(product), corrected)
    return weights


RULES: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": sum_weights,
    "projection": projection_weights,
    "self_correcting": self_correcting_weights,
}
"""Rules that need the gradients alone, by name."""

ADAPTIVE = "adaptive"
"""The rule of `adaptive_weights`, which needs scores of real and generated rows as well."""


def adaptive_weights(products: Tensor, scores: Tensor) -> Tensor:
    """Return the weights [..., 2] of the losses of real and generated rows (Zadorozhnyy et al., aw-GAN, 2012.03149).

    Both gradients get length 1. The side on which the discriminator is behind decides the direction, and the other
    one enters only as far as it must not oppose it: real rows if their mean score is below 0.5 or more than 0.05 below
    that of generated rows; generated rows if that of real rows is above 0.75 and less than 0.05 below. All weights get
    0.05 added. Constants and cases are those of the authors' code (`aw_loss.py`).

    Args:
        products: the inner products [..., 2, 2] of the gradients of real and of generated rows.
        scores: the mean scores [..., 2] of these rows, from 0 (generated) to 1 (real).

    """
    enough, high, margin, least = 0.5, 0.75, 0.05, 0.05
    squares = products.diagonal(dim1=-2, dim2=-1).clamp_min(_TINY)
    norms = squares.sqrt()
    opposing = (-products[..., 0, 1]).clamp_min(0.0)
    first, second = 1.0 / norms[..., 0], 1.0 / norms[..., 1]
    along_real = torch.stack([first, opposing / squares[..., 1] * first], dim=-1)
    along_generated = torch.stack([opposing / squares[..., 0] * second, second], dim=-1)
    real, generated = scores[..., :1], scores[..., 1:]
    real_behind = (real < enough) | (real < generated - margin)
    generated_behind = (real > high) & (real > generated - margin)
    equal = torch.stack([first, second], dim=-1)
    return torch.where(real_behind, along_real, torch.where(generated_behind, along_generated, equal)) + least


def find_rule(name: str) -> Callable[[Tensor], Tensor]:
    """Return the rule of that name.

    Raises:
        ConfigError: there is none, or it needs more than gradients.

    """
    if name == ADAPTIVE:
        raise ConfigError(
            "the rule `adaptive` goes by the mean scores of real and generated rows, which only the discriminator of a "
            f"game has; here: {', '.join(RULES)}"
        )
    if name not in RULES:
        raise ConfigError(
            f"unknown rule {name!r} to combine gradients; one of {', '.join(RULES)}.{nearest(name, RULES)}"
        )
    return RULES[name]


def weighted_gradients(weights: Tensor, gradients: Sequence[Gradients]) -> list[Tensor | None]:
    """Return `sum_t w_t g_t` for each parameter; None where no loss depends on it.

    Args:
        weights: the weights [k].
        gradients: the k gradients.

    """
    combined: list[Tensor | None] = []
    for parts in zip(*gradients, strict=True):
        present = [part * weights[t] for t, part in enumerate(parts) if part is not None]
        combined.append(None if not present else present[0] if len(present) == 1 else torch.stack(present).sum(dim=0))
    return combined
