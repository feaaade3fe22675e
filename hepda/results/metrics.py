"""What the metrics.json of every kind of data has in common: its head, and the training of each model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from hepda.results.record import Number, Record

SCHEMA = 1
"""Version of the format."""


class ModelTraining(Record):
    """models.<model>.training: all trainings of a model together."""

    seconds: Number | None = None
    cpu_seconds: Number | None = None
    """Of the processor, all threads; other work on the machine changes it little."""
    rows_per_second: Number | None = None
    epochs: Number | None = None
    """Mean over the trainings."""
    trainings: int | None = None


class FusionOfFold(Record):
    """models.<model>.fusion.folds: what a fusion of models learned for the rows of one fold, from the others."""

    events: int
    """Events or rows that it learned from; 0 if it learns nothing."""
    weights: Mapping[str, Number]
    """Of each model, on its logit; of calibrated probabilities their shares in the mean."""
    biases: Mapping[str, Number]
    """The constant that is added to the logit, by class."""


class FusionEntry(Record):
    """models.<model>.fusion: how the scores of several models become one."""

    method: str
    """`mean`, `isotonic` or `logistic`."""
    of: list[str]
    """The models."""
    folds: list[FusionOfFold]


class ModelMetrics(Record):
    """models.<model>: the numbers of one model."""

    title: str | None = None
    """Name of the model in tables; None: its name in the analysis file."""
    training: ModelTraining | None = None
    fusion: FusionEntry | None = None
    """Only of a fusion of models."""


class RunMetrics(Record):
    """metrics.json: the numbers of a run."""

    schema_: int | None = Field(None, alias="schema")
    name: str | None = None
    kind: str | None = None
    seed: int | None = None
    models: Mapping[str, ModelMetrics] = Field(default_factory=dict)

    @property
    def diagnostics(self) -> list[str]:
        """Return the warnings that follow from the numbers."""
        return []


def head(config: Any) -> dict[str, Any]:
    """Return the keys with which every metrics.json begins; `config` has a name, a kind and a seed."""
    return {"schema": SCHEMA, "name": config.name, "kind": config.kind, "seed": config.seed}
