"""The study of the Wasserstein bound: the score of its data, and small versions of both parts."""

from __future__ import annotations

import math

import pytest
import torch

from analyses.scores import wasserstein
from hepda.adversarial.diffusion.schedules import from_betas


def test_the_exact_score_is_the_slope_of_the_density() -> None:
    schedule = from_betas(wasserstein.BETAS)
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_(True)
    time = torch.full((40,), 0.8, dtype=torch.float64)
    signal, alpha_bar = float(schedule.signal(time[:1])), float(schedule.alpha_bar(time[:1]))
    width = math.sqrt(alpha_bar * wasserstein.SPREAD**2 + 1 - alpha_bar)
    modes = torch.distributions.Normal(signal * wasserstein.CENTRES.double(), width)
    logs: torch.Tensor = modes.log_prob(x[:, None])  # type: ignore[no-untyped-call]
    density = torch.logsumexp(logs.sum(dim=2), dim=1)
    (slope,) = torch.autograd.grad(density.sum(), x)
    torch.testing.assert_close(wasserstein.exact_score(x.detach(), time, schedule), slope)


def test_a_short_training_lowers_loss_and_distance_below_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wasserstein, "ROWS", 100)
    found = list(wasserstein.trained(60, 5, 3, 1))
    assert [c.update for c in found] == [0, 1, 8, 60]
    assert found[-1].bound.objective < found[0].bound.objective and found[-1].distance < found[0].distance
    for checkpoint in found:
        assert math.log(checkpoint.distance) < checkpoint.bound.log_bound < checkpoint.bound.log_bound_of_objective
        assert checkpoint.denoising > checkpoint.bound.objective
    table = wasserstein.table(found)
    assert "| checkpoints under the bound of their own network | all | 4 |" in table
    assert wasserstein.plane_figure(found).axes


def test_the_bound_of_many_columns_is_a_number_even_if_it_is_useless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wasserstein, "ROWS", 100)
    random = torch.Generator().manual_seed(2)
    columns = torch.randn(1000, 18, generator=random)
    columns[:, 0] = 5.0 * columns[:, 1] + 0.1 * columns[:, 0]
    weight = torch.where(torch.rand(1000, generator=random) < 0.1, -1.0, 1.0)
    found = wasserstein.event_scores(columns, weight, 20, 1)
    assert math.isfinite(found.bound.log_bound) and found.bound.log_bound > math.log(found.distance)
    assert found.floor < found.unlearned
    assert "18 features" in wasserstein.event_table(found)
    assert len(wasserstein.event_figure(found).axes) == 2
