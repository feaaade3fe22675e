"""Rules that make one step of several gradients, against their definitions and drawn gradients."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from hepda.adversarial.training.combining import (
    RULES,
    adaptive_weights,
    find_rule,
    inner_products,
    projection_weights,
    self_correcting_weights,
    weighted_gradients,
)
from hepda.errors import ConfigError


def drawn(terms: int, draws: int = 200_000, dimensions: int = 3) -> Tensor:
    """Gradients [draws, terms, dimensions] in all directions and of various lengths."""
    normal = partial(torch.randn, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return normal(draws, terms, dimensions) * normal(draws, terms, 1).exp()


def step(rule: str, gradients: Tensor) -> Tensor:
    """The combined step [draws, dimensions]."""
    return (RULES[rule](gradients @ gradients.mT)[..., None] * gradients).sum(dim=1)


def opposed(rule: str, gradients: Tensor) -> list[float]:
    """Fractions in which the step goes against each gradient."""
    along = (gradients @ step(rule, gradients)[..., None])[..., 0]
    scale = gradients.norm(dim=-1) * step(rule, gradients).norm(dim=-1)[:, None]
    return [float(fraction) for fraction in (along < -1e-9 * scale).double().mean(dim=0)]


def test_how_often_a_step_goes_against_one_of_three_gradients() -> None:
    gradients = drawn(3)
    assert opposed("sum", gradients) == pytest.approx([0.22] * 3, abs=0.005)
    assert opposed("self_correcting", gradients) == pytest.approx([0.055, 0.27, 0.0], abs=0.005)


def test_of_two_gradients_the_first_is_never_opposed_and_by_self_correction_none() -> None:
    gradients = drawn(2)
    assert opposed("sum", gradients)[0] > 0.1
    assert opposed("self_correcting", gradients) == [0.0, 0.0]
    assert opposed("projection", gradients)[0] == 0.0


def test_self_correction_is_the_loop_of_its_paper() -> None:
    gradients = drawn(4, draws=50)
    expected = []
    for terms in gradients.numpy():
        total = terms[0].copy()
        for term in terms[1:]:
            product = total @ term
            total += (1.0 if product > 0 else -product / (term @ term)) * term
        expected.append(total)
    assert np.allclose(step("self_correcting", gradients), expected, rtol=1e-12)


def test_projection_removes_what_opposes_the_first_gradient() -> None:
    gradients = drawn(3, draws=50)
    expected = []
    for first, *others in gradients.numpy():
        expected.append(first + sum(o - min(o @ first, 0.0) / (first @ first) * first for o in others))
    assert np.allclose(step("projection", gradients), expected, rtol=1e-12)


def test_adaptive_weights_follow_the_side_on_which_the_discriminator_is_behind() -> None:
    gradients = torch.tensor([[3.0, 0.0], [-4.0, 4.0]])
    products = gradients @ gradients.T
    sizes = gradients.norm(dim=1)
    cases = {
        (0.3, 0.2): (1 / sizes[0], 12 / (sizes[1] ** 2 * sizes[0])),  # real rows are not recognised
        (0.6, 0.8): (1 / sizes[0], 12 / (sizes[1] ** 2 * sizes[0])),  # less than generated ones
        (0.9, 0.2): (12 / (sizes[0] ** 2 * sizes[1]), 1 / sizes[1]),  # too well
        (0.6, 0.4): (1 / sizes[0], 1 / sizes[1]),
    }
    for scores, expected in cases.items():
        weights = adaptive_weights(products, torch.tensor(scores))
        assert weights.tolist() == pytest.approx([float(value) + 0.05 for value in expected])
    (real_behind,) = (w[:, None] for w in [adaptive_weights(products, torch.tensor([0.3, 0.2])) - 0.05])
    assert float((real_behind * gradients).sum(dim=0) @ gradients[1]) == pytest.approx(0.0, abs=1e-6)
    agreeing = torch.tensor([[3.0, 0.0], [4.0, 4.0]])
    alone = adaptive_weights(agreeing @ agreeing.T, torch.tensor([0.3, 0.2]))
    assert alone.tolist() == pytest.approx([1 / 3 + 0.05, 0.05])


def test_gradients_of_parameters_of_which_a_loss_may_know_nothing() -> None:
    first = [torch.tensor([1.0, 0.0]), None, torch.tensor([[2.0]])]
    second = [torch.tensor([-1.0, 1.0]), torch.tensor([5.0]), None]
    products = inner_products([first, second])
    assert products.tolist() == [[5.0, -1.0], [-1.0, 27.0]]
    weights = projection_weights(products)
    assert weights.tolist() == pytest.approx([1.2, 1.0])
    combined = weighted_gradients(weights, [first, second])
    assert [None if g is None else g.tolist() for g in combined] == [
        pytest.approx([0.2, 1.0]), [5.0], [[pytest.approx(2.4)]],
    ]  # fmt: skip
    assert weighted_gradients(weights, [[None], [None]]) == [None]


def test_a_gradient_of_zero_changes_nothing() -> None:
    products = torch.tensor([[4.0, 0.0], [0.0, 0.0]])
    assert projection_weights(products).tolist() == [1.0, 1.0]
    assert self_correcting_weights(products)[0] == 1.0


def test_rules_that_are_not_there() -> None:
    with pytest.raises(ConfigError, match="projection"):
        find_rule("projecton")
    with pytest.raises(ConfigError, match="discriminator of a game"):
        find_rule("adaptive")
