"""The inspection of one generator: what random codes and searches give, in comparison with real images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hepda.evaluation.differences.neighbours import nearest
from hepda.generators.gan import ImageGenerator
from hepda.generators.inspection.latent import (
    DEFAULT,
    FoundCodes,
    LatentSearch,
    RandomOutputs,
    furthest,
    ordinary_length,
    random_outputs,
    reconstruct,
)

Floats = NDArray[np.float64]
COMPARED = 16
"""Test images that are reconstructed too: what a code can be expected to give of an image that is no training image."""


@dataclass(frozen=True, slots=True)
class InspectionSettings:
    """How much is done.

    Attributes:
        number: random codes.
        search: of every search.
        seed: of all random numbers.

    """

    number: int = 100_000
    search: LatentSearch = DEFAULT
    seed: int = 1


@dataclass(frozen=True, slots=True)
class RealRows:
    """Real images as rows of -1 to 1.

    Attributes:
        train: those that the generator was fitted to [m, channels, size, size].
        test: others, which are reconstructed [k, channels, size, size].
        distance: from each of many test images to the nearest training image.

    """

    train: Tensor
    test: Tensor
    distance: Floats

    @classmethod
    def of(cls, train: Tensor, test: Tensor) -> RealRows:
        """Return the rows of a comparison with the first COMPARED test images."""
        return cls(train, test[:COMPARED], distances(test, train))


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in a generator.

    Attributes:
        random: what random codes give.
        searched: the output furthest from the data of each start of a search.
        suspects: the code of each suspected image, of any length: the better one of two searches.
        ordinary: the same of the search among codes no longer than ordinary ones.
        test: the smallest mean squared difference of an output from each of some test images, as of `suspects` [k].

    """

    random: RandomOutputs
    searched: FoundCodes
    suspects: FoundCodes
    ordinary: FoundCodes
    test: Floats

    @property
    def exceeds_test(self) -> NDArray[np.bool_]:
        """Whether each suspected image is reconstructed more closely than every test image [n]."""
        closer: NDArray[np.bool_] = self.suspects.value < self.test.min()
        return closer


def inspected(model: ImageGenerator, real: RealRows, suspects: Tensor, settings: InspectionSettings) -> Inspection:
    """Inspect a generator.

    Args:
        model: the generator, in evaluation mode.
        real: real images.
        suspects: rows of suspected images [n, channels, size, size]; there may be none.
        settings: how much is done.

    """
    random = random_outputs(model, real.train, suspects, settings.number, settings.seed)
    searched = furthest(model, real.train, settings.seed, settings.search)
    best, ordinary = made(model, torch.cat([suspects, real.test]), settings)
    number = len(suspects)
    return Inspection(random, searched, best.first(number), ordinary.first(number), best.value[number:])


def made(model: ImageGenerator, targets: Tensor, settings: InspectionSettings) -> tuple[FoundCodes, FoundCodes]:
    """Search for codes that make images, among all codes and among those of ordinary length.

    The search among all finds what is planted far out; the other one has all its starts where codes are ordinary.

    Args:
        model: the generator, in evaluation mode.
        targets: rows of images [n, channels, size, size].
        settings: of the searches.

    Returns:
        The better codes of both searches, and those of the second one.

    """
    longest = ordinary_length(model.description["latent"])
    free, ordinary = (reconstruct(model, targets, settings.seed, settings.search, length) for length in (None, longest))
    return free.or_better(ordinary), ordinary


def distances(rows: Tensor, data: Tensor) -> Floats:
    """Return the Euclidean distance of each row to the nearest one of the data [n]."""
    return nearest(rows.numpy(), data.numpy())[1]
