"""Images as the rows of generative models: which ones are learned, recognised and tested with, and back to bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hepda.errors import DataError
from hepda.generators.model import Examples
from hepda.images import sets
from hepda.images.arrays import Images
from hepda.images.training import classes_in, read_part, write_parts

if TYPE_CHECKING:
    from hepda.config import GeneratorConfig

Pixels = NDArray[np.uint8]

_FEW = 32  # different values of a pixel up to which generated pixels take one of them


@dataclass(frozen=True, slots=True)
class PixelRows:
    """How images become rows of -1 to 1, and rows images again.

    Attributes:
        levels: the values that pixels have; a generated pixel gets the nearest one, since other values would tell
            generated images from real ones.

    """

    levels: tuple[int, ...]

    @classmethod
    def of(cls, pixels: Pixels) -> PixelRows:
        """Return the levels of images: their values if these are few, else all bytes."""
        present = np.unique(pixels)
        return cls(tuple(present.tolist()) if len(present) <= _FEW else tuple(range(256)))

    def rows(self, pixels: Pixels) -> Tensor:
        """Return rows [n, channels, size, size] of bytes of the same shape."""
        return torch.from_numpy(np.ascontiguousarray(pixels)).float() / 127.5 - 1.0

    def pixels(self, rows: Tensor) -> Pixels:
        """Return images of rows of -1 to 1."""
        levels = np.array(self.levels)
        nearest = levels[np.abs(np.arange(256)[:, None] - levels).argmin(axis=1)].astype(np.uint8)
        values: Pixels = ((rows + 1.0) * 127.5).round().clamp(0.0, 255.0).to(torch.uint8).numpy()
        images: Pixels = nearest[values]
        return images


@dataclass(frozen=True, slots=True)
class GeneratorImages:
    """The images of an analysis.

    Attributes:
        train: those that the models are fitted to.
        judge: those that the network that recognises is trained on.
        test: those that are compared with generated ones, of which there are as many.
        known: as many of `train`, in the place of generated ones: the floor of every comparison.

    """

    train: Images
    judge: Images
    test: Images
    known: Images

    @property
    def parts(self) -> Mapping[str, Images]:
        """The images by name."""
        return {"train": self.train, "judge": self.judge, "test": self.test, "known": self.known}


PARTS = ("train", "judge", "test", "known")


def load(config: GeneratorConfig) -> GeneratorImages:
    """Read the images of an analysis, and deal those to train on to the models and to the network that recognises.

    Raises:
        SourceError: a data set is missing, or a file has unexpected content.
        DataError: a class is missing where it is needed, or there are too few images.

    """
    every, test = sets.load(config.source, config.pixels.size, config.pixels.channels, config.seed)
    order = np.random.default_rng(config.seed).permutation(len(every))
    border = round(config.judge.share * len(every))
    judge, train = every.take(np.sort(order[:border])), every.take(np.sort(order[border:]))
    for images, what in ((train, "the models"), (judge, "the network that recognises")):
        missing = np.setdiff1d(np.arange(len(every.classes)), images.label)
        if len(missing):
            names = ", ".join(every.classes[number] for number in missing)
            raise DataError(f"no image of {names} is left for {what}: change `judge.share`, or read more images")
    most = min(len(train), len(test))
    number = config.evaluation.samples or most
    if number > most:
        raise DataError(
            f"evaluation.samples: {number} generated images cannot be compared with {len(test)} test images and "
            f"{len(train)} training images; ask for {most} at most"
        )
    return GeneratorImages(train, judge, _some(test, number, config.seed), _some(train, number, config.seed + 1))


def _some(images: Images, number: int, seed: int) -> Images:
    return images.take(np.random.default_rng(seed).permutation(len(images))[:number])


def write(images: GeneratorImages, folder: Path) -> None:
    """Write all parts for the trainings."""
    write_parts(dict(images.parts), folder)


def examples_in(folder: Path) -> tuple[Examples, PixelRows]:
    """Return the rows that `write` kept for the models, and how rows become images."""
    train = read_part(folder, "train")
    scale = PixelRows.of(train.pixels)
    return Examples(scale.rows(train.pixels), torch.from_numpy(train.label), len(classes_in(folder))), scale


def about(scale: PixelRows, classes: Sequence[str]) -> dict[str, Any]:
    """Return what is saved with a model: how its rows become images, and the names of the classes."""
    return {"rows": "images", "levels": list(scale.levels), "classes": list(classes)}
