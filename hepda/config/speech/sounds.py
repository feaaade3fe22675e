"""The sections of the analysis file that name sounds: utterances, noises and rooms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from hepda.config.section import Count, Fraction, Section, Strings

Decibels = Annotated[float, Field(ge=-40.0, le=80.0)]
Factor = Annotated[float, Field(ge=0.25, le=4.0)]
Weight = Annotated[float, Field(ge=0.0)]
Seconds = Annotated[float, Field(gt=0.0, le=30.0)]


class SpokenConfig(Section):
    """The utterances."""

    data: Literal["fsdd", "folder", "recordings", "synthetic", "flite", "espeak", "tones"] = "fsdd"
    """The Free Spoken Digit Dataset; a folder of files named as in it; a folder of any `recordings`, whose words are
    not known (for enhancement); or synthetic digits: by flite, by espeak-ng, by both if they are installed
    (`synthetic`; tones if neither is), or as tones, which need no program."""
    folder: str | None = None
    """For `data: folder` and `recordings`: the folder, relative to the analysis file. The speaker of `recordings` is
    the name of the folder in it, or the part of the file's name before the first underscore."""
    rate: Annotated[int, Field(ge=4000, le=48000)] = 8000
    """Rate to which all recordings are resampled, in Hz."""
    recordings: Count | None = None
    """The largest number of recordings of each word by each speaker; null: all (of synthetic digits: 12)."""


class NoiseConfig(Section):
    """Noise that is mixed with the speech."""

    recordings: str | None = None
    """A folder of recordings (relative to the analysis file), each file or each folder in it a type; `ambient`: the 22
    recordings of the data set of this name, in a folder of HEPDA_DATA. null: none."""
    synthetic: Annotated[tuple[Literal["white", "pink", "brown", "hum", "babble"], ...], Field(strict=False)] = ()
    """Types that need no file."""
    unseen: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Types that no training uses; the others are seen."""
    snr: tuple[Decibels, Decibels] = Field(default=(0.0, 20.0), strict=False)
    """Ratios in training are uniformly distributed between these, in dB."""
    clean: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Share of noisy training utterances without noise."""


class RoomsConfig(Section):
    """Room responses that utterances are convolved with."""

    recordings: str | None = None
    """A folder of responses, relative to the analysis file, or `measured`: those of the data set `rooms`."""
    synthetic: Annotated[tuple[Seconds, ...], Field(strict=False)] = ()
    """Rooms of these reverberation times, in s."""
    only: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Names of the responses of `recordings` that are used; empty: all."""
    unseen: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Rooms that no training uses."""
    share: Fraction = 0.8
    """Share of the noisy training utterances that are in a room; each is in one of the seen rooms."""


class StringsConfig(Section):
    """Recordings of one speaker, one after the other: measures of quality need some seconds of speech."""

    recordings: tuple[Count, Count] = Field(default=(4, 6), strict=False)
    """The smallest and the largest number of recordings; [1, 1] for recordings of whole sentences."""
    pause: tuple[Annotated[float, Field(ge=0.0, le=5.0)], Annotated[float, Field(ge=0.0, le=5.0)]] = Field(
        default=(0.05, 0.3), strict=False
    )
    """The shortest and the longest pause between two recordings, in s."""
    speeds: Annotated[tuple[Factor, ...], Field(strict=False, min_length=1)] = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15)
    """Factors on the speed of strings to train on, one drawn for each: duration and all frequencies change together, so
    that the network learns from voices that are not recorded."""
    number: Count = 240
    """Strings of an epoch of the training; each epoch has new ones."""


class SpeakerSplitConfig(Section):
    """Speakers that are tested on."""

    test: Count | Strings = 1
    """Names of speakers, or their number, the last ones by name; nothing of theirs is in the training."""
    unused: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Speakers that are neither trained nor tested on, such as those of the final test while settings are chosen."""


def strings_problems(strings: StringsConfig) -> Iterator[str]:
    """Yield the problems of strings."""
    for key, (least, most) in (("recordings", strings.recordings), ("pause", strings.pause)):
        if least > most:
            yield f"strings.{key}: from {least:g} to {most:g}; the smaller one comes first."


def folder_problems(speech: SpokenConfig) -> Iterator[str]:
    """Yield the problems of the folder of utterances."""
    if (speech.data in ("folder", "recordings")) != (speech.folder is not None):
        yield "speech.folder: is given for `data: folder` and `data: recordings`, and only there."


def sound_problems(speech: SpokenConfig, noise: NoiseConfig) -> Iterator[str]:
    """Yield the problems of utterances and noises."""
    yield from folder_problems(speech)
    if noise.recordings is None and not noise.synthetic:
        yield "noise: names no noise; give `recordings`, or `synthetic: [white, pink, brown, hum, babble]`."
    if noise.snr[0] > noise.snr[1]:
        yield f"noise.snr: from {noise.snr[0]:g} to {noise.snr[1]:g} dB; the lower ratio comes first."
