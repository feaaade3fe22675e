"""From noise to data: steps with and without fresh noise, and the equation of the flow of probability."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from hepda.adversarial.diffusion.ode import Field, integrate
from hepda.adversarial.diffusion.schedules import NoiseSchedule, over_rows
from hepda.errors import ConfigError


@torch.no_grad()
def denoised(
    noise: Field,
    schedule: NoiseSchedule,
    start: Tensor,
    steps: int,
    random: torch.Generator | None = None,
    fresh: float = 1.0,
    limits: tuple[float, float] | None = None,
) -> Tensor:
    """Return rows of data from rows of noise, in equal steps of time from 1 to 0.

    A step takes the data x_0 that the predicted noise leaves, and x_s = sqrt(abar_s) x_0 + sqrt(1 - abar_s - v) noise
    + sqrt(v) z, with v = fresh^2 (1 - abar_s) / (1 - abar_t) (1 - abar_t / abar_s) (Song, Meng & Ermon 2021, eq. 12 and
    16).

    Args:
        noise: the predicted noise, called once a step, in the order of falling times.
        schedule: that of the training.
        start: standard normal numbers [n, ...].
        steps: number of steps.
        random: draws z; None only without fresh noise.
        fresh: 1: ancestral sampling (DDPM, Ho et al. 2020); 0: deterministic (DDIM); in between, a mixture.
        limits: smallest and largest value of the data, to which x_0 is cut at each step.

    Raises:
        ConfigError: fresh noise without random numbers, a share outside 0 to 1, or an impossible number of steps.

    """
    if not 0.0 <= fresh <= 1.0 or (fresh > 0.0 and random is None):
        raise ConfigError(f"fresh is {fresh}; it must be from 0 to 1, and above 0 it needs random numbers")
    x = start
    for time, earlier in pairwise(schedule.times(steps).to(start)):
        before, after = schedule.alpha_bar(time), schedule.alpha_bar(earlier)
        predicted = noise(x, time.expand(len(x)))
        data = (x - (1.0 - before).sqrt() * predicted) / before.sqrt()
        if limits is not None:
            data = data.clamp(*limits)
            predicted = (x - before.sqrt() * data) / (1.0 - before).sqrt()
        variance = fresh**2 * (1.0 - after) / (1.0 - before) * (1.0 - before / after)
        x = after.sqrt() * data + (1.0 - after - variance).clamp(min=0.0).sqrt() * predicted
        if fresh:
            z = torch.randn(x.shape, generator=random, device=x.device, dtype=x.dtype)
            x = x + variance.sqrt() * z
    return x


def probability_flow(noise: Field, schedule: NoiseSchedule, start: Tensor, steps: int, method: str = "heun") -> Tensor:
    """Return rows of data from rows of noise by dx/dt = -beta (x + score) / 2 (Song et al. 2021, eq. 13).

    The solution is the same density at all times as that of the diffusion, and each row is a smooth function of its
    start. It ends at the earliest time of the schedule, where hardly any noise is left.

    Args:
        noise: the predicted noise.
        schedule: that of the training.
        start: standard normal numbers [n, ...].
        steps: number of steps.
        method: `euler`, `midpoint` or `heun` (ode.py).

    Raises:
        ConfigError: an unknown method, or an impossible number of steps.

    """

    def slope(x: Tensor, time: Tensor) -> Tensor:
        score = -noise(x, time) / over_rows(schedule.noise(time), x)
        return -0.5 * over_rows(schedule.rate(time), x) * (x + score)

    return integrate(slope, start, schedule.times(steps, schedule.earliest), method)
