"""Stabilizers of adversarial trainings; each is off by default.

Label smoothing is in losses.py, spectral norm in `mlp`, warm-up in `Reversal`, own rate and steps in `Head`, rules for
gradients that oppose each other in combining.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def input_gradient_penalty(module: nn.Module, x: Tensor) -> Tensor:
    """Return the mean squared norm of the gradient of a head's output by its input: `E |d output / d x|^2`.

    This is the R1 penalty of Mescheder, Geiger & Nowozin (2018) at the rows of both domains. Its gradient acts on the
    head, not on the encoder: x [n, d] is detached.
    """
    inputs = x.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(module(inputs).sum(), inputs, create_graph=True)
    return gradient.square().sum(dim=1).mean()


class MovingAverage:
    """An exponential moving average of parameters: `m <- d m + (1 - d) p`, with d = min(decay, (1 + t) / (10
    + t)).

    The rising decay forgets the random start quickly (Tarvainen & Valpola 2017, in the form TensorFlow uses).
    """

    def __init__(self, parameters: Sequence[Tensor], decay: float) -> None:
        self.parameters, self.decay, self.steps = list(parameters), decay, 0
        self.mean = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Add the current parameters to the average."""
        self.steps += 1
        decay = min(self.decay, (1.0 + self.steps) / (10.0 + self.steps))
        torch._foreach_lerp_(self.mean, self.parameters, 1.0 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the average and the parameters; a second call restores them."""
        for mean, parameter in zip(self.mean, self.parameters, strict=True):
            saved = parameter.detach().clone()
            parameter.copy_(mean)
            mean.copy_(saved)
