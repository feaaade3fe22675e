"""Guidance by its formulas; the first version of semantic guidance is in tests/analyses/test_edits.py."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hepda.adversarial.diffusion.guidance import Concept, SemanticGuidance, guided
from hepda.adversarial.diffusion.ode import Field
from hepda.adversarial.diffusion.samplers import denoised
from hepda.adversarial.diffusion.schedules import find_schedule
from hepda.errors import ConfigError
from tests.adversarial.diffusion.gaussian import Gaussian

TIME = torch.tensor([0.5, 0.5])
X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
CHANGE = 0.01 * torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))


def shifted(shift: Tensor | float) -> Field:
    return lambda x, time: x + shift


def test_a_scale_of_zero_is_the_origin_and_one_the_target() -> None:
    origin, target = shifted(1.0), shifted(2.0)
    assert torch.equal(guided(origin, target, 0.0)(X, TIME), X + 1.0)
    assert torch.equal(guided(origin, target, 1.0)(X, TIME), X + 2.0)
    torch.testing.assert_close(guided(origin, target, 2.5)(X, TIME), X + 3.5)
    torch.testing.assert_close(guided(origin, target, -1.0)(X, TIME), X)


def test_the_dial_between_two_gaussians_moves_the_mean_in_proportion() -> None:
    """For equal widths, guidance of the noise moves the mean of the samples linearly, also beyond the second."""
    schedule = find_schedule("cosine")
    one = torch.ones(1, dtype=torch.float64)
    first, second = (Gaussian(schedule, mean * one, one[:, None]) for mean in (-1.0, 2.0))
    centre = torch.zeros(1, 1, dtype=torch.float64)
    for scale in (0.0, 0.4, 1.0, 1.5):
        dial = guided(first.noise, second.noise, scale)
        moved = float(denoised(dial, schedule, centre, 100, fresh=0.0))
        assert moved == pytest.approx(-1.0 + 3.0 * scale, abs=0.05)


def test_a_concept_acts_where_its_effect_is_largest() -> None:
    for threshold in (0.0, 0.5, 0.9):
        effect = Concept(shifted(CHANGE), scale=5.0, threshold=threshold).effect(X, X, TIME)
        changed = (effect != 0).float().mean(dim=(2, 3))
        torch.testing.assert_close(changed, torch.full((2, 3), 1.0 - threshold), atol=0.02, rtol=0)
        torch.testing.assert_close(effect[effect != 0], 5.0 * CHANGE[effect != 0], rtol=1e-3, atol=1e-6)
        left = CHANGE[0, 0].abs()[effect[0, 0] == 0]
        assert len(left) == 0 or float(left.max()) <= float(CHANGE[0, 0].abs()[effect[0, 0] != 0].min())
    away = Concept(shifted(CHANGE), threshold=0.0, away=True).effect(X, X, TIME)
    torch.testing.assert_close(away, -5.0 * CHANGE, rtol=1e-3, atol=1e-6)


def test_in_a_table_the_largest_effects_of_a_row_count() -> None:
    x, change = torch.zeros(1, 4), torch.tensor([[0.1, -3.0, 0.2, 2.0]])
    effect = Concept(shifted(change), scale=1.0, threshold=0.5).effect(x, x, TIME[:1])
    assert effect.tolist() == [[0.0, -3.0, 0.0, 2.0]]


def test_momentum_warm_up_and_cool_down() -> None:
    """With one effect psi: gamma_t = psi + s nu_t, nu_{t+1} = b nu_t + (1 - b) gamma_t, by hand."""
    psi = torch.full((1, 1), 2.0)
    concept = Concept(shifted(psi), scale=1.0, threshold=0.0, weight=0.5)
    guidance = SemanticGuidance(shifted(0.0), None, [concept], momentum=0.1, decay=0.4, warm_up=2, cool_down=4)
    zero, given, nu, expected = torch.zeros(1, 1), [], 0.0, []
    for step in range(6):
        given.append(float(guidance(zero, TIME[:1])))
        gamma = (1.0 if step < 4 else 0.0) + 0.1 * nu
        nu = 0.4 * nu + 0.6 * gamma
        expected.append(gamma if step >= 2 else 0.0)
    assert given == pytest.approx(expected)
    assert given[4] > 0.05 and given[5] < given[4]


def test_without_concepts_it_is_classifier_free_guidance() -> None:
    plain = guided(shifted(1.0), shifted(2.0), 3.0)(X, TIME)
    semantic = SemanticGuidance(shifted(1.0), shifted(2.0), [], scale=3.0, warm_up=0)
    torch.testing.assert_close(semantic(X, TIME), plain)


def test_more_and_less_of_a_concept_leave_nothing() -> None:
    concepts = [Concept(shifted(CHANGE), away=away) for away in (False, True)]
    guidance = SemanticGuidance(shifted(0.0), shifted(0.5), concepts, warm_up=0)
    for _ in range(3):
        torch.testing.assert_close(guidance(X, TIME), X + 0.5)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ConfigError, match="a quantile is at least 0 and below 1"):
        Concept(shifted(0.0), threshold=1.0)
    with pytest.raises(ConfigError, match="decay of the momentum"):
        SemanticGuidance(shifted(0.0), None, [], decay=1.0)
