"""The training of SEGAN: a generator of waveforms against a discriminator of pairs of waveforms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from hepda.adversarial.games.game import Game, Rules
from hepda.adversarial.games.losses import RowLosses, find_loss
from hepda.adversarial.networks.layers import seeded
from hepda.adversarial.networks.schedules import RATE_SCHEDULES
from hepda.adversarial.training.optimizers import optimizer_for
from hepda.adversarial.training.problem import Player
from hepda.speech.enhancement.mixtures import Sounds
from hepda.speech.enhancement.segan import LEVEL, WaveDiscriminator, WaveGenerator, emphasised
from hepda.speech.enhancement.training import SoundSegments

if TYPE_CHECKING:
    from hepda.config import EnhancementConfig
    from hepda.config.speech.enhancement import SeganConfig

GENERATOR, DISCRIMINATOR = "generator", "discriminator"
"""The players."""
_LOSS = find_loss("least_squares")


@dataclass(frozen=True, slots=True)
class SeganTraining:
    """A generator of waveforms and the losses of its training.

    Attributes:
        section: settings of the model.
        network: the generator.
        segments: what it is trained on.
        discriminator: its opponent; None without.

    """

    section: SeganConfig
    network: WaveGenerator
    segments: SoundSegments
    discriminator: WaveDiscriminator | None

    def windows(self, step: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return clean and noisy windows [b, window] as the networks see them: scaled, and after the filter."""
        clean, noisy = self.segments.drawn(step, random)
        return emphasised(LEVEL * clean), emphasised(LEVEL * noisy)

    def generate(self, step: int, random: torch.Generator) -> Mapping[str, Tensor | RowLosses]:
        """Return the losses of the generator: the difference of the samples, and the discriminator's opinion."""
        clean, noisy = self.windows(step, random)
        estimate = self.network(noisy, random)
        terms: dict[str, Tensor | RowLosses] = {"difference": functional.l1_loss(estimate, clean)}
        if self.discriminator is not None:
            terms["adversary"] = _LOSS.generator(self.discriminator(estimate, noisy))
        return terms

    def discriminate(self, step: int, random: torch.Generator) -> Mapping[str, Tensor | RowLosses]:
        """Return the losses of the discriminator: pairs with the clean speech are real, with an estimate generated."""
        if self.discriminator is None:
            raise RuntimeError("this model has no discriminator")
        clean, noisy = self.windows(step, random)
        with torch.no_grad():
            estimate = self.network(noisy, random)
        # together, so that the reference batch passes once
        real, generated = self.discriminator(torch.cat([clean, estimate]), torch.cat([noisy, noisy])).chunk(2)
        return {"real": _LOSS.real(real), "generated": _LOSS.generated(generated)}

    def game(self, seed: int) -> Game:
        """Return the game; least squares have the factor 1/2 of the paper (eqs. 5 and 6)."""
        training, schedule = self.section.training, RATE_SCHEDULES[self.section.training.schedule]
        weights = {"difference": self.section.difference, "adversary": 0.5}
        players = [Player(GENERATOR, self.network, optimizer_for(self.network, training))]
        rules = {
            GENERATOR: Rules(self.generate, weights, average=training.average, clip=training.clip, schedule=schedule)
        }
        if self.discriminator is not None:
            opponent = Player(DISCRIMINATOR, self.discriminator, optimizer_for(self.discriminator, training))
            players.insert(0, opponent)
            halves = {"real": 0.5, "generated": 0.5}
            rules[DISCRIMINATOR] = Rules(self.discriminate, halves, clip=training.clip, schedule=schedule)
        return Game(players, rules, training.turns, training.epochs, seed, str(self.segments.device))


def segan_training(
    config: EnhancementConfig, section: SeganConfig, sounds: Sounds, seed: int, device: torch.device
) -> SeganTraining:
    """Return new networks with what they are trained on; the seed draws the weights, and everything later."""
    window = section.window(config.rate)
    segments = SoundSegments(config, sounds, section.training, window, seed, device)
    with seeded(seed):
        network = WaveGenerator(section.channels, section.width, window, section.noise).to(device)
    training = SeganTraining(section, network, segments, None)
    if not section.adversary:
        return training
    reference = torch.stack(training.windows(0, torch.Generator(device).manual_seed(seed)), dim=1)
    with seeded(seed + 1):
        discriminator = WaveDiscriminator(section.channels, section.width, window, reference).to(device)
    return SeganTraining(section, network, segments, discriminator)
