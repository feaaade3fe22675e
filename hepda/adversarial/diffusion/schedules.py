"""Schedules of noise that preserve the variance: x_t = sqrt(abar(t)) x_0 + sqrt(1 - abar(t)) noise, t from 0 to 1.

All are continuous in time (Song et al. 2021, eq. 11: dx = -beta(t) x / 2 dt + sqrt(beta(t)) dw, abar = exp of minus the
integral of beta). The T steps of a discrete diffusion (Ho et al. 2020) are the times i / T, i = 1 to T.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from hepda.errors import ConfigError, nearest

LEAST = 4e-5
"""abar at the end of `cosine` and `sigmoid`, about that of `linear`; their own 0 would leave no signal at all."""


@dataclass(frozen=True, slots=True, eq=False)
class NoiseSchedule:
    """How much signal and noise there is at each time.

    Attributes:
        log_alpha_bar: from times [n] to log abar [n]; 0 at time 0, falling.
        what: the formula and its source.
        steps: number of the only steps that are used in training; 0: all times from `earliest` to 1.
        earliest: first time of training, and last of the equations of continuous time.

    """

    log_alpha_bar: Callable[[Tensor], Tensor]
    what: str
    steps: int = 0
    earliest: float = 1e-3

    def alpha_bar(self, time: Tensor) -> Tensor:
        """Return the share of the signal's variance."""
        return self.log_alpha_bar(time).exp()

    def signal(self, time: Tensor) -> Tensor:
        """Return sqrt(abar), the factor on the data."""
        return (0.5 * self.log_alpha_bar(time)).exp()

    def noise(self, time: Tensor) -> Tensor:
        """Return sqrt(1 - abar), the factor on the noise."""
        return (-torch.expm1(self.log_alpha_bar(time))).sqrt()

    def rate(self, time: Tensor) -> Tensor:
        """Return beta = g^2 = -d log abar / dt."""
        with torch.enable_grad():
            at = time.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(self.log_alpha_bar(at).sum(), at)
        return -slope

    def likelihood(self, time: Tensor) -> Tensor:
        """Return beta / (1 - abar): with it as the importance of times, half the loss of the noise is J, half the
        integral of g^2 E|s - grad log p_t|^2, plus a constant (Song et al. 2021b, eq. 7).
        """  # fmt: skip
        return self.rate(time) / -torch.expm1(self.log_alpha_bar(time))

    def inverse_signal(self, time: Tensor) -> Tensor:
        """Return 1 / abar, the importance of times for a model of the velocity (`denoising.noise_of_velocity`)."""
        return (-self.log_alpha_bar(time)).exp()

    def noised(self, data: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Return x_t of data [n, ...] with noise of the same shape, each row at its time [n]."""
        return over_rows(self.signal(time), data) * data + over_rows(self.noise(time), data) * noise

    def draw(self, rows: int, random: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return times for training [rows], on the device of the random numbers."""
        if self.steps:
            number = torch.randint(1, self.steps + 1, (rows,), generator=random, device=random.device)
            return number.to(dtype) / self.steps
        share = torch.rand(rows, generator=random, device=random.device, dtype=dtype)
        return self.earliest + (1.0 - self.earliest) * share

    def times(self, steps: int, last: float = 0.0) -> Tensor:
        """Return the times of a sampler, from 1 to `last` in equal steps [steps + 1], in double precision.

        Raises:
            ConfigError: fewer than one step, or a number that does not divide the steps of the schedule.

        """
        if steps < 1 or (self.steps and self.steps % steps):
            known = f"a divisor of {self.steps}, the steps of the training" if self.steps else "1 or more"
            raise ConfigError(f"steps is {steps}; it must be {known}")
        return torch.linspace(1.0, last, steps + 1, dtype=torch.float64)


def over_rows(values: Tensor, rows: Tensor) -> Tensor:
    """Return values [n] in a shape [n, 1, ...] that multiplies rows [n, ...]."""
    return values.reshape(-1, *[1] * (rows.dim() - 1))


def _linear(time: Tensor, least: float = 0.1, most: float = 20.0) -> Tensor:
    return -(least * time + 0.5 * (most - least) * time.square())


def _cosine(time: Tensor, offset: float = 0.008) -> Tensor:
    share = (torch.cos((time + offset) / (1.0 + offset) * (0.5 * math.pi))).square()
    return _above_least(share / math.cos(offset / (1.0 + offset) * 0.5 * math.pi) ** 2)


def _sigmoid(time: Tensor, reach: float = 3.0) -> Tensor:
    top, bottom = (1.0 / (1.0 + math.exp(-end)) for end in (reach, -reach))
    return _above_least((torch.sigmoid(reach * (1.0 - 2.0 * time)) - bottom) / (top - bottom))


def _above_least(alpha_bar: Tensor) -> Tensor:
    return torch.log(LEAST + (1.0 - LEAST) * alpha_bar).clamp(max=0.0)


SCHEDULES: dict[str, NoiseSchedule] = {
    "linear": NoiseSchedule(_linear, "beta from 0.1 to 20 (Ho et al. 2020 with 1000 steps; Song et al. 2021, eq. 33)"),
    "cosine": NoiseSchedule(_cosine, "abar = cos^2(pi/2 (t + s)/(1 + s)), s = 0.008 (Nichol & Dhariwal 2021, eq. 17)"),
    "sigmoid": NoiseSchedule(_sigmoid, "abar = a sigmoid from 3 to -3 (Jabri et al. 2023; Chen 2023, start -3, end 3)"),
}
"""Schedules by name."""


def find_schedule(name: str) -> NoiseSchedule:
    """Return the schedule of that name, or a `ConfigError` that lists the names there are."""
    if name not in SCHEDULES:
        raise ConfigError(f"unknown schedule {name!r}; one of {', '.join(SCHEDULES)}.{nearest(name, SCHEDULES)}")
    return SCHEDULES[name]


def from_betas(betas: Tensor) -> NoiseSchedule:
    """Return the schedule of a discrete diffusion: abar(i / T) is the product of 1 - beta_1 to 1 - beta_i.

    Args:
        betas: the variance that each step adds [T], above 0 and below 1.

    Raises:
        ConfigError: one of them is not above 0 and below 1.

    """
    if betas.dim() != 1 or len(betas) == 0 or bool(((betas <= 0.0) | (betas >= 1.0)).any()):
        raise ConfigError(f"betas must be numbers above 0 and below 1; here are {betas.tolist()}")
    steps = len(betas)
    known = functional.pad(torch.log1p(-betas.double()).cumsum(0), (1, 0))

    def log_alpha_bar(time: Tensor) -> Tensor:
        # A time within rounding of i / T belongs to step i, not to the next one, whose beta is another.
        end = torch.ceil(time.detach() * steps - 1e-4).long().clamp(1, steps)
        left, right = (known.to(time.device)[at].to(time.dtype) for at in (end - 1, end))
        return left + (time * steps - (end - 1)) * (right - left)

    return NoiseSchedule(log_alpha_bar, f"{steps} steps", steps, 1.0 / steps)
