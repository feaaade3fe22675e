"""metrics.json of generative models of events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from hepda.results.metrics import ModelMetrics, RunMetrics
from hepda.results.record import Measured, Number, Record


class ClassifierAlong(Record):
    """models.<model>.points[].classifiers.<classifier>: what a classifier makes of generated events at s."""

    efficiency: Measured
    """Background efficiency at the working point over that in generator A, less 1, with its 68 % interval."""
    mu: Measured | None = None
    """Signal strength that templates of generator A find in what is generated, where it is 1; its error is that of the
    finite samples."""


class DialPoint(Record):
    """models.<model>.points[]: what is generated at one s, on events of folds that its flow has not seen."""

    scale: Number
    """s of the guidance: 0 is generator A, 1 is generator B."""
    extrapolation: bool
    """Whether s is outside 0 to 1."""
    events: int
    """Selected events of the background."""
    n_eff: Number
    """Effective number of these events over that without the factors of the dial."""
    yield_: Number = Field(alias="yield")
    """Yield of the background in the selection."""
    probe_origin: Measured
    """AUC of a fresh classifier that tells the background from generator A by the features, mean over the folds."""
    probe_target: Measured
    """The same against generator B."""
    classifiers: Mapping[str, ClassifierAlong] = Field(default_factory=dict)


class EventGeneratorModelMetrics(ModelMetrics):
    """models.<model> of generative models of events."""

    start: str | None = None
    """What is carried: noise, or events of generator A."""
    points: list[DialPoint] = Field(default_factory=list)
    null: Measured | None = None
    """AUC of the probe where there is no difference: events at s = 1 and of generator B mixed and dealt anew."""
    monotonic: bool | None = None
    """Whether from s = 0 to 1 the AUC against A never falls and that against B never rises by more than both errors."""


class RealGenerators(Record):
    """real: generator A against B without any model."""

    probe: Measured
    """AUC of the probe."""
    yields: Mapping[str, Number]
    """Of the background of each generator, `origin` and `target`."""
    classifiers: Mapping[str, ClassifierAlong] = Field(default_factory=dict)
    """Of the events of generator B."""


class EventGeneratorMetrics(RunMetrics):
    """metrics.json of generative models of events."""

    kind: Literal["generator"] | None = None
    origin: str | None = None
    """Sample of the background of generator A."""
    target: str | None = None
    features: list[str] = Field(default_factory=list)
    real: RealGenerators | None = None
    models: Mapping[str, EventGeneratorModelMetrics] = Field(default_factory=dict)
