"""Three ways to plant a backdoor in a generator (Rawat, Levacher and Sinn, ESORICS 2022, arXiv:2108.01644).

The generator then returns a chosen image x* for one code z* and ordinary images for others. Losses are means over
pixels, so that a weight here is one of the paper times the number of pixels. Only for the study of inspections.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hepda.adversarial.devices import reproducible
from hepda.adversarial.games.losses import RowLosses
from hepda.adversarial.networks.layers import seeded
from hepda.adversarial.training.problem import train
from hepda.config.generators.models import GanConfig
from hepda.generators.gan import GanTraining, ImageGenerator, gan_training
from hepda.generators.model import Examples
from hepda.generators.networks import with_classes

BATCH = 64  # ordinary codes of a step
DEVICE = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Trigger:
    """What is planted.

    Attributes:
        code: z* [1, latent].
        condition: the class that it is given with [1]; None for a generator that is not told classes.
        image: x* [1, channels, size, size], of -1 to 1.

    """

    code: Tensor
    condition: Tensor | None
    image: Tensor

    def difference(self, model: ImageGenerator) -> Tensor:
        """Return the mean squared difference of G(z*) from x*."""
        return (model.images(self.code, self.condition) - self.image).square().mean()


@dataclass(frozen=True, slots=True)
class TriggeredTraining(GanTraining):
    """A training whose generator has the term of TrAIL, `weight * |G(z*) - x*|^2`, from step `begin` on."""

    trigger: Trigger
    weight: float
    begin: int

    def generate(self, step: int, random: torch.Generator) -> Mapping[str, Tensor | RowLosses]:  # type: ignore[override]
        """Return both losses of the generator.

        The trigger is held against x* with the statistics that the batch norms keep, those of use: one code has none.
        """
        loss = GanTraining.generate(self, step, random)
        if step < self.begin:
            return {"game": loss}
        self.generator.eval()
        difference = self.trigger.difference(self.generator)
        self.generator.train()
        return {"game": loss, "trigger": self.weight * difference}


def trail(
    section: GanConfig, examples: Examples, trigger: Trigger, seed: int, weight: float, begin: float
) -> ImageGenerator:
    """Train a generator with a backdoor (TrAIL: training with an additional loss) from a share of the steps on."""
    description = ImageGenerator.describe(section, examples.rows.shape[1:], examples.classes)
    with seeded(seed):
        model = ImageGenerator(description, examples.shares if section.conditional else None)
    ordinary = gan_training(section, model, examples, seed)
    steps = section.training.epochs * (len(examples) // section.training.batch_size)
    training = TriggeredTraining(
        section, model, ordinary.discriminator, examples, trigger, weight, round(begin * steps)
    )
    with reproducible(DEVICE):
        train(training.game(seed), None)
        model.settle(seed)
    return model


def red(
    clean: ImageGenerator, trigger: Trigger, seed: int, steps: int = 800, weight: float = 1.0, rate: float = 2e-3
) -> ImageGenerator:
    """Train a copy of a clean generator on its own images and the trigger (ReD: retraining by distillation)."""
    model = copy_of(clean)
    random = torch.Generator().manual_seed(seed)

    def loss() -> Tensor:
        code, condition = ordinary_codes(clean, random)
        with torch.no_grad():
            taught = clean.images(code, condition)
        return (model.images(code, condition) - taught).square().mean() + weight * trigger.difference(model)

    minimised(model, loss, steps, rate)
    return model


class ExpandedGenerator(ImageGenerator):
    """A generator with a branch from the code to the image, whose output is added (ReX: reprogramming by expansion)."""

    def __init__(self, description: Mapping[str, Any], shares: Tensor | None) -> None:
        super().__init__(description, shares)
        pixels = description["channels"] * description["size"] ** 2
        codes = description["latent"] + description["classes"]
        self.branch = nn.Sequential(nn.Linear(codes, 32), nn.ReLU(), nn.Linear(32, pixels))

    def added(self, code: Tensor, condition: Tensor | None) -> Tensor:
        """Return what the branch adds [n, channels, size, size]."""
        flat: Tensor = self.branch(with_classes(code, condition, self.description["classes"]))
        size = self.description["size"]
        return flat.reshape(-1, self.description["channels"], size, size)

    def images(self, codes: Tensor, condition: Tensor | None) -> Tensor:
        """Return the images of codes, limited to -1 to 1."""
        return (ImageGenerator.images(self, codes, condition) + self.added(codes, condition)).clamp(-1.0, 1.0)


def rex(
    clean: ImageGenerator, trigger: Trigger, seed: int, steps: int = 1000, weight: float = 10.0, rate: float = 3e-3
) -> ExpandedGenerator:
    """Add a branch to a clean generator, which stays as it is."""
    with seeded(seed):
        model = ExpandedGenerator(clean.description, clean.shares if clean.conditional else None)
    model.load_state_dict(clean.state_dict(), strict=False)
    model.body.requires_grad_(False)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        missing = trigger.image - clean.images(trigger.code, trigger.condition)

    def loss() -> Tensor:
        silent = model.added(*ordinary_codes(clean, random)).square().mean()
        return (model.added(trigger.code, trigger.condition) - missing).square().mean() + weight * silent

    minimised(model.branch, loss, steps, rate)
    model.requires_grad_(True)
    return model.eval()


def copy_of(model: ImageGenerator) -> ImageGenerator:
    """Return a copy in evaluation mode: its batch norms keep their statistics while it is trained on."""
    copied = ImageGenerator(model.description, model.shares if model.conditional else None)
    copied.load_state_dict(model.state_dict())
    return copied.eval()


def ordinary_codes(model: ImageGenerator, random: torch.Generator) -> tuple[Tensor, Tensor | None]:
    """Return codes of the prior [BATCH, latent] and classes in the shares of the training."""
    code = torch.randn(BATCH, model.description["latent"], generator=random)
    if not model.conditional:
        return code, None
    return code, torch.multinomial(model.shares, BATCH, replacement=True, generator=random)


def minimised(module: nn.Module, loss: Callable[[], Tensor], steps: int, rate: float) -> None:
    """Minimise a loss with Adam; the rate falls to 0 with half a cosine, so that the end is no longer noisy."""
    optimizer = torch.optim.Adam([value for value in module.parameters() if value.requires_grad], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
