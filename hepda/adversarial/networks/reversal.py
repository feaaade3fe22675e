"""Gradient reversal: the identity on the way forward, minus the strength times the gradient on the way back.

Ganin & Lempitsky (ICML 2015): `R(x) = x`, `dR/dx = -strength`. The strength is inside the reversal, so that the
domain head behind it trains at full strength and only the gradient that enters the encoder is scaled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hepda.adversarial.networks.schedules import STRENGTH_SCHEDULES, find_schedule
from hepda.errors import ConfigError


class _Reverse(torch.autograd.Function):
    """A view that saves the strength and nothing else."""

    @staticmethod
    def forward(x: Tensor, strength: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (strength,) = ctx.saved_tensors
        return -strength * gradients[0], None


def gradient_reversal(x: Tensor, strength: float | Tensor = 1.0) -> Tensor:
    """Return `x`; in backward multiply the gradient by `-strength`, in forward mode the tangent.

    Args:
        x: any shape.
        strength: a number, or a tensor without dimensions. Give a tensor where the step is compiled and the
            strength changes: a new number would compile the step again, a new value of a tensor does not.

    Example:
        >>> import torch
        >>> from hepda.adversarial.networks.reversal import gradient_reversal
        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> gradient_reversal(x, strength=3.0).sum().backward()
        >>> x.grad
        tensor([-3., -3.])

    """
    if not isinstance(strength, Tensor):
        strength = torch.full((), strength, dtype=x.dtype, device=x.device)
    if transformed(x):
        detached = x.detach()
        return detached - strength * (x - detached)
    result: Tensor = _Reverse.apply(x, strength)  # type: ignore[no-untyped-call]
    return result


def transformed(x: Tensor) -> bool:
    """Return whether torch.compile, torch.func or forward mode is at work.

    They use the derivatives of what is computed. For a function that defines its own derivatives, torch.compile ignores
    the backward within torch.func without a warning, and refuses the forward mode. Zero times minus the strength is the
    same to the last bit, and correct under all of them.
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return True
    dual = torch.autograd.forward_ad.unpack_dual(x)  # type: ignore[no-untyped-call]
    return dual.tangent is not None


class GradientReversal(nn.Module):
    """`gradient_reversal` as a layer. The strength is a buffer: it is saved, and moves with the module.

    Change it with `layer.strength.fill_(value)`.
    """

    strength: Tensor

    def __init__(self, strength: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("strength", torch.tensor(float(strength)))

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`, reversed in backward."""
        return gradient_reversal(x, self.strength)

    def extra_repr(self) -> str:
        """Return what `print(layer)` shows; does not wait for the device."""
        return f"on {self.strength.device}"


@dataclass(frozen=True, slots=True)
class Reversal:
    """The reversal of a head: how strong it is, and when.

    Attributes:
        strength: the lambda of the reversal at the end of its schedule, at least 0. At exactly 0 the head is not
            trained at all: the run is, bit for bit, the run without it.
        schedule: `ganin` (2 / (1 + exp(-10 p)) - 1), `linear`, `cosine` or `constant`; p is the fraction done
            of what follows the warm-up.
        warmup: epochs at the start without the adversary (a fraction is allowed).

    """

    strength: float = 1.0
    schedule: str = "ganin"
    warmup: float = 0.0

    def __post_init__(self) -> None:
        find_schedule(self.schedule, STRENGTH_SCHEDULES, "reversal")
        if not self.strength >= 0.0:
            raise ConfigError(f"the strength of a reversal is {self.strength}; it must be 0 or more")
        if not self.warmup >= 0.0:
            raise ConfigError(f"the warm-up of a reversal is {self.warmup} epochs; it must be 0 or more")

    def at(self, epoch: float, epochs: float) -> float:
        """Return the strength after `epoch` (a fraction is allowed) of `epochs` epochs."""
        if epoch < self.warmup:
            return 0.0
        progress = min(1.0, (epoch - self.warmup) / max(epochs - self.warmup, 1e-9))
        return self.strength * STRENGTH_SCHEDULES[self.schedule](progress)
