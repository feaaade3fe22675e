"""The analysis file of speech enhancement (`kind: enhancement`) as frozen types, with its checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from hepda.config.base import BaseConfig
from hepda.config.models import TrainingConfig
from hepda.config.problems import given, unknown
from hepda.config.section import Count, Epochs, Fraction, Name, Positive, Section, Width
from hepda.config.speech.sounds import (
    Decibels,
    NoiseConfig,
    SpeakerSplitConfig,
    SpokenConfig,
    StringsConfig,
    Weight,
    sound_problems,
    strings_problems,
)

Metric = Literal["pesq", "stoi", "estoi", "segmental_snr", "si_sdr", "csig", "cbak", "covl"]
PESQ_RATES = (8000, 16000)
"""Rates (Hz) for which PESQ is defined: narrow band and wide band."""


class PairsConfig(Section):
    """Recordings of speech with noise and the same without it, as Voice Bank + DEMAND has them, with its split."""

    clean: str = "voicebank"
    """The folder of clean recordings to train on, relative to the analysis file; `voicebank`: that of the data set of
    this name."""
    noisy: str = "voicebank"
    """The folder of the same recordings with noise: files of the same names."""
    test_clean: str = "voicebank"
    """The folder of clean recordings to test on."""
    test_noisy: str = "voicebank"
    """The folder of the same recordings with noise."""
    rate: Annotated[int, Field(ge=4000, le=48000)] = 16000
    """Rate to which all recordings are resampled, in Hz."""


class SpectraConfig(Section):
    """The short-time Fourier transform that networks read and write."""

    window: Annotated[float, Field(ge=0.004, le=0.256)] = 0.032
    """The length of a (Hann) window, in s."""
    hop: Annotated[float, Field(ge=0.001, le=0.128)] = 0.016
    """The time from one window to the next, in s."""
    compression: Annotated[float, Field(gt=0.0, le=1.0)] = 0.3
    """Magnitudes to this power are what networks read and losses compare; phases are kept."""


class LossWeightsConfig(Section):
    """Weights of the losses between enhanced and clean speech.

    Those of spectra are of CMGAN (arXiv:2203.15149, published code), which has 0.2 for the samples and no disturbance;
    larger ones, together, gave more of PESQ and of both ratios on a speaker left out (analyses/speech/README.md).
    """

    complex: Weight = 0.1
    """Mean squared difference of the real and imaginary parts of the compressed spectra."""
    magnitude: Weight = 0.9
    """Mean squared difference of the compressed magnitudes."""
    time: Weight = 2.0
    """Mean absolute difference of the samples."""
    disturbance: Weight = 0.6
    """What PESQ takes from its largest value, 4.5, in a differentiable form (PMSQE, Martin-Donas et al. 2018)."""


class AugmentationConfig(Section):
    """How mixtures to train on are varied: a network learns few speakers and few noises by heart."""

    filters: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.375
    """Largest coefficient of the random filters of second order through which each string and each noise goes
    (RNNoise, arXiv:1709.08243); 0: none."""
    second_noise: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    """Share of the strings with two noises."""
    remix: bool = True
    """Whether the noises of a step change places among its segments, which makes new mixtures in every step."""


class MetricAdversaryConfig(Section):
    """A network that predicts a measure of quality; the enhancement is trained towards its maximum (MetricGAN)."""

    metric: Literal["pesq", "stoi", "si_sdr"] = "pesq"
    """What is predicted, scaled to 0 to 1: PESQ of 1 to 4.5, STOI, or SI-SDR of -10 to 30 dB."""
    strength: Weight = 0.05
    """Weight of its loss for the enhancement."""
    steps: Count = 10
    """Steps of the enhancement for each step of this network: PESQ takes time."""
    rows: Count = 4
    """Segments of a step that it rates, and whose quality is measured in a step of its own."""
    combine: Literal["sum", "projection", "self_correcting"] = "self_correcting"
    """How the gradients of its losses on clean, enhanced and noisy speech become one step: `self_correcting` scales a
    loss that opposes those before it until it does not (SCP-GAN, arXiv:2210.14474)."""
    warmup: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.3
    """Share of the steps in which the enhancement is trained without it."""


class UnprocessedConfig(Section):
    """The noisy recordings as they are."""

    kind: Literal["noisy"]
    """The kind of model: none."""
    title: str | None = None
    """Its name in tables; null: its key."""


class WienerConfig(Section):
    """A Wiener filter with the decision-directed estimate of the ratio (Ephraim and Malah 1984) and a tracked noise
    spectrum (Gerkmann and Hendriks 2012); nothing is trained.
    """

    kind: Literal["wiener"]
    """The kind of model: a Wiener filter."""
    title: str | None = None
    """Its name in tables; null: its key."""
    smoothing: Fraction = 0.98
    """Share of the previous frame in the estimate of the ratio."""
    floor: Decibels = -20.0
    """The smallest gain, in dB."""


class IdealMaskConfig(Section):
    """The ideal ratio mask, made of the clean speech: the limit of masks with the phase of the noisy speech."""

    kind: Literal["ideal_mask"]
    """The kind of model: the ideal ratio mask."""
    title: str | None = None
    """Its name in tables; null: its key."""


class EnhancementTrainingConfig(TrainingConfig):
    """As for events, in steps on segments of sound; the weights are those of the last epoch."""

    epochs: Epochs = 40
    """Number of epochs; each has new strings and new mixtures."""
    turns: Count = 250
    """Steps of an epoch."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 16
    """Segments of a step."""
    seconds: Annotated[float, Field(ge=0.25, le=60.0)] = 1.0
    """Length of a segment, in s; 16,384 samples in 16 kHz as published for SEGAN are 1.024."""
    learning_rate: Positive = 1.0e-3
    """Learning rate at the maximum of the schedule."""
    patience: Count | None = None
    """Not used: all epochs are trained."""
    clip: Weight = 5.0
    """Largest norm of a gradient; 0: no limit."""


