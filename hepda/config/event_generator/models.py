"""The generative models of events, and how they are trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hepda.config.generators.models import GeneratorTrainingConfig
from hepda.config.section import Count, Epochs, Positive, Section


class EventTrainingConfig(GeneratorTrainingConfig):
    """As for images; an epoch has `turns` steps."""

    epochs: Epochs = 10
    """Epochs, after each of which a checkpoint is written."""
    turns: Count = 500
    """Steps of an epoch; events are drawn in proportion to their weights."""
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 256
    """Events of a step."""
    learning_rate: Positive = 2.0e-3
    """Learning rate at the maximum of the schedule."""
    average: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.998
    """Decay of the moving average of the weights of a generating network, which it has at the end; 0 is off."""
    clip: Annotated[float, Field(ge=0.0)] = 1.0
    """Largest norm of a gradient; 0: no limit."""


class DialWeightsConfig(Section):
    """Events of generator A with factors (p_B / p_A)^s on their weights, of a density ratio of all
    features: the baseline.
    """

    kind: Literal["weights"]
    """The kind of model: factors on weights."""
    title: str | None = None
    """Its name in tables; null: its key."""


class FlowConfig(Section):
    """A network whose velocity carries noise into events (flow matching, arXiv:2210.02747), told process, class of
    flavour and generator. Guidance s makes of its velocities v_A + s (v_B - v_A).
    """

    kind: Literal["flow"]
    """The kind of model: a flow."""
    title: str | None = None
    """Its name in tables; null: its key."""
    start: Literal["noise", "events"] = "events"
    """What is carried to s: `noise`, or the `events` of generator A, which its own velocity first carries back to noise
    (arXiv:2203.08382): at s = 0 they return."""
    of: str | None = None
    """Another flow whose network this model has, so that it is not trained; null: its own."""
    left: Literal["structure", "features"] = "structure"
    """What factors on the weights, to the power of s, bring to B: the `structure` of events, which is not drawn, or all
    `features` of events that are carried to s = 1, so also what the network leaves."""
    width: Annotated[int, Field(ge=8, le=4096, multiple_of=2)] = 128
    """Width of its layers."""
    blocks: Annotated[int, Field(ge=1, le=50)] = 3
    """Its residual blocks."""
    unlabelled: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Share of the labels that are left out in the training, each by itself (arXiv:2207.12598)."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 8
    """Steps of the second order from noise to events, two evaluations of the network each."""
    training: EventTrainingConfig = EventTrainingConfig()
    """Overrides of the analysis's `training:`; after loading, the complete section."""


EventGeneratorModel = Annotated[DialWeightsConfig | FlowConfig, Field(discriminator="kind")]
"""A generative model of events."""
