"""The training of a response: steps against a running mean of the difference to the target, out of fold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from hepda.adversarial.games.game import Game, Rules
from hepda.adversarial.networks.layers import seeded
from hepda.adversarial.networks.schedules import RATE_SCHEDULES
from hepda.adversarial.training.optimizers import optimizer_for
from hepda.adversarial.training.problem import Player
from hepda.config.refinement.methods import RefinementTrainingConfig, ResidualConfig
from hepda.events.refinement.response import JetNoise, JetResponse, JetTensors, neighbours
from hepda.events.refinement.summaries import Center, Distance, Visibility

_AT_START = 8  # batches of the first mean
RESPONSE = "response"
"""The only player."""


@dataclass(frozen=True, slots=True)
class Side:
    """Objects of the events of a simulation or target, with their signed weights [n]."""

    jets: JetTensors
    weight: Tensor


@dataclass(frozen=True, slots=True)
class RefinedBatch:
    """Events before and after the response, the signs of their weights [n], and their means."""

    before: JetTensors
    after: JetTensors
    weight: Tensor
    center: Center


class _WithMean(nn.Module):
    """A response, and the running mean [d] of the difference that it leaves, which checkpoints keep."""

    mean: Tensor

    def __init__(self, response: JetResponse, mean: Tensor) -> None:
        super().__init__()
        self.response = response
        self.register_buffer("mean", mean)


class ResponseTraining:
    """A response that is trained until the simulation has the target's means.

    The gradient of T^2 = |r|^2, r the whitened difference of the means, is 2 r . dr. The r before dr is a running mean
    over batches, without that of the step itself: of one batch it would be mostly noise, and its product with the
    gradient of the same batch would also make the statistics narrower than they are.

    Args:
        section: the model.
        source: the simulation.
        target: the target.
        visibility: which jets and events are looked at.
        seed: of all random numbers.

    """

    def __init__(self, section: ResidualConfig, source: Side, target: Side, visibility: Visibility, seed: int) -> None:
        self.settings: RefinementTrainingConfig = section.training
        self.source, self.seed = source, seed
        self.distance = Distance(target.jets, target.weight, visibility)
        there = source.jets.present > 0.0
        known = sorted(set(source.jets.known[there].tolist()))
        with seeded(seed):
            self.response = JetResponse(
                float(source.jets.pt[there].log().mean()), source.jets.tag.shape[-1],
                known if len(known) > 1 else (), section.hidden,
            )  # fmt: skip
        # a response can only be learned of what the simulation has: events are drawn by the size of their weights
        self._chance = source.weight.abs()
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            start = torch.stack([self._batch(random)[1] for _ in range(_AT_START)]).mean(0)
        self.state = _WithMean(self.response, start)

    def _batch(self, random: torch.Generator) -> tuple[RefinedBatch, Tensor]:
        """Return a batch of events before and after the response, and their whitened difference [d] from the target."""
        rows = torch.multinomial(self._chance, self.settings.batch_size, replacement=True, generator=random)
        jets, weight = self.source.jets.rows(rows), self.source.weight[rows].sign()
        refined = self.response(jets, JetNoise.drawn(jets.pt.shape, random))
        residual, center = self.distance.residual(refined, weight)
        return RefinedBatch(jets, refined, weight, center), residual

    def loss(self, update: int, random: torch.Generator) -> Tensor:
        """Return the product of the running mean and of this batch's difference, an estimate of T^2.

        Tags are drawn and have no gradient of their own: what is added for them is 0, and has theirs.
        """
        batch, residual = self._batch(random)
        direction = self.state.mean.clone()
        value = direction @ residual
        if self.response.tags > 1:
            value = value + self._of_tags(batch, direction, random)
        self.state.mean.lerp_(residual.detach(), 1.0 - self.settings.memory)
        return value

    def _of_tags(self, batch: RefinedBatch, direction: Tensor, random: torch.Generator) -> Tensor:
        """Return a number with the value 0 and the exact gradient, on average, of the moves of tags.

        d/dp of an expectation over a move with the probabilities p_k is the expectation of the result after each move:
        sum_k V_k dp_k. V_k is computed for one jet of each event, drawn at random, in place of all n of them.
        """
        count = batch.before.present.sum(1)
        jet = (torch.rand(len(count), generator=random) * count).long().clamp_max(batch.before.pt.shape[1] - 1)
        rows = torch.arange(len(jet))
        moves = self.response.moves(batch.before)[rows, jet]
        old = batch.before.tag[rows, jet]
        lower, upper = neighbours(old)
        with torch.no_grad():
            shares = []
            for tag in (lower, old, upper):
                changed = batch.after.tag.clone()
                changed[rows, jet] = tag
                shares.append(self.distance.share(replace(batch.after, tag=changed), direction, batch.center))
        change = ((batch.weight * count)[:, None] * moves * torch.stack(shares, dim=1)).sum()
        return change - change.detach()

    def game(self) -> Game:
        """Return the training as a game of one player."""
        training = self.settings
        rules = Rules(self.loss, average=training.average, schedule=RATE_SCHEDULES[training.schedule])
        player = Player(RESPONSE, self.state, optimizer_for(self.state, training))
        return Game([player], {RESPONSE: rules}, training.turns, training.epochs, self.seed)
