"""The network that recognises generated images: trained on real ones that no generative model sees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.adversarial import DomainRows, History, Network, Trainer, seeded
from hepda.config.generators.analysis import JUDGE
from hepda.config.images import ImageModelConfig
from hepda.images.augmentation import augmentation
from hepda.images.encoders import PixelInputs
from hepda.images.training import Stored, channel_means, empty_network, load_network
from hepda.runtime.run_directory import MODELS

if TYPE_CHECKING:
    from hepda.config import GeneratorConfig

_BATCH, _RATE = 128, 2e-3


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the network says of images.

    Attributes:
        recognised: the most probable class [n].
        probability: its probability [n].
        embedding: the features of its last hidden layer [n, d].

    """

    recognised: NDArray[np.int64]
    probability: NDArray[np.float32]
    embedding: NDArray[np.float32]


def section_of(config: GeneratorConfig) -> ImageModelConfig:
    """Return the settings of the network, in the form of an image classifier's."""
    judge = config.judge
    return ImageModelConfig(width=judge.width, features=judge.features, batch_norm="joint", augment=("affine",))


def trained(
    config: GeneratorConfig, images: Stored, classes: int, seed: int, device: str, **fit: Any
) -> tuple[Network, History]:
    """Train the network.

    Args:
        config: the analysis.
        images: those that it is trained on.
        classes: number of classes.
        seed: of all random numbers.
        device: a device of torch.
        fit: checkpoint, and who hears of the epochs, as of `Trainer.fit`.

    """
    section, pixels = section_of(config), config.pixels
    with seeded(seed):
        network = empty_network(section, pixels.channels, pixels.size, classes)
    inputs = network.encoder[0]  # type: ignore[index]
    if isinstance(inputs, PixelInputs):
        inputs.mean.copy_(channel_means(images.pixels))
    rows = DomainRows(images.pixels, {"class": images.label}, transform=augmentation(section.augment))
    trainer = Trainer(
        epochs=config.judge.epochs, batch_size=_BATCH, learning_rate=_RATE, rate_schedule="cosine", optimizer="adamw",
        seed=seed, device=device, kernels="plain", channels_last=True,
    )  # fmt: skip
    history = trainer.fit(network, rows, resume=True, **fit)
    return network, history


def path_in(run: Path) -> Path:
    """Return the file of the network in a run directory."""
    return run / MODELS / JUDGE / "fold0-member0.safetensors"


def read(config: GeneratorConfig, run: Path, classes: int) -> Network:
    """Return the network of a run."""
    return load_network(path_in(run), section_of(config), config.pixels.channels, config.pixels.size, classes)


def verdicts(network: Network, pixels: NDArray[np.uint8]) -> Verdicts:
    """Return what the network says of images [n, channels, size, size]."""
    probability = network.predict(pixels, head="class")
    return Verdicts(probability.argmax(axis=1).astype(np.int64), probability.max(axis=1), network.embed(pixels))
