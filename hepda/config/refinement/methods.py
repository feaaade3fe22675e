"""The methods of a refinement: nothing, weights, quantiles, and a network that changes the objects."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hepda.config.models import RatioConfig, TrainingConfig
from hepda.config.section import Count, Epochs, Fraction, Name, Positive, Section, Widths


class UnchangedConfig(Section):
    """The simulation as it is."""

    kind: Literal["unchanged"]
    """The kind of model: nothing is changed."""
    title: str | None = None
    """Its name in tables; null: its key."""


class WeightsConfig(RatioConfig):
    """Factors on the weights of a simulation for what is left of its difference from the target, by trees on other
    events (density ratios).
    """

    kind: Literal["weights"]
    """The kind of model: reweighting."""
    title: str | None = None
    """Its name in tables; null: its key."""
    of: Name
    """The model whose events are reweighted; one of `kind: unchanged` for reweighting alone."""


class QuantilesConfig(Section):
    """Each number alone is moved to the quantile of the target where it is in the simulation (quantile morphing)."""

    kind: Literal["quantiles"]
    """The kind of model: quantile morphing."""
    title: str | None = None
    """Its name in tables; null: its key."""
    of: Literal["features", "objects"] = "objects"
    """What is moved: each feature, or pt and mass of jets in each tag bin with missing momentum after them."""
    points: Annotated[int, Field(ge=3, le=100_000)] = 200
    """Quantiles between which the map is linear."""


class RefinementTrainingConfig(TrainingConfig):
    """How a response is trained, in steps on events drawn by the size of their weights."""

    epochs: Epochs = 16
    """Number of epochs."""
    turns: Count = 25
    """Steps of an epoch."""
    batch_size: Annotated[int, Field(ge=16, le=2**24)] = 2048
    """Events of a step."""
    optimizer: Literal["adamw", "adam", "nadam", "sgd", "rmsprop"] = "adam"
    """The optimizer."""
    learning_rate: Positive = 1.5e-3
    """Learning rate at the maximum of the schedule."""
    patience: Count | None = None
    """Not used: all epochs are trained."""
    memory: Fraction = 0.9
    """Share of the past in the running mean of the difference to the target."""


class ResidualConfig(Section):
    """A response of each jet, close to no change: scale and additional width of pt, mass, and moves of the tag; trained
    until the objects have the means of the target in some hundred statistics, after threshold and selection.
    """

    kind: Literal["residual"]
    """The kind of model: a residual network of the response."""
    title: str | None = None
    """Its name in tables; null: its key."""
    hidden: Widths = (16, 16)
    """Widths of the hidden layers."""
    training: RefinementTrainingConfig = RefinementTrainingConfig()
    """Overrides of the analysis's `training:`; after loading, the complete section."""


MethodModel = Annotated[UnchangedConfig | WeightsConfig | QuantilesConfig | ResidualConfig, Field(discriminator="kind")]
