"""The losses between a predicted and the true frame, and the game of a predictor against a discriminator.

Mathieu, Couprie and LeCun (ICLR 2016, arXiv:1511.05440): the squared difference blurs what is uncertain; the gradient
difference and an adversary ask for sharp frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hepda.adversarial.games.game import Game, Rules
from hepda.adversarial.games.losses import RowLosses, find_loss
from hepda.adversarial.networks.layers import seeded
from hepda.adversarial.networks.schedules import RATE_SCHEDULES
from hepda.adversarial.training.optimizers import optimizer_for
from hepda.adversarial.training.problem import Player
from hepda.config.generators.frames import FrameNetworkConfig
from hepda.generators.frames.networks import FrameDiscriminator, FramePredictor
from hepda.generators.frames.sequences import UNIT, Frames

PREDICTOR, DISCRIMINATOR = "predictor", "discriminator"
"""The players."""
MOMENTUM = 0.5
"""Of all optimizers, unless the analysis file names another one; as for DCGAN, and the same without a discriminator, so
that models differ in nothing but their losses."""
_LOSS = find_loss("non_saturating")


def squared_difference(predicted: Tensor, true: Tensor) -> Tensor:
    """Return the mean squared difference of the pixels of each frame [b], L_p of the paper for p = 2 as a mean."""
    return (predicted - true).square().flatten(1).mean(dim=1)


def gradient_difference(predicted: Tensor, true: Tensor) -> Tensor:
    """Return the difference of the absolute gradients of each frame [b], L_gdl of the paper for alpha = 1 as a mean.

    Args:
        predicted: frames [b, 1, rows, columns].
        true: the same.

    """
    down, right = ((a - b).abs().flatten(1) for a, b in zip(gradients(predicted), gradients(true), strict=True))
    return down.mean(dim=1) + right.mean(dim=1)


def gradients(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Return the absolute differences of neighbouring pixels, one below the other and one beside the other."""
    return frames.diff(dim=-2).abs(), frames.diff(dim=-1).abs()


@dataclass(frozen=True, slots=True)
class FramesTraining:
    """A predictor, its opponent and what they learn from.

    Attributes:
        section: settings of the model.
        network: predicts.
        discriminator: its opponent; None without.
        sequences: bytes [n, inputs + 1, size, size], on the device of the networks.

    """

    section: FrameNetworkConfig
    network: FramePredictor
    discriminator: FrameDiscriminator | None
    sequences: Tensor

    def drawn(self, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the frames [b, inputs, size, size] of a step, from 0 to 1, and the next ones [b, 1, size, size]."""
        number = self.section.training.batch_size
        chosen = torch.randint(len(self.sequences), (number,), generator=random, device=random.device)
        frames = self.sequences[chosen].float() / UNIT
        return frames[:, :-1], frames[:, -1:]

    def predict(self, step: int, random: torch.Generator) -> Mapping[str, Tensor | RowLosses]:
        """Return the losses of the predictor that have a weight."""
        before, true = self.drawn(random)
        predicted, losses = self.network(before), self.section.losses
        terms: dict[str, Tensor | RowLosses] = {}
        if losses.squared:
            terms["squared"] = RowLosses(squared_difference(predicted, true))
        if losses.gradient:
            terms["gradient"] = RowLosses(gradient_difference(predicted, true))
        if self.discriminator is not None:
            terms["adversary"] = _LOSS.generator(self.discriminator(before, predicted))
        return terms

    def discriminate(self, step: int, random: torch.Generator) -> Mapping[str, RowLosses]:
        """Return the losses of the discriminator: true frames are real, predicted ones generated."""
        if self.discriminator is None:
            raise RuntimeError("this model has no discriminator")
        before, true = self.drawn(random)
        with torch.no_grad():
            predicted = self.network(before)
        return {
            "real": _LOSS.real(self.discriminator(before, true)),
            "generated": _LOSS.generated(self.discriminator(before, predicted)),
        }

    def game(self, seed: int) -> Game:
        """Return the game; an epoch has a turn for each batch of the sequences."""
        training = self.section.training
        if training.momentum is None:
            training = training.model_copy(update={"momentum": MOMENTUM})
        schedule = RATE_SCHEDULES[training.schedule]
        players = [Player(PREDICTOR, self.network, optimizer_for(self.network, training))]
        weights = self.section.losses.model_dump()
        rules = {
            PREDICTOR: Rules(self.predict, weights, average=training.average, clip=training.clip, schedule=schedule)
        }
        if self.discriminator is not None:
            players.insert(0, Player(DISCRIMINATOR, self.discriminator, optimizer_for(self.discriminator, training)))
            rules[DISCRIMINATOR] = Rules(self.discriminate, clip=training.clip, schedule=schedule)
        turns = max(1, len(self.sequences) // training.batch_size)
        return Game(players, rules, turns, training.epochs, seed, str(self.sequences.device))


def frames_training(section: FrameNetworkConfig, sequences: Frames, seed: int, device: torch.device) -> FramesTraining:
    """Return new networks, whose weights the seed draws, with the sequences that they learn from.

    Args:
        section: settings of the model.
        sequences: bytes [n, inputs + 1, size, size].
        seed: of the first weights.
        device: of the training.

    """
    _, frames, size, _ = sequences.shape
    with seeded(seed):
        network = FramePredictor(frames - 1, section.width, section.reach).to(device)
    discriminator = None
    if section.losses.adversary:
        with seeded(seed + 1):
            discriminator = FrameDiscriminator(frames - 1, section.width, size).to(device)
    return FramesTraining(section, network, discriminator, torch.from_numpy(sequences).to(device))
