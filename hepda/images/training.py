"""The trainings of an analysis of images, one for each model and seed: the tensors, the network and the scores."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hepda.adversarial import DomainRows, Head, History, Network, Trainer, devices, mlp, seeded
from hepda.adversarial.methods import Comparison, build
from hepda.adversarial.networks.term import Term
from hepda.adversarial.training.selection import SCORERS
from hepda.config.images import ImageModelConfig, ImagesConfig
from hepda.datasets.download import reading
from hepda.images.arrays import Images, some_of_each
from hepda.images.augmentation import augmentation
from hepda.images.encoders import PixelInputs, encoder, heads, width_of
from hepda.runtime.jobs import TrainingJob, TrainingOutput

PARTS = ("source_train", "source_test", "target_train", "target_test")
BALANCED = "balanced"
_HELD_OUT = 10  # one of ten training images is held out if a scorer chooses the epoch


@dataclass(frozen=True, slots=True)
class Stored:
    """The images of one part on disk, memory-mapped.

    Attributes:
        pixels: bytes [n, channels, rows, columns]. In memory the channels of a pixel are adjacent, the layout in which
            convolutions are fastest.
        label: labels [n].

    """

    pixels: NDArray[np.uint8]
    label: NDArray[np.int64]

    def with_few_labels(self, number: int, seed: int) -> Stored:
        """Return `number` images of each class, drawn with the seed and repeated until they are as many as all are."""
        rows = np.resize(some_of_each(self.label, number, seed), len(self.label))
        return Stored(self.pixels[rows], self.label[rows])


def write_parts(parts: dict[str, Images], folder: Path) -> None:
    """Write the images for the trainings, and the names of their classes, to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, images in parts.items():
        np.save(folder / f"{name}.pixels.npy", np.ascontiguousarray(images.pixels.transpose(0, 2, 3, 1)))
        np.save(folder / f"{name}.label.npy", images.label)
    classes = next(iter(parts.values())).classes
    (folder / "classes.json").write_text(json.dumps(classes), encoding="utf-8")


def read_part(folder: Path, name: str) -> Stored:
    """Read the images of a part that `write_parts` wrote."""
    with reading(f"{folder / name}: cannot be read as the images that hepda wrote there"):
        # copy-on-write: torch warns about maps that are read-only
        pixels = np.load(folder / f"{name}.pixels.npy", mmap_mode="c")
        grey = pixels.shape[3] == 1  # the same bytes in both orders
        channels_first = pixels.reshape(len(pixels), 1, *pixels.shape[1:3]) if grey else pixels.transpose(0, 3, 1, 2)
        return Stored(channels_first, np.load(folder / f"{name}.label.npy"))


