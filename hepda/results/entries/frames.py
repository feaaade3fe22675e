"""metrics.json of frame prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from hepda.results.entries.generators import SeedValues
from hepda.results.metrics import ModelMetrics, RunMetrics
from hepda.results.record import Measured, Record


class FrameSequencesEntry(Record):
    """samples: how many sequences there are, and of what."""

    data: str
    train: int
    test: int
    train_images: int
    """Different images that the sequences to train on are drawn of."""
    test_images: int
    inputs: int
    """Frames that are given."""
    size: int
    """Rows and columns of a frame."""


class FramesModelMetrics(ModelMetrics):
    """models.<model> of frame prediction."""

    kind: str
    quality: Mapping[str, SeedValues] = Field(default_factory=dict)
    """By metric: the mean over the test sequences."""


class FramesDifference(Record):
    """comparison.<model>.<other>.<metric>: model minus other."""

    difference: Measured
    paired: Literal["seeds", "sequences"]
    """What is paired, and what the 95 % interval is of: seeds of two trained models, else test sequences."""
    number: int
    """Pairs."""


class FramesMetrics(RunMetrics):
    """metrics.json of frame prediction."""

    kind: Literal["frames"] | None = None
    metrics: list[str] = Field(default_factory=list)
    """The metrics, in the order of tables."""
    samples: FrameSequencesEntry | None = None
    models: Mapping[str, FramesModelMetrics] = Field(default_factory=dict)
    comparison: Mapping[str, Mapping[str, Mapping[str, FramesDifference]]] = Field(default_factory=dict)
    """Of each model to those above it in the analysis file."""
