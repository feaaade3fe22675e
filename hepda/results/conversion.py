"""metrics.json of environment conversion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from hepda.results.metrics import ModelMetrics, RunMetrics
from hepda.results.record import Measured, Number, Record


class ConversionQuality(Record):
    """models.<model>.seen and .unseen: conversions to effects of the training, and to those that are in none."""

    judged: Measured
    """Share of conversions that an independent classifier takes for the wanted effect."""
    distance: Measured
    """Distance of log-mel frames to the true conversion, over that of the source."""
    word_errors: Measured
    """Share of words that an independent classifier does not recognise."""
    speaker: Measured
    """Share of conversions in which an independent classifier recognises the speaker."""


class ContentProbe(Measured):
    """models.<model>.probe: accuracy of a fresh classifier of the effect on the content; that of a random choice."""

    chance: Number | None = None


class ConversionModelMetrics(ModelMetrics):
    """models.<model> of conversion."""

    seen: ConversionQuality
    unseen: ConversionQuality | None = None
    effects: Mapping[str, ConversionQuality] = Field(default_factory=dict)
    """By wanted effect."""
    seeds: Mapping[str, list[Number]] = Field(default_factory=dict)
    """By the name of a quality: conversions to effects of the training, of each seed."""
    probe: ContentProbe | None = None


class ConversionDifference(Record):
    """comparison.<model>.<quality>: the difference to the baseline, for conversions to effects of the training."""

    difference: Measured
    paired: Literal["seeds", "strings"]
    """What is paired, and what the interval is of: seeds of two trained models, else test strings."""
    number: int
    """Pairs."""


class ConversionMetrics(RunMetrics):
    """metrics.json of environment conversion."""

    kind: Literal["conversion"] | None = None
    effects: list[str] = Field(default_factory=list)
    unseen: list[str] = Field(default_factory=list)
    """Effects that are in no training."""
    strings: int | None = None
    baseline: str | None = None
    models: Mapping[str, ConversionModelMetrics] = Field(default_factory=dict)
    comparison: Mapping[str, Mapping[str, ConversionDifference]] = Field(default_factory=dict)
