"""A flow of events: a network that is told what an event is made of, and carries noise into its objects and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hepda.adversarial import History
from hepda.adversarial.devices import reproducible
from hepda.adversarial.diffusion.denoising import drop_labels
from hepda.adversarial.diffusion.flow_matching import uniform_times
from hepda.adversarial.diffusion.guidance import guided
from hepda.adversarial.diffusion.networks import Denoiser, TableBlock
from hepda.adversarial.diffusion.ode import Field, integrate
from hepda.adversarial.games.game import Game, Rules
from hepda.adversarial.games.losses import RowLosses
from hepda.adversarial.networks.layers import seeded
from hepda.adversarial.networks.schedules import RATE_SCHEDULES
from hepda.adversarial.tensor_files import read_description, read_tensors, reading_saved, write_tensors
from hepda.adversarial.training.optimizers import optimizer_for
from hepda.adversarial.training.problem import Player, train
from hepda.config.event_generator.models import FlowConfig
from hepda.events.generation.objects import OF_EVENT, OF_JET, EventObjects
from hepda.events.generation.scaling import NormalScaling

ORIGIN, TARGET = 0, 1
"""The classes of the label that says the generator."""
FLAVOURS = 3
"""Classes of flavour: light, charm and bottom, or fewer."""
_BOTTOM, _CHARM = 5, 4
FLOW = "flow"
"""The only player."""
FORMAT = "hepda.event_flow/1"
_ROWS = 4096  # events that the network reads at once


@dataclass(frozen=True, slots=True, eq=False)
class LabelledEvents:
    """Events with what a flow is told of them.

    objects: the events; label: process, class of flavour and generator, int64 [n, 3]; weight: at least 0, of how often
    an event is drawn, and its sign, which is 1 for a policy without signs [n].
    """

    objects: EventObjects
    label: NDArray[np.int64]
    weight: NDArray[np.float64]

    def of(self, rows: NDArray[np.intp]) -> LabelledEvents:
        """Return the events of these numbers."""
        return LabelledEvents(self.objects.rows(rows), self.label[rows], self.weight[rows])


class EventVelocity(Denoiser):
    """The velocity of coordinates of events, for their structure and labels.

    Args:
        jets: places for jets.
        bins: tag bins.
        classes: number of processes, of classes of flavour, and of generators.
        width: of its layers.
        blocks: number of residual blocks.

    """

    def __init__(self, jets: int, bins: int, classes: Sequence[int], width: int, blocks: int) -> None:
        super().__init__(classes, width)
        self.jets, columns = jets, OF_EVENT + OF_JET * jets
        self.first, self.last = nn.Linear(columns, width), nn.Linear(width, columns)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.of_structure = nn.Linear((3 + bins) * jets, width)
        self.blocks = nn.ModuleList(TableBlock(width) for _ in range(blocks))

    def of(self, structure: Tensor, label: Tensor) -> Field:
        """Return the velocity as a field of rows and times, 0 where there is no jet."""
        jets = structure.reshape(len(structure), self.jets, -1)[:, :, 0]
        mask = torch.cat([structure.new_ones(len(structure), OF_EVENT), jets.repeat_interleave(OF_JET, dim=1)], dim=1)
        given = self.of_structure(structure)
        return lambda x, time: self.passed(x, self.conditions(time, label), given) * mask

    def passed(self, x: Tensor, conditions: Tensor, given: Tensor | None = None) -> Tensor:
        """Return the output [n, columns]; given: what the first layer knows of the structure [n, width]."""
        hidden = self.first(x) if given is None else self.first(x) + given
        for block in self.blocks:
            hidden = block(hidden, conditions)
        result: Tensor = self.last(functional.silu(hidden))
        return result


def structure_of(events: EventObjects, bins: int) -> Tensor:
    """Return the structure as numbers [n, j (3 + bins)]: of each jet whether it is there, is bottom or charm, and its
    tag bin.
    """
    there = events.present[:, :, None]
    flavour = np.stack([events.flavour == _BOTTOM, events.flavour == _CHARM], axis=2)
    tag = events.tag[:, :, None] == np.arange(bins)
    numbers = np.concatenate([there, there & flavour, there & tag], axis=2)
    return torch.tensor(numbers.reshape(len(events), -1).astype(np.float32))


class EventFlow:
    """A trained flow.

    Args:
        description: `jets`, `bins`, `classes`, `width` and `blocks` of the network.
        scaling: of the coordinates.
        network: the velocity.

    """

    def __init__(self, description: dict[str, Any], scaling: NormalScaling, network: EventVelocity) -> None:
        self.description, self.scaling, self.network = description, scaling, network

    @classmethod
    def described(cls, description: dict[str, Any], scaling: NormalScaling) -> Self:
        """Return an untrained flow."""
        about = {key: description[key] for key in ("jets", "bins", "classes", "width", "blocks")}
        return cls(description, scaling, EventVelocity(**about))

    @classmethod
    def fit(
        cls, section: FlowConfig, events: LabelledEvents, bins: int, classes: Sequence[int], seed: int, **fit: Any
    ) -> tuple[Self, History]:
        """Train a flow.

        Args:
            section: the model.
            events: what it learns from.
            bins: tag bins.
            classes: number of classes of each label.
            seed: of all random numbers.
            fit: checkpoint, whether it is resumed, and who hears of the epochs, as of `problem.train`.

        """
        objects = events.objects
        mirrored = [objects.mirrored(beam=b, transverse=t) for b in (False, True) for t in (False, True)]
        coordinates = np.concatenate([one.coordinates for one in mirrored])
        count = len(mirrored)
        scaling = NormalScaling.of(
            coordinates, np.tile(np.abs(events.weight), count), np.tile(objects.mask, (count, 1)), like=OF_JET
        )
        description = {
            "jets": objects.present.shape[1], "bins": bins, "classes": list(classes), "width": section.width,
            "blocks": section.blocks,
        }  # fmt: skip
        with seeded(seed):
            flow = cls.described(description, scaling)
        rows = torch.tensor(scaling.forward(coordinates, np.tile(objects.mask, (count, 1))))
        training = FlowTraining(section, flow.network, rows.reshape(count, len(objects), -1), events, bins)
        with reproducible(torch.device("cpu")):
            history = train(training.game(seed), **fit)
        settings = section.training
        history.rows = settings.epochs * settings.turns * settings.batch_size
        return flow, history

    def velocity(self, events: EventObjects, label: NDArray[np.int64], scale: float) -> Field:
        """Return the velocity of events at s.

        Args:
            events: whose structure is taken.
            label: of them [n, kinds]; the generator does not matter.
            scale: s.

        """
        structure = structure_of(events, self.description["bins"])
        sides = []
        for generator in (ORIGIN, TARGET):
            told = torch.tensor(np.concatenate([label[:, :-1], np.full((len(label), 1), generator)], axis=1))
            sides.append(self.network.of(structure, told))
        return guided(sides[0], sides[1], scale)

    def encoded(self, events: EventObjects, label: NDArray[np.int64], steps: int) -> Tensor:
        """Return what the velocity of generator A carries its events to, noise if the flow is exact [n, columns].

        Args:
            events: of generator A.
            label: of them [n, kinds].
            steps: from events to noise.

        """
        wide = events.widened(self.jets)
        known = torch.tensor(self.scaling.forward(wide.coordinates, wide.mask))
        return self._carried(wide, label, float(ORIGIN), known, torch.linspace(1.0, 0.0, steps + 1))

    def drawn(
        self, events: EventObjects, label: NDArray[np.int64], scale: float, start: Tensor, steps: int
    ) -> EventObjects:
        """Return events with the structure of others.

        Args:
            events: of generator A.
            label: of them [n, kinds].
            scale: s of the guidance.
            start: normal numbers, or what `encoded` returned [n, columns].
            steps: from there to events.

        """
        wide = events.widened(self.jets)
        times = torch.linspace(0.0, 1.0, steps + 1)
        carried = self._carried(wide, label, scale, start * torch.tensor(wide.mask), times)
        return replace(wide, coordinates=self.scaling.backward(carried.numpy(), wide.mask))

    @torch.no_grad()
    def _carried(
        self, events: EventObjects, label: NDArray[np.int64], scale: float, start: Tensor, times: Tensor
    ) -> Tensor:
        """Return rows of coordinates at the last of the times, some events at once."""
        parts = []
        for first in range(0, len(events), _ROWS):
            rows = slice(first, first + _ROWS)
            block = events.rows(np.arange(len(events))[rows])
            parts.append(integrate(self.velocity(block, label[rows], scale), start[rows], times))
        return torch.cat(parts) if parts else start

    @property
    def jets(self) -> int:
        """The places for jets."""
        number: int = self.description["jets"]
        return number

    @property
    def columns(self) -> int:
        """The coordinates of an event."""
        return OF_EVENT + OF_JET * self.jets

    def save(self, path: Path) -> None:
        """Write the flow to a safetensors file."""
        content = {"format": FORMAT, "description": self.description}
        tensors = {f"network.{name}": value.detach().contiguous() for name, value in self.network.state_dict().items()}
        tensors |= {
            "scaling.values": torch.tensor(self.scaling.values),
            "scaling.normal": torch.tensor(self.scaling.normal),
        }
        write_tensors(path, tensors, {"flow": json.dumps(content)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file of `save`; nothing in it is run.

        Raises:
            SourceError: the file is missing, or is no such file.

        """
        tensors, metadata = read_tensors(path)
        content = read_description(path, metadata, "flow")
        with reading_saved(path):
            scaling = NormalScaling(tensors["scaling.values"].numpy(), tensors["scaling.normal"].numpy())
            flow = cls.described(content["description"], scaling)
            own = {name.removeprefix("network."): value for name, value in tensors.items() if name[:8] == "network."}
            flow.network.load_state_dict(own)
        flow.network.eval()
        return flow


