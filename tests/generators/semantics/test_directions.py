"""Directions in a generator of which they are known: its image has a pixel for each direction of the style."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from hepda.adversarial.terms.selftraining import contrast
from hepda.errors import ConfigError, DataError
from hepda.generators.semantics.directions import (
    Images,
    Navigator,
    SearchSettings,
    learned,
    of_one_layer,
    of_one_strength,
    pair_loss,
    pattern_loss,
    principal,
    random_directions,
)
from hepda.generators.semantics.scores import best_directions, followed, selectivity

SIZE, LAYERS = 4, 2
TURNED = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(1))).Q


def image(styles: Tensor) -> Tensor:
    """Pixel i is the style along column i of TURNED in the first layer; the second layer adds a tenth of its own."""
    along: Tensor = (styles[:, 0] + 0.1 * styles[:, 1]) @ TURNED
    return along.tanh().reshape(-1, 1, 2, 2)


def product(styles: Tensor) -> Tensor:
    """As `image`, but for the last two columns, whose product is shown: their effect depends on the image."""
    along = (styles[:, 0] + 0.1 * styles[:, 1]) @ TURNED
    return torch.cat([along[:, :2], 3.0 * along[:, 2:3] * along[:, 3:]], dim=1)


def draw(number: int, random: torch.Generator) -> tuple[Tensor, Images]:
    styles = torch.randn(number, 1, SIZE, generator=random).expand(-1, LAYERS, -1)
    return styles, product


def test_the_losses_by_hand() -> None:
    """Two images, two directions; changes are unit vectors, so that all cosines are 0 or 1."""
    changes = torch.eye(2).expand(2, -1, -1)
    # Of each change: one like it (cosine 1), and two unlike it with either sign (0).
    assert pair_loss(changes, 0.5).item() == pytest.approx(math.log(1 + 4 * math.exp(-2.0)))
    assert pattern_loss(changes, torch.eye(2), 0.5).item() == pytest.approx(math.log(1 + math.exp(-2.0)))
    same = torch.ones(2, 2, 3)  # directions that cannot be told apart
    opposite = torch.tensor([1.0, -1.0])[None, :, None] * same  # and opposite ones are no better
    for changes in (same, opposite):
        assert pair_loss(changes, 0.5).item() == pytest.approx(math.log(3.0 + 2.0 * math.exp(-4.0)))
        assert pattern_loss(changes, changes[0], 0.5).item() == pytest.approx(math.log(2.0))


def test_a_row_without_a_positive_pair_has_no_contrast() -> None:
    rows = torch.eye(3)
    none = torch.zeros(3, 3, dtype=torch.bool)
    positive = none.clone()
    positive[0, 1] = positive[1, 0] = True
    found = contrast(rows, positive, ~positive & ~torch.eye(3, dtype=torch.bool), 1.0)
    torch.testing.assert_close(found, torch.tensor([math.log(2.0), math.log(2.0), 0.0]))


def test_directions_have_the_length_1() -> None:
    torch.manual_seed(1)
    styles = torch.randn(50, 1, SIZE).expand(-1, LAYERS, -1)
    for directions in (
        Navigator(3, LAYERS, SIZE)(), principal(styles, 3), random_directions(3, LAYERS, SIZE, 1)
    ):  # fmt: skip
        torch.testing.assert_close(directions.square().sum(dim=(1, 2)), torch.ones(3))
    alone = of_one_layer(random_directions(3, LAYERS, SIZE, 1))
    assert alone.shape == (9, LAYERS, SIZE)
    assert float(alone[3:6, 1].abs().max()) == 0.0 == float(alone[6:, 0].abs().max())


def test_principal_components_are_those_of_the_largest_variance() -> None:
    random = torch.Generator().manual_seed(1)
    styles = (torch.randn(500, SIZE, generator=random) * torch.tensor([1.0, 5.0, 0.1, 0.2]))[:, None]
    assert principal(styles, 2)[:, 0].abs().argmax(dim=1).tolist() == [1, 0]
    with pytest.raises(DataError, match="5 principal components"):
        principal(styles, 5)


@pytest.mark.parametrize("variant", ["pairs", "patterns"])
def test_learned_directions_are_those_whose_effect_is_the_same_for_all_images(variant: str) -> None:
    """Only the first two columns change all images alike; nothing else tells them from the others."""
    settings = SearchSettings(variant, number=2, updates=60, rows=8, strength=1.0)
    directions = learned(draw, settings, seed=2)
    along = (directions[:, 0] + 0.1 * directions[:, 1]) @ TURNED
    share = along[:, :2].square().sum(dim=1) / along.square().sum(dim=1)
    assert float(share.min()) > 0.9
    unit = along / along.norm(dim=1, keepdim=True)
    assert float((unit[0] @ unit[1]).abs()) < 0.6
    assert torch.equal(learned(draw, settings, seed=2), directions)


def test_all_directions_get_one_strength() -> None:
    styles = torch.randn(50, LAYERS, SIZE, generator=torch.Generator().manual_seed(3))
    directions = of_one_strength(7.0 * random_directions(5, LAYERS, SIZE, 1), image, styles, 0.2)
    for direction in directions:
        change = [(image(styles + sign * direction) - image(styles)).square().mean() for sign in (1.0, -1.0)]
        assert torch.stack(change).mean().sqrt().item() == pytest.approx(0.2, rel=0.02)


def test_the_direction_of_a_pixel_is_the_best_for_it_and_selective() -> None:
    styles = torch.randn(200, LAYERS, SIZE, generator=torch.Generator().manual_seed(3))
    directions = torch.zeros(SIZE, LAYERS, SIZE)
    directions[:, 0] = TURNED.T
    found = followed(directions, image, styles, lambda images: images.flatten(1).numpy()[:, :3].round(4), seed=1)
    best = best_directions(found, slice(0, 100), slice(100, 200))
    assert [of.direction for of in best] == [0, 1, 2]
    for of in best:
        assert of.rank > 0.85 > of.value > 0.3
        assert of.selectivity == pytest.approx(of.rank, abs=1e-6)  # nothing else changes


def test_selectivity_is_the_lead_over_the_next_attribute() -> None:
    np.testing.assert_allclose(
        selectivity(np.array([[0.9, 0.2, 0.5], [0.1, 0.8, 0.7]])), [[0.4, -0.7, -0.4], [-0.7, 0.1, -0.1]]
    )
    with pytest.raises(DataError, match="two or more"):
        selectivity(np.ones((3, 1)))


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ConfigError, match="unknown variant 'pair'"):
        SearchSettings("pair")
    with pytest.raises(ConfigError, match="a contrast needs two of each"):
        SearchSettings(number=1)