class MaskNetworkConfig(Section):
    """A network that reads the compressed spectrum of noisy speech and returns that of clean speech: a mask of its
    magnitudes and a complex correction, from dilated convolutions over time.
    """

    kind: Literal["mask"]
    """The kind of model: a network of masks."""
    title: str | None = None
    """Its name in tables; null: its key."""
    width: Annotated[int, Field(ge=1, le=2048)] = 128
    """Channels of each convolution."""
    blocks: Annotated[int, Field(ge=1, le=64)] = 12
    """Convolutions over time, with dilations 1, 2, 4, 8, 16, 32, 1, 2, ..."""
    causal: bool = False
    """Whether a frame is enhanced without those after it, so that sound can be enhanced while it comes in."""
    consistency: bool = True
    """Whether the losses compare spectra of waveforms, on both sides; no waveform has the spectrum that a network
    returns (SCP-GAN, arXiv:2210.14474)."""
    losses: LossWeightsConfig = LossWeightsConfig()
    """Weights of the losses."""
    adversary: MetricAdversaryConfig | None = None
    """A network that predicts a measure of quality; null: none."""
    augmentation: AugmentationConfig | None = AugmentationConfig()
    """How mixtures to train on are varied; null: they are not."""
    training: EnhancementTrainingConfig = EnhancementTrainingConfig()
    """Overrides of the analysis's `training:`; after loading, the complete section."""


class SeganConfig(Section):
    """SEGAN (arXiv:1703.09452): a generator of waveforms of strided and transposed convolutions, and a discriminator of
    pairs of waveforms with least-squares losses; the defaults are those of the paper.
    """

    kind: Literal["segan"]
    """The kind of model: SEGAN."""
    title: str | None = None
    """Its name in tables; null: its key."""
    channels: Annotated[tuple[Width, ...], Field(strict=False, min_length=1, max_length=16)] = (
        16, 32, 32, 64, 64, 128, 128, 256, 256, 512, 1024,
    )  # fmt: skip
    """Channels of each strided convolution."""
    width: Annotated[int, Field(ge=3, le=255)] = 31
    """Samples that a convolution reads; odd."""
    noise: bool = True
    """Whether the generator gets a random code, too."""
    adversary: bool = True
    """Whether there is a discriminator; without, only the difference of the samples is minimised."""
    difference: Weight = 100.0
    """Weight of the mean absolute difference of the samples, beside the loss of the discriminator."""
    training: EnhancementTrainingConfig = EnhancementTrainingConfig()
    """Overrides of the analysis's `training:`; after loading, the complete section."""

    def window(self, rate: int) -> int:
        """Return the samples of a window of the training: the multiple of 2 to the number of layers nearest to it."""
        least = 1 << len(self.channels)
        return max(1, round(self.training.seconds * rate / least)) * least


TrainedModel = MaskNetworkConfig | SeganConfig
EnhancementModel = Annotated[
    UnprocessedConfig | WienerConfig | IdealMaskConfig | MaskNetworkConfig | SeganConfig, Field(discriminator="kind")
]


class EnhancementEvaluationConfig(Section):
    """What is measured on strings of the test speakers in noises of the test."""

    snr: Annotated[tuple[Decibels, ...], Field(strict=False, min_length=1)] = (17.5, 12.5, 7.5, 2.5)
    """Ratios of the tests, in dB; of no effect with `pairs`."""
    strings: Annotated[int, Field(ge=2, le=100_000)] = 40
    """Strings of each ratio: the same strings and noises at all ratios. With `pairs`: recordings at most."""
    metrics: Annotated[tuple[Metric, ...], Field(strict=False, min_length=1)] = (
        "pesq", "stoi", "segmental_snr", "si_sdr", "csig", "cbak", "covl",
    )  # fmt: skip
    """Measures of quality: PESQ (of narrow band speech at 8 kHz), STOI and its extension, segmental ratio and scale
    invariant ratio in dB, and the composite measures of signal, background and overall quality."""
    baseline: Name | None = None
    """The model that others are compared with; null: the first."""


