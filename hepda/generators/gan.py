"""A generator of images, and its training as a game against a discriminator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from hepda.adversarial import History
from hepda.adversarial.devices import reproducible
from hepda.adversarial.games.game import Game, Rules
from hepda.adversarial.games.losses import RowLosses, find_loss, gradient_penalty
from hepda.adversarial.networks.layers import seeded
from hepda.adversarial.networks.schedules import RATE_SCHEDULES
from hepda.adversarial.training.optimizers import optimizer_for
from hepda.adversarial.training.problem import Player, train
from hepda.generators.model import Examples, Fitting, GenerativeModel
from hepda.generators.networks import Discriminator, Upward, codes_for_statistics, retake_statistics, with_classes
from hepda.generators.semantics.styles import StyleNetwork

if TYPE_CHECKING:
    from hepda.config.generators.models import GanConfig

GENERATOR, DISCRIMINATOR = "generator", "discriminator"
"""The players."""
MOMENTUM = 0.5
"""Of the optimizers, unless the analysis file names another one; as published for DCGAN."""


class ImageGenerator(GenerativeModel):
    """The generating half of a GAN.

    Args:
        description: `latent`, the random numbers of an image; `width`; `channels` and `size` of the images; `classes`,
            0 if it is not told them; `mapping`, the layers that make a style of the random numbers, 0 or absent for a
            generator without styles.
        shares: as of `GenerativeModel`.

    """

    kind: ClassVar[str] = "gan"

    def __init__(self, description: Mapping[str, Any], shares: Tensor | None) -> None:
        super().__init__(description, shares)
        latent, classes = description["latent"], description["classes"]
        shape = description["width"], description["channels"], description["size"]
        mapping = description.get("mapping", 0)
        self.body = StyleNetwork(latent, classes, mapping, *shape) if mapping else Upward(latent + classes, *shape)

    @classmethod
    def describe(cls, section: GanConfig, shape: Sequence[int], classes: int) -> dict[str, Any]:
        """Return the description of a generator; see `GenerativeModel.describe`."""
        channels, size, _ = shape
        return {
            "latent": section.latent, "width": section.width, "channels": channels, "size": size,
            "classes": classes if section.conditional else 0,
            **({"mapping": section.mapping} if section.mapping else {}),
        }  # fmt: skip

    @classmethod
    def fit(cls, section: GanConfig, examples: Examples, fitting: Fitting) -> tuple[Self, History]:
        """Train a generator; see `GenerativeModel.fit`."""
        description = cls.describe(section, examples.rows.shape[1:], examples.classes)
        with seeded(fitting.seed):
            model = cls(description, examples.shares if section.conditional else None).to(fitting.device)
        training = gan_training(section, model, examples.on(fitting.device), fitting.seed)
        with reproducible(fitting.device):
            game = training.game(fitting.seed)
            history = train(game, fitting.checkpoint, resume=fitting.checkpoint is not None, on_epoch=fitting.on_epoch)
            model.settle(fitting.seed)
        history.rows = section.training.epochs * game.turns * section.training.batch_size
        return model, history

    @classmethod
    def described(cls, description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Return an untrained model of a description."""
        return cls(description, tensors["shares"] if len(tensors["shares"]) else None)

    def images(self, codes: Tensor, condition: Tensor | None) -> Tensor:
        """Return the images [b, channels, size, size] of codes [b, latent]."""
        images: Tensor = self.body(with_classes(codes, condition, self.description["classes"]))
        return images

    def drawn(self, number: int, condition: Tensor | None, random: torch.Generator) -> Tensor:
        """Return new rows; see `GenerativeModel.drawn`."""
        codes = torch.randn(number, self.description["latent"], generator=random, device=self.device)
        return self.images(codes, condition)

    def settle(self, seed: int) -> None:
        """Give the batch norms the statistics of the weights as they are at the end of a training."""
        random = torch.Generator(self.device).manual_seed(seed)
        codes = codes_for_statistics(self.description["latent"], random)
        condition = self.classes_of(len(codes), seed)
        condition = None if condition is None else condition.to(self.device)
        retake_statistics(self.body, with_classes(codes, condition, self.description["classes"]))


@dataclass(frozen=True, slots=True)
class GanTraining:
    """Both networks, and the losses of their game.

    Attributes:
        section: settings of the model.
        generator: draws images.
        discriminator: tells real images from generated ones.
        examples: the real images, on the device of the networks.

    """

    section: GanConfig
    generator: ImageGenerator
    discriminator: Discriminator
    examples: Examples

    def real(self, random: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Return the real images of a step, and their classes if these are known."""
        number = self.section.training.batch_size
        chosen = torch.randint(len(self.examples), (number,), generator=random, device=random.device)
        return self.examples.rows[chosen], self.examples.condition[chosen] if self.section.conditional else None

    def generated(self, condition: Tensor | None, random: torch.Generator) -> Tensor:
        """Return as many generated images, of the same classes as the real ones of the step."""
        number, latent = self.section.training.batch_size, self.section.latent
        return self.generator.images(torch.randn(number, latent, generator=random, device=random.device), condition)

    def discriminate(self, step: int, random: torch.Generator) -> Mapping[str, Tensor | RowLosses]:
        """Return the losses of the discriminator on real and on generated images, and the penalty."""
        loss = find_loss(self.section.loss)
        images, condition = self.real(random)
        with torch.no_grad():
            generated = self.generated(condition, random)
        terms: dict[str, Tensor | RowLosses] = {
            "real": loss.real(self.discriminator(images, condition)),
            "generated": loss.generated(self.discriminator(generated, condition)),
        }
        if self.section.penalty_weight:
            terms["penalty"] = gradient_penalty(
                partial(self.discriminator, condition=condition), images, generated, random
            )
        return terms

    def generate(self, step: int, random: torch.Generator) -> RowLosses:
        """Return the loss of the generator."""
        _, condition = self.real(random)
        return find_loss(self.section.loss).generator(self.discriminator(self.generated(condition, random), condition))

    def game(self, seed: int) -> Game:
        """Return the game; an epoch has a turn for each batch of the examples."""
        training = self.section.training
        schedule = RATE_SCHEDULES[training.schedule]
        if training.momentum is None:
            training = training.model_copy(update={"momentum": MOMENTUM})
        players = [
            Player(DISCRIMINATOR, self.discriminator, optimizer_for(self.discriminator, training), self.section.steps),
            Player(GENERATOR, self.generator, optimizer_for(self.generator, training)),
        ]
        rules = {
            DISCRIMINATOR: Rules(
                self.discriminate, {"penalty": self.section.penalty_weight}, clip=training.clip, schedule=schedule
            ),
            GENERATOR: Rules(self.generate, average=training.average, clip=training.clip, schedule=schedule),
        }
        turns = max(1, len(self.examples) // training.batch_size)
        return Game(players, rules, turns, training.epochs, seed, str(self.examples.rows.device))


def gan_training(section: GanConfig, generator: ImageGenerator, examples: Examples, seed: int) -> GanTraining:
    """Return the training of a generator against a new discriminator, which the seed draws."""
    _, channels, size, _ = examples.rows.shape
    classes = examples.classes if section.conditional else 0
    with seeded(seed + 1):
        discriminator = Discriminator(section.width, channels, size, classes, section.spectral_norm)
        discriminator = discriminator.to(examples.rows.device)
    return GanTraining(section, generator, discriminator, examples)