@dataclass(frozen=True, slots=True)
class FlowTraining:
    """The loss of a flow.

    Attributes:
        section: the model.
        network: the velocity that is trained.
        rows: coordinates of all mirror images of the events [4, n, columns].
        events: the events.
        bins: tag bins.

    """

    section: FlowConfig
    network: EventVelocity
    rows: Tensor
    events: LabelledEvents
    bins: int

    def game(self, seed: int) -> Game:
        """Return the training as a game of one player."""
        weight = torch.tensor(self.events.weight)
        below = weight.abs().cumsum(0)
        below /= below[-1].clone()
        structure, label = structure_of(self.events.objects, self.bins), torch.tensor(self.events.label)
        mask = torch.tensor(self.events.objects.mask.astype(np.float32))
        sign = None if bool((weight >= 0.0).all()) else weight.sign().float()
        training = self.section.training

        def loss(step: int, random: torch.Generator) -> RowLosses:
            """Return `|v(x_t, t) - (x_1 - x_0)|^2` (Lipman et al. 2023), the mean over the coordinates there are."""
            number = training.batch_size
            share = torch.rand(number, generator=random, dtype=torch.float64)
            row = torch.searchsorted(below, share).clamp_max(len(below) - 1)
            mirror = torch.randint(len(self.rows), (number,), generator=random)
            data, there = self.rows[mirror, row], mask[row]
            noise = torch.randn(data.shape, generator=random) * there
            time = uniform_times(number, random)
            told = drop_labels(label[row], self.network.conditions.classes, self.section.unlabelled, random)
            on_line = (1.0 - time[:, None]) * noise + time[:, None] * data
            difference = self.network.of(structure[row], told)(on_line, time) - (data - noise)
            losses = difference.square().sum(dim=1) / there.sum(dim=1)
            return RowLosses(losses, None if sign is None else sign[row])

        rules = Rules(loss, average=training.average, clip=training.clip, schedule=RATE_SCHEDULES[training.schedule])
        player = Player(FLOW, self.network, optimizer_for(self.network, training))
        return Game([player], {FLOW: rules}, training.turns, training.epochs, seed)
