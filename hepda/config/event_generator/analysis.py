"""The analysis file of generative models of events as frozen types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, Strict

from hepda.config.base import BaseConfig
from hepda.config.event_generator.models import EventGeneratorModel, EventTrainingConfig, FlowConfig
from hepda.config.event_generator.objects import EventObjectsConfig
from hepda.config.events.analysis import IncludedAnalysis
from hepda.config.problems import given, unknown
from hepda.config.section import Name, Positive, Section

Scale = Annotated[float, Field(ge=-10.0, le=10.0)]


class ProcessConfig(Section):
    """A process by two generators: samples of `analysis`."""

    origin: Name
    """The sample of generator A, s = 0."""
    target: Name
    """The sample of generator B, s = 1."""


class DialEvaluationConfig(Section):
    """What is measured on events of a fold that no model of it was fitted to."""

    scales: Annotated[tuple[Scale, ...], Strict(strict=False), Field(min_length=2)] = (
        0.0,
        0.25,
        0.5,
        0.75,
        1.0,
        1.5,
        2.0,
    )
    """The values of s that are drawn and judged, rising, with 0 and 1; those outside 0 to 1 are extrapolations."""
    events: Annotated[int, Field(ge=100, le=10**9)] | None = 20_000
    """Events of each process and fold that are drawn at most, with the yield of all; null: as many as there are."""
    classifiers: str | None = None
    """A finished run of `kind: events` whose models are judged along s, relative to this file; null: none."""
    efficiency: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    """The background efficiency in generator A of the working point whose shift is measured."""
    bins: Annotated[int, Field(ge=2, le=100)] = 8
    """The largest number of bins of a score in the fit of the signal strength."""
    background_error: Positive = 0.5
    """The uncertainty of the yield of the background in this fit, as a fraction."""
    probe_events: Annotated[int, Field(ge=1000, le=10**9)] = 100_000
    """The largest number of events of each side in a probe."""
    replicas: Annotated[int, Field(ge=2, le=100_000)] = 200
    """Replicas of the events, for intervals."""


class EventGeneratorConfig(BaseConfig):
    """An analysis of generative models of events. Load it by `hepda.config.load_any`."""

    name: Name
    """The name of the analysis: run directory, figures and report have it."""
    kind: Literal["generator"]
    """The kind of data: rows that are learned to be generated; with an `analysis`, events."""
    analysis: IncludedAnalysis
    """The analysis of the events: its path, or its keys, with `include` for a file that they are laid over. Samples,
    weights, selection and features are used, and by its expressions every feature is formed anew."""
    objects: EventObjectsConfig = EventObjectsConfig()
    """The objects that are drawn."""
    processes: Annotated[dict[Name, ProcessConfig], Field(min_length=1)]
    """The processes, by name: each of two generators. The first is the background that is judged; a second one is the
    signal of the closure."""
    models: Annotated[dict[Name, EventGeneratorModel], Field(min_length=1)]
    """What is fitted and compared, by name; `hepda sample` takes the last one if none is named."""
    training: EventTrainingConfig = EventTrainingConfig()
    """How networks are trained, unless a model has other values in its `training:`."""
    evaluation: DialEvaluationConfig = DialEvaluationConfig()
    """What is measured."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """The seed of every random number: equal seeds give equal results."""

    @property
    def background(self) -> str:
        """The process that is judged: the first."""
        return next(iter(self.processes))

    @property
    def signal(self) -> str | None:
        """The signal of the closure: the second process, if there is one."""
        return list(self.processes)[1] if len(self.processes) > 1 else None

    @property
    def samples(self) -> list[str]:
        """The samples of all processes, that of the origin before that of the target."""
        return [name for process in self.processes.values() for name in (process.origin, process.target)]

    @property
    def classes(self) -> list[int]:
        """The number of processes, of classes of flavour and of generators."""
        return [len(self.processes), len(self.objects.flavour_class) + 1, 2]

    def title(self, model: str) -> str:
        """Return the name of a model in tables and figures."""
        return self.models[model].title or model

    def problems(self) -> Iterator[str]:
        """Yield the problems that involve several sections."""
        samples = self.analysis.samples
        for name, process in self.processes.items():
            for key in ProcessConfig.model_fields:
                sample = getattr(process, key)
                if sample not in samples:
                    yield unknown(f"processes.{name}.{key}", sample, "sample", samples)
                elif samples[sample].use == "evaluate":
                    yield f"processes.{name}.{key}: {sample!r} has `use: evaluate`, so that nothing may learn from it."
                elif samples[sample].is_data:
                    yield f"processes.{name}.{key}: {sample!r} is data; a generator is fitted to simulation."
        if len(set(self.samples)) < len(self.samples):
            yield "processes: name one sample twice."
        if len(self.processes) > 2:
            yield "processes: are more than two; a background and a signal."
        if self.analysis.split.folds < 2:
            yield "analysis.split.folds: is 1; events are judged by what was learned from others: take 2 or more."
        scales = self.evaluation.scales
        if list(scales) != sorted(set(scales)) or not {0.0, 1.0} <= set(scales):
            yield "evaluation.scales: must rise and have 0 and 1, the two generators."
        owners = [name for name, model in self.models.items() if isinstance(model, FlowConfig) and model.of is None]
        trainings = [("training", self.training)]
        for name, model in self.models.items():
            if not isinstance(model, FlowConfig):
                continue
            if model.of is not None and model.of not in owners:
                yield unknown(f"models.{name}.of", model.of, "model with a network of its own", owners)
            if model.left == "features" and model.start == "noise":
                yield f"models.{name}.left: factors are those of events that are carried, see `start`; take structure."
            trainings.append((f"models.{name}.training", model.training))
        for path, training in trainings:
            for key in given(training, "patience", "scorer", "precision"):
                yield f"{path}.{key}: has no effect on generative models; remove it."
