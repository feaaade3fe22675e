"""Losses of generators and discriminators against their formulas, with weights, and the ends that they lead to."""

from __future__ import annotations

import math

import pytest
import torch

from hepda.adversarial import mlp, seeded
from hepda.adversarial.games.losses import RowLosses, find_loss, gradient_penalty, metric_regression
from hepda.errors import ConfigError

OUTPUT = torch.tensor([[2.0], [-1.0], [0.25]])
WEIGHT = torch.tensor([1.0, 2.0, -0.5])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(
    ("name", "real", "generated", "generator"),
    [
        ("non_saturating", lambda o: softplus(-o), softplus, lambda o: softplus(-o)),
        ("least_squares", lambda o: (o - 1) ** 2, lambda o: o**2, lambda o: (o - 1) ** 2),
        ("wasserstein", lambda o: -o, lambda o: o, lambda o: -o),
    ],
)  # fmt: skip
def test_a_loss_is_its_formula_with_weights(name, real, generated, generator) -> None:  # type: ignore[no-untyped-def]
    loss = find_loss(name)
    sides = ((loss.real, real), (loss.generated, generated), (loss.generator, generator))
    for function, formula in sides:
        rows = [formula(float(o)) for o in OUTPUT]
        expected = (rows[0] + 2 * rows[1] - 0.5 * rows[2]) / 3.5
        assert float(function(OUTPUT, WEIGHT).mean()) == pytest.approx(expected, rel=1e-6)
        assert float(function(OUTPUT).mean()) == pytest.approx(sum(rows) / 3, rel=1e-6)


def test_decisions_and_scores() -> None:
    cross_entropy, squares = find_loss("non_saturating"), find_loss("least_squares")
    # Right of the real rows: the first (weight 1) and, for the logit, the third (-0.5), of weights 2.5 in all.
    assert float(cross_entropy.real(OUTPUT, WEIGHT).accuracy()) == pytest.approx(0.5 / 2.5)  # type: ignore[arg-type]
    assert float(cross_entropy.generated(OUTPUT, WEIGHT).accuracy()) == pytest.approx(2.0 / 2.5)  # type: ignore[arg-type]
    assert float(squares.real(OUTPUT, WEIGHT).accuracy()) == pytest.approx(1.0 / 2.5)  # type: ignore[arg-type]
    assert float(squares.real(OUTPUT, WEIGHT).mean_score()) == pytest.approx((2 - 2 + 0.125) / 3.5)  # type: ignore[arg-type]
    rows = find_loss("wasserstein").real(OUTPUT)
    assert rows.accuracy() is None and rows.mean_score() is None


def test_rows_without_weight_are_no_loss() -> None:
    assert float(RowLosses(torch.ones(3), torch.zeros(3)).mean()) == 0.0


def test_the_gradient_penalty_is_zero_for_slope_one() -> None:
    linear = torch.nn.Linear(3, 1)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[0.6, 0.0, 0.8]]))
    real, generated = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(1))
    random = torch.Generator().manual_seed(2)
    assert gradient_penalty(linear, real, generated, random).losses.detach().max() < 1e-6
    with torch.no_grad():
        linear.weight.mul_(3.0)
    assert gradient_penalty(linear, real, generated, random).losses.tolist() == pytest.approx([4.0] * 50, rel=1e-5)
    (gradient,) = torch.autograd.grad(
        gradient_penalty(linear, real, generated, random, torch.ones(50)).mean(), [linear.weight]
    )
    assert gradient.tolist() == [pytest.approx([2.4, 0.0, 3.2], rel=1e-4)]  # 2 (3 - 1) times the direction


def test_a_critic_with_the_penalty_finds_the_distance_between_two_domains() -> None:
    """Two Gaussians shifted by 1 have the Wasserstein distance 1."""
    with seeded(3):
        critic = mlp(2, [32], 1)
    random, loss = torch.Generator().manual_seed(4), find_loss("wasserstein")
    optimizer = torch.optim.Adam(critic.parameters(), 5e-3)
    distances = []
    for _ in range(300):
        real = torch.randn(256, 2, generator=random)
        generated = torch.randn(256, 2, generator=random) + torch.tensor([0.6, 0.8])
        difference = loss.real(critic(real)).mean() + loss.generated(critic(generated)).mean()
        total = difference + 10.0 * gradient_penalty(critic, real, generated, random).mean()
        optimizer.zero_grad()
        torch.autograd.backward(total)
        optimizer.step()
        distances.append(-float(difference.detach()))
    assert sum(distances[-50:]) / 50 == pytest.approx(1.0, abs=0.07)


def test_a_metric_is_regressed() -> None:
    rows = metric_regression(OUTPUT, torch.tensor([1.0, 0.0, 0.25]), torch.tensor([1.0, 1.0, 2.0]))
    assert float(rows.mean()) == pytest.approx((1.0 + 1.0) / 4)


def test_a_loss_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="wasserstein"):
        find_loss("waserstein")
