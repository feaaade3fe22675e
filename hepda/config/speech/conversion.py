"""The analysis file of environment conversion (`kind: conversion`) as frozen types, with its checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from hepda.config.base import BaseConfig
from hepda.config.models import TrainingConfig
from hepda.config.problems import given, unknown
from hepda.config.section import Count, Epochs, Name, Positive, Section
from hepda.config.speech.sounds import (
    RoomsConfig,
    SpeakerSplitConfig,
    SpokenConfig,
    StringsConfig,
    Weight,
    folder_problems,
    strings_problems,
)

DRY = "dry"
"""The effect of no room: converting to it is dereverberation."""


class MelConfig(Section):
    """The log energies of mel bands that are converted."""

    window: Annotated[float, Field(ge=0.004, le=0.256)] = 0.032
    """Length of a frame, in s."""
    hop: Annotated[float, Field(ge=0.001, le=0.128)] = 0.008
    """The time from one frame to the next, in s."""
    bands: Annotated[int, Field(ge=8, le=128)] = 40
    """The number of mel bands."""


class CopyConfig(Section):
    """The recordings as they are: what a conversion has to be better than."""

    kind: Literal["copy"]
    """The kind of model: none."""
    title: str | None = None
    """Its name in tables; null: its key."""


class TrueConversionConfig(Section):
    """The same recordings in the wanted room, by convolution: what a conversion can reach."""

    kind: Literal["truth"]
    """The kind of model: the truth."""
    title: str | None = None
    """Its name in tables; null: its key."""


class SpectrumConfig(Section):
    """A change of the mean spectrum to that of the wanted effect in the training, band by band; nothing else is
    trained.
    """

    kind: Literal["spectrum"]
    """The kind of model: the mean spectrum of an effect."""
    title: str | None = None
    """Its name in tables; null: its key."""
    width: bool = False
    """Whether the standard deviation of each band is changed, too."""


class ConversionTrainingConfig(TrainingConfig):
    """As for events, in steps on segments of sound; the weights are those of the last epoch."""

    epochs: Epochs = 30
    """Number of epochs; each has new strings in new rooms."""
    turns: Count = 200
    """Steps of an epoch."""
    batch_size: Annotated[int, Field(ge=2, le=4096)] = 16
    """Segments of a step."""
    seconds: Annotated[float, Field(ge=0.25, le=60.0)] = 1.0
    """Length of a segment, in s."""
    learning_rate: Positive = 1.0e-3
    """Learning rate at the maximum of the schedule."""
    patience: Count | None = None
    """Not used: all epochs are trained."""
    clip: Weight = 5.0
    """Largest norm of a gradient; 0: no limit."""


class ConversionNetworkConfig(Section):
    """A network after MetaSpeech (arXiv:2210.13811): an extractor of the effect of a reference recording, an encoder of
    content, from which the effect is removed by a reversal, and a decoder of both.
    """

    kind: Literal["network"]
    """The kind of model: a network."""
    title: str | None = None
    """Its name in tables; null: its key."""
    parallel: bool = True
    """Whether it is trained on the same recordings with both effects; without, it only reconstructs a recording from
    its content and from the effect of another recording with the same effect."""
    content: Annotated[int, Field(ge=1, le=512)] = 16
    """Numbers of a frame that the content has."""
    effect: Annotated[int, Field(ge=1, le=512)] = 16
    """Numbers that an effect has."""
    width: Annotated[int, Field(ge=1, le=2048)] = 96
    """Channels of each convolution."""
    blocks: Annotated[int, Field(ge=1, le=64)] = 7
    """Convolutions of the decoder, with dilations 1, 2, 4, 8, 16, 32, 1, ..."""
    reversal: Weight = 1.0
    """Strength of the reversal behind the content; 0: none."""
    learning_rate_factor: Positive = 1.0
    """Learning rate of the head behind the reversal over that of the network."""
    recognition: Weight = 0.1
    """Weight of the loss of the extractor's effect, which is that of a class."""
    training: ConversionTrainingConfig = ConversionTrainingConfig()
    """Overrides of the analysis's `training:`; after loading, the complete section."""


ConversionModel = Annotated[
    CopyConfig | TrueConversionConfig | SpectrumConfig | ConversionNetworkConfig, Field(discriminator="kind")
]


class ConversionEvaluationConfig(Section):
    """What is measured on strings of the test speakers."""

    strings: Annotated[int, Field(ge=2, le=100_000)] = 40
    """Test strings; each is converted from every effect to every other one."""
    baseline: Name | None = None
    """The model that others are compared with; null: the first."""
    judges: Annotated[int, Field(ge=1, le=1000)] = 8
    """Epochs of the trainings of the judges of effect, digit and speaker, which are independent of the models."""


class ConversionConfig(BaseConfig):
    """An analysis of environment conversion. Load it by `hepda.config.load_any`."""

    name: Name
    """The name of the analysis, of the run directory, and in figures and report."""
    kind: Literal["conversion"]
    """The kind of data: speech in rooms, to be converted to other rooms."""
    speech: SpokenConfig = SpokenConfig()
    """The utterances: which recordings there are."""
    rooms: RoomsConfig = RoomsConfig(synthetic=(0.3, 1.0))
    """Room responses and filters: each is an effect, `dry` is one more. Those that are `unseen` are references of tests
    only; `share` has no effect here."""
    strings: StringsConfig = StringsConfig(recordings=(3, 4), number=120)
    """How recordings become strings."""
    split: SpeakerSplitConfig = SpeakerSplitConfig()
    """Which speakers are tested on."""
    mel: MelConfig = MelConfig()
    """The mel bands that are converted."""
    models: Annotated[dict[Name, ConversionModel], Field(min_length=1)]
    """What is trained and compared, by name."""
    training: ConversionTrainingConfig = ConversionTrainingConfig()
    """How networks are trained, unless a model has other values in its `training:`."""
    seeds: Annotated[int, Field(ge=1, le=100)] = 3
    """Trainings of each network, which differ in every random number; the same seed of two models is the same draw."""
    evaluation: ConversionEvaluationConfig = ConversionEvaluationConfig()
    """What is measured."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """The seed of every random number: equal seeds give equal results."""

    @property
    def baseline(self) -> str:
        """The model that others are compared with."""
        return self.evaluation.baseline or next(iter(self.models))

    @property
    def networks(self) -> dict[str, ConversionNetworkConfig]:
        """Return the models that are trained, by name."""
        return {name: model for name, model in self.models.items() if isinstance(model, ConversionNetworkConfig)}

    def problems(self) -> Iterator[str]:
        """Yield the problems that involve several sections."""
        yield from folder_problems(self.speech)
        if self.speech.data == "recordings":
            yield "speech.data: the words of `recordings` are not known, and they judge conversions; take `folder`."
        yield from strings_problems(self.strings)
        if self.rooms.recordings is None and not self.rooms.synthetic:
            yield "rooms: names no room; give `recordings`, or reverberation times as `synthetic`."
        for key in given(self.rooms, "share"):
            yield f"rooms.{key}: has no effect on conversion; remove it."
        baseline = self.evaluation.baseline
        if baseline is not None and baseline not in self.models:
            yield unknown("evaluation.baseline", baseline, "model", self.models)
        for path, section in [("training", self.training)] + [
            (f"models.{name}.training", model.training) for name, model in self.networks.items()
        ]:
            for key in given(section, "patience", "scorer", "precision"):
                yield f"{path}.{key}: has no effect on conversion; remove it."
