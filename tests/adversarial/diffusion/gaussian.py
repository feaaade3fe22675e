"""Gaussian data, for which the noise that the best model predicts is known at every time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hepda.adversarial.diffusion.schedules import NoiseSchedule

TRUE_MEAN = torch.tensor([0.8, -1.5], dtype=torch.float64)
TRUE_COVARIANCE = torch.tensor([[1.2, 0.4], [0.4, 0.3]], dtype=torch.float64)


@dataclass(frozen=True)
class Gaussian:
    """Data of N(mean, covariance) under a schedule."""

    schedule: NoiseSchedule
    mean: Tensor
    covariance: Tensor

    def draw(self, rows: int, random: torch.Generator) -> Tensor:
        z = torch.randn(rows, len(self.mean), generator=random, dtype=self.mean.dtype)
        drawn: Tensor = self.mean + z @ torch.linalg.cholesky(self.covariance).T
        return drawn

    def score(self, x: Tensor, time: Tensor) -> Tensor:
        """-V_t^-1 (x - m_t) with m_t = sqrt(abar) m and V_t = abar V + 1 - abar."""
        alpha_bar = self.schedule.alpha_bar(time)[:, None, None]
        spread = alpha_bar * self.covariance + (1.0 - alpha_bar) * torch.eye(len(self.mean), dtype=x.dtype)
        away = x - self.schedule.signal(time)[:, None] * self.mean
        result: Tensor = -torch.linalg.solve(spread, away[:, :, None])[:, :, 0]
        return result

    def noise(self, x: Tensor, time: Tensor) -> Tensor:
        return -self.schedule.noise(time)[:, None] * self.score(x, time)


def correlated(schedule: NoiseSchedule) -> Gaussian:
    """Two columns that depend on each other."""
    return Gaussian(schedule, TRUE_MEAN, TRUE_COVARIANCE)
