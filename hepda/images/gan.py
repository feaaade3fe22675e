"""A classifier of images with one class more, for generated images, and its game against their generator.

Salimans et al. 2016 (arXiv:1606.03498), section 5 and the authors' code for MNIST: the logit of the class of generated
images is fixed at 0, so that the logits `l` of the others also say how real an image is: `D = Z / (Z + 1)` with
`Z = sum_k exp l_k`. The generator matches the mean features of real images. Layers have normalised weights
(arXiv:1602.07868), and noise is added to what they read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from hepda.adversarial import DomainRows, History, Network, seeded
from hepda.adversarial.devices import reproducible
from hepda.adversarial.games.game import Game, Rules
from hepda.adversarial.games.losses import RowLosses, find_loss
from hepda.adversarial.networks.schedules import RATE_SCHEDULES
from hepda.adversarial.training.optimizers import optimizer_for
from hepda.adversarial.training.problem import Player, train
from hepda.config.images import ImageGanConfig, ImageModelConfig

CLASSIFIER, GENERATOR = "classifier", "generator"
"""The players."""
LABELLED, REAL, GENERATED = "labelled", "real", "generated"
"""The losses of the classifier."""
MOMENTUM = 0.5
"""Of both optimizers, unless the analysis file names another one; as in the authors' code."""
_UNIT = 255.0  # of the pixels
_FIRST = 500  # images that the first scales of the weights are taken from
_TINY = 1e-6


class DenseGenerator(nn.Module):
    """From random numbers [b, latent], uniform from 0 to 1, to images [b, channels, size, size] of 0 to 255."""

    def __init__(self, latent: int, hidden: Sequence[int], channels: int, size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((latent, *hidden), hidden, strict=False):
            layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.Softplus()]
        last = nn.Linear((latent, *hidden)[-1], channels * size * size)
        self.latent = latent
        self.layers = nn.Sequential(*layers, last, nn.Sigmoid(), nn.Unflatten(1, (channels, size, size)))

    def forward(self, codes: Tensor) -> Tensor:
        """Return the images of codes [b, latent]."""
        images: Tensor = _UNIT * self.layers(codes)
        return images


@dataclass(frozen=True, slots=True)
class ImageRows:
    """Rows that batches are drawn from, on the device of the training.

    Attributes:
        pixels: bytes [n, channels, rows, columns].
        change: how they are changed, at random; None: not.
        weight: weights [n]; None: 1 for each.
        label: class numbers [n]; None: without labels.

    """

    pixels: Tensor
    change: Callable[[Tensor, torch.Generator], Tensor] | None
    weight: Tensor | None
    label: Tensor | None

    @classmethod
    def of(cls, rows: DomainRows, device: torch.device) -> ImageRows:
        """Return the rows of a domain of images, which have at most one weight and one target."""
        columns = [next(iter(values.values()), None) for values in (rows.weights, rows.targets)]
        weight, label = (None if column is None else torch.as_tensor(column).to(device) for column in columns)
        pixels = torch.as_tensor(rows.features).to(device)
        return cls(pixels, rows.transform, None if weight is None else weight.float(), label)

    def drawn(self, number: int, random: torch.Generator) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return so many images as floats, their weights and their labels."""
        chosen = torch.randint(len(self.pixels), (number,), generator=random, device=random.device)
        images = self.pixels[chosen].float()
        weight, label = (None if column is None else column[chosen] for column in (self.weight, self.label))
        return images if self.change is None else self.change(images, random), weight, label


@dataclass(frozen=True, slots=True)
class ExtraClassTraining:
    """Both networks, and the losses of their game.

    Attributes:
        section: settings of the model.
        gan: settings of its game.
        network: the encoder, and the class head whose logits are those of the classes of the images.
        generator: generates images.
        labelled: images with labels.
        unlabelled: images of the target without labels.

    """

    section: ImageModelConfig
    gan: ImageGanConfig
    network: Network
    generator: DenseGenerator
    labelled: ImageRows
    unlabelled: ImageRows

    def outputs(self, images: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the features [b, d] and the logits [b, classes] of images, with noise before every layer."""
        pixels, *encoder = self.network.encoder.children()
        x, width = pixels(images), self.gan.input_noise
        for layer in encoder:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                x, width = with_noise(x, width, random), self.gan.noise
            x = layer(x)
        features = x
        for layer in self.network.head_modules[self.network.main.name].children():
            x = layer(with_noise(x, width, random) if isinstance(layer, nn.Linear) else x)
        return features, x

    def generated(self, random: torch.Generator) -> Tensor:
        """Return the generated images of a step."""
        codes = (self.section.training.batch_size, self.generator.latent)
        images: Tensor = self.generator(torch.rand(codes, generator=random, device=random.device))
        return images

    def classify(self, step: int, random: torch.Generator) -> Mapping[str, RowLosses]:
        """Return the losses of the classifier: classes of labelled images, and which of the others are generated."""
        number = self.section.training.batch_size
        images, weight, label = self.labelled.drawn(number, random)
        real, real_weight, _ = self.unlabelled.drawn(number, random)
        with torch.no_grad():
            generated = self.generated(random)
        _, logits = self.outputs(torch.cat([images, real, generated]), random)
        of_class, of_real, of_generated = torch.split(logits, number)
        if label is None:
            raise ValueError("images with labels have none")
        right = (of_class.detach().argmax(dim=1) == label).to(of_class.dtype)
        loss = find_loss("non_saturating")  # cross entropy of D, whose logit is log Z
        return {
            LABELLED: RowLosses(functional.cross_entropy(of_class, label, reduction="none"), weight, right),
            REAL: loss.real(of_real.logsumexp(dim=1), real_weight),
            GENERATED: loss.generated(of_generated.logsumexp(dim=1)),
        }

    def generate(self, step: int, random: torch.Generator) -> Tensor:
        """Return the squared difference of the mean features of generated and of real images."""
        real, weight, _ = self.unlabelled.drawn(self.section.training.batch_size, random)
        with torch.no_grad():
            wanted = mean_features(self.outputs(real, random)[0], weight)
        return (self.outputs(self.generated(random), random)[0].mean(dim=0) - wanted).square().mean()

    def game(self, seed: int, turns: int) -> Game:
        """Return the game, with so many turns in an epoch."""
        training = self.section.training
        if training.momentum is None:
            training = training.model_copy(update={"momentum": MOMENTUM})
        players = [
            Player(CLASSIFIER, self.network, optimizer_for(self.network, training)),
            Player(GENERATOR, self.generator, optimizer_for(self.generator, training)),
        ]
        half = 0.5 * self.gan.strength  # of real and of generated images, as published
        schedule = RATE_SCHEDULES[training.schedule]
        rules = {
            CLASSIFIER: Rules(
                self.classify, {REAL: half, GENERATED: half}, average=training.average, schedule=schedule
            ),
            GENERATOR: Rules(self.generate, schedule=schedule),
        }
        return Game(players, rules, turns, training.epochs, seed, str(self.labelled.pixels.device))


