"""metrics.json of a refinement of simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from hepda.results.metrics import ModelMetrics, RunMetrics
from hepda.results.record import Measured, Number, Record


class BiasPart(Record):
    """models.<model>.pairs.<pair>.origins[]: what a difference between templates and target adds to mu - 1."""

    process: Literal["signal", "background"]
    part: Literal["rate", "shape"]
    bias: Measured
    """Its part; the error is that of the finite target."""


class JudgedPair(Record):
    """models.<model>.pairs.<pair>: a refined simulation against its target, on events that nothing was learned from."""

    probe: Measured
    """AUC of a fresh classifier that tells the refined simulation from the target by the features."""
    n_eff: Number
    """Effective number of the selected events with the factors of the model, over that without them."""
    yield_ratio: Number
    """Yield of the refined background in the selection over that of the target."""
    events: int
    """Selected events of the refined background."""
    mu: Measured | None = None
    """Signal strength that a fit with templates of the refined simulation finds in the target, where it is 1; its error
    is that of the finite simulation on both sides."""
    fit_error: Number | None = None
    """Error of this fit for data of the luminosity of the analysis."""
    origins: Sequence[BiasPart] = ()
    """Where mu - 1 comes from; the parts add up to it nearly."""


class RefinementModelMetrics(ModelMetrics):
    """models.<model> of a refinement."""

    pairs: Mapping[str, JudgedPair] = Field(default_factory=dict)
    """By pair: `learn`, and those of `judge`."""


class PairAbout(Record):
    """pairs.<pair>: its samples, and what a probe finds where there is no difference."""

    source: str
    target: str
    signal: str | None = None
    null: Measured
    """AUC of the same probe after the events of simulation and target are mixed and dealt anew."""


class RefinementMetrics(RunMetrics):
    """metrics.json of a refinement."""

    kind: Literal["refinement"] | None = None
    baseline: str | None = None
    features: list[str] = Field(default_factory=list)
    pairs: Mapping[str, PairAbout] = Field(default_factory=dict)
    models: Mapping[str, RefinementModelMetrics] = Field(default_factory=dict)
