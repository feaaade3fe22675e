"""The analysis file of generative models (`kind: generator`) as frozen types, with its checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from hepda.config.base import BaseConfig
from hepda.config.generators.models import (
    DiffusionConfig,
    GanConfig,
    GeneratorModel,
    GeneratorTrainingConfig,
    MixtureConfig,
)
from hepda.config.images import ImageSetConfig, PixelsConfig, set_problems
from hepda.config.problems import given, unknown
from hepda.config.section import Epochs, Fraction, Name, Section, Width

JUDGE = "judge"
"""The name of the network that recognises, among the models of a run."""


class JudgeConfig(Section):
    """The network that recognises what was generated. It is trained on real rows that no generative model sees."""

    share: Fraction = 0.3
    """Share of the training rows that it is trained on, and nothing else."""
    epochs: Epochs = 20
    """Passes over them."""
    width: Annotated[int, Field(ge=1, le=1024)] = 16
    """Channels of its first convolution; the others have twice and four times as many."""
    features: Width = 32
    """Width of its embedding, in which distances, precision and recall are measured."""


class GeneratorEvaluationConfig(Section):
    """What is measured on generated rows, and against test rows that nothing was trained on."""

    samples: Annotated[int, Field(ge=10, le=1_000_000)] | None = None
    """Rows that each training generates, of the classes of as many test rows; null: as many as there are test rows, or
    training rows, if these are fewer."""
    baseline: Name | None = None
    """The model whose distance others are compared with; null: the first mixture."""


class GeneratorConfig(BaseConfig):
    """An analysis of generative models. Load it by `hepda.config.load_any`."""

    name: Name
    """The name of the analysis, of the run directory, and in figures and report."""
    kind: Literal["generator"]
    """The kind of data: rows that are learned to be generated."""
    source: ImageSetConfig
    """The images that are learned; those to test on are compared with what is generated."""
    pixels: PixelsConfig = PixelsConfig(channels=1)
    """Common shape of all images."""
    condition: Literal["class"] | None = "class"
    """What can be asked for: the class; null: nothing."""
    judge: JudgeConfig = JudgeConfig()
    """The network that recognises what was generated."""
    models: Annotated[dict[Name, GeneratorModel], Field(min_length=1)]
    """What is trained and compared, by name."""
    training: GeneratorTrainingConfig = GeneratorTrainingConfig()
    """How networks are trained, unless a model has other values in its `training:`."""
    seeds: Annotated[int, Field(ge=1, le=100)] = 3
    """Trainings of each model, which differ in every random number."""
    evaluation: GeneratorEvaluationConfig = GeneratorEvaluationConfig()
    """What is measured."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """The seed of every random number: equal seeds give equal results."""

    @property
    def baseline(self) -> str | None:
        """The model whose distance others are compared with; None if there is none."""
        mixtures = (name for name, model in self.models.items() if isinstance(model, MixtureConfig))
        return self.evaluation.baseline or next(mixtures, None)

    def problems(self) -> Iterator[str]:
        """Yield the problems that involve several sections."""
        yield from set_problems("source", self.source)
        yield from _models(self)


def _models(config: GeneratorConfig) -> Iterator[str]:
    baseline = config.evaluation.baseline
    if baseline is not None and baseline not in config.models:
        yield unknown("evaluation.baseline", baseline, "model", config.models)
    if JUDGE in config.models:
        yield f"models.{JUDGE}: is the name of the network that recognises; give the model another one."
    for key in given(config.training, *_UNUSED):
        yield f"training.{key}: has no effect on generative models; remove it."
    for name, model in config.models.items():
        path = f"models.{name}"
        if model.conditional and config.condition is None:
            yield f"{path}.conditional: there is no `condition`; set it to false, or name the condition."
        if isinstance(model, MixtureConfig):
            continue
        for key in given(model.training, *_UNUSED):
            yield f"{path}.training.{key}: has no effect on generative models; remove it."
        if isinstance(model, DiffusionConfig) and model.guidance != 1.0 and not model.conditional:
            yield f"{path}.guidance: has no effect on a model that is not conditional; remove it."
        if isinstance(model, DiffusionConfig) and model.guidance != 1.0 and not model.unlabelled:
            yield f"{path}.guidance: needs images whose class is left out, see `unlabelled`."
        if isinstance(model, GanConfig) and config.pixels.size % 4:
            yield f"{path}: images of {config.pixels.size} rows; a GAN needs a multiple of 4, see `pixels.size`."


_UNUSED = ("patience", "scorer", "precision")
"""Keys of a training that apply to classifiers only."""
