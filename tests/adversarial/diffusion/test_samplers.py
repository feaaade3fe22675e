"""Samplers with the exact noise of Gaussian data: mean and covariance come out right, to the order of the method."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from hepda.adversarial.diffusion.samplers import denoised, probability_flow
from hepda.adversarial.diffusion.schedules import find_schedule, from_betas
from hepda.errors import ConfigError
from tests.adversarial.diffusion.gaussian import TRUE_COVARIANCE, TRUE_MEAN, Gaussian, correlated

COSINE = find_schedule("cosine")
EXACT = correlated(COSINE)
CORNERS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)


def moments(corners: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of an affine map of standard normal numbers, from where it carries three corners."""
    matrix = (corners[1:] - corners[0]).T
    return corners[0], matrix @ matrix.T


def distance(corners: Tensor) -> float:
    mean, covariance = moments(corners)
    return float((mean - TRUE_MEAN).norm() + (covariance - TRUE_COVARIANCE).norm())


def test_deterministic_steps_give_mean_and_covariance() -> None:
    errors = [distance(denoised(EXACT.noise, COSINE, CORNERS, steps, fresh=0.0)) for steps in (50, 100, 200)]
    assert errors[-1] < 0.05
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("method", ["euler", "heun"])
def test_the_flow_of_probability_gives_mean_and_covariance(method: str) -> None:
    errors = [distance(probability_flow(EXACT.noise, COSINE, CORNERS, steps, method)) for steps in (20, 80)]
    assert errors[1] < (0.1 if method == "euler" else 0.02) and errors[1] < errors[0]


def test_the_flow_of_a_gaussian_is_known() -> None:
    """Each width scales with sqrt(V_t), relative to its start."""
    start = torch.tensor([[1.3]], dtype=torch.float64)
    narrow = Gaussian(COSINE, torch.zeros(1).double(), torch.tensor([[0.09]]).double())
    first, last = (float(COSINE.alpha_bar(torch.tensor([t]).double())) for t in (1.0, COSINE.earliest))
    width = math.sqrt((last * 0.09 + 1 - last) / (first * 0.09 + 1 - first))
    assert float(probability_flow(narrow.noise, COSINE, start, 200)) == pytest.approx(1.3 * width, rel=1e-3)


def ancestral_variance(steps: int, variance: float) -> float:
    """The variance after ancestral steps with the exact noise of N(0, variance), step by step with Ho's eq. 7."""
    kept = COSINE.alpha_bar(COSINE.times(steps)).tolist()
    result = 1.0
    for before, after in pairwise(kept):
        ratio = before / after
        of_data = math.sqrt(after) * (1 - ratio) / (1 - before)
        of_rows = math.sqrt(ratio) * (1 - after) / (1 - before)
        share = math.sqrt(before) * variance / (before * variance + 1 - before)
        result = (of_data * share + of_rows) ** 2 * result + (1 - after) / (1 - before) * (1 - ratio)
    return result


def test_ancestral_steps_give_mean_and_covariance() -> None:
    """The variance of few steps is too small by a known amount, and right in the limit of many."""
    random = torch.Generator().manual_seed(1)
    start = torch.randn(20_000, 2, generator=random, dtype=torch.float64)
    rows = denoised(EXACT.noise, COSINE, start, 30, random)
    torch.testing.assert_close(rows.mean(dim=0), TRUE_MEAN, atol=0.03, rtol=0)
    values, axes = torch.linalg.eigh(TRUE_COVARIANCE)
    measured = (rows @ axes).var(dim=0)
    for value, found in zip(values.tolist(), measured.tolist(), strict=True):
        assert found == pytest.approx(ancestral_variance(30, value), rel=0.04)
        assert ancestral_variance(2000, value) == pytest.approx(value, rel=0.02)


def test_an_ancestral_step_is_the_posterior_of_ho_et_al() -> None:
    """Ho et al. 2020, eq. 7: mean and variance of x_{t-1} for known x_t and x_0, here for two steps."""
    betas = torch.tensor([0.3, 0.6], dtype=torch.float64)
    schedule, known = from_betas(betas), 0.7
    kept = (1 - betas).cumprod(0)
    calls: list[Tensor] = []

    def exact(x: Tensor, time: Tensor) -> Tensor:
        calls.append(x)
        return (x - schedule.signal(time)[:, None] * known) / schedule.noise(time)[:, None]

    x = torch.full((40_000, 1), 1.4, dtype=torch.float64)
    last = denoised(exact, schedule, x, 2, torch.Generator().manual_seed(2))
    mean = kept[0].sqrt() * betas[1] / (1 - kept[1]) * known
    mean += (1 - betas[1]).sqrt() * (1 - kept[0]) / (1 - kept[1]) * 1.4
    variance = (1 - kept[0]) / (1 - kept[1]) * betas[1]
    assert float(calls[1].mean()) == pytest.approx(float(mean), abs=0.01)
    assert float(calls[1].var()) == pytest.approx(float(variance), rel=0.03)
    torch.testing.assert_close(last, torch.full_like(x, known))


def test_the_same_seed_gives_the_same_rows() -> None:
    start = torch.randn(5, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    first, again, other = (
        denoised(EXACT.noise, COSINE, start, 5, torch.Generator().manual_seed(seed)) for seed in (4, 4, 5)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_limits_hold() -> None:
    start = torch.randn(100, 2, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    free, cut = (denoised(EXACT.noise, COSINE, start, 10, fresh=0.0, limits=limits) for limits in (None, (-1.0, 1.0)))
    assert float(free.abs().max()) > 1.5 and float(cut.abs().max()) <= 1.0
    inside = denoised(EXACT.noise, COSINE, 0.1 * start, 10, fresh=0.0, limits=(-50.0, 50.0))
    torch.testing.assert_close(inside, denoised(EXACT.noise, COSINE, 0.1 * start, 10, fresh=0.0))


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ConfigError, match="needs random numbers"):
        denoised(EXACT.noise, COSINE, CORNERS, 5)
    with pytest.raises(ConfigError, match="must be from 0 to 1"):
        denoised(EXACT.noise, COSINE, CORNERS, 5, torch.Generator(), fresh=1.5)
