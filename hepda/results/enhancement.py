"""metrics.json of speech enhancement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from hepda.results.metrics import ModelMetrics, RunMetrics
from hepda.results.record import Measured, Number, Record


class EnhancementModelMetrics(ModelMetrics):
    """models.<model> of enhancement; conditions are the ratios of the tests (`2.5 dB`) and `all` of them together."""

    quality: Mapping[str, Mapping[str, Measured]] = Field(default_factory=dict)
    """By metric and condition: the mean over test strings and seeds."""
    seeds: Mapping[str, list[Number]] = Field(default_factory=dict)
    """By metric: the mean over all test mixtures, of each seed."""
    gain: Mapping[str, Mapping[str, Measured]] = Field(default_factory=dict)
    """By metric and condition: the difference to the noisy recordings, paired by string."""
    failed: Mapping[str, int] = Field(default_factory=dict)
    """By metric: test mixtures and seeds for which it has no value; they are in no mean."""
    measured: int | None = None
    """Segments whose quality the training measured."""
    not_measured: int | None = None
    """Of these, segments for which the metric has no value; they were not learned from."""


class QualityDifference(Record):
    """comparison.<model>.<metric>.<condition>: the difference to the baseline."""

    difference: Measured
    paired: Literal["seeds", "strings"]
    """What is paired, and what the interval is of: seeds of two trained models, else test strings."""
    number: int
    """Pairs."""


class EnhancementMetrics(RunMetrics):
    """metrics.json of speech enhancement."""

    kind: Literal["enhancement"] | None = None
    metrics: list[str] = Field(default_factory=list)
    """The metrics, in the order of tables."""
    conditions: list[str] = Field(default_factory=list)
    """The ratios of the tests, and `all`."""
    strings: int | None = None
    """Test strings of each ratio."""
    baseline: str | None = None
    ideal_masks: list[str] = Field(default_factory=list)
    """Models that are made of the clean speech."""
    models: Mapping[str, EnhancementModelMetrics] = Field(default_factory=dict)
    comparison: Mapping[str, Mapping[str, Mapping[str, QualityDifference]]] = Field(default_factory=dict)
