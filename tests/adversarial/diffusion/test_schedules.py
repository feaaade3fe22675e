"""Schedules of noise: signal and noise, rates, and the discrete steps within the continuous time."""

from __future__ import annotations

import pytest
import torch

from hepda.adversarial.diffusion.schedules import SCHEDULES, find_schedule, from_betas
from hepda.errors import ConfigError

TIME = torch.linspace(0.01, 1.0, 100, dtype=torch.float64)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_preserves_the_variance_and_ends_in_noise(name: str) -> None:
    schedule = find_schedule(name)
    torch.testing.assert_close(schedule.signal(TIME) ** 2 + schedule.noise(TIME) ** 2, torch.ones(100).double())
    assert float(schedule.alpha_bar(torch.zeros(1))) == pytest.approx(1.0, abs=1e-6)
    assert 1e-5 < float(schedule.alpha_bar(torch.ones(1))) < 1e-4
    assert bool((schedule.alpha_bar(TIME).diff() < 0).all())


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_rate_is_the_slope_of_the_logarithm(name: str) -> None:
    schedule, h = find_schedule(name), 1e-6
    inner = TIME[:-1]
    slope = (schedule.log_alpha_bar(inner + h) - schedule.log_alpha_bar(inner - h)) / (2 * h)
    torch.testing.assert_close(schedule.rate(inner), -slope, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(schedule.likelihood(inner), -slope / (1 - schedule.alpha_bar(inner)), rtol=1e-4, atol=1)


def test_known_values() -> None:
    half = torch.tensor([0.5], dtype=torch.float64)
    assert float(find_schedule("sigmoid").alpha_bar(half)) == pytest.approx(0.5, abs=1e-4)
    assert float(find_schedule("linear").log_alpha_bar(half)) == pytest.approx(-(0.05 + 19.9 / 8))
    assert float(find_schedule("cosine").alpha_bar(half)) == pytest.approx(0.4939, abs=1e-3)


def test_discrete_steps_are_products_of_what_is_kept() -> None:
    betas = torch.tensor([0.1, 0.2, 0.5], dtype=torch.float64)
    schedule = from_betas(betas)
    times = torch.tensor([1 / 3, 2 / 3, 1.0], dtype=torch.float64)
    torch.testing.assert_close(schedule.alpha_bar(times), (1 - betas).cumprod(0))
    torch.testing.assert_close(schedule.rate(times), -3 * torch.log1p(-betas))
    torch.testing.assert_close(schedule.rate(times.float()).double(), -3 * torch.log1p(-betas), rtol=1e-5, atol=0)


def test_a_thousand_steps_of_ho_et_al_are_the_linear_schedule() -> None:
    steps = from_betas(torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64))
    difference = steps.log_alpha_bar(TIME) - find_schedule("linear").log_alpha_bar(TIME)
    assert float(difference.abs().max()) < 0.08  # of 10


def test_times_of_training_and_of_samplers() -> None:
    random = torch.Generator().manual_seed(1)
    continuous, discrete = find_schedule("cosine"), from_betas(torch.full((4,), 0.3))
    drawn = continuous.draw(10_000, random)
    assert float(drawn.min()) >= continuous.earliest and float(drawn.mean()) == pytest.approx(0.5, abs=0.02)
    shares = [float((discrete.draw(10_000, random) == i / 4).float().mean()) for i in range(1, 5)]
    assert shares == pytest.approx([0.25] * 4, abs=0.02)
    assert discrete.times(2).tolist() == [1.0, 0.5, 0.0]
    assert continuous.times(4, 0.2).tolist() == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'cosine'"):
        find_schedule("cosin")
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        from_betas(torch.tensor([0.1, 1.0]))
    with pytest.raises(ConfigError, match="a divisor of 4"):
        from_betas(torch.full((4,), 0.3)).times(3)
    with pytest.raises(ConfigError, match="1 or more"):
        find_schedule("linear").times(0)
