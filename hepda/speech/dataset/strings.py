"""Strings of recordings of one speaker, and the speakers that are tested on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hepda.errors import ConfigError, DataError, nearest
from hepda.speech.sounds.audio import Tape, on_tape
from hepda.speech.sounds.corpora import Corpus, at_speed

if TYPE_CHECKING:
    from hepda.config.speech.sounds import SpeakerSplitConfig, StringsConfig


def split_speakers(split: SpeakerSplitConfig, corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the recordings to train on, and of those to test on.

    Raises:
        ConfigError: a name is no speaker, or one is named twice.
        DataError: nobody is left to train on.

    """
    chosen, speakers = split.test, corpus.speakers
    tested = tuple(sorted(speakers)[-chosen:]) if isinstance(chosen, int) else chosen
    for key, names in (("test", tested), ("unused", split.unused)):
        for name in names:
            if name not in speakers:
                hint = nearest(name, speakers) or f" There are: {', '.join(speakers)}."
                raise ConfigError(f"split.{key}: {name!r} is no speaker of these recordings.{hint}")
    both = set(tested) & set(split.unused)
    if both:
        raise ConfigError(f"split.unused: {', '.join(sorted(both))} is tested on; take it out of one of them.")
    names = np.array(speakers)[corpus.speaker.numpy()]
    test = np.flatnonzero(np.isin(names, tested))
    training = np.flatnonzero(~np.isin(names, [*tested, *split.unused]))
    if not len(training):
        raise DataError(f"split: no speaker of {', '.join(speakers)} is left to train on; test on fewer")
    return training, test


@dataclass(frozen=True, slots=True)
class SpokenStrings:
    """Strings of recordings.

    Attributes:
        tape: the strings.
        recording: number of every recording in them, string after string, int64 [k].
        string: the string that it is in, int64 [k].
        start: its first sample within the string, int64 [k].
        length: its number of samples, int64 [k].

    """

    tape: Tape
    recording: Tensor
    string: Tensor
    start: Tensor
    length: Tensor

    def at_speeds(self, speeds: Sequence[float], random: np.random.Generator) -> SpokenStrings:
        """Return the strings each at one of these speeds, drawn at random; 2 is twice as fast."""
        drawn = random.choice(np.array(speeds), len(self.tape)).tolist()
        tape = on_tape([at_speed(self.tape.utterance(n), speed) for n, speed in enumerate(drawn)], self.tape.rate)
        speed = torch.tensor(drawn, dtype=torch.float64)[self.string]
        start, length = ((samples / speed).round().long() for samples in (self.start, self.length))
        return SpokenStrings(tape, self.recording, self.string, start, length)

    def places(self) -> list[tuple[int, int, int, int]]:
        """Return number, string, first sample and length of every recording."""
        return [tuple(row) for row in torch.stack([self.recording, self.string, self.start, self.length], 1).tolist()]


def strings_of(
    corpus: Corpus, recordings: np.ndarray, who: np.ndarray, strings: StringsConfig, random: np.random.Generator
) -> SpokenStrings:
    """Return strings of recordings with pauses, each of one speaker.

    Args:
        corpus: the recordings.
        recordings: numbers of those to take [k].
        who: the speaker of each string [u].
        strings: numbers of recordings, and lengths of pauses.
        random: draws both, and the recordings.

    """
    rate, speaker = corpus.tape.rate, corpus.speaker.numpy()
    (fewest, most), (shortest, longest) = strings.recordings, strings.pause
    samples: list[Tensor] = []
    places: list[tuple[int, int, int, int]] = []
    for string, number in enumerate(who.tolist()):
        own = recordings[speaker[recordings] == number]
        parts: list[Tensor] = []
        for recording in random.choice(own, random.integers(fewest, most + 1)).tolist():
            if parts:
                parts.append(torch.zeros(round(float(random.uniform(shortest, longest)) * rate)))
            sound = corpus.tape.utterance(recording)
            places.append((recording, string, sum(map(len, parts)), len(sound)))
            parts.append(sound)
        samples.append(torch.cat(parts))
    return SpokenStrings(on_tape(samples, rate), *torch.tensor(places).unbind(1))


def joined(tapes: Sequence[Tape]) -> Tape:
    """Return one tape of the utterances of several."""
    length = torch.cat([tape.length for tape in tapes])
    return Tape(torch.cat([tape.samples for tape in tapes]), torch.cumsum(length, 0) - length, length, tapes[0].rate)