def gan_training(
    section: ImageModelConfig, network: Network, rows: tuple[DomainRows, DomainRows], seed: int, device: torch.device
) -> ExtraClassTraining:
    """Return the training of a network, whose weights are normalised from now on, against a new generator.

    Args:
        section: settings of the model, with `gan`.
        network: the network.
        rows: labelled rows, and rows of the target.
        seed: of the first weights of the generator.
        device: of the training.

    """
    if section.gan is None:
        raise ValueError("the model has no `gan`")
    labelled, unlabelled = (ImageRows.of(part, device) for part in rows)
    _, channels, size, _ = unlabelled.pixels.shape
    with seeded(seed):
        generator = DenseGenerator(section.gan.latent, section.gan.hidden, channels, size)
    network.to(device)
    normalise_weights(network, unlabelled.pixels[:_FIRST].float())
    return ExtraClassTraining(section, section.gan, network, generator.to(device), labelled, unlabelled)


def fit_gan(
    training: ExtraClassTraining, seed: int, checkpoint: Path | None, on_epoch: Callable[[History], None] | None
) -> History:
    """Train a network in its game, from the checkpoint if there is one; its weights are then as those of any other."""
    number = training.section.training.batch_size
    turns = max(1, len(training.labelled.pixels) // number)
    with reproducible(training.labelled.pixels.device):
        history = train(training.game(seed, turns), checkpoint, resume=checkpoint is not None, on_epoch=on_epoch)
    plain_weights(training.network)
    history.rows = training.section.training.epochs * turns * 2 * number
    return history


def with_noise(x: Tensor, width: float, random: torch.Generator) -> Tensor:
    """Return numbers with normally distributed ones of a width added."""
    return x + width * torch.randn(x.shape, generator=random, device=x.device) if width else x


def mean_features(features: Tensor, weight: Tensor | None) -> Tensor:
    """Return the mean [d] of features [b, d] with weights [b], which keep their sign; None: 1 for each."""
    if weight is None:
        return features.mean(dim=0)
    total = weight.sum()
    return (weight @ features) / torch.where(total == 0.0, torch.ones_like(total), total)


@torch.no_grad()
def normalise_weights(network: Network, images: Tensor) -> None:
    """Write the weights of every layer as a length and a direction, `w = g v / |v|` (arXiv:1602.07868, equation 2).

    The first lengths and biases give what each layer makes of some images the mean 0 and the width 1 (equation 6).
    As in the authors' code, only the last layer learns its lengths: growing features could not be matched.

    Args:
        network: the network.
        images: some images [n, channels, rows, columns] of 0 to 255.

    """
    x = images
    layers = [*network.encoder.children(), *network.head_modules[network.main.name].children()]
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            weight_norm(layer)
            layer.bias.zero_()
            first = layer(x)
            over = [dimension for dimension in range(first.dim()) if dimension != 1]
            mean, width = first.mean(over), first.std(over) + _TINY
            length = dict(layer.named_parameters())["parametrizations.weight.original0"]
            length.div_(width.reshape(-1, *[1] * (length.dim() - 1)))
            layer.bias.copy_(-mean / width)
            length.requires_grad_(layer is layers[-1])
        x = layer(x)


def plain_weights(network: Network) -> None:
    """Write the weights of every layer as those of a network that was not normalised."""
    for layer in network.modules():
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight")
