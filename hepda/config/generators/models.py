"""The generative models of an analysis file, and how they are trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hepda.config.models import TrainingConfig
from hepda.config.section import Count, Epochs, Fraction, Positive, Section

Weight = Annotated[float, Field(ge=0.0)]


class GeneratorTrainingConfig(TrainingConfig):
    """As for events, in passes over the rows that are generated from; the weights are those of the last epoch."""

    epochs: Epochs = 20
    """Passes over the training rows."""
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 64
    """Rows of a step."""
    optimizer: Literal["adamw", "adam", "nadam", "sgd", "rmsprop"] = "adam"
    """The algorithm that changes the weights of the networks at each step."""
    learning_rate: Positive = 1.0e-3
    """Learning rate at the maximum of the schedule."""
    weight_decay: Weight = 0.0
    """Decay of the weights towards zero at each step."""
    momentum: Fraction | None = None
    """Momentum of the optimizer (Adam's first beta); null: 0.5 of both networks of a GAN, as published for DCGAN, and
    0.9 of any other."""
    schedule: Literal["constant", "one-cycle", "cosine", "ganin"] = "cosine"
    """Course of the learning rate over the run."""
    patience: Count | None = None
    """Not used: all epochs are trained."""
    average: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.995
    """Decay of the moving average of the weights of a generating network, which it has at the end; 0 is off."""
    clip: Weight = 0.0
    """Largest norm of a gradient; 0: no limit."""


class MixtureConfig(Section):
    """A mixture of normal distributions by expectation maximisation (scikit-learn), of each class by itself; the
    baseline of every other model, and a model of its own.
    """

    kind: Literal["mixture"]
    """The kind of model: a mixture of normal distributions."""
    title: str | None = None
    """Its name in tables; null: its key."""
    conditional: bool = True
    """Whether every class has its own mixture, so that a class can be asked for."""
    components: Annotated[int, Field(ge=1, le=1000)] = 20
    """Normal distributions of each class."""
    covariance: Literal["full", "diag", "spherical"] = "full"
    """Their covariances: any, without correlations, or one width in all directions."""
    dimensions: Annotated[int, Field(ge=1, le=4096)] | None = 40
    """Principal components of the rows that the mixture describes; null: the rows themselves."""
    floor: Positive = 1.0e-3
    """Smallest share of the mean variance that a direction keeps: a component of few rows would have none."""
    iterations: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Steps of the expectation maximisation at most."""


class GanConfig(Section):
    """A generator against a discriminator of strided convolutions (DCGAN, arXiv:1511.06434)."""

    kind: Literal["gan"]
    """The kind of model: a generator and a discriminator."""
    title: str | None = None
    """Its name in tables; null: its key."""
    conditional: bool = False
    """Whether both networks know the class (arXiv:1411.1784), the discriminator by projection (arXiv:1802.05637), so
    that a class can be asked for."""
    latent: Annotated[int, Field(ge=1, le=4096)] = 64
    """Random numbers that an image is made of."""
    width: Annotated[int, Field(ge=1, le=1024)] = 32
    """Channels at half the size of the images; at a quarter of the size there are twice as many."""
    mapping: Annotated[int, Field(ge=0, le=16)] = 0
    """Layers of a network that makes a style of the random numbers, which scales and shifts every layer of the
    generator (arXiv:1812.04948); 0: the random numbers are its input."""
    loss: Literal["least_squares", "non_saturating", "wasserstein"] = "least_squares"
    """Least squares (arXiv:1611.04076), cross entropy with the generator's -log D (arXiv:1406.2661), or the difference
    of means (arXiv:1701.07875)."""
    penalty: Weight | None = None
    """Weight of the penalty on the discriminator's gradient between real and generated rows (arXiv:1704.00028); null:
    10 with the loss `wasserstein`, else 0."""
    spectral_norm: bool = True
    """Divide each weight matrix of the discriminator by its largest singular value (arXiv:1802.05957)."""
    steps: Count = 1
    """Steps of the discriminator for each step of the generator."""
    training: GeneratorTrainingConfig = GeneratorTrainingConfig()
    """Overrides of the analysis's `training:`; after loading, the complete section."""

    @property
    def penalty_weight(self) -> float:
        """The weight of the gradient penalty."""
        if self.penalty is not None:
            return self.penalty
        return 10.0 if self.loss == "wasserstein" else 0.0


class DiffusionConfig(Section):
    """A network that takes noise away from an image step by step (DDPM, arXiv:2006.11239): a small U-Net."""

    kind: Literal["diffusion"]
    """The kind of model: diffusion."""
    title: str | None = None
    """Its name in tables; null: its key."""
    conditional: bool = True
    """Whether the network is told the class, so that a class can be asked for."""
    width: Annotated[int, Field(ge=8, le=1024, multiple_of=8)] = 32
    """Channels at the full size of the images; at half and a quarter of it there are twice as many."""
    schedule: Literal["cosine", "linear", "sigmoid"] = "cosine"
    """How noise is added with time (arXiv:2102.09672, arXiv:2011.13456, arXiv:2212.11972)."""
    unlabelled: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Share of the images whose class is left out in the training, as guidance needs it (arXiv:2207.12598)."""
    guidance: Annotated[float, Field(ge=0.0, le=100.0)] = 1.0
    """Strength of the class: 1 is the network that is told it, 0 the one that is not, more exaggerates the class."""
    steps: Annotated[int, Field(ge=1, le=10_000)] = 50
    """Steps from noise to an image; each takes as long as the network needs for one image."""
    fresh: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    """Share of fresh noise in a step: 1 as published for DDPM, 0 for none (DDIM, arXiv:2010.02502)."""
    training: GeneratorTrainingConfig = GeneratorTrainingConfig()
    """Overrides of the analysis's `training:`; after loading, the complete section."""


GeneratorModel = Annotated[MixtureConfig | GanConfig | DiffusionConfig, Field(discriminator="kind")]
"""A generative model; `kind` says which."""
