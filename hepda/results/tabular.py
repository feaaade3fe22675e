"""metrics.json of tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from hepda.results.metrics import ModelMetrics, RunMetrics
from hepda.results.record import Measured, Number, Record


class DomainRowsEntry(Record):
    """samples.<domain>: the rows of one domain."""

    role: str
    """`source`, `target` or `held out`."""
    rows: int
    labelled: int
    sum_of_weights: Number
    classes: Mapping[str, int] = Field(default_factory=dict)
    """Labelled rows by class."""


class ScoreDistance(Record):
    """A distance of two distributions of a score."""

    value: Number | None = None
    null: Number | None = None
    """What two samples of one domain reach in 95 % of cases."""
    p_value: Number | None = None
    p_value_is_upper_limit: bool = False
    why: str | None = None


class ScoreDifference(Record):
    """models.<model>.difference.<domain>.<class>: the score of the class in the source and in the domain."""

    rows: str
    """Class of the rows that are compared, or `all`."""
    ks: ScoreDistance
    wasserstein: ScoreDistance


class TabularModel(ModelMetrics):
    """models.<model> of tables."""

    adapted: bool = False
    accuracy: Mapping[str, Measured] = Field(default_factory=dict)
    """By domain."""
    auc: Mapping[str, Measured] = Field(default_factory=dict)
    """By domain: the mean of those of the classes."""
    auc_difference: Mapping[str, Measured] = Field(default_factory=dict)
    """AUC minus that of the baseline on the same rows, by domain; of models that adapt."""
    auc_of_class: Mapping[str, Mapping[str, Measured]] = Field(default_factory=dict)
    """By domain with labels and class, each against the rest."""
    calibration_error: Mapping[str, Number] = Field(default_factory=dict)
    """By domain with labels."""
    difference: Mapping[str, Mapping[str, ScoreDifference]] = Field(default_factory=dict)
    """By domain other than the source, and class."""
    probe: Mapping[str, Mapping[str, Measured]] = Field(default_factory=dict)
    """By domain other than the source and what is read: AUC of newly trained classifiers of the domains."""


class TabularMetrics(RunMetrics):
    """metrics.json of tables."""

    kind: Literal["tabular"] | None = None
    baseline: str | None = None
    """The model without adaptation that the others are compared with; None if there is none."""
    classes: list[str] = Field(default_factory=list)
    features: list[str] = Field(default_factory=list)
    samples: Mapping[str, DomainRowsEntry] = Field(default_factory=dict)
    """By domain, the source first."""
    models: Mapping[str, TabularModel] = Field(default_factory=dict)
