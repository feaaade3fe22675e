"""Directions in the styles of a generator along which images change in one way: learned, principal, or random.

A direction has a vector for each layer of the generator [layers, d]; an image follows it by `styles + a direction`.
All directions are brought to one strength: a = 1 changes the pixels by the same root mean square.

ContraFeat (Zhu, Xu & Tao, AAAI 2023, arXiv:2212.07277) learns directions whose changes of deep features are alike for
all images and unlike those of the other directions. No code of the authors is public, and the losses below are ours:
the contrast of pairs as in SimCLR, and that with learned patterns as in prototypical contrast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hepda.adversarial.games.game import Game, Rules
from hepda.adversarial.networks.layers import seeded
from hepda.adversarial.terms.selftraining import contrast
from hepda.adversarial.training.problem import Player, train
from hepda.errors import ConfigError, DataError

Images = Callable[[Tensor], Tensor]
"""From styles [b, layers, d] to images [b, channels, size, size] or anything else that is made of them [b, ...]."""
Draw = Callable[[int, torch.Generator], tuple[Tensor, Images]]
"""From a number n and random numbers to n styles [n, layers, d], and to what is made of styles [b, layers, d], where b
is a multiple of n and row i is of the same class as row i mod n."""
VARIANTS = ("pairs", "patterns")
"""Losses of ContraFeat: the contrast of pairs of changes, and that of changes with learned patterns."""


class Navigator(nn.Module):
    """Unit vectors [number, d], and for each an attention over the layers, so that nobody has to choose one.

    Args:
        number: of directions.
        layers: of the generator.
        size: d, of a style.

    """

    def __init__(self, number: int, layers: int, size: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(number, size))
        self.attention = nn.Parameter(0.1 * torch.randn(number, layers))

    def forward(self) -> Tensor:
        """Return directions [number, layers, d]; the squares of the layers' lengths add up to 1."""
        share = functional.normalize(self.attention.softmax(dim=1), dim=1)
        return share[:, :, None] * functional.normalize(self.vectors, dim=1)[:, None, :]


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How directions are learned.

    Attributes:
        variant: one of VARIANTS.
        number: of directions.
        updates: steps of the optimizer.
        rows: images of an update, each changed along every direction.
        strength: largest step along a direction; the smallest is half of it.
        temperature: of the contrast.
        rate: learning rate.

    Raises:
        ConfigError: an unknown variant, or fewer than two directions or images.

    """

    variant: str = "pairs"
    number: int = 8
    updates: int = 100
    rows: int = 8
    strength: float = 3.0
    temperature: float = 0.1
    rate: float = 0.02

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ConfigError(f"unknown variant {self.variant!r}; one of {', '.join(VARIANTS)}")
        if min(self.number, self.rows) < 2:
            raise ConfigError(f"{self.number} directions of {self.rows} images: a contrast needs two of each")


def pair_loss(changes: Tensor, temperature: float) -> Tensor:
    """Return the contrast of changes of features: alike for one direction, orthogonal for two (a number).

    The change along another direction is unlike with either sign: without this, the best directions would be pairs of
    opposite ones.

    Args:
        changes: of each image along each direction [rows, number, ...].
        temperature: of the contrast.

    """
    rows, number = changes.shape[:2]
    flat = changes.reshape(rows * number, -1)
    direction = torch.arange(number).repeat(2 * rows)
    forward = torch.arange(2 * rows * number) < rows * number
    same = direction[:, None] == direction[None]
    both = forward[:, None] & forward[None]
    positive = same & both & ~torch.eye(len(direction), dtype=torch.bool)
    return contrast(torch.cat([flat, -flat]), positive, ~same, temperature)[forward].mean()


def pattern_loss(changes: Tensor, patterns: Tensor, temperature: float) -> Tensor:
    """Return the cross entropy of the direction, guessed by the likeness of a change to each pattern (a number).

    The likeness is the cosine with the own pattern, and its size with every other one; see `pair_loss`.

    Args:
        changes: as of `pair_loss`.
        patterns: learned change of each direction [number, features].
        temperature: of the likeness.

    """
    rows, number = changes.shape[:2]
    unit = functional.normalize(changes.reshape(rows * number, -1), dim=1)
    cosine = unit @ functional.normalize(patterns, dim=1).T / temperature
    own = torch.eye(number, dtype=torch.bool).repeat(rows, 1)
    return functional.cross_entropy(torch.where(own, cosine, cosine.abs()), torch.arange(number).repeat(rows))


def learned(draw: Draw, settings: SearchSettings, seed: int) -> Tensor:
    """Return directions by ContraFeat [number, layers, d].

    Args:
        draw: styles, and the deep features of their images.
        settings: how they are learned.
        seed: of the start and of all that is drawn.

    """
    styles, features = draw(2, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        width = features(styles).flatten(1).shape[1]
    with seeded(seed):
        navigator = Navigator(settings.number, *styles.shape[1:])
        patterns = nn.Parameter(torch.randn(settings.number, width))
    searched = nn.ModuleList([navigator, nn.ParameterList([patterns])])

    def loss(update: int, random: torch.Generator) -> Tensor:
        styles, features = draw(settings.rows, random)
        steps = settings.strength * (0.5 + 0.5 * torch.rand(settings.number, settings.rows, 1, 1, generator=random))
        moved = styles + steps * navigator()[:, None]
        with torch.no_grad():
            before = features(styles).flatten(1)
        after = features(moved.flatten(0, 1)).reshape(settings.number, settings.rows, -1)
        changes = (after - before).transpose(0, 1)
        if settings.variant == "pairs":
            return pair_loss(changes, settings.temperature)
        return pattern_loss(changes, patterns, settings.temperature)

    parameters = [*navigator.parameters(), *([patterns] if settings.variant == "patterns" else [])]
    player = Player("navigator", searched, torch.optim.Adam(parameters, lr=settings.rate))
    train(Game([player], {"navigator": Rules(loss)}, settings.updates, 1, seed))
    directions: Tensor = navigator().detach()
    return directions


def principal(styles: Tensor, number: int) -> Tensor:
    """Return the principal components of styles, the same for all layers (GANSpace, arXiv:2004.02546).

    Args:
        styles: [n, layers, d], equal in all layers.
        number: of directions, d at most.

    Returns:
        Directions [number, layers, d], that of the largest variance first.

    Raises:
        DataError: there are fewer styles or components.

    """
    n, layers, size = styles.shape
    if number > min(n, size):
        raise DataError(f"{number} principal components of {n} styles of {size} numbers; {min(n, size)} at most")
    centred = styles[:, 0] - styles[:, 0].mean(dim=0)
    vectors = torch.linalg.svd(centred, full_matrices=False).Vh[:number]
    directions: Tensor = vectors[:, None].expand(-1, layers, -1) / layers**0.5
    return directions


def random_directions(number: int, layers: int, size: int, seed: int) -> Tensor:
    """Return directions of any orientation, the same for all layers [number, layers, size]."""
    random = torch.Generator().manual_seed(seed)
    vectors = functional.normalize(torch.randn(number, size, generator=random), dim=1)
    directions: Tensor = vectors[:, None].expand(-1, layers, -1) / layers**0.5
    return directions


def of_one_layer(directions: Tensor) -> Tensor:
    """Return directions as they are, and in each of the layers alone [number (1 + layers), layers, d].

    For directions that are the same in all layers: the choice that GANSpace leaves to its user.
    """
    layers = directions.shape[1]
    alone = [torch.where(torch.arange(layers)[:, None] == layer, directions, 0.0) for layer in range(layers)]
    return torch.cat([directions, *alone])


@torch.no_grad()
def of_one_strength(directions: Tensor, images: Images, styles: Tensor, change: float, rounds: int = 4) -> Tensor:
    """Return directions [number, layers, d] whose step of 1 changes pixels by a given root mean square.

    Args:
        directions: of any lengths [number, layers, d].
        images: from styles to images, row i of the same class as row i of `styles`.
        styles: [n, layers, d] over which the change is a mean, with steps of 1 and of -1.
        change: the root mean square, in the unit of the images.
        rounds: of the search; a change grows less than the step, so that one is not enough.

    """
    before = images(styles)
    found = []
    for direction in directions:
        length = 1.0
        for _ in range(rounds):
            squares = [(images(styles + sign * length * direction) - before).square().mean() for sign in (1.0, -1.0)]
            ratio = change / float(torch.stack(squares).mean().sqrt().clamp_min(1e-6))
            length *= min(max(ratio, 0.25), 4.0)
        found.append(length * direction)
    return torch.stack(found)
