"""Losses of heads: one number for each row, from the head's raw output (logits), never from a sigmoid's output.

Every loss takes the raw output [n, d] and the targets as float columns [n, t] and returns [n]. The weighted
mean over rows is taken elsewhere (`objective.py`), with the sum of the absolute weights as the denominator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from hepda.errors import ConfigError, nearest


def _real(output: Tensor) -> Tensor:
    """Return the output in float32 at least, in which losses and probabilities are computed."""
    return output.float() if output.dtype in (torch.bfloat16, torch.float16) else output


def binary(output: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Binary cross entropy of a logit [n, 1] with targets in [0, 1] [n, 1].

    `smoothing` s moves targets to `t (1 - s) + s / 2` (Szegedy et al. 2016).
    """
    return functional.binary_cross_entropy_with_logits(
        _real(output).squeeze(1), _smoothed(target, smoothing), reduction="none"
    )


def _smoothed(target: Tensor, smoothing: float) -> Tensor:
    values = target[:, 0]
    return values * (1.0 - smoothing) + 0.5 * smoothing if smoothing else values


def multiclass(output: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross entropy of logits [n, k] with class numbers 0 ... k-1 in a column [n, 1]."""
    return functional.cross_entropy(_real(output), target[:, 0].long(), reduction="none", label_smoothing=smoothing)


def regression(output: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Squared error, averaged over the d outputs: `mean_j (o_j - t_j)^2`."""
    return (_real(output) - target).square().mean(dim=1)


def absolute(output: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Absolute error, averaged over the d outputs."""
    return (_real(output) - target).abs().mean(dim=1)


def mixture_parameters(output: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return log weights, means and log widths [n, k] of a Gaussian mixture, from a raw output [n, 3 k] (Bishop 1994).

    The log width is kept within -7 and 7 by a tanh, so no component can shrink onto a single row.
    """
    logits, means, widths = _real(output).chunk(3, dim=1)
    return functional.log_softmax(logits, dim=1), means, 7.0 * torch.tanh(widths / 7.0)


def mixture(output: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Minus log density of the target [n, 1] under a mixture of Gaussians, output [n, 3 k].

    Louppe, Kagan & Cranmer (1611.01046): the adversary that models p(z | score). For a Gaussian z of width
    sigma that is independent of the score, the loss is its entropy, log(sigma sqrt(2 pi e)) (1.419 for sigma = 1).
    """
    log_weight, mean, log_width = mixture_parameters(output)
    pull = (target[:, :1] - mean) * torch.exp(-log_width)
    log_density = -0.5 * pull.square() - log_width - 0.5 * math.log(2.0 * math.pi)
    return -torch.logsumexp(log_weight + log_density, dim=1)


def probabilities(output: Tensor, loss: str) -> Tensor:
    """Return the prediction of a raw output.

    Returns [n, 1] for `binary` (probability of 1), [n, k] for `multiclass` (softmax), [n, 1] for `mixture`
    (its mean), and the output itself for the regressions.
    """
    output = _real(output)
    if loss == "binary":
        return torch.sigmoid(output)
    if loss == "multiclass":
        return torch.softmax(output, dim=1)
    if loss == "mixture":
        log_weight, mean, _ = mixture_parameters(output)
        return (log_weight.exp() * mean).sum(dim=1, keepdim=True)
    return output


def class_probabilities(output: Tensor, loss: str) -> Tensor:
    """Return the probabilities of all classes [n, k]; a binary logit gives the two columns (1 - p, p)."""
    output = _real(output)
    if loss == "binary":
        logit = output[:, :1]
        return torch.sigmoid(torch.cat([-logit, logit], dim=1))
    return torch.softmax(output, dim=1)


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss, and whether its head predicts a class (then an accuracy is recorded)."""

    rows: Callable[[Tensor, Tensor, float], Tensor]
    classes: bool
    what: str


LOSSES: dict[str, Loss] = {
    "binary": Loss(binary, True, "one logit, target 0 or 1"),
    "multiclass": Loss(multiclass, True, "k logits, target a class number"),
    "regression": Loss(regression, False, "squared error of d outputs"),
    "absolute": Loss(absolute, False, "absolute error of d outputs"),
    "mixture": Loss(mixture, False, "3 k outputs: a mixture of k Gaussians of one target"),
}


def find_loss(name: str) -> Loss:
    """Return the loss of that name, or a `ConfigError` that lists the names there are."""
    if name not in LOSSES:
        raise ConfigError(f"unknown loss {name!r}; one of {', '.join(LOSSES)}.{nearest(name, LOSSES)}")
    return LOSSES[name]


def weighted_sum(loss: str, output: Tensor, target: Tensor, weight: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the sum over rows of weight times loss: `sum_i w_i l_i`."""
    if loss == "binary":  # one kernel
        return functional.binary_cross_entropy_with_logits(
            _real(output).squeeze(1), _smoothed(target, smoothing), weight, reduction="sum"
        )
    return torch.dot(weight, LOSSES[loss].rows(output, target, smoothing))


def correct(output: Tensor, target: Tensor, loss: str) -> Tensor:
    """Return 1.0 where the head predicts the correct class, else 0.0 [n]."""
    if loss == "binary":
        return ((output[:, 0] > 0) == (target[:, 0] > 0.5)).to(target.dtype)
    return (output.argmax(dim=1) == target[:, 0].long()).to(target.dtype)
