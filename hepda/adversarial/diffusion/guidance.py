"""Guidance: the noise that a model predicts with a label, and more of it or less, or in some places only.

Each rule is a field itself, so that samplers take it as they take a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hepda.adversarial.diffusion.ode import Field
from hepda.errors import ConfigError


def guided(origin: Field, target: Field, scale: float) -> Field:
    """Return `eps_0 + s (eps_1 - eps_0)`, classifier-free guidance (Ho & Salimans 2022, eq. 6, with s = 1 + w).

    With the model without labels as the origin and a label as the target, s = 1 is the model with that label, and s > 1
    exaggerates it. With two labels, such as two generators, s is a dial from the first (0) to the second (1); beyond
    1 it extrapolates.

    Args:
        origin: predicted noise at s = 0.
        target: predicted noise at s = 1.
        scale: s.

    """
    if scale == 0.0:
        return origin
    if scale == 1.0:
        return target

    def predicted(x: Tensor, time: Tensor) -> Tensor:
        base = origin(x, time)
        return base + scale * (target(x, time) - base)

    return predicted


@dataclass(frozen=True, slots=True)
class Concept:
    """Something that samples shall have more of, or less.

    Attributes:
        noise: the noise that the model predicts for it.
        scale: how strongly, s_c.
        threshold: quantile lambda of the size of the effect, in a channel of an image or in a row of a table, below
            which it is not applied; 0: everywhere.
        away: less of it.
        weight: g_c.

    """

    noise: Field
    scale: float = 5.0
    threshold: float = 0.95
    away: bool = False
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold < 1.0:
            raise ConfigError(f"the threshold of a concept is {self.threshold}; a quantile is at least 0 and below 1")

    def effect(self, empty: Tensor, x: Tensor, time: Tensor) -> Tensor:
        """Return psi = +-s_c (eps_c - eps_0) where it is large, and 0 elsewhere."""
        change = (-self.scale if self.away else self.scale) * (self.noise(x, time) - empty)
        size = change.abs().flatten(2 if change.dim() > 2 else 1)
        least = torch.quantile(size, self.threshold, dim=-1)
        return torch.where(change.abs() >= least.reshape(*least.shape, *[1] * (x.dim() - least.dim())), change, 0.0)


class SemanticGuidance:
    """Guidance by concepts within a sample that stays what it is otherwise (SEGA, Brack et al. 2023, arXiv:2301.12247).

    eps = eps_0 + s_g (eps_p - eps_0) + gamma; gamma_t = sum_c g_c psi_c + s_m nu_t;
    nu_{t+1} = b nu_t + (1 - b) gamma_t.

    It is a field with a memory: one object for one run of a sampler that calls it once a step (`denoised`).

    Args:
        empty: the noise predicted without any label, eps_0.
        prompt: the noise predicted for the sample as it is, eps_p; None: there is none.
        concepts: what is to be changed.
        scale: s_g.
        momentum: s_m.
        decay: b.
        warm_up: number of first steps in which gamma is not applied; the momentum grows in them.
        cool_down: step from which on psi = 0, so that the momentum dies out; None: to the end.

    Raises:
        ConfigError: a decay that is not at least 0 and below 1.

    """

    def __init__(
        self,
        empty: Field,
        prompt: Field | None,
        concepts: Sequence[Concept],
        scale: float = 1.0,
        momentum: float = 0.1,
        decay: float = 0.4,
        warm_up: int = 10,
        cool_down: int | None = None,
    ) -> None:
        if not 0.0 <= decay < 1.0:
            raise ConfigError(f"the decay of the momentum is {decay}; it must be at least 0 and below 1")
        self.empty, self.prompt, self.concepts, self.scale = empty, prompt, tuple(concepts), scale
        self.momentum, self.decay, self.warm_up, self.cool_down = momentum, decay, warm_up, cool_down
        self.step = 0
        self.moving: Tensor | None = None

    def __call__(self, x: Tensor, time: Tensor) -> Tensor:
        """Return the noise, and remember the change for the next step."""
        empty = self.empty(x, time)
        predicted = empty if self.prompt is None else empty + self.scale * (self.prompt(x, time) - empty)
        change = self._change(empty, x, time)
        applied = self.step >= self.warm_up
        self.step += 1
        return predicted + change if applied else predicted

    def _change(self, empty: Tensor, x: Tensor, time: Tensor) -> Tensor:
        """Return gamma, and set the momentum of the next step."""
        change = torch.zeros_like(empty) if self.moving is None else self.momentum * self.moving
        if self.cool_down is None or self.step < self.cool_down:
            for concept in self.concepts:
                change = change + concept.weight * concept.effect(empty, x, time)
        self.moving = (1.0 - self.decay) * change + (0.0 if self.moving is None else self.decay * self.moving)
        return change
