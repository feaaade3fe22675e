"""From values of the varied keys to configs: a point is what one set of values makes of one model.

A unit is a point with one seed. What it trains is named by what can change its result (`identity`), so two points
that train the same share their trainings, and a scan that goes on with more values or seeds trains only those.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepda import __version__
from hepda.config import AnalysisConfig, NetworkConfig, load_config
from hepda.config.scan import Vary, grid, left_out, method_key, overrides, strength_key
from hepda.events.table.fingerprint import name_of
from hepda.events.training.jobs import EventJob, jobs_of

if TYPE_CHECKING:
    from hepda.events.table.feature_table import FeatureTable


@dataclass(frozen=True, slots=True)
class Point:
    """One model with one set of values. `config` has the scanned models alone, at the seed of the analysis."""

    model: str
    values: Mapping[str, Any]  # by varied key, the method's among them
    config: AnalysisConfig

    @property
    def method(self) -> str:
        """The method of the domain section; "" where it has none."""
        return str(self.values.get(method_key(self.model)) or method_of(self.config, self.model))

    @property
    def name(self) -> str:
        """How messages and tables call the point."""
        told = ", ".join(f"{short(key)} {plain(value)}" for key, value in self.values.items())
        return f"{self.model}: {told}" if told else self.model

    def at_seed(self, number: int) -> AnalysisConfig:
        """The config of the `number`-th seed (0: the analysis's own); the split of the events stays."""
        section = self.config.models[self.model]
        models = dict(self.config.models)
        if isinstance(section, NetworkConfig) and section.training.seed is not None:
            training = section.training.model_copy(update={"seed": section.training.seed + number})
            models[self.model] = section.model_copy(update={"training": training})
        return self.config.model_copy(update={"seed": self.config.seed + number, "models": models})


@dataclass(frozen=True, slots=True)
class ScanTrial:
    """A point at one seed: what it trains, on which table, and the folder where that is kept."""

    model: str
    config: AnalysisConfig
    table: Path
    folder: Path
    device: str = "auto"
    jobs: tuple[EventJob, ...] = field(default=(), compare=False)

    @property
    def seed(self) -> int:
        """The seed that it trains with."""
        return self.config.seed_for(self.model)


def short(key: str) -> str:
    """A key without the sections that the reader knows: `strength` of models.dann.domain.strength."""
    return key.rpartition(".")[2]


def plain(value: Any) -> str:
    """A value as figures and tables write it."""
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def method_of(config: AnalysisConfig, model: str) -> str:
    """The method that a model's domain section names; "" without one."""
    section = config.models[model]
    domain = section.domain if isinstance(section, NetworkConfig) else None
    return "" if domain is None else domain.method_name


def is_plain(config: AnalysisConfig, model: str) -> bool:
    """Whether no domain loss adapts the model: it has none, its method is `none`, or its strength 0."""
    section = config.models[model]
    domain = section.domain if isinstance(section, NetworkConfig) else None
    return domain is None or domain.strength == 0.0 or domain.method_name == "none"


@dataclass(frozen=True, slots=True)
class ScanSource:
    """The analysis file by name, with its overrides, and the models of it that are scanned."""

    name: str
    overrides: tuple[str, ...]
    models: tuple[str, ...]
    base: AnalysisConfig

    def config(self, values: Mapping[str, Any] | None = None) -> AnalysisConfig:
        """The config with values by key on top, and only the scanned models.

        Where a value is a method, keys of the base's domain section that it does not read are left out.

        Raises:
            ConfigError: the config refuses a value.

        """
        told = dict(values or {})
        for model in self.models:
            if method_key(model) in told:
                told = left_out(self.base, model, told[method_key(model)]) | told
        config = load_config(self.name, [*self.overrides, *overrides(told)])
        return config.model_copy(update={"models": {model: config.models[model] for model in self.models}})

    def point(self, model: str, values: Mapping[str, Any]) -> Point:
        """The point of a model with these values. Raises ConfigError as `config`."""
        return Point(model, dict(values), self.config(values))

    def grid(self, varied: Sequence[Vary], methods: Sequence[str]) -> list[Point]:
        """Every point of a grid, model by model. Raises ConfigError as `config`."""
        return [self.point(model, values) for model in self.models for values in grid(varied, model, methods)]


_TRAINING_FREE = ("name", "luminosity_label", "plots", "evaluation", "training", "systematics")


def checksum(table: FeatureTable, model: str | None = None) -> int:
    """A number that changes with any event, weight or role of an event in the table.

    model: only what it trains on counts, not the roles that events have for other models of the same scan.
    """
    found = zlib.crc32(json.dumps([table.names, table.sample_names, table.domain_names]).encode())
    rows = (table.key, table.features, table.weight, table.label, table.domain, table.sample, table.fold)
    own = [
        values
        for name, values in table.columns.items()
        if model is None or not name.startswith("domain:") or name.startswith(f"domain:{model}:")
    ]
    for column in (*rows, table.validation, *own):
        found = zlib.crc32(np.ascontiguousarray(column).data.cast("B"), found)
    return found


def training_part(config: AnalysisConfig) -> dict[str, Any]:
    """What of a config can change a training, besides the events: for names, and to tell two scans apart."""
    told = _without(config.model_dump(mode="json", by_alias=True), _TRAINING_FREE)
    for sample in told["samples"].values():
        for key in ("files", "label", "color", "truth"):
            sample.pop(key, None)
    for section in told["models"].values():
        (section.get("training") or {}).pop("processes", None)
    return told


def identity(config: AnalysisConfig, model: str, events: int) -> str:
    """A name of all that a unit trains. events: the `checksum` of its table for the model."""
    told = training_part(config)
    told["seed"] = config.seed_for(model)
    section = told["models"][model]
    told["models"] = {model: section}
    (section.get("training") or {}).pop("seed", None)
    if section.get("domain") and is_plain(config, model):
        # At strength 0 every method is the plain network, but for rounding: it is trained once.
        section["domain"] = None
    return name_of([told, model, events, __version__])


def make_unit(
    point: Point, number: int, table: Path, events: int, trainings: Path, device: str, kernels: str = "auto"
) -> ScanTrial:
    """The unit of a point at its `number`-th seed; `events` is the checksum of `table` for its model."""
    config = point.at_seed(number)
    folder = trainings / identity(config, point.model, events)
    jobs = [job for job in jobs_of(config, table, folder, folder, device) if job.model == point.model]
    if kernels != "auto":
        jobs = [replace(job, kernels=kernels) for job in jobs]
    return ScanTrial(point.model, config, table, folder, device, tuple(jobs))


def along(points: Sequence[Point]) -> str | None:
    """The key along which the curves of a model's points are drawn: its strength, or the first key with numbers."""
    keys = list(dict.fromkeys(key for point in points for key in point.values))
    numeric = [key for key in keys if all(_is_number(p.values[key]) for p in points if key in p.values)]
    strengths = [strength_key(point.model) for point in points if strength_key(point.model) in numeric]
    return next(iter([*strengths, *numeric]), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _without(mapping: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}
