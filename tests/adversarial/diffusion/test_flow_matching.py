"""Flow matching between Gaussians, where velocity, transport and the smallest loss are known."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from hepda.adversarial import mlp, seeded
from hepda.adversarial.diffusion.flow_matching import flow_matching_loss, optimal_pairs, transported, uniform_times
from hepda.adversarial.diffusion.ode import integrate
from hepda.errors import ConfigError, DataError

MEAN, WIDTH = (torch.tensor([1.0, -2.0]), torch.tensor([4.0, 0.5])), (0.5, 1.5)


def between(x: Tensor, time: Tensor) -> Tensor:
    """The mean velocity of lines that join N(mean_0, width_0^2) with N(mean_1, width_1^2), paired at random."""
    t = time[:, None].to(x)
    variance = ((1 - t) * WIDTH[0]) ** 2 + (t * WIDTH[1]) ** 2
    centre = (1 - t) * MEAN[0] + t * MEAN[1]
    return MEAN[1] - MEAN[0] + (t * WIDTH[1] ** 2 - (1 - t) * WIDTH[0] ** 2) / variance * (x - centre)


def drawn(number: int, rows: int, random: torch.Generator) -> Tensor:
    return MEAN[number] + WIDTH[number] * torch.randn(rows, 2, generator=random)


@pytest.mark.parametrize(("method", "factor"), [("euler", 1.1), ("midpoint", 1.105), ("heun", 1.105)])
def test_a_step_of_growth_is_the_beginning_of_the_exponential(method: str, factor: float) -> None:
    x = torch.tensor([[1.0], [-2.0]], dtype=torch.float64)
    grown = integrate(lambda rows, time: rows, x, torch.linspace(0, 0.3, 4, dtype=torch.float64), method)
    torch.testing.assert_close(grown, x * factor**3)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2)])
def test_the_exact_velocity_carries_a_gaussian_into_the_other(method: str, order: int) -> None:
    start = drawn(0, 500, torch.Generator().manual_seed(1)).double()
    exact = MEAN[1] + WIDTH[1] / WIDTH[0] * (start - MEAN[0])
    errors = [float((transported(between, start, steps, method) - exact).abs().max()) for steps in (50, 100, 200)]
    assert errors[2] < (0.5 if order == 1 else 5e-3)
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) > order - 0.15  # the midpoint's error happens to fall with the cube here


def test_a_part_of_the_way_has_the_density_of_that_time() -> None:
    x = transported(between, drawn(0, 10_000, torch.Generator().manual_seed(2)), 40, until=0.5)
    width = math.hypot(0.5 * WIDTH[0], 0.5 * WIDTH[1])
    torch.testing.assert_close(x.mean(dim=0), 0.5 * (MEAN[0] + MEAN[1]), atol=0.03, rtol=0)
    torch.testing.assert_close(x.std(dim=0), torch.full((2,), width), atol=0.03, rtol=0)


def test_the_loss_of_the_exact_velocity_is_the_smallest_and_known() -> None:
    """The variance of x_1 - x_0 at a point is width_0^2 width_1^2 / variance_t: its mean is width_0 width_1 pi / 2."""
    random, rows = torch.Generator().manual_seed(3), 200_000
    base, data, time = drawn(0, rows, random), drawn(1, rows, random), uniform_times(rows, random)
    least = float(flow_matching_loss(between, base, data, time).mean())
    assert least == pytest.approx(WIDTH[0] * WIDTH[1] * math.pi / 2, rel=0.01)
    shifted = float(flow_matching_loss(lambda x, t: between(x, t) + 0.3, base, data, time).mean())
    assert shifted == pytest.approx(least + 0.09, abs=0.02)


def test_weights_are_repeated_rows_and_keep_their_signs() -> None:
    random = torch.Generator().manual_seed(4)
    base, data, time = drawn(0, 3, random), drawn(1, 3, random), uniform_times(3, random)
    repeats = torch.tensor([1, 3, 2])
    repeated = [rows.repeat_interleave(repeats, dim=0) for rows in (base, data, time)]
    weighted = flow_matching_loss(between, base, data, time, repeats.float()).mean()
    torch.testing.assert_close(weighted, flow_matching_loss(between, *repeated).mean())
    rows = flow_matching_loss(between, base, data, time).losses
    signed = flow_matching_loss(between, base, data, time, torch.tensor([2.0, -1.0, 1.0])).mean()
    torch.testing.assert_close(signed, (2 * rows[0] - rows[1] + rows[2]) / 4)


def test_a_network_learns_the_density_of_signed_weights() -> None:
    """Data of two lines of points, one with weights of both signs that leave a quarter: the mean is that of weights."""
    random, rows, steps = torch.Generator().manual_seed(5), 384, 300
    with seeded(6):
        network = mlp(2, [48, 48], 1, activation="silu")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)

    def velocity(x: Tensor, time: Tensor) -> Tensor:
        result: Tensor = network(torch.cat([x, time[:, None]], dim=1))
        return result

    for step in range(steps):
        right = torch.rand(rows, generator=random) < 0.5
        negative = right & (torch.rand(rows, generator=random) < 1 / 3)  # leaves 1/3 of the weights of the right line
        data = torch.where(right, 1.0, -1.0)[:, None] + 0.1 * torch.randn(rows, 1, generator=random)
        weight = torch.where(negative, -1.0, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / steps)
        optimizer.zero_grad()
        base, time = torch.randn(rows, 1, generator=random), uniform_times(rows, random)
        flow_matching_loss(velocity, base, data, time, weight).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    generated = transported(velocity, torch.randn(20_000, 1, generator=random), 20)
    assert float((generated > 0).float().mean()) == pytest.approx(0.25, abs=0.04)


def test_optimal_pairs_in_one_dimension_are_the_order() -> None:
    base, data = torch.randn(2, 40, 1, generator=torch.Generator().manual_seed(7))
    paired = data[optimal_pairs(base, data)]
    assert torch.equal(base.flatten().argsort(), paired.flatten().argsort())


def test_the_same_random_numbers_draw_the_same_times() -> None:
    times = [uniform_times(5, torch.Generator().manual_seed(8)) for _ in range(2)]
    assert torch.equal(*times) and float(times[0].min()) >= 0 and float(times[0].max()) <= 1


def test_what_does_not_fit_is_said() -> None:
    x = torch.zeros(4, 2)
    with pytest.raises(DataError, match="a time for each"):
        flow_matching_loss(between, x, x, torch.zeros(3))
    with pytest.raises(DataError, match="two samples of one shape"):
        optimal_pairs(x, x[:2])
    with pytest.raises(DataError, match="finite rows"):
        optimal_pairs(x, x * math.nan)
    with pytest.raises(ConfigError, match="steps is 0"):
        transported(between, x, 0)
    with pytest.raises(ConfigError, match="Did you mean 'heun'"):
        transported(between, x, 2, "huen")
    with pytest.raises(ConfigError, match="at least two times"):
        integrate(between, x, torch.zeros(1))
