"""The Wasserstein bound for Gaussians and linear scores, where both sides are known."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from hepda.adversarial.diffusion.bound import (
    WassersteinBound,
    one_sided_lipschitz,
    sliced_wasserstein_2,
    wasserstein_2,
    wasserstein_bound,
)
from hepda.errors import DataError

END = 6.0  # of b, the integral of g^2, which is the time here; the ratios below grow with it
CASES = [(start, wrong) for start in (0.25, 4.0) for wrong in (-0.3, -0.15, 0.1, 0.2, 0.3)]


def variance(b: float, start: float) -> float:
    """Of N(0, start) under dx = -x / 2 db + dw."""
    return 1.0 + (start - 1.0) * math.exp(-b)


def growth(b: float, start: float, wrong: float) -> float:
    """I of the score -(1 + wrong) x / variance, whose constant L_s is -(1 + wrong) / variance: an integral in closed
    form."""
    share: float = (start / (math.exp(b) * variance(b, start))) ** (1.0 + wrong)
    return math.exp(0.5 * b) * share


def distance(start: float, wrong: float) -> float:
    """W2 of the data and of what the reversed diffusion makes of p_T with the wrong score: both are Gaussians."""
    noise = quad(lambda b: growth(b, start, wrong) ** 2, 0.0, END)[0]
    made = noise + growth(END, start, wrong) ** 2 * variance(END, start)
    return abs(math.sqrt(made) - math.sqrt(start))


def bound(start: float, wrong: float, steps: int = 20_000, prior: float = 0.0) -> WassersteinBound:
    increments = torch.full((steps,), END / steps, dtype=torch.float64)
    spread = 1.0 + (start - 1.0) * torch.exp(-increments.cumsum(0))
    return wasserstein_bound(increments, -(1.0 + wrong) / spread, wrong**2 / spread, prior)


@pytest.mark.parametrize(("start", "wrong"), CASES)
def test_the_bound_holds_for_gaussians_and_is_twice_the_distance(start: float, wrong: float) -> None:
    found, true = bound(start, wrong), distance(start, wrong)
    terms = quad(lambda b: growth(b, start, wrong) * abs(wrong) / math.sqrt(variance(b, start)), 0.0, END)[0]
    assert math.exp(found.log_bound) == pytest.approx(terms, rel=2e-3)
    assert 1.7 * true < math.exp(found.log_bound) < 2.15 * true
    assert math.exp(found.log_bound) < math.exp(found.log_bound_of_objective) < 3.2 * true
    objective = quad(lambda b: 0.5 * wrong**2 / variance(b, start), 0.0, END)[0]
    assert found.objective == pytest.approx(objective, rel=2e-3)


def test_the_right_score_leaves_the_distance_of_the_noise() -> None:
    assert bound(0.25, 0.0).log_bound == -math.inf
    of_noise = bound(0.25, 0.0, prior=2.0)
    assert math.exp(of_noise.log_bound) == pytest.approx(2.0 * growth(END, 0.25, 0.0), rel=2e-3)
    assert of_noise.log_bound == of_noise.log_bound_of_objective


def test_a_bound_that_overflows_is_still_a_number() -> None:
    values = torch.full((100,), 1.0)
    found = wasserstein_bound(values, 50.0 * values, values)
    assert found.log_amplification == pytest.approx(5050.0)
    assert 5050.0 <= found.log_bound < 5051.0


def test_the_constant_is_the_largest_slope_and_may_be_negative() -> None:
    matrix = torch.tensor([[-2.0, 3.0], [0.0, -1.0]])
    points, time = torch.randn(20, 2, generator=torch.Generator().manual_seed(1)), torch.zeros(20)
    linear = one_sided_lipschitz(lambda x, t: x @ matrix.T, points, time)
    expected = torch.linalg.eigvalsh(0.5 * (matrix + matrix.T))[-1].double()
    torch.testing.assert_close(linear, expected.expand(20), rtol=1e-5, atol=1e-6)
    cubic = one_sided_lipschitz(lambda x, t: -(x**3), points, time)
    torch.testing.assert_close(cubic, -3.0 * points.square().min(dim=1).values.double(), rtol=1e-5, atol=1e-6)


def test_distances_of_samples() -> None:
    random = torch.Generator().manual_seed(2)
    first = torch.randn(300, 2, generator=random)
    shift = torch.tensor([3.0, 4.0])
    order = torch.randperm(300, generator=random)
    assert wasserstein_2(first, first[order]) == 0.0
    assert wasserstein_2(first, (first + shift)[order]) == pytest.approx(5.0, rel=1e-5)
    sliced = sliced_wasserstein_2(first, (first + shift)[order], random, 2000)
    assert sliced == pytest.approx(5.0 / math.sqrt(2.0), rel=0.03)


def test_what_does_not_fit_is_said() -> None:
    values: Tensor = torch.ones(3)
    with pytest.raises(DataError, match="at the same times"):
        wasserstein_bound(values, values[:2], values)
    with pytest.raises(DataError, match="finite"):
        wasserstein_bound(values, values * math.nan, values)
