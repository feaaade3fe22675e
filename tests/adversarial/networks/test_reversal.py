from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch.autograd import forward_ad

from hepda.adversarial import GradientReversal, Reversal, gradient_reversal
from hepda.adversarial.networks.schedules import RATE_SCHEDULES, STRENGTH_SCHEDULES
from hepda.errors import ConfigError


def test_forward_is_the_identity_and_backward_is_minus_strength() -> None:
    x = torch.randn(4, 3, requires_grad=True)
    y = gradient_reversal(x, 0.7)
    assert torch.equal(y, x)
    (y * torch.arange(3.0)).sum().backward()
    assert x.grad is not None
    assert torch.allclose(x.grad, -0.7 * torch.arange(3.0).expand(4, 3))


def test_the_layer_keeps_its_strength_with_the_module() -> None:
    layer = GradientReversal(0.5)
    assert layer.state_dict()["strength"] == 0.5
    x = torch.ones(2, requires_grad=True)
    layer.strength.fill_(2.0)
    layer(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-2.0, -2.0]


def test_double_backward() -> None:
    """f(x) = x^3 behind a reversal: the first gradient is -s 3 x^2; its gradient passes the reversal
    again.
    """
    x = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad((gradient_reversal(x, 0.5) ** 3).sum(), x, create_graph=True)
    assert first.item() == pytest.approx(-0.5 * 3 * 4.0)
    (second,) = torch.autograd.grad(first, x)
    assert second.item() == pytest.approx(0.25 * 6 * 2.0)


def test_nothing_is_saved_but_the_strength() -> None:
    saved: list[torch.Tensor] = []
    x = torch.randn(1000, 10, requires_grad=True)

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        gradient_reversal(x, torch.tensor(1.0))
    assert {t.numel() for t in saved} == {1}


def cubes(x: torch.Tensor, strength: float | torch.Tensor = 0.5) -> torch.Tensor:
    """The sum of x^3 behind a reversal: its gradient is -s 3 x^2, its second derivative s^2 6 x."""
    return (gradient_reversal(x, strength) ** 3).sum()


@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.jacrev, torch.func.jacfwd])
def test_under_torch_func(transform: Callable[..., Callable[[torch.Tensor], torch.Tensor]]) -> None:
    x = torch.randn(5, 3)
    expected = -0.5 * 3 * x**2
    assert torch.allclose(transform(cubes)(x), expected)
    assert torch.allclose(torch.func.vmap(transform(cubes))(x), expected)
    each = torch.func.vmap(transform(cubes), in_dims=(0, 0))(x, torch.arange(5.0))
    assert torch.allclose(each, -torch.arange(5.0)[:, None] * 3 * x**2)


def test_forward_mode_turns_the_tangent_as_backward_the_gradient() -> None:
    x, direction = torch.randn(5, 3), torch.randn(5, 3)
    expected = (-0.5 * 3 * x**2 * direction).sum()
    value, tangent = torch.func.jvp(cubes, (x,), (direction,))
    assert torch.equal(value, cubes(x))
    assert tangent == pytest.approx(float(expected), rel=1e-5)
    with forward_ad.dual_level():
        result = forward_ad.unpack_dual(cubes(forward_ad.make_dual(x, direction))).tangent
    assert result == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("outer", [torch.func.jacrev, torch.func.jacfwd])
@pytest.mark.parametrize("inner", [torch.func.jacrev, torch.func.jacfwd])
def test_second_derivatives_pass_the_reversal_twice_in_every_mode(
    outer: Callable[..., Callable[[torch.Tensor], torch.Tensor]],
    inner: Callable[..., Callable[[torch.Tensor], torch.Tensor]],
) -> None:
    x = torch.randn(4)
    assert torch.allclose(outer(inner(cubes))(x), torch.diag(0.25 * 6 * x))


def test_under_autocast_the_gradient_keeps_its_type() -> None:
    layer, x = torch.nn.Linear(4, 4), torch.randn(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        y = gradient_reversal(layer(x), torch.tensor(1.0))
    assert y.dtype == torch.bfloat16
    y.sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


@pytest.mark.slow
def test_compiles_whole_and_once_for_all_strengths() -> None:
    count = 0

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        nonlocal count
        count += 1
        return graph.forward

    def f(x: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
        return (gradient_reversal(x, strength) ** 2).sum()

    compiled = torch.compile(f, fullgraph=True, backend=backend)
    for value in (0.0, 0.3, 1.0):
        x = torch.ones(3, requires_grad=True)
        compiled(x, torch.tensor(value)).backward()
        assert x.grad is not None
        assert x.grad.tolist() == pytest.approx([-2.0 * value] * 3)
    assert count == 1


@pytest.mark.slow
@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.jacfwd, torch.func.hessian])
def test_compiles_whole_under_torch_func(
    transform: Callable[..., Callable[[torch.Tensor], torch.Tensor]],
) -> None:
    x = torch.randn(4)
    compiled = torch.compile(lambda x: transform(cubes)(x), fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(x), transform(cubes)(x))
    assert float(compiled(x).abs().max()) > 0


@pytest.mark.slow
def test_compiled_it_is_still_the_identity_to_the_last_bit() -> None:
    x = 1e3 * torch.randn(1000)
    compiled = torch.compile(lambda x: gradient_reversal(x, torch.tensor(0.3)), fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), x)


def test_the_schedule_follows_the_fraction_of_the_run_after_the_warmup() -> None:
    reversal = Reversal(2.0, "ganin", warmup=5)
    assert reversal.at(4.9, 25) == 0.0
    assert reversal.at(5.0, 25) == 0.0
    for p in (0.25, 0.5, 1.0):
        assert reversal.at(5 + 20 * p, 25) == pytest.approx(2.0 * (2 / (1 + math.exp(-10 * p)) - 1))
    # twice as long a run has the same strength at the same fraction
    assert Reversal().at(10, 40) == Reversal().at(20, 80)


@pytest.mark.parametrize("name", STRENGTH_SCHEDULES)
def test_strengths_rise_within_0_and_1(name: str) -> None:
    values = [STRENGTH_SCHEDULES[name](i / 50) for i in range(51)]
    assert all(0.0 <= v <= 1.0 for v in values)
    assert all(a <= b for a, b in pairwise(values))
    assert values[-1] > 0.99


@pytest.mark.parametrize("name", RATE_SCHEDULES)
def test_rates_stay_positive_and_below_one(name: str) -> None:
    assert all(0.0 < RATE_SCHEDULES[name](i / 50) <= 1.0 for i in range(50))


def test_ganin_rate_is_the_paper_formula() -> None:
    assert RATE_SCHEDULES["ganin"](0.3) == pytest.approx((1 + 10 * 0.3) ** -0.75)


def test_what_a_reversal_cannot_be() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'ganin'"):
        Reversal(schedule="gannin")
    with pytest.raises(ConfigError, match="0 or more"):
        Reversal(-1.0)
    with pytest.raises(ConfigError, match="warm-up"):
        Reversal(warmup=-1)
