"""The analysis file of a refinement of simulation as frozen types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from hepda.config.base import BaseConfig
from hepda.config.events.analysis import AnalysisConfig, IncludedAnalysis
from hepda.config.problems import given, unknown
from hepda.config.refinement.methods import (
    MethodModel,
    QuantilesConfig,
    RefinementTrainingConfig,
    ResidualConfig,
    WeightsConfig,
)
from hepda.config.refinement.objects import ObjectsConfig
from hepda.config.section import Name, Positive, Section


class PairConfig(Section):
    """A simulation and what it is to become: samples of `analysis`."""

    source: Name
    """The background that is refined."""
    target: Name
    """The same process as the target has it."""
    signal: Name | None = None
    """A signal that is refined by what was learned of the background, for the closure; null: no closure."""
    signal_target: Name | None = None
    """The same signal as the target has it."""


class RefinementEvaluationConfig(Section):
    """What is measured on events that nothing was learned from."""

    probe_events: Annotated[int, Field(ge=1000, le=10**9)] = 100_000
    """The largest number of events of each side in a probe."""
    replicas: Annotated[int, Field(ge=2, le=100_000)] = 200
    """Replicas of the events, for intervals of a probe."""
    bins: Annotated[int, Field(ge=2, le=100)] = 8
    """The largest number of bins of the score in the fit of the closure."""
    background_error: Positive = 0.5
    """The uncertainty of the yield of the background in this fit, as a fraction."""


class RefinementConfig(BaseConfig):
    """A refinement of simulation. Load it by `hepda.config.load_any`."""

    name: Name
    """The name of the analysis: run directory, figures and report have it."""
    kind: Literal["refinement"]
    """The kind of data: events that are refined."""
    analysis: IncludedAnalysis
    """The analysis of the events: its path, or its keys, with `include` for a file that they are laid over. Samples,
    weights, selection and features are used, and by its expressions every feature is formed anew."""
    objects: ObjectsConfig = ObjectsConfig()
    """The objects that are refined."""
    learn: PairConfig
    """The simulation, and the target that the refinement is learned from."""
    judge: dict[Name, PairConfig] = Field(default_factory=dict)
    """Further pairs that the same refinement is applied to and judged on, such as those of a held-out generator."""
    models: Annotated[dict[Name, MethodModel], Field(min_length=1)]
    """The methods, by name; the first one is the baseline."""
    training: RefinementTrainingConfig = RefinementTrainingConfig()
    """How networks are trained, unless a model has other values in its `training:`."""
    evaluation: RefinementEvaluationConfig = RefinementEvaluationConfig()
    """What is measured."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """The seed of every random number: equal seeds give equal results."""

    @property
    def baseline(self) -> str:
        """The model that others are compared with: the first."""
        return next(iter(self.models))

    @property
    def pairs(self) -> dict[str, PairConfig]:
        """Return all pairs by name: that of the training, under `learn`, then the others."""
        return {"learn": self.learn, **self.judge}

    def title(self, model: str) -> str:
        """Return the name of a model in tables and figures."""
        return self.models[model].title or model

    def problems(self) -> Iterator[str]:
        """Yield the problems that involve several sections."""
        if "learn" in self.judge:
            yield "judge.learn: is the name of the pair of `learn`; choose another."
        for path, pair in {"learn": self.learn, **{f"judge.{name}": p for name, p in self.judge.items()}}.items():
            yield from _pair(path, pair, self.analysis)
        if self.analysis.split.folds < 2:
            yield "analysis.split.folds: is 1; events are refined by what was learned from others: take 2 or more."
        for path, name in (("learn.source", self.learn.source), ("learn.target", self.learn.target)):
            sample = self.analysis.samples.get(name)
            if sample is not None and sample.use == "evaluate":
                yield f"{path}: {name!r} has `use: evaluate`, so that nothing may learn from it."
        jets, seen = self.objects.jets, self.objects.seen
        if seen.tags and jets.tag is None:
            yield "objects.seen.tags: needs the tag bin of jets, `objects.jets.tag`."
        if seen.tag >= jets.tag_bins:
            yield f"objects.seen.tag: there are the bins 0 to {jets.tag_bins - 1}."
        for path, training in [("training", self.training)] + [
            (f"models.{name}.training", model.training)
            for name, model in self.models.items()
            if isinstance(model, ResidualConfig)
        ]:
            for key in given(training, "patience", "scorer", "precision"):
                yield f"{path}.{key}: has no effect on a refinement; remove it."
        for name, model in self.models.items():
            if isinstance(model, QuantilesConfig) and model.of == "objects" and self.objects.met is None:
                yield f"models.{name}.of: objects need `objects.met`; take features."
            if isinstance(model, WeightsConfig):
                yield from _weights(f"models.{name}", model, self)


def _weights(path: str, model: WeightsConfig, config: RefinementConfig) -> Iterator[str]:
    changing = [name for name, other in config.models.items() if not isinstance(other, WeightsConfig)]
    if model.of not in changing:
        yield unknown(f"{path}.of", model.of, "model that changes events, or leaves them", changing)
    for feature in model.features or ():
        if feature not in config.analysis.features:
            yield unknown(f"{path}.features", feature, "feature", config.analysis.features)


def _pair(path: str, pair: PairConfig, analysis: AnalysisConfig) -> Iterator[str]:
    for key in PairConfig.model_fields:
        name = getattr(pair, key)
        if name is not None and name not in analysis.samples:
            yield unknown(f"{path}.{key}", name, "sample", analysis.samples)
    if (pair.signal is None) != (pair.signal_target is None):
        yield f"{path}.signal: a closure needs both `signal` and `signal_target`."
    names = [getattr(pair, key) for key in PairConfig.model_fields if getattr(pair, key) is not None]
    if len(set(names)) < len(names):
        yield f"{path}: names one sample twice."
