"""The training of conversion on segments of strings in rooms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from hepda.adversarial.games.game import Game, Rules
from hepda.adversarial.games.losses import RowLosses
from hepda.adversarial.networks.layers import seeded
from hepda.adversarial.networks.schedules import RATE_SCHEDULES, ganin_strength
from hepda.adversarial.training.optimizers import optimizer_for
from hepda.adversarial.training.problem import Player
from hepda.speech.conversion.effects import ConversionSounds, EffectTakes, bank_of
from hepda.speech.conversion.networks import ConversionNetwork, cross_entropy
from hepda.speech.sounds.audio import Tape
from hepda.speech.sounds.features import FilterBank

if TYPE_CHECKING:
    from hepda.config import ConversionConfig
    from hepda.config.speech.conversion import ConversionNetworkConfig

CONVERTER = "converter"
"""The player: the reversal makes both sides of the game one step."""


@dataclass(slots=True)
class MelTakes:
    """The log-mel frames of the takes of an epoch, [frames, bands]; of each take the first frame, and their number."""

    source: Tensor
    target: Tensor
    first: Tensor
    count: Tensor
    reference: Tensor
    reference_first: Tensor
    reference_count: Tensor
    effect: Tensor
    wanted: Tensor

    @classmethod
    def of(cls, bank: FilterBank, takes: EffectTakes) -> MelTakes:
        """Return the frames of takes."""
        (source, first, count), (target, _, _), reference = (
            mel_of(bank, tape) for tape in (takes.source, takes.target, takes.reference)
        )
        return cls(source, target, first, count, *reference, takes.effect, takes.wanted)


def mel_of(bank: FilterBank, tape: Tape) -> tuple[Tensor, Tensor, Tensor]:
    """Return the log-mel frames [frames, bands] of a tape, and the first frame and the number of each utterance [u]."""
    frames = bank.of_tape(tape)
    return frames.values, torch.cumsum(frames.count, 0) - frames.count, frames.count


@dataclass(slots=True)
class Rows:
    """A batch: log-mel frames [b, bands, n], and numbers of effects [b]."""

    source: Tensor
    target: Tensor
    reference: Tensor
    effect: Tensor
    wanted: Tensor


@dataclass(slots=True)
class MelSegments:
    """Segments of the takes of a training, drawn at random; every epoch has new takes.

    Attributes:
        config: the analysis.
        section: settings of the model.
        sounds: recordings and effects.
        bank: the filter bank.
        seed: of the training.
        device: where the segments are needed.

    """

    config: ConversionConfig
    section: ConversionNetworkConfig
    sounds: ConversionSounds
    bank: FilterBank
    seed: int
    device: torch.device
    _epoch: int = field(default=-1, init=False)
    _takes: MelTakes = field(init=False)

    def drawn(self, step: int, random: torch.Generator) -> Rows:
        """Return the segments of a step; shorter strings are continued by their last frame."""
        takes = self.takes(step // self.section.training.turns)
        rows = self.section.training.batch_size
        number = round(self.section.training.seconds / self.bank.hop)
        draw = torch.rand(3, rows, generator=random, device=random.device).cpu().double()
        chosen = (draw[0] * len(takes.effect)).long()
        source = _places(takes.first[chosen], takes.count[chosen], number, draw[1])
        reference = _places(takes.reference_first[chosen], takes.reference_count[chosen], number, draw[2])
        device = self.device
        return Rows(
            takes.source[source].transpose(1, 2).to(device), takes.target[source].transpose(1, 2).to(device),
            takes.reference[reference].transpose(1, 2).to(device), takes.effect[chosen].to(device),
            takes.wanted[chosen].to(device),
        )  # fmt: skip

    def takes(self, epoch: int) -> MelTakes:
        """Return the takes of an epoch."""
        if epoch != self._epoch:
            takes = self.sounds.takes(self.config, self.sounds.training, epoch, self.seed)
            self._takes, self._epoch = MelTakes.of(self.bank, takes), epoch
        return self._takes


def _places(first: Tensor, count: Tensor, number: int, draw: Tensor) -> Tensor:
    """Return the numbers of frames [b, number] of segments that begin anywhere in their strings."""
    begin = (draw * (count - number + 1).clamp_min(1)).long()
    inside = torch.minimum(begin[:, None] + torch.arange(number), count[:, None] - 1)
    return first[:, None] + inside


@dataclass(frozen=True, slots=True)
class ConversionTraining:
    """A network of conversion and the losses of its training.

    Attributes:
        section: settings of the model.
        network: the network.
        segments: what it is trained on.

    """

    section: ConversionNetworkConfig
    network: ConversionNetwork
    segments: MelSegments

    def losses(self, step: int, random: torch.Generator) -> Mapping[str, Tensor | RowLosses]:
        """Return the losses of a step.

        reconstruction: mean absolute difference of log-mel frames: in a parallel training, of the converted frames and
        those of the same string in the wanted effect; otherwise, of the target frames and of what is made of them with
        the effect of another recording in the same effect. recognition: cross entropy of the effect from its code.
        content: that of the effect from the content, whose gradient is reversed.
        """
        rows, network, section = self.segments.drawn(step, random), self.network, self.section
        source, effect = (rows.source, rows.effect) if section.parallel else (rows.target, rows.wanted)
        content, code = network.content_of(source), network.effect_of(rows.reference)
        terms: dict[str, Tensor | RowLosses] = {
            "reconstruction": functional.l1_loss(network.decoded(content, code), rows.target),
            "recognition": cross_entropy(network.recogniser(code), rows.wanted),
        }
        if section.reversal:
            progress = step / (section.training.epochs * section.training.turns)
            logits = network.opinion(content, section.reversal * ganin_strength(progress))
            correct = (logits.detach().argmax(dim=1) == effect).to(logits.dtype)
            terms["content"] = RowLosses(functional.cross_entropy(logits, effect, reduction="none"), correct=correct)
        return terms

    def game(self, seed: int) -> Game:
        """Return the game, of one player: a reversal inside it does both sides in one step."""
        training = self.section.training
        rules = Rules(
            self.losses, {"recognition": self.section.recognition}, average=training.average, clip=training.clip,
            schedule=RATE_SCHEDULES[training.schedule],
        )  # fmt: skip
        factors = {"adversary": self.section.learning_rate_factor}
        player = Player(CONVERTER, self.network, optimizer_for(self.network, training, factors))
        return Game([player], {CONVERTER: rules}, training.turns, training.epochs, seed, str(self.segments.device))


def conversion_training(
    config: ConversionConfig,
    section: ConversionNetworkConfig,
    sounds: ConversionSounds,
    seed: int,
    device: torch.device,
) -> ConversionTraining:
    """Return a new network with what it is trained on; the seed draws the weights, and everything later."""
    segments = MelSegments(config, section, sounds, bank_of(config), seed, device)
    with seeded(seed):
        network = ConversionNetwork(
            config.mel.bands, section.content, section.effect, section.width, section.blocks, len(sounds.effects.names)
        )
    frames = segments.takes(0).source
    network.mean.copy_(frames.mean(dim=0)[:, None])
    network.deviation.copy_(frames.std(dim=0)[:, None].clamp_min(1e-3))
    return ConversionTraining(section, network.to(device), segments)
