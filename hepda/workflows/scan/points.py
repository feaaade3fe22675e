"""From values of the varied keys to configs: a point is one model with one set of values.

A trial is a point with one seed. Its trainings are named by what can change their result (`trial_fingerprint`), so two
points with the same trainings share them, and a scan that continues with more values or seeds trains only the new ones.
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
from hepda.events.resolve import model_specs
from hepda.events.specs import IDENTIFIER
from hepda.events.table.fingerprint import name_of
from hepda.events.training.jobs import EventJob, jobs_of

if TYPE_CHECKING:
    from hepda.events.table.feature_table import FeatureTable


@dataclass(frozen=True, slots=True)
class Point:
    """One model with one set of values. `config` has only the scanned models, at the seed of the analysis."""

    model: str
    values: Mapping[str, Any]  # by varied key, the method's among them
    config: AnalysisConfig

    @property
    def method(self) -> str:
        """The method of the domain section; "" if there is none."""
        return str(self.values.get(method_key(self.model)) or method_of(self.config, self.model))

    @property
    def name(self) -> str:
        """The name of the point in messages and tables."""
        values = ", ".join(f"{short(key)} {value_text(value)}" for key, value in self.values.items())
        return f"{self.model}: {values}" if values else self.model

    def at_seed(self, number: int) -> AnalysisConfig:
        """Return the config of the `number`-th seed (0: that of the analysis); the split of the events is the same."""
        section = self.config.models[self.model]
        models = dict(self.config.models)
        if isinstance(section, NetworkConfig) and section.training.seed is not None:
            training = section.training.model_copy(update={"seed": section.training.seed + number})
            models[self.model] = section.model_copy(update={"training": training})
        return self.config.model_copy(update={"seed": self.config.seed + number, "models": models})


@dataclass(frozen=True, slots=True)
class ScanTrial:
    """A point at one seed: its trainings, their table, and the folder where they are kept."""

    model: str
    config: AnalysisConfig
    table: Path
    folder: Path
    device: str = "auto"
    jobs: tuple[EventJob, ...] = field(default=(), compare=False)

    @property
    def seed(self) -> int:
        """The seed of its trainings."""
        return self.config.seed_for(self.model)


def short(key: str) -> str:
    """Return the last part of a key: `strength` of models.dann.domain.strength."""
    return key.rpartition(".")[2]


def value_text(value: Any) -> str:
    """Return a value as text for figures and tables."""
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def method_of(config: AnalysisConfig, model: str) -> str:
    """Return the method that the domain section of a model names; "" if it has no such section."""
    section = config.models[model]
    domain = section.domain if isinstance(section, NetworkConfig) else None
    return "" if domain is None else domain.method_name


def is_baseline(config: AnalysisConfig, model: str) -> bool:
    """Return whether the model is a baseline, without adaptation by a domain loss.

    That is a model without a domain section, with the method `none`, or with strength 0.
    """
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
        """Return the config of the analysis file with `values` by key set in it, and only the scanned models.

        If a value is a method, keys of the domain section of the file that this method does not read are left out.

        Raises:
            ConfigError: the config refuses a value.

        """
        changed = dict(values or {})
        for model in self.models:
            if method_key(model) in changed:
                changed = left_out(self.base, model, changed[method_key(model)]) | changed
        config = load_config(self.name, [*self.overrides, *overrides(changed)])
        return config.model_copy(update={"models": {model: config.models[model] for model in self.models}})

    def point(self, model: str, values: Mapping[str, Any]) -> Point:
        """Return the point of a model with these values.

        Raises:
            ConfigError: the config refuses a value.

        """
        return Point(model, dict(values), self.config(values))

    def grid(self, varied: Sequence[Vary], methods: Sequence[str]) -> list[Point]:
        """Return every point of a grid, model by model.

        Raises:
            ConfigError: the config refuses a value.

        """
        return [self.point(model, values) for model in self.models for values in grid(varied, model, methods)]


_TRAINING_FREE = (
    "name", "luminosity_label", "energy", "experiment_label", "plots", "evaluation", "training", "systematics",
    "baseline",
)  # fmt: skip


def checksum(table: FeatureTable, model: str | None = None) -> int:
    """Return a number that changes with any event, weight or role of an event in the table.

    Args:
        table: the events.
        model: if given, only what this model trains on counts, not the roles that events have for other models of the
            same scan.

    """
    value = zlib.crc32(json.dumps([table.names, table.sample_names, table.domain_names]).encode())
    rows = (table.key, table.features, table.weight, table.label, table.domain, table.sample, table.fold)
    columns = [
        values
        for name, values in table.columns.items()
        if not name.startswith(IDENTIFIER)
        and (model is None or not name.startswith("domain:") or name.startswith(f"domain:{model}:"))
    ]
    for column in (*rows, table.validation, *columns, *table.collections.values()):
        value = zlib.crc32(np.ascontiguousarray(column).data.cast("B"), value)
    return value


def training_part(config: AnalysisConfig) -> dict[str, Any]:
    """Return the part of a config that can change a training, besides the events.

    It gives trainings their names, and shows whether two scans differ.
    """
    sections = config.model_dump(mode="json", by_alias=True)
    content = {key: value for key, value in sections.items() if key not in _TRAINING_FREE}
    for sample in content["samples"].values():
        for key in ("files", "label", "color", "truth"):
            sample.pop(key, None)
    for section in content["models"].values():
        (section.get("training") or {}).pop("processes", None)
    if content["nominal"] is None:  # a scan of a hepda without this key has the same trainings
        del content["nominal"]
    return content


def trial_fingerprint(config: AnalysisConfig, model: str, events: int) -> str:
    """Return a name of everything that a trial trains.

    Args:
        config: the config at the seed of the trial.
        model: the name of the model.
        events: the `checksum` of the table for the model.

    """
    content = training_part(config)
    content["seed"] = config.seed_for(model)
    section = content["models"][model]
    content["models"] = {model: section}
    (section.get("training") or {}).pop("seed", None)
    if section.get("domain") and is_baseline(config, model):
        # At strength 0 every method equals the baseline network except for rounding: it is trained once.
        section["domain"] = None
    return name_of([content, model, events, __version__])


def make_trial(
    point: Point, number: int, table: Path, events: int, trainings: Path, device: str, kernels: str = "auto"
) -> ScanTrial:
    """Return the trial of a point at its `number`-th seed.

    Args:
        point: the model and its values.
        number: of the seed, from 0.
        table: the folder of the table of events.
        events: the `checksum` of the table for the model of the point.
        trainings: the folder that holds a folder for each trial.
        device: where networks are trained.
        kernels: which kernels the trainer uses; "auto" keeps those of the jobs that `jobs_of` makes.

    """
    config = point.at_seed(number)
    folder = trainings / trial_fingerprint(config, point.model, events)
    jobs = [job for job in jobs_of(model_specs(config), table, folder, folder, device) if job.model == point.model]
    if kernels != "auto":
        jobs = [replace(job, kernels=kernels) for job in jobs]
    return ScanTrial(point.model, config, table, folder, device, tuple(jobs))


def curve_key(points: Sequence[Point]) -> str | None:
    """Return the key along which the curves of a model's points are drawn, None if no key has numbers.

    It is the strength of the model if that is varied, otherwise the first key with numbers.
    """
    keys = list(dict.fromkeys(key for point in points for key in point.values))
    numeric = [key for key in keys if all(_is_number(p.values[key]) for p in points if key in p.values)]
    strengths = [strength_key(point.model) for point in points if strength_key(point.model) in numeric]
    return next(iter([*strengths, *numeric]), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