class EnhancementConfig(BaseConfig):
    """An analysis of speech enhancement. Load it by `hepda.config.load_any`."""

    name: Name
    """The name of the analysis, of the run directory, and in figures and report."""
    kind: Literal["enhancement"]
    """The kind of data: speech to be freed of noise."""
    speech: SpokenConfig = SpokenConfig()
    """The utterances: which recordings there are."""
    noise: NoiseConfig = NoiseConfig(synthetic=("white", "pink", "brown", "hum", "babble"))
    """Noise that is mixed with the speech."""
    pairs: PairsConfig | None = None
    """Recordings that have their noise already, instead of `speech` and `noise`; null: none."""
    strings: StringsConfig = StringsConfig()
    """How recordings become strings."""
    split: SpeakerSplitConfig = SpeakerSplitConfig()
    """Which speakers are tested on."""
    spectra: SpectraConfig = SpectraConfig()
    """The short-time Fourier transform of networks, filter and mask."""
    models: Annotated[dict[Name, EnhancementModel], Field(min_length=1)]
    """What is trained and compared, by name."""
    training: EnhancementTrainingConfig = EnhancementTrainingConfig()
    """How networks are trained, unless a model has other values in its `training:`."""
    seeds: Annotated[int, Field(ge=1, le=100)] = 3
    """Trainings of each network, which differ in every random number; the same seed of two models is the same draw."""
    evaluation: EnhancementEvaluationConfig = EnhancementEvaluationConfig()
    """What is measured."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """The seed of every random number: equal seeds give equal results."""

    @property
    def rate(self) -> int:
        """The rate of all sound, in Hz."""
        return self.speech.rate if self.pairs is None else self.pairs.rate

    @property
    def baseline(self) -> str:
        """The model that others are compared with."""
        return self.evaluation.baseline or next(iter(self.models))

    @property
    def networks(self) -> dict[str, TrainedModel]:
        """Return the models that are trained, by name."""
        return {name: model for name, model in self.models.items() if isinstance(model, TrainedModel)}

    def problems(self) -> Iterator[str]:
        """Yield the problems that involve several sections."""
        yield from _data(self)
        yield from _models(self)


def _data(config: EnhancementConfig) -> Iterator[str]:
    if config.pairs is None:
        yield from sound_problems(config.speech, config.noise)
    else:
        for key in ("speech", "noise", "split"):
            if key in config.model_fields_set:
                yield f"{key}: has no effect with `pairs`, which have their noise and their split; remove it."
    yield from strings_problems(config.strings)
    spectra = config.spectra
    if round(spectra.window / spectra.hop) < 2:
        yield f"spectra.hop: {spectra.hop:g} s is more than half of the window, {spectra.window:g} s; make it smaller."
    needs_pesq = {"pesq", "csig", "cbak", "covl"} & set(config.evaluation.metrics)
    if needs_pesq and config.rate not in PESQ_RATES:
        yield (
            f"evaluation.metrics: {', '.join(sorted(needs_pesq))} need PESQ, which is defined at 8000 and 16000 Hz, "
            f"not at {config.rate} Hz; leave them out, or change the rate."
        )


def _models(config: EnhancementConfig) -> Iterator[str]:
    baseline = config.evaluation.baseline
    if baseline is not None and baseline not in config.models:
        yield unknown("evaluation.baseline", baseline, "model", config.models)
    for key in given(config.training, *_UNUSED):
        yield f"training.{key}: has no effect on enhancement; remove it."
    for name, model in config.networks.items():
        path = f"models.{name}"
        for key in given(model.training, *_UNUSED):
            yield f"{path}.training.{key}: has no effect on enhancement; remove it."
        yield from _mask(path, model, config) if isinstance(model, MaskNetworkConfig) else _segan(path, model)


def _mask(path: str, model: MaskNetworkConfig, config: EnhancementConfig) -> Iterator[str]:
    losses, adversary, rate = model.losses, model.adversary, config.rate
    if not any(losses.model_dump().values()):
        yield f"{path}.losses: all weights are 0, so nothing is learned; give one."
    if losses.disturbance and rate not in PESQ_RATES:
        yield f"{path}.losses.disturbance: PESQ is not defined at {rate} Hz; make it 0."
    if config.pairs is not None and model.augmentation is not None:
        for key in given(model.augmentation, "filters", "second_noise"):
            yield f"{path}.augmentation.{key}: has no effect with `pairs`, which have their noise; remove it."
    if adversary is None:
        return
    if adversary.metric == "pesq" and rate not in PESQ_RATES:
        yield f"{path}.adversary.metric: PESQ is not defined at {rate} Hz; take stoi or si_sdr."
    if adversary.rows > model.training.batch_size:
        yield f"{path}.adversary.rows: {adversary.rows} of {model.training.batch_size} segments; make it smaller."
    if model.training.turns % adversary.steps:
        yield (
            f"{path}.adversary.steps: {model.training.turns} steps of an epoch are no multiple of {adversary.steps}; "
            "change one of them."
        )


def _segan(path: str, model: SeganConfig) -> Iterator[str]:
    if model.width % 2 == 0:
        yield f"{path}.width: {model.width} samples have no middle; take an odd number."
    if not model.adversary and not model.difference:
        yield f"{path}.difference: is 0 and there is no adversary, so nothing is learned; give one of them."


_UNUSED = ("patience", "scorer", "precision")
"""Keys of a training that apply to classifiers only."""
