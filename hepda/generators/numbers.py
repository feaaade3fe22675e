"""From generated images and verdicts to the numbers of metrics.json; arrays in, plain values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.evaluation.differences.frechet import frechet_distance
from hepda.evaluation.differences.neighbours import copying, coverage
from hepda.evaluation.differences.probes import ProbeSettings, probe
from hepda.evaluation.variance import spread
from hepda.generators.judge import Verdicts
from hepda.results.evaluation import Interval

Array = NDArray[Any]
COLUMNS = ("condition", "nearest", "distance", "recognised", "probability")
"""Columns of a score [members, rows, columns]: those of jobs.FOUND, then the class that is recognised and its
probability."""
SURE = 0.9
"""Probability from which on the network is sure of a class."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Images, and what the network says of them.

    Attributes:
        pixels: bytes [n, channels, size, size].
        verdicts: of each image.

    """

    pixels: NDArray[np.uint8]
    verdicts: Verdicts

    @property
    def embedding(self) -> Array:
        """The features of the images [n, d]."""
        return self.verdicts.embedding


@dataclass(frozen=True, slots=True)
class RealSamples:
    """Real images that generated ones are compared with, in the same number.

    Attributes:
        test: nothing was trained on them.
        label: their classes [n].
        known: images that the models were trained on, in the place of generated ones.
        distance: from each test image to the nearest training image [n].

    """

    test: Sample
    label: NDArray[np.int64]
    known: Sample
    distance: Array


def probes(real: Sample, other: Sample, seed: int) -> dict[str, Interval]:
    """Return the AUC of new classifiers that are trained to tell two samples apart; 0.5 means that they cannot.

    Returns:
        By what they see: `pixels`, by a network, and `embedding`, by boosted trees.

    """
    seen = {
        "pixels": (real.pixels.reshape(len(real.pixels), -1), other.pixels.reshape(len(other.pixels), -1), "mlp"),
        "embedding": (real.embedding, other.embedding, "bdt"),
    }
    return {
        name: probe(first, second, representation=name, settings=ProbeSettings(kind=kind, seed=seed)).auc  # type: ignore[arg-type]
        for name, (first, second, kind) in seen.items()
    }


def real_numbers(real: RealSamples, seed: int) -> dict[str, Any]:
    """Return what real training images get in the place of generated ones, and the accuracy on the test images."""
    verdicts, label = real.test.verdicts, real.label
    covered = coverage(real.test.embedding, real.known.embedding)
    accuracy = float((verdicts.recognised == label).mean())
    error = float(np.sqrt(accuracy * (1.0 - accuracy) / len(label)))
    return {
        "accuracy": {"value": accuracy, "low": max(0.0, accuracy - error), "high": min(1.0, accuracy + error)},
        "sure": float((verdicts.probability >= SURE).mean()),
        "frechet": frechet_distance(real.known.embedding, real.test.embedding),
        "precision": covered.precision,
        "recall": covered.recall,
        "distance": float(np.median(real.distance)),
        "probe": {
            name: {"value": auc.value, "low": auc.low, "high": auc.high}
            for name, auc in probes(real.test, real.known, seed).items()
        },
    }


@dataclass(frozen=True, slots=True)
class SeedNumbers:
    """The numbers of one training.

    Attributes:
        recognised: share of the images that the network gives the class that was asked for; None without classes.
        sure: share of the images of whose class the network is sure.
        shares: half of the sum of absolute differences between the shares of recognised classes and those of the tests.
        frechet: distance to the test images, in the squared unit of the embedding.
        precision, recall: as of `coverage`.
        distance: median distance to the nearest training image, in units of that of the test images.
        copies: share of the images nearer to a training image than 1 % of the test images.
        probe: AUC by what a new classifier sees.

    """

    recognised: float | None
    sure: float
    shares: float
    frechet: float
    precision: float
    recall: float
    distance: float
    copies: float
    probe: Mapping[str, float]


def seed_numbers(real: RealSamples, generated: Sample, score: Array, seed: int) -> SeedNumbers:
    """Return the numbers of one training.

    Args:
        real: the real images.
        generated: as many images of the training.
        score: its score [rows, COLUMNS].
        seed: of the probes.

    """
    asked, distance = (score[:, COLUMNS.index(name)] for name in ("condition", "distance"))
    verdicts, covered = generated.verdicts, coverage(real.test.embedding, generated.embedding)
    copied = copying(distance, real.distance)
    classes = int(max(real.label.max(), verdicts.recognised.max())) + 1
    shares = [np.bincount(label, minlength=classes) / len(label) for label in (real.label, verdicts.recognised)]
    return SeedNumbers(
        recognised=None if asked[0] < 0 else float((verdicts.recognised == asked).mean()),
        sure=float((verdicts.probability >= SURE).mean()),
        shares=0.5 * float(np.abs(shares[0] - shares[1]).sum()),
        frechet=frechet_distance(generated.embedding, real.test.embedding),
        precision=covered.precision,
        recall=covered.recall,
        distance=copied.ratio,
        copies=copied.copies,
        probe={name: auc.value for name, auc in probes(real.test, generated, seed).items()},
    )


SINGLE = ("sure", "shares", "frechet", "precision", "recall", "distance", "copies")
"""Numbers of SeedNumbers that every model has."""


def model_numbers(seeds: Sequence[SeedNumbers], floor: float, baseline: float | None) -> dict[str, Any]:
    """Return the means over the trainings of a model with their 95 % intervals, and the values of each.

    Args:
        seeds: the numbers of each training.
        floor: the distance between training images and test images.
        baseline: the mean distance of the baseline; None if there is none.

    """
    numbers = {name: with_seeds([getattr(one, name) for one in seeds]) for name in SINGLE}
    recognised = [one.recognised for one in seeds if one.recognised is not None]
    if recognised:
        numbers["recognised"] = with_seeds(recognised)
    distances = [one.frechet for one in seeds]
    numbers["to_floor"] = with_seeds([distance / floor for distance in distances])
    if baseline is not None:
        numbers["to_baseline"] = with_seeds([distance / baseline for distance in distances])
    return {**numbers, "probe": {name: with_seeds([one.probe[name] for one in seeds]) for name in seeds[0].probe}}


def with_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Return the mean of values with its 95 % interval, which one value does not have, and the values."""
    present = {key: value for key, value in spread(values).items() if value is not None}
    return {**present, "seeds": list(values)}
