"""Searches among codes, on generators whose best codes are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from torch import Tensor, nn

from hepda.generators.gan import ImageGenerator
from hepda.generators.inspection.latent import (
    HIT,
    LatentSearch,
    furthest,
    ordinary_length,
    prior_probability,
    random_outputs,
    reconstruct,
)

SETTINGS = LatentSearch(starts=12, steps=150)


def linear(latent: int, classes: int = 0) -> ImageGenerator:
    """A generator of images 8 x 8 that are tanh(A z), with orthogonal columns of A of length 4."""
    shares = torch.full((classes,), 1.0 / classes) if classes else None
    model = ImageGenerator({"latent": latent, "width": 2, "channels": 1, "size": 8, "classes": classes}, shares)
    layer = nn.Linear(latent + classes, 64, bias=False)
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        layer.weight.copy_(4.0 * torch.linalg.qr(torch.randn(64, latent + classes, generator=random))[0])
    model.body = nn.Sequential(layer, nn.Unflatten(1, (1, 8, 8)), nn.Tanh())  # type: ignore[assignment]
    return model.eval()


class Branched(ImageGenerator):
    """Such a generator whose images are inverted by a branch that is silent unless z . u exceeds 4."""

    direction: Tensor

    def images(self, codes: Tensor, condition: Tensor | None) -> Tensor:
        over = torch.relu(codes @ self.direction - 4.0)
        planted = torch.ones(1, 1, 8, 8)
        return (super().images(codes, condition) + over[:, None, None, None] * planted).clamp(-1.0, 1.0)


def test_the_code_of_an_image_is_found() -> None:
    model, code = linear(5), torch.tensor([[0.3, -1.2, 0.5, 0.0, 1.5], [1.0, 1.0, -1.0, 0.2, 0.0]])
    with torch.no_grad():
        images = model.images(code, None)
    found = reconstruct(model, images, 1, SETTINGS)
    assert found.value.max() < 1e-5 and found.condition is None
    torch.testing.assert_close(found.code, code, atol=0.02, rtol=0.0)
    torch.testing.assert_close(found.rows, images, atol=0.02, rtol=0.0)


def test_the_class_of_an_image_is_found_too() -> None:
    model = linear(3, classes=4)
    with torch.no_grad():
        images = model.images(torch.tensor([[0.3, -0.2, 0.5]]), torch.tensor([2]))
    found = reconstruct(model, images, 1, SETTINGS)
    assert found.condition is not None and found.condition.tolist() == [2] and found.value[0] < 1e-5


def test_no_code_is_longer_than_asked() -> None:
    model, code = linear(5), torch.full((1, 5), 1.5)
    with torch.no_grad():
        image = model.images(code, None)
    free, short = (reconstruct(model, image, 1, SETTINGS, longest) for longest in (None, 2.0))
    assert free.value[0] < 1e-5 < 1e-3 < short.value[0]
    assert float(short.code.norm()) == pytest.approx(2.0, rel=1e-5)
    assert len(reconstruct(model, image[:0], 1, SETTINGS).value) == 0
    for found in (free.or_better(short), short.or_better(free)):
        assert torch.equal(found.code, free.code) and found.value[0] == free.value[0]


def test_a_branch_that_is_silent_at_ordinary_codes_is_found_from_wide_starts() -> None:
    plain = linear(16)
    model = Branched(plain.description, None)
    model.body, model.direction = plain.body, torch.eye(16)[0]
    model.eval()
    white = torch.ones(1, 1, 8, 8)
    narrow = reconstruct(model, white, 1, LatentSearch(starts=24, steps=150, widths=(1.0,)))
    wide = reconstruct(model, white, 1, LatentSearch(starts=24, steps=150))
    assert wide.value[0] < 1e-3 < 0.1 < narrow.value[0]
    assert float(wide.code @ model.direction) > 4.0


def test_outputs_far_from_the_data_are_found_among_ordinary_codes() -> None:
    model = linear(4)
    with torch.no_grad():
        data = model.images(0.1 * torch.randn(50, 4, generator=torch.Generator().manual_seed(1)), None)
    found = furthest(model, data, 1, SETTINGS)
    length = ordinary_length(4)
    assert length == pytest.approx(chi2.isf(1e-4, 4) ** 0.5)
    assert np.all(np.diff(found.value) <= 0.0) and float(found.code.norm(dim=1).max()) <= length * (1 + 1e-5)
    distance = torch.cdist(found.rows.flatten(1), data.flatten(1)).min(dim=1).values
    np.testing.assert_allclose(found.value, distance.numpy(), rtol=1e-4)
    random = random_outputs(model, data, data[:0], 500, 1)
    assert found.value[0] > random.furthest and random.hits.shape == random.closest.shape == (0,)


def test_random_outputs_are_compared_with_data_and_suspects() -> None:
    model = linear(4)
    rows = model.sample(600, None, 5)
    suspects = torch.stack([rows[7], -torch.ones(1, 8, 8)])
    data = rows[500:]
    result = random_outputs(model, data, suspects, 600, 5, shown=3)
    difference = (rows[:, None] - suspects[None]).square().flatten(2).mean(dim=2).numpy()
    assert result.hits.tolist() == (difference < HIT).sum(axis=0).tolist() and result.hits[0] >= 1
    np.testing.assert_allclose(result.closest, difference.min(axis=0), atol=1e-6)
    away = torch.cdist(rows.flatten(1), data.flatten(1)).min(dim=1).values
    assert result.furthest == pytest.approx(float(away.max()), rel=1e-4)
    torch.testing.assert_close(result.rows, rows[away.topk(3).indices])


def test_the_probability_of_a_length_is_uniform_for_random_codes() -> None:
    code = torch.randn(4000, 12, generator=torch.Generator().manual_seed(1))
    probability = prior_probability(code)
    shares = [(probability < level).mean() for level in (0.05, 0.5, 0.9)]
    np.testing.assert_allclose(shares, [0.05, 0.5, 0.9], atol=0.025)
    assert prior_probability(3.0 * torch.ones(1, 12))[0] < 1e-10 and prior_probability(torch.zeros(1, 12))[0] == 0.0
    assert prior_probability(torch.full((1, 12), (chi2.median(12) / 12) ** 0.5))[0] == pytest.approx(1.0, abs=1e-6)