def classes_in(folder: Path) -> tuple[str, ...]:
    """Return the names of the classes."""
    return tuple(json.loads((folder / "classes.json").read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class ImageJob(TrainingJob):
    """The training of a model; `member` is the number of the seed."""

    config: ImagesConfig = field(kw_only=True)

    @property
    def shared(self) -> bool:
        """A game runs in one process."""
        return self.config.networks[self.model].gan is None

    def train(self, progress: Callable[[int, int], None]) -> TrainingOutput:
        """Train the model and return its scores, a description of the training and its history.

        The scores [n_s + n_t, classes] of the test images, source first, are the probabilities of the classes.
        """
        section = self.config.networks[self.model]
        source, target = rows_of(section, self.table, self.config.source.labels_per_class, self.seed)
        network = build_network(section, self.config.pixels.channels, self.config.pixels.size, self.table, self.seed)
        tracked = self._tracked_images()

        def on_epoch(history: History) -> None:
            if tracked is not None:
                record_target_accuracy(history, network, tracked)
            progress(history.epochs, section.training.epochs)

        history = self._fitted(network, source, target, on_epoch)
        self.folder.mkdir(parents=True, exist_ok=True)
        network.save(self.folder / f"{self.stem}.safetensors")
        score = np.concatenate(
            [network.predict(read_part(self.table, f"{side}_test").pixels, head="class", domain=side) for side in SIDES]
        )
        about = {
            **history.about(),
            "seed": self.seed,
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
        }
        return score, about, history.to_dict()["columns"]

    def _fitted(
        self,
        network: Network,
        source: DomainRows,
        target: DomainRows | None,
        on_epoch: Callable[[History], None],
    ) -> History:
        """Train the network, from the checkpoint if there is one."""
        section, checkpoint = self.config.networks[self.model], self.work / f"{self.name}.checkpoint"
        if section.gan is not None and target is not None:
            from hepda.images.gan import fit_gan, gan_training

            device = devices.find(self.device)
            return fit_gan(
                gan_training(section, network, (source, target), self.seed, device), self.seed, checkpoint, on_epoch
            )
        validation = None
        if section.training.scorer is not None:
            source, held_source = _split(source, self.seed)
            target, held_target = (None, None) if target is None else _split(target, self.seed + 1)
            validation = held_source, held_target
        return trainer_of(section, self).fit(
            network, source, target, validation=validation, checkpoint=checkpoint, resume=True, on_epoch=on_epoch
        )

    def _tracked_images(self) -> Stored | None:
        images = self.config.evaluation.track
        if images is None:
            return None
        test = read_part(self.table, "target_test")
        rows = np.sort(np.random.default_rng(self.config.seed).permutation(len(test.label))[:images])
        return Stored(test.pixels[rows], test.label[rows])


SIDES = ("source", "target")


def jobs_of(config: ImagesConfig, table: Path, run: Path, work: Path, device: str) -> list[ImageJob]:
    """Return all trainings, seed by seed.

    In this order an interrupted run has trained every model once before it trains any model twice.
    """
    return [
        ImageJob(config.seed_for(model), model, 0, member, table, run, work, device, "plain", config=config)
        for member in range(config.seeds)
        for model in config.networks
    ]


def rows_of(
    section: ImageModelConfig, table: Path, labels_per_class: int | None = None, seed: int = 0
) -> tuple[DomainRows, DomainRows | None]:
    """Return the labelled rows of the class head, and the unlabelled rows of the target.

    The latter are None for a model that does not adapt to the target.

    Args:
        section: settings of the model.
        table: folder of `write_parts`.
        labels_per_class: images of each class of the source that have labels; None: all.
        seed: by which these are drawn.

    """
    change = augmentation(section.augment)
    target_change = change if section.augment_target is None else augmentation(section.augment_target)

    def rows(parts: Sequence[Stored], labelled: bool) -> DomainRows:
        pixels = parts[0].pixels if len(parts) == 1 else np.concatenate([part.pixels for part in parts])
        label = np.concatenate([part.label for part in parts])
        weight = balanced(label) if labelled else np.ones(len(label))
        weights = {BALANCED: weight} if section.balance else {}
        if labelled:
            return DomainRows(pixels, {"class": label}, weights, transform=change)
        return DomainRows(pixels, weights=weights, transform=target_change)

    def labelled_part(side: str) -> Stored:
        part = read_part(table, f"{side}_train")
        return part if labels_per_class is None or side == "target" else part.with_few_labels(labels_per_class, seed)

    sides = SIDES if section.train_on == "both" else (section.train_on,)
    labelled = rows([labelled_part(side) for side in sides], labelled=True)
    adapts = section.gan is not None or (section.domain is not None and section.domain.method_name != "none")
    return labelled, rows([read_part(table, "target_train")], labelled=False) if adapts else None


def balanced(label: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return weights [n] with mean 1 that give all classes in the labels the same sum."""
    _, number, count = np.unique(label, return_inverse=True, return_counts=True)
    shares: NDArray[np.float64] = (len(label) / (len(count) * count))[number]
    return shares


def _split(rows: DomainRows, seed: int) -> tuple[DomainRows, DomainRows]:
    """Return rows for training and a tenth of the rows that is held out."""
    held_out = np.random.default_rng(seed).permutation(len(rows)) % _HELD_OUT == 0
    return rows.select(~held_out), rows.select(held_out)


def build_network(section: ImageModelConfig, channels: int, size: int, table: Path, seed: int) -> Network:
    """Build the network of a model: encoder, class head, and the heads and terms of its domain loss.

    Args:
        section: settings of the model.
        channels: channels of the images.
        size: rows and columns of the images.
        table: folder of `write_parts`.
        seed: seed of the initial weights.

    """
    classes = classes_in(table)
    metadata = {"classes": list(classes), "channels": channels, "size": size}
    with seeded(seed):
        network = empty_network(section, channels, size, len(classes), metadata)
    inputs = network.encoder[0]  # type: ignore[index]
    if isinstance(inputs, PixelInputs):
        inputs.mean.copy_(channel_means(read_part(table, "source_train").pixels))
    return network


def empty_network(
    section: ImageModelConfig, channels: int, size: int, classes: int, metadata: dict[str, Any] | None = None
) -> Network:
    """Return a network with random weights, which is also the structure that a saved network is loaded into."""
    body = encoder(section, channels, size)
    width = width_of(body, channels, size)
    class_widths, domain_widths = heads(section)
    weight = BALANCED if section.balance else None
    parts = [Head("class", mlp(width, class_widths, classes), loss="multiclass", weight=weight)]
    terms: list[Term] = []
    if section.domain is not None:
        domain = section.domain
        view = augmentation((*section.augment, *domain.view)) if domain.view else None
        comparison = Comparison(width, classes, weight=weight, transform=view)
        domain_heads, terms = build(domain.methods(hidden=domain_widths), comparison)
        parts += domain_heads
    return Network(body, parts, terms=terms, normalization=None, metadata=metadata)


def load_network(path: Path, section: ImageModelConfig, channels: int, size: int, classes: int) -> Network:
    """Load a network that a training has saved.

    Args:
        path: file of the network.
        section: settings of the model.
        channels: channels of the images.
        size: rows and columns of the images.
        classes: number of classes.

    Raises:
        SourceError: under the same conditions as in `Network.load`.

    """
    return Network.load(path, encoder=empty_network(section, channels, size, classes).encoder)


def channel_means(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """Return the mean of every channel over images [n, c, h, w], in units of 255: [c]."""
    sums = np.zeros(pixels.shape[1])
    for start in range(0, len(pixels), 8192):
        sums += pixels[start : start + 8192].sum(axis=(0, 2, 3), dtype=np.float64)
    return torch.from_numpy(sums / (255.0 * pixels.size / pixels.shape[1])).float()


def trainer_of(section: ImageModelConfig, job: ImageJob) -> Trainer:
    """Return a trainer of the core with the settings of a model."""
    settings = section.training
    chooses = settings.scorer is not None
    return Trainer(
        **settings.settings(section.domain),
        patience=(settings.patience or settings.epochs) if chooses else None,
        scorer=SCORERS[settings.scorer] if settings.scorer is not None else None,
        seed=job.seed,
        device=job.device,
        kernels="plain",
        channels_last=True,
    )


def predicted_classes(network: Network, images: Stored, side: str) -> NDArray[np.float32]:
    """Return the class that a network predicts for each image, and its probability: [n, 2]."""
    return most_probable(network.predict(images.pixels, head="class", domain=side))


def most_probable(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the most probable class and its probability, [..., 2], of probabilities [..., classes]."""
    return np.stack([probability.argmax(axis=-1).astype(np.float32), probability.max(axis=-1)], axis=-1)


def record_target_accuracy(history: History, network: Network, images: Stored) -> None:
    """Write the accuracy on some target images into the history.

    The accuracy is only drawn in a figure; no choice is made with it.
    """
    correct = predicted_classes(network, images, "target")[:, 0] == images.label
    column = history.columns.setdefault("target_accuracy", [])
    column += [math.nan] * (history.epochs - len(column))
    column[-1] = float(correct.mean())
