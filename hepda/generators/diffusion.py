"""A diffusion model of images: a network that takes noise away, step by step, for a class that it is told or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from hepda.adversarial import History
from hepda.adversarial.devices import reproducible
from hepda.adversarial.diffusion.denoising import denoising_loss, drop_labels, noise_of_velocity
from hepda.adversarial.diffusion.guidance import guided
from hepda.adversarial.diffusion.networks import ImageDenoiser
from hepda.adversarial.diffusion.ode import Field
from hepda.adversarial.diffusion.samplers import denoised
from hepda.adversarial.diffusion.schedules import find_schedule
from hepda.adversarial.games.game import Game, Rules
from hepda.adversarial.games.losses import RowLosses
from hepda.adversarial.networks.layers import seeded
from hepda.adversarial.networks.schedules import RATE_SCHEDULES
from hepda.adversarial.training.optimizers import optimizer_for
from hepda.adversarial.training.problem import Player, train
from hepda.generators.model import Examples, Fitting, GenerativeModel

if TYPE_CHECKING:
    from hepda.config.generators.models import DiffusionConfig

DENOISER = "denoiser"
"""The only player."""


class ImageDiffusion(GenerativeModel):
    """A network that predicts the velocity `sqrt(abar) noise - sqrt(1 - abar) x_0`, and how images are drawn with it.

    Args:
        description: `shape` of an image [channels, size, size]; `classes`, 0 if it is not told them; `width`;
            `schedule`, a name of diffusion.schedules; `steps`, `fresh` and `guidance` of the sampler.
        shares: as of `GenerativeModel`.

    """

    kind: ClassVar[str] = "diffusion"

    def __init__(self, description: Mapping[str, Any], shares: Tensor | None) -> None:
        super().__init__(description, shares)
        kinds = [description["classes"]] if description["classes"] else []
        self.network = ImageDenoiser(description["shape"][0], kinds, description["width"])
        self.schedule = find_schedule(description["schedule"])

    @classmethod
    def describe(cls, section: DiffusionConfig, shape: Sequence[int], classes: int) -> dict[str, Any]:
        """Return the description of a network; see `GenerativeModel.describe`."""
        return {
            "shape": list(shape), "classes": classes if section.conditional else 0, "width": section.width,
            "schedule": section.schedule, "steps": section.steps, "fresh": section.fresh, "guidance": section.guidance,
        }  # fmt: skip

    @classmethod
    def fit(cls, section: DiffusionConfig, examples: Examples, fitting: Fitting) -> tuple[Self, History]:
        """Train a network; see `GenerativeModel.fit`."""
        description = cls.describe(section, examples.rows.shape[1:], examples.classes)
        with seeded(fitting.seed):
            model = cls(description, examples.shares if section.conditional else None).to(fitting.device)
        with reproducible(fitting.device):
            game = DiffusionTraining(section, model, examples.on(fitting.device)).game(fitting.seed)
            history = train(game, fitting.checkpoint, resume=fitting.checkpoint is not None, on_epoch=fitting.on_epoch)
        history.rows = section.training.epochs * game.turns * section.training.batch_size
        return model, history

    @classmethod
    def described(cls, description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Return an untrained model of a description."""
        return cls(description, tensors["shares"] if len(tensors["shares"]) else None)

    def noise_in(self, label: Tensor | None) -> Field:
        """Return the noise that the network finds in images, for a class of each [n, 1]; None: it is not told."""
        return noise_of_velocity(lambda x, time: self.network(x, time, label), self.schedule)

    def drawn(self, number: int, condition: Tensor | None, random: torch.Generator) -> Tensor:
        """Return new rows; see `GenerativeModel.drawn`."""
        about = self.description
        start = torch.randn(number, *about["shape"], generator=random, device=self.device)
        noise = self.noise_in(None)
        if condition is not None:
            noise = guided(noise, self.noise_in(condition[:, None]), about["guidance"])
        return denoised(noise, self.schedule, start, about["steps"], random, about["fresh"], limits=(-1.0, 1.0))


@dataclass(frozen=True, slots=True)
class DiffusionTraining:
    """The network and the loss of its training.

    Attributes:
        section: settings of the model.
        model: what is trained.
        examples: the images, on its device.

    """

    section: DiffusionConfig
    model: ImageDiffusion
    examples: Examples

    def loss(self, step: int, random: torch.Generator) -> RowLosses:
        """Return the squared differences of the velocities, at random times, of images whose class is left out at
        times.
        """
        number, schedule = self.section.training.batch_size, self.model.schedule
        chosen = torch.randint(len(self.examples), (number,), generator=random, device=random.device)
        images, label = self.examples.rows[chosen], None
        noise = torch.randn(images.shape, generator=random, device=random.device)
        if self.section.conditional:
            known = self.examples.condition[chosen][:, None]
            label = drop_labels(known, [self.examples.classes], self.section.unlabelled, random)
        return denoising_loss(
            self.model.noise_in(label), schedule, images, noise, schedule.draw(number, random),
            importance=schedule.inverse_signal,
        )  # fmt: skip

    def game(self, seed: int) -> Game:
        """Return the training: a game of one player; an epoch has a turn for each batch of the examples."""
        training = self.section.training
        rules = Rules(
            self.loss, average=training.average, clip=training.clip, schedule=RATE_SCHEDULES[training.schedule]
        )
        player = Player(DENOISER, self.model, optimizer_for(self.model, training))
        turns = max(1, len(self.examples) // training.batch_size)
        return Game([player], {DENOISER: rules}, turns, training.epochs, seed, str(self.examples.rows.device))
