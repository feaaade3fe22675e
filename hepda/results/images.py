"""metrics.json of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from hepda.results.entries.few_shot import FewShotEntry
from hepda.results.metrics import ModelMetrics, RunMetrics
from hepda.results.record import Measured, Number, Record


class ImageSamples(Record):
    """samples.<side>: the images of one side."""

    data: str
    domain: str | None = None
    train: int
    labelled: int | None = None
    """Training images that have labels in each training, where these are not all."""
    test: int
    classes: int
    remarks: list[str] = Field(default_factory=list)


class EvaluationProtocol(Record):
    """protocol: how the numbers were obtained."""

    epoch: str
    target_labels: str
    trainings_per_model: int
    test: str


class AccuracyEntry(Measured):
    """models.<model>.accuracy.<side>: the mean of the trainings with its 68 % interval, and each training."""

    spread: Number | None = None
    spread_why: str | None = None
    seeds: list[Number] = Field(default_factory=list)


class GapClosed(Measured):
    """models.<model>.gap_closed: the closed part of the gap, and the two models that define the gap."""

    plain: str | None = None
    ceiling: str | None = None


class ImageModel(ModelMetrics):
    """models.<model> of images."""

    method: str | None = None
    knows: list[str] = Field(default_factory=list)
    accuracy: Mapping[str, AccuracyEntry]
    recall: Mapping[str, list[Number]] = Field(default_factory=dict)
    gap_closed: GapClosed = GapClosed()
    few_shot: Mapping[str, Mapping[str, FewShotEntry]] = Field(default_factory=dict)
    """By domain and number of labelled examples of each class; only of a network, with `few_shot`."""


class PublishedNumber(Record):
    """published: an accuracy from the literature."""

    method: str
    accuracy: Number
    by: str
    model: str | None = None


class ImageMetrics(RunMetrics):
    """metrics.json of images."""

    kind: Literal["images"] | None = None
    samples: Mapping[str, ImageSamples] = Field(default_factory=dict)
    protocol: EvaluationProtocol | None = None
    models: Mapping[str, ImageModel] = Field(default_factory=dict)
    published: list[PublishedNumber] = Field(default_factory=list)
