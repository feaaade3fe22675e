"""The analysis file of frame prediction (`kind: frames`) as frozen types, with its checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from hepda.config.base import BaseConfig
from hepda.config.generators.models import GeneratorTrainingConfig, Weight
from hepda.config.images import ImageSetConfig, set_problems
from hepda.config.problems import given
from hepda.config.section import Name, Section

FrameMetric = Literal["psnr", "ssim", "sharpness", "sharpness_difference"]


class SequencesConfig(Section):
    """Sequences of frames in which digits move, each with a velocity of its own, and are reflected at the borders."""

    digits: Annotated[int, Field(ge=1, le=10)] = 2
    """Images that move in a sequence; where they overlap, the brighter pixel is seen."""
    size: Annotated[int, Field(ge=16, le=128, multiple_of=8)] = 32
    """Rows and columns of a frame."""
    digit: Annotated[int, Field(ge=8, le=64)] = 16
    """Rows and columns of an image that moves."""
    inputs: Annotated[int, Field(ge=2, le=16)] = 4
    """Frames that a model is given; it predicts the next one."""
    speed: Annotated[int, Field(ge=1, le=8)] = 2
    """Pixels that an image moves from frame to frame at most, in each direction; none stays where it is."""
    train: Annotated[int, Field(ge=2, le=1_000_000)] = 4000
    """Sequences to train on, of the images to train on."""
    test: Annotated[int, Field(ge=2, le=100_000)] = 400
    """Sequences to test on, of the images to test on."""


class FrameLossesConfig(Section):
    """Weights of the losses between the predicted and the true frame; 0: without."""

    squared: Weight = 1.0
    """Of the mean squared difference of the pixels, from 0 to 1."""
    gradient: Weight = 0.0
    """Of the mean difference of the absolute gradients (L_gdl of arXiv:1511.05440, alpha = 1)."""
    adversary: Weight = 0.0
    """Of the opinion of a discriminator that sees the frames before and the predicted or true frame."""


class LastFrameConfig(Section):
    """Predicts that nothing moves; nothing is trained."""

    kind: Literal["last_frame"]
    """The kind of model: the last frame that is given."""
    title: str | None = None
    """Its name in tables; null: its key."""


class FrameNetworkConfig(Section):
    """A network of convolutions at three scales that gives every pixel of the next frame a filter over the last one."""

    kind: Literal["network"]
    """The kind of model: a network."""
    title: str | None = None
    """Its name in tables; null: its key."""
    width: Annotated[int, Field(ge=1, le=512)] = 16
    """Channels at half the size of the frames; at a quarter of the size there are twice as many."""
    reach: Annotated[int, Field(ge=1, le=8)] = 3
    """Pixels to each side of a pixel, in the last frame, of which its prediction is formed: at least what moves by."""
    losses: FrameLossesConfig = FrameLossesConfig()
    """What is minimised."""
    training: GeneratorTrainingConfig = GeneratorTrainingConfig()
    """Overrides of the analysis's `training:`; after loading, the complete section."""


FrameModel = Annotated[LastFrameConfig | FrameNetworkConfig, Field(discriminator="kind")]
"""What predicts a frame; `kind` says which."""


class FramesEvaluationConfig(Section):
    """What is measured on the sequences to test on."""

    metrics: Annotated[tuple[FrameMetric, ...], Field(strict=False, min_length=1)] = (
        "psnr", "ssim", "sharpness", "sharpness_difference",
    )  # fmt: skip
    """Peak signal-to-noise ratio and sharpness difference in dB, structural similarity, and the sharpness in units of
    that of the true frame."""


class FramePredictionConfig(BaseConfig):
    """An analysis of frame prediction. Load it by `hepda.config.load_any`."""

    name: Name
    """The name of the analysis, of the run directory, and in figures and report."""
    kind: Literal["frames"]
    """The kind of data: sequences of frames, of which the next one is predicted."""
    source: ImageSetConfig
    """The images that move: no image of a sequence to test on is in one to train on."""
    sequences: SequencesConfig = SequencesConfig()
    """How they move."""
    models: Annotated[dict[Name, FrameModel], Field(min_length=1)]
    """What is trained and compared, by name."""
    training: GeneratorTrainingConfig = GeneratorTrainingConfig()
    """How networks are trained, unless a model has other values in its `training:`."""
    seeds: Annotated[int, Field(ge=1, le=100)] = 3
    """Trainings of each network, which differ in every random number; the same seed of two models is the same draw."""
    evaluation: FramesEvaluationConfig = FramesEvaluationConfig()
    """What is measured."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """The seed of every random number: equal seeds give equal results."""

    @property
    def networks(self) -> dict[str, FrameNetworkConfig]:
        """Return the models that are trained, by name."""
        return {name: model for name, model in self.models.items() if isinstance(model, FrameNetworkConfig)}

    @property
    def members(self) -> dict[str, int]:
        """The number of trainings of each model; what is not trained is done once."""
        return {name: self.seeds if name in self.networks else 1 for name in self.models}

    def problems(self) -> Iterator[str]:
        """Yield the problems that involve several sections."""
        yield from set_problems("source", self.source)
        sequences = self.sequences
        if sequences.digit + sequences.speed > sequences.size:
            yield (
                f"sequences.digit: images of {sequences.digit} pixels have no room to move by {sequences.speed} in "
                f"frames of {sequences.size}; make it smaller."
            )
        if len(set(self.evaluation.metrics)) < len(self.evaluation.metrics):
            yield "evaluation.metrics: has a metric twice; remove one."
        for key in given(self.training, *_UNUSED):
            yield f"training.{key}: has no effect on frame prediction; remove it."
        for name, model in self.networks.items():
            path = f"models.{name}"
            for key in given(model.training, *_UNUSED):
                yield f"{path}.training.{key}: has no effect on frame prediction; remove it."
            if not any(model.losses.model_dump().values()):
                yield f"{path}.losses: all weights are 0, so nothing is learned; give one."


_UNUSED = ("patience", "scorer", "precision")
"""Keys of a training that apply to classifiers only."""
