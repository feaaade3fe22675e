"""metrics.json of speech."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from hepda.results.metrics import ModelMetrics, RunMetrics
from hepda.results.record import Measured, Number, Record


class Recognition(Measured):
    """models.<model>.probe.<what> and .head.<what>: accuracy of a classifier, and that of a random choice."""

    chance: Number | None = None


class TranscriptRound(Record):
    """models.<model>.transcripts: one round of self-training."""

    share: Measured
    right: Measured


class SpeechModel(ModelMetrics):
    """models.<model> of speech; mappings are by condition unless stated otherwise."""

    word_error_rate: Mapping[str, Measured]
    frame_accuracy: Mapping[str, Measured]
    seeds: Mapping[str, list[Number]] = Field(default_factory=dict)
    """Word error rate of each seed."""
    speakers: Mapping[str, Mapping[str, Number]] = Field(default_factory=dict)
    """By speaker and condition."""
    validation: Measured
    noises: int
    """Types of noise in the training."""
    probe: Mapping[str, Recognition] = Field(default_factory=dict)
    """By the classified quantity: noise, pair or room."""
    transcripts: list[TranscriptRound] = Field(default_factory=list)
    head: Mapping[str, Recognition] = Field(default_factory=dict)
    """By the classified quantity."""


class PairedDifference(Record):
    """comparison.<model>.<condition>: the difference to the baseline, paired by seed."""

    difference: Measured
    relative: Number | None = None
    worse: int
    seeds: int
    gap_closed: Number | None = None


class SpeechMetrics(RunMetrics):
    """metrics.json of speech."""

    kind: Literal["speech"] | None = None
    split: str | None = None
    quoted: list[str] = Field(default_factory=list)
    """The conditions in tables."""
    baseline: str | None = None
    chosen: str | None = None
    """The model with the fewest word errors on validation recordings, of those that reverse a domain head."""
    models: Mapping[str, SpeechModel] = Field(default_factory=dict)
    comparison: Mapping[str, Mapping[str, PairedDifference]] = Field(default_factory=dict)
