"""metrics.json of generative models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from hepda.results.metrics import ModelMetrics, RunMetrics
from hepda.results.record import Measured, Number, Record


class SeedValues(Measured):
    """A number of several trainings: the mean with its 95 % interval (none for one training), and each value."""

    seeds: list[Number] = Field(default_factory=list)


class GeneratorRows(Record):
    """samples: how many images there are for what."""

    data: str
    classes: int
    size: int
    channels: int
    train: int
    """Images that the models are fitted to."""
    judge: int
    """Images that the network that recognises is trained on."""
    test: int
    """Images that are compared with generated ones; each training generates as many."""


class RealImages(Record):
    """real: the accuracy of the network that recognises, and what training images get in place of generated ones."""

    accuracy: Measured
    """On the test images, with its 68 % interval."""
    sure: Number
    """Share of the test images of whose class it is sure (probability of 0.9 or more)."""
    frechet: Number
    """Distance between training and test images: the floor."""
    precision: Number
    recall: Number
    distance: Number
    """Median distance of test images to the nearest training image, of pixels from 0 to 1."""
    probe: Mapping[str, Measured]
    """AUC of new classifiers between training and test images, with 68 % intervals: what no difference looks like."""


class GeneratorModelMetrics(ModelMetrics):
    """models.<model> of generative models."""

    kind: str
    conditional: bool
    recognised: SeedValues | None = None
    """Share of the images that get the class that was asked for; only of a conditional model."""
    sure: SeedValues
    """Share of the images of whose class the network is sure."""
    shares: SeedValues
    """Half of the sum of absolute differences between the shares of recognised classes and those of the test images."""
    frechet: SeedValues
    """Frechet distance to the test images, in the squared unit of the embedding."""
    to_floor: SeedValues
    """The same, in units of that between training and test images."""
    to_baseline: SeedValues | None = None
    """The same, in units of that of the baseline."""
    precision: SeedValues
    recall: SeedValues
    distance: SeedValues
    """Median distance to the nearest training image, in units of that of the test images."""
    copies: SeedValues
    """Share of the images nearer to a training image than 1 % of the test images."""
    probe: Mapping[str, SeedValues]
    """AUC of new classifiers between generated and test images, by what they see."""


class GeneratorMetrics(RunMetrics):
    """metrics.json of generative models."""

    kind: Literal["generator"] | None = None
    samples: GeneratorRows | None = None
    baseline: str | None = None
    real: RealImages | None = None
    models: Mapping[str, GeneratorModelMetrics] = Field(default_factory=dict)
