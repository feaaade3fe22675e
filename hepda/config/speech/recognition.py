"""The analysis file of speech recognition (`kind: speech`) as frozen types, with the checks that cross its sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from hepda.config.base import BaseConfig
from hepda.config.events.model_checks import check_method, too_large
from hepda.config.models import AdversaryConfig, MeanFusionConfig, Scorer, TrainingConfig, kind_of_model
from hepda.config.problems import duplicates, given, unknown
from hepda.config.section import Count, Epochs, Fraction, Name, Positive, Section, Width, Widths
from hepda.config.speech.sounds import Decibels, Factor, NoiseConfig, RoomsConfig, SpokenConfig, sound_problems

Part = Literal["clean", "noisy", "target"]
Repeats = Annotated[int, Field(ge=1, le=10_000)]


class SpokenSplitConfig(Section):
    """The split into training, validation and test."""

    by: Literal["recording", "speaker"] = "recording"
    """`recording`: the first recordings of each word by each speaker (FSDD's official split); `speaker`: every speaker
    is left out once, and nothing of theirs is in the training."""
    test: Count = 5
    """Recordings of each word and speaker that are tested on."""
    validation: Count = 3
    """Recordings of each word and speaker, after those of the test, that are neither trained nor tested on."""
    unlabelled: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the training recordings that are used only in noise and without their words: the target of an
    adaptation. With 0 the target is all of them."""


class ContextConfig(Section):
    """Frames that the network reads with each frame."""

    left: Annotated[int, Field(ge=0, le=200)] = 20
    """The number of frames before the frame."""
    right: Annotated[int, Field(ge=0, le=200)] = 20
    """The number of frames after the frame."""
    step: Annotated[int, Field(ge=1, le=400)] = 1
    """The distance of two frames that are read, in frames."""

    @property
    def steps(self) -> int:
        """Return the number of frames of a window."""
        return (self.left + self.right) // self.step + 1


class FramesConfig(Section):
    """From sound to the numbers of a frame."""

    window: Annotated[float, Field(ge=0.001, le=1.0)] = 0.025
    """Length of a frame, in s."""
    hop: Annotated[float, Field(ge=0.001, le=1.0)] = 0.010
    """The time from one frame to the next, in s."""
    bands: Annotated[int, Field(ge=5, le=200)] = 40
    """The number of bands of the mel filter bank."""
    cepstra: Annotated[int, Field(ge=0, le=200)] = 0
    """Cosine coefficients of the log energies (MFCC); 0: the log energies themselves."""
    deltas: Annotated[int, Field(ge=0, le=3)] = 0
    """Order of the highest derivative in time that is added to them."""
    normalise: Literal["utterance", "speaker", "none"] = "utterance"
    """Group of frames that is normalised to mean 0."""
    variance: bool = True
    """Whether it is also normalised to variance 1."""
    context: ContextConfig = ContextConfig()
    """Frames that the network reads with each frame."""


class StatesConfig(Section):
    """The hidden Markov models that determine the state of each frame."""

    states: Annotated[int, Field(ge=3, le=30)] = 6
    """The number of states of a word, from left to right."""
    mixtures: Literal[1, 2, 4, 8] = 2
    """Final number of Gaussians of a state."""
    iterations: Repeats = 20
    """Largest number of realignments."""
    stable: Fraction = 0.02
    """Share of the frames that may still change their state."""


class VoiceConfig(Section):
    """How training utterances are changed, so that the network also learns from voices that are not recorded."""

    speeds: Annotated[tuple[Factor, ...], Field(strict=False, min_length=1)] = (0.9, 1.0, 1.1)
    """Factors; duration, pitch and formants change together."""
    tracts: Annotated[tuple[Factor, ...], Field(strict=False, min_length=1)] = (0.9, 0.95, 1.0, 1.05, 1.1)
    """Factors of the vocal tract: only frequencies change; drawn again in each epoch."""
    masks: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = Field(default=(8, 8), strict=False)
    """Largest number of bands and steps of a window that are blanked."""


class SpeechDomainConfig(AdversaryConfig):
    """What the encoder must not distinguish, or (`alpha` below 0) learns in addition to the words."""

    of: Literal["noise", "pair", "room", "target"] = "noise"
    """`noise`: the type of noise, none being one more; `pair`: noise or none; `room`: which room. These are known
    for the labelled utterances. `target`: labelled utterances against the unlabelled ones in noise, by any `method`."""
    alpha: float | None = None
    """Strength of the reversal of `noise`, `pair` and `room`: below 0 the head is not reversed (multi-task), 0 is no
    head. For `target`, the key is `strength`."""
    threshold: Fraction = 0.8
    """With method `pseudo`: probability, relative to the mean one of the source, from which a frame's label is
    certain."""
    rounds: Annotated[int, Field(ge=0, le=1000)] = 0
    """Self-training on `target` after the training of `epochs`: times that the network transcribes the unlabelled
    utterances by Viterbi and continues the training with its certain transcripts as their words."""
    round_epochs: Epochs = 2
    """The number of epochs of each round."""
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Share of the transcripts, those of each word with the largest margins, that the last of R rounds learns; round r
    learns r/R of it (curriculum labelling, Cascante-Bonilla et al. 2021)."""


class SpeechTrainingConfig(TrainingConfig):
    """As for events; an epoch uses every utterance `copies` times, and the weights are those of the last one
    unless `patience` or a scorer chooses.
    """

    epochs: Epochs = 4
    """Passes over the utterances."""
    batch_size: Annotated[int, Field(ge=1, le=2**24)] = 512
    """Frames of a step."""
    learning_rate: Positive = 2.0e-3
    """Learning rate at the maximum of the schedule."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 1.0e-3
    """Pull of the weights towards zero at each step."""
    schedule: Literal["constant", "one-cycle", "cosine", "ganin"] = "one-cycle"
    """Course of the learning rate over the run."""
    patience: Count | None = None
    """Epochs without a better value of `scorer`, on one recording in ten, before stopping; null: all epochs."""
    scorer: Scorer | None = None
    """Criterion of the best epoch on these recordings; null: the senone loss, with `patience`; without both the last
    epoch is used and nothing is held out."""
    copies: Repeats = 3
    """Takes of each utterance in an epoch, each with its speed and type of noise."""
    every: Repeats = 2
    """An epoch trains on every n-th frame: neighbouring frames are similar, and noise is new in each epoch."""


class SpeechModelConfig(Section):
    """An encoder of windows, a senone head and, with `domain:`, a domain head or term."""

    kind: Literal["network"] = "network"
    """A network, the only kind of model for speech."""
    title: str | None = None
    """Its name in tables; null: its key."""
    encoder: Literal["feedforward", "convolution", "recurrent"] = "convolution"
    """The papers' network over context windows, a time-delay network, or a bidirectional GRU."""
    layers: Widths = (512, 512)
    """With `encoder: feedforward`: the widths of its layers."""
    channels: Annotated[int, Field(ge=1, le=8192)] = 64
    """With `encoder: convolution`: channels of the first two layers; the third has twice as many."""
    batch_norm: Literal["domain", "joint"] = "joint"
    """With `encoder: convolution`: statistics of the batch norm for each domain, or for both together."""
    features: Width = 256
    """Width of the encoder's output, except for `feedforward`."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.2
    """Share of the units that are set to zero in a step."""
    train_on: Annotated[tuple[Part, ...], Field(strict=False, min_length=1)] = ("noisy",)
    """Recordings whose words the senone head learns: `clean` and `noisy` are the labelled recordings without and with
    noise; `target` the unlabelled ones in noise: the ceiling, with words that no adaptation uses."""
    noises: Count | None = None
    """Types of noise in training, drawn with the seed of the training; null: all that are seen."""
    voice: bool = True
    """Whether utterances are changed by the settings of `voice:`."""
    frames: FramesConfig | None = None
    """What this model reads of a frame where it differs from the analysis's `frames:`, `{cepstra: 13, deltas: 2}`;
    window and hop are those of the analysis. null: nothing differs; after loading, the complete section."""
    domain: SpeechDomainConfig | None = None
    """What the encoder must not distinguish, or also learns; null: nothing, the network is a baseline."""
    training: SpeechTrainingConfig = SpeechTrainingConfig()
    """Overrides of the analysis's `training:`; after loading, the complete section."""


class SpeechFusionConfig(MeanFusionConfig):
    """A fusion of models of speech: the word with the largest mean of the log likelihoods of the models' best paths, of
    each training by itself.
    """


SpeechEntry = Annotated[
    Annotated[SpeechModelConfig, Tag("network")] | Annotated[SpeechFusionConfig, Tag("fusion")],
    Discriminator(kind_of_model),
]
"""A network, which need not name its kind, or a fusion."""


class SpeechEvaluationConfig(Section):
    """What is measured on test utterances."""

    snr: Annotated[tuple[Decibels, ...], Field(strict=False, min_length=1)] = (20.0, 15.0, 10.0, 5.0, 0.0, -5.0)
    """Ratios of the tests, in dB."""
    repeats: Repeats = 2
    """Number of tests of each utterance at each ratio, each in another noise."""
    grammar: Literal["word", "loop"] = "word"
    """One word per utterance, or any number of them."""
    insertion: Annotated[float, Field(le=0.0)] = -10.0
    """With `grammar: loop`: log probability that is added for each word."""
    quoted: Decibels = 0.0
    """The ratio of tables and paired differences, in addition to clean speech."""
    baseline: Name | None = None
    """The model that others are compared with, seed by seed; null: the first."""
    ceiling: Name | None = None
    """The model with all labels, to which the gap from the baseline is measured."""
    probe: Annotated[int, Field(ge=0, le=10_000_000)] = 4000
    """Frames on which a fresh network learns to distinguish noises by the embedding; as many test it. 0: no probe."""


class SpeechConfig(BaseConfig):
    """An analysis of speech. Load it by `hepda.config.load_any`."""

    name: Name
    """The name of the analysis, of the run directory, and in figures and report."""
    kind: Literal["speech"]
    """The kind of data: speech."""
    speech: SpokenConfig = SpokenConfig()
    """The utterances: which recordings there are."""
    split: SpokenSplitConfig = SpokenSplitConfig()
    """The split into training, validation and test."""
    noise: NoiseConfig = NoiseConfig()
    """Noise that is mixed with the speech."""
    rooms: RoomsConfig | None = None
    """Room responses that utterances are convolved with; null: none."""
    frames: FramesConfig = FramesConfig()
    """How sound becomes the numbers of a frame."""
    states: StatesConfig = StatesConfig()
    """The hidden Markov models that determine the state of each frame."""
    voice: VoiceConfig = VoiceConfig()
    """How training utterances are changed."""
    models: Annotated[dict[Name, SpeechEntry], Field(min_length=1)]
    """What is trained, by name."""
    training: SpeechTrainingConfig = SpeechTrainingConfig()
    """How networks are trained, unless a model has other values in its `training:`."""
    seeds: Annotated[int, Field(ge=1, le=100)] = 3
    """Trainings of each model (for each speaker left out), which differ in every random number and in the subset of
    noises; the same seed of two models is the same draw."""
    evaluation: SpeechEvaluationConfig = SpeechEvaluationConfig()
    """What is measured on test utterances."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """The seed of every random number: equal seeds give equal results."""

    def problems(self) -> Iterator[str]:
        """Yield the problems that involve several sections."""
        for check in (_data, _models, _evaluation):
            yield from check(self)

    @model_validator(mode="after")
    def _complete_frames(self) -> Self:
        """Complete the `frames` of each model that has any: the section of the analysis, overridden by its keys."""
        for name, model in self.networks.items():
            if model.frames is not None:
                update = {key: getattr(model.frames, key) for key in model.frames.model_fields_set}
                self.models[name] = model.model_copy(update={"frames": self.frames.model_copy(update=update)})
        return self

    @property
    def networks(self) -> dict[str, SpeechModelConfig]:
        """Return the models that are trained, by name: all but fusions."""
        return {name: model for name, model in self.models.items() if isinstance(model, SpeechModelConfig)}

    @property
    def fusions(self) -> dict[str, SpeechFusionConfig]:
        """Return the fusions by name."""
        return {name: model for name, model in self.models.items() if isinstance(model, SpeechFusionConfig)}

    def for_model(self, model: str) -> SpeechConfig:
        """Return the analysis with the frames that a model reads."""
        frames = self.networks[model].frames
        return self if frames is None else self.model_copy(update={"frames": frames})

    @property
    def baseline(self) -> str:
        """The model that others are compared with."""
        return self.evaluation.baseline or next(iter(self.models))


def _data(config: SpeechConfig) -> Iterator[str]:
    yield from sound_problems(config.speech, config.noise)
    if config.speech.data == "recordings":
        yield "speech.data: the words of `recordings` are not known, and recognition needs them; take `folder`."
    if config.rooms is not None and config.rooms.recordings is None and not config.rooms.synthetic:
        yield "rooms: names no room; give `recordings`, or reverberation times as `synthetic`."
    context = config.frames.context
    if context.left % context.step or context.right % context.step:
        yield f"frames.context: {context.left} and {context.right} frames are no multiples of the step {context.step}."


def _models(config: SpeechConfig) -> Iterator[str]:
    for name in config.fusions:
        if config.evaluation.grammar != "word":
            yield f"models.{name}: a fusion compares single words; take `evaluation.grammar: word`, or leave it out."
    for name, model in config.networks.items():
        path = f"models.{name}"
        yield from duplicates(f"{path}.train_on", model.train_on)
        frames = model.frames or config.frames
        for key in ("window", "hop"):
            if getattr(frames, key) != getattr(config.frames, key):
                yield f"{path}.frames.{key}: is that of the analysis, whose states belong to its frames; remove it."
        inputs = frames.bands * frames.context.steps
        yield from too_large(f"{path}.layers", (inputs, *model.layers, model.features))
        if model.domain is not None:
            yield from _domain(f"{path}.domain", model, config)
        if "target" in model.train_on and config.split.unlabelled == 0.0:
            yield f"{path}.train_on: `target` needs recordings whose words other models do not use: split.unlabelled."


_TARGET = ("method", "strength", "threshold", "batch_share", "combine", "rounds", "round_epochs", "share")
"""Keys that have an effect only with `of: target`."""


def _domain(path: str, model: SpeechModelConfig, config: SpeechConfig) -> Iterator[str]:
    domain = model.domain
    if domain is None:
        return
    if domain.of == "target":
        if domain.alpha is not None:
            yield f"{path}.alpha: is for noise, pair and room; for `of: target` give `strength`."
        if "target" in model.train_on:
            yield f"{path}.of: a model that is trained on the words of the target has nothing to adapt to; remove it."
        if domain.rounds and config.evaluation.grammar == "loop":
            yield f"{path}.rounds: transcribes single words; take `evaluation.grammar: word`, or no rounds."
        yield from check_method(path, domain, "speech")
        return
    if domain.alpha is None:
        yield f"{path}.alpha: is required for `of: {domain.of}`: above 0 reversed, below 0 multi-task."
    for key in given(domain, *_TARGET):
        yield f"{path}.{key}: has an effect only with `of: target`; remove it."
    if domain.of == "room" and config.rooms is None:
        yield f"{path}.of: there are no rooms; give `rooms:`."
    if "noisy" not in model.train_on and "target" not in model.train_on:
        yield f"{path}.of: a training on only clean speech has no {domain.of}; take `train_on: [noisy]`."


def _evaluation(config: SpeechConfig) -> Iterator[str]:
    for key in ("baseline", "ceiling"):
        name: str | None = getattr(config.evaluation, key)
        if name is not None and name not in config.models:
            yield unknown(f"evaluation.{key}", name, "model", config.models)
    if config.evaluation.quoted not in config.evaluation.snr:
        yield f"evaluation.quoted: {config.evaluation.quoted:g} dB is not among evaluation.snr."
