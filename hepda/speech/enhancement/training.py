"""The training of enhancement on segments of noisy speech: networks of masks, with a network that predicts quality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hepda.adversarial.games.game import Game, Rules
from hepda.adversarial.games.losses import RowLosses, metric_regression
from hepda.adversarial.networks.layers import seeded
from hepda.adversarial.networks.schedules import RATE_SCHEDULES
from hepda.adversarial.training.optimizers import optimizer_for
from hepda.adversarial.training.problem import Player
from hepda.speech.enhancement.losses import compared, losses
from hepda.speech.enhancement.mixtures import NoisyStrings, Sounds
from hepda.speech.enhancement.networks import MaskNetwork, QualityNetwork
from hepda.speech.enhancement.spectra import Spectra, magnitude
from hepda.speech.quality.disturbance import Disturbance
from hepda.speech.quality.recordings import quality_of
from hepda.speech.sounds.audio import LEAST, level
from hepda.speech.sounds.mixing import energies

if TYPE_CHECKING:
    from hepda.config import EnhancementConfig
    from hepda.config.speech.enhancement import (
        AugmentationConfig,
        EnhancementTrainingConfig,
        MaskNetworkConfig,
        MetricAdversaryConfig,
    )

SCALES = {"pesq": (1.0, 4.5), "stoi": (0.0, 1.0), "si_sdr": (-10.0, 30.0)}
"""Of each metric, the values that become 0 and 1; PESQ as in CMGAN (arXiv:2203.15149). Values beyond are cut."""
ENHANCER, JUDGE = "enhancer", "judge"
"""The players."""


def spectra_of(config: EnhancementConfig) -> Spectra:
    """Return the transform of an analysis: an even window, and a hop of whole samples."""
    section, rate = config.spectra, config.rate
    return Spectra(2 * round(0.5 * section.window * rate), round(section.hop * rate), section.compression)


@dataclass(slots=True)
class SoundSegments:
    """SoundSegments of the mixtures of a training, drawn at random; every epoch has new mixtures.

    Attributes:
        config: the analysis.
        sounds: recordings and noises.
        training: number of the segments.
        samples: length of a segment.
        seed: of the training.
        device: where the segments are needed.
        augmentation: how mixtures are varied; None: they are not.

    """

    config: EnhancementConfig
    sounds: Sounds
    training: EnhancementTrainingConfig
    samples: int
    seed: int
    device: torch.device
    augmentation: AugmentationConfig | None = None
    _epoch: int = field(default=-1, init=False)
    _mixtures: NoisyStrings = field(init=False)
    _levels: Tensor = field(init=False)

    def drawn(self, step: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return clean and noisy segments [b, samples] for a step, the noisy ones with a mean square of 1.

        A string that is shorter than a segment is followed by silence.

        Args:
            step: number of the step, from which the epoch follows.
            random: draws strings and beginnings.

        """
        self._turn(step // self.training.turns)
        rows, tape, number = self.training.batch_size, self._mixtures.clean, self.samples
        draw = torch.rand(3, rows, generator=random, device=random.device).cpu().double()
        strings = (draw[0] * len(tape)).long()
        length = tape.length[strings]
        begin = tape.start[strings] + (draw[1] * (length - number + 1).clamp_min(1)).long()
        sides = torch.zeros(2, rows, number)
        for row, (start, count) in enumerate(zip(begin.tolist(), length.clamp_max(number).tolist(), strict=True)):
            for side, samples in enumerate((tape.samples, self._mixtures.noisy.samples)):
                sides[side, row, :count] = samples[start : start + count]
        clean, noisy = sides
        if self.augmentation is not None and self.augmentation.remix:
            # The noise of another segment, at the ratio to the speech of its string that it had to the other speech.
            levels = self._levels[strings, None]
            noisy = clean + levels * ((noisy - clean) / levels)[torch.argsort(draw[2])]
        scale = level(noisy)
        return (clean / scale).to(self.device), (noisy / scale).to(self.device)

    def _turn(self, epoch: int) -> None:
        if epoch != self._epoch:
            self._mixtures = self.sounds.epoch(self.config, epoch, self.seed, self.augmentation)
            tape = self._mixtures.clean
            self._levels = torch.sqrt(energies(tape.samples, tape) / tape.length).clamp_min(LEAST).float()
            self._epoch = epoch


@dataclass(slots=True)
class Judged:
    """Measured qualities of segments, scaled to 0 to 1, and how many could not be measured."""

    metric: str
    rate: int
    calls: int = 0
    failed: int = 0

    def scaled(self, clean: Tensor, estimate: Tensor) -> tuple[Tensor, Tensor]:
        """Return the quality [b] of sounds [b, n], and weights [b]: 0 where it cannot be measured, else 1.

        PESQ has no value where a segment has too little speech, for example; such a segment is not learned from.
        """
        low, high = SCALES[self.metric]
        values, weights = [], []
        for sides in zip(clean.cpu().numpy(), estimate.cpu().numpy(), strict=True):
            value = quality_of(*sides, self.rate, (self.metric,)).values[self.metric]
            self.calls += 1
            self.failed += value is None
            values.append(0.0 if value is None else min(max((value - low) / (high - low), 0.0), 1.0))
            weights.append(float(value is not None))
        return torch.tensor(values, device=clean.device), torch.tensor(weights, device=clean.device)


@dataclass(frozen=True, slots=True)
class MaskTraining:
    """A network of masks and the losses of its training.

    Attributes:
        section: settings of the model.
        network: the network.
        segments: what it is trained on.
        judge: the network that predicts quality; None without.
        judged: measures quality.
        disturbance: that of PESQ; None where it has no weight.

    """

    section: MaskNetworkConfig
    network: MaskNetwork
    segments: SoundSegments
    judge: QualityNetwork | None
    judged: Judged | None
    disturbance: Disturbance | None

    def enhance(self, step: int, random: torch.Generator) -> Mapping[str, Tensor | RowLosses]:
        """Return the losses of the network of masks in a step."""
        clean, noisy = self.segments.drawn(step, random)
        sides = compared(self.network.spectra, self.network(noisy), clean, consistent=self.section.consistency)
        terms: dict[str, Tensor | RowLosses] = dict(losses(sides))
        if self.disturbance is not None:
            terms["disturbance"] = RowLosses(self.disturbance(sides.true_sound, sides.estimated_sound))
        adversary = self.section.adversary
        epoch, epochs = step // self.section.training.turns, self.section.training.epochs
        if self.judge is not None and adversary is not None and epoch >= adversary.warmup * epochs:
            rated = slice(adversary.rows)  # a part of the segments, since it takes as long as the enhancement itself
            quality = self.judge(magnitude(sides.truth[rated]), magnitude(sides.estimate[rated]))
            terms["quality"] = metric_regression(quality, torch.ones_like(quality))
        return terms

    def judge_quality(self, update: int, random: torch.Generator) -> Mapping[str, Tensor | RowLosses]:
        """Return the losses of the network that predicts quality: of clean, enhanced and noisy speech, in this order.

        Args:
            update: number of its step; `adversary.steps` times as many of the other network precede it.
            random: draws the segments.

        """
        adversary, judge, judged = self._adversary()
        clean, noisy = (side[: adversary.rows] for side in self.segments.drawn(update * adversary.steps, random))
        spectra = self.network.spectra
        with torch.no_grad():
            enhanced = spectra.samples(spectra.expanded(self.network(noisy)), clean.shape[-1])
            parts = torch.cat([clean, enhanced, noisy])
            planes = magnitude(spectra.compressed(spectra.of(parts))).chunk(3)
        terms: dict[str, Tensor | RowLosses] = {}
        for name, sound, plane in zip(("clean", "enhanced", "noisy"), (clean, enhanced, noisy), planes, strict=True):
            if name == "clean":
                quality, weight = torch.ones(len(clean), device=clean.device), None
            else:
                quality, weight = judged.scaled(clean, sound)
            terms[name] = metric_regression(judge(planes[0], plane), quality, weight)
        return terms

    def _adversary(self) -> tuple[MetricAdversaryConfig, QualityNetwork, Judged]:
        if self.section.adversary is None or self.judge is None or self.judged is None:
            raise RuntimeError("this model has no network that predicts quality")
        return self.section.adversary, self.judge, self.judged

    def game(self, seed: int) -> Game:
        """Return the game of both networks, or of the one alone."""
        training, adversary, device = self.section.training, self.section.adversary, self.segments.device
        weights = self.section.losses.model_dump()
        schedule = RATE_SCHEDULES[training.schedule]
        steps = 1 if adversary is None else adversary.steps
        players = [Player(ENHANCER, self.network, optimizer_for(self.network, training), steps)]
        rules = {
            ENHANCER: Rules(
                self.enhance,
                weights=weights if adversary is None else weights | {"quality": adversary.strength},
                average=training.average,
                clip=training.clip,
                schedule=schedule,
            )
        }
        if adversary is not None and self.judge is not None:
            players.append(Player(JUDGE, self.judge, optimizer_for(self.judge, training)))
            combine, clip = adversary.combine, training.clip
            rules[JUDGE] = Rules(self.judge_quality, combine=combine, clip=clip, schedule=schedule)
        return Game(players, rules, training.turns // steps, training.epochs, seed, str(device))


def mask_training(
    config: EnhancementConfig, section: MaskNetworkConfig, sounds: Sounds, seed: int, device: torch.device
) -> MaskTraining:
    """Return a new network with what it is trained on; the seed draws the weights, and everything later."""
    training, adversary = section.training, section.adversary
    with seeded(seed):
        network = MaskNetwork(spectra_of(config), section.width, section.blocks, section.causal)
        judge = None if adversary is None else QualityNetwork()
    samples = round(training.seconds * config.rate)
    segments = SoundSegments(config, sounds, training, samples, seed, device, section.augmentation)
    return MaskTraining(
        section,
        network.to(device),
        segments,
        None if judge is None else judge.to(device),
        None if adversary is None else Judged(adversary.metric, config.rate),
        Disturbance(config.rate).to(device) if section.losses.disturbance else None,
    )
