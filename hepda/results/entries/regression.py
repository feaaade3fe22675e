"""Numbers of a model that predicts a number: dataclasses, and their entries in metrics.json.

The residual of an event is its prediction minus its target, in the units of the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import Field

from hepda.results.evaluation import BiasResult, FloatArray, Interval, ProbeResult
from hepda.results.record import Number, Record, Value


@dataclass(frozen=True, slots=True)
class ResidualNumbers:
    """How well a number is predicted, over all events with a target; None where it cannot be computed, with a `why`.

    bias: mean of the residual; resolution: half the width of the central 68.27 % of it; rmse: root of its mean square;
    correlation: Pearson's, of prediction and target; n_eff: effective number of events.
    """

    n_eff: float
    bias: Interval | None
    resolution: Interval | None
    rmse: Interval | None
    correlation: Interval | None
    why: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ResponseCurve:
    """Prediction and residual in bins of the target; NaN in bins with too few effective events.

    An event outside of the edges is in no bin.
    """

    edges: FloatArray  # [b + 1]
    target: FloatArray  # [b], mean of the target
    median: FloatArray  # [b], of the prediction
    low: FloatArray  # [b], and the ends of its central 68.27 %
    high: FloatArray  # [b]
    bias: FloatArray  # [b], with its bootstrap interval
    bias_low: FloatArray  # [b]
    bias_high: FloatArray  # [b]
    resolution: FloatArray  # [b], with its bootstrap interval
    resolution_low: FloatArray  # [b]
    resolution_high: FloatArray  # [b]
    n_eff: FloatArray  # [b]


@dataclass(slots=True)
class RegressionNumbers:
    """The numbers of one model that predicts a number; a text in place of one is the reason why there is none.

    domains: by domain with a target; prediction: differences of the prediction between the nominal domain and another
    one, data among them; residual: those of the residual, for domains with a target; probes: fresh classifiers of the
    domains by prediction and embedding, by other domain and class.
    """

    domains: dict[str, tuple[ResidualNumbers, ResponseCurve] | str] = field(default_factory=dict)
    prediction: dict[str, BiasResult | str] = field(default_factory=dict)
    residual: dict[str, BiasResult | str] = field(default_factory=dict)
    probes: dict[str, dict[str, tuple[ProbeResult, ...] | str]] = field(default_factory=dict)


class ResponseEntry(Record):
    """models.<model>.regression.domains.<domain>.bins: lists with one number for each bin of the target."""

    edges: list[Number]
    n_eff: list[Number] = Field(default_factory=list)
    median: list[Number | None] = Field(default_factory=list)
    """Of the prediction."""
    bias: list[Number | None] = Field(default_factory=list)
    bias_low: list[Number | None] = Field(default_factory=list)
    bias_high: list[Number | None] = Field(default_factory=list)
    resolution: list[Number | None] = Field(default_factory=list)
    resolution_low: list[Number | None] = Field(default_factory=list)
    resolution_high: list[Number | None] = Field(default_factory=list)
    why: str | None = None


class ResidualEntry(Record):
    """models.<model>.regression.domains.<domain>: in the units of the target, on test events."""

    n_eff: Number | None = None
    bias: Value = None
    """Mean of prediction minus target."""
    resolution: Value = None
    """Half the width of the central 68.27 % of prediction minus target."""
    rmse: Value = None
    """Root of the mean square of prediction minus target."""
    correlation: Value = None
    """Pearson's, of prediction and target."""
    bins: ResponseEntry | None = None
    why: str | None = None


class DifferenceEntry(Record):
    """models.<model>.regression.prediction.<source>:<other>, and .residual: how two domains differ."""

    ks: Value = None
    ks_error: Number | None = None
    """One standard deviation, from sumw2 of both domains."""
    ks_null: Value = None
    """What two parts of one generator reach."""
    wasserstein: Value = None
    """In the units of the target."""
    chi2_ndf: Value = None
    jensen_shannon: Value = None
    energy: Value = None
    p_value: Value = None
    """Of the KS, by permutation."""
    p_value_is_upper_limit: bool = False
    n_eff: Mapping[str, Number | None] = Field(default_factory=dict)
    why: str | None = None


class RegressionEntry(Record):
    """models.<model>.regression: a model that predicts a number instead of classes."""

    target: str
    """The expression of the analysis file."""
    label: str | None = None
    unit: str | None = None
    loss: str | None = None
    domains: Mapping[str, ResidualEntry] = Field(default_factory=dict)
    prediction: Mapping[str, DifferenceEntry] = Field(default_factory=dict)
    residual: Mapping[str, DifferenceEntry] = Field(default_factory=dict)
    left_out: str | None = None
    """What the model is not part of, and why."""

    @property
    def name(self) -> str:
        """Return the name of the target with its unit in brackets, without mathematics, which a page cannot show."""
        return self._with_unit(self.target if self.label is None or "$" in self.label else self.label)

    @property
    def title(self) -> str:
        """Return the name of the target in figures and in LaTeX, with its unit in brackets."""
        return self._with_unit(self.label or self.target)

    def _with_unit(self, name: str) -> str:
        return f"{name} [{self.unit}]" if self.unit else name
