"""The judges of conversions: independent classifiers of effects, digits and speakers, and what they say of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hepda.adversarial.networks.layers import seeded
from hepda.speech.conversion.effects import ConversionSounds, bank_of
from hepda.speech.conversion.networks import (
    FrameClassifier,
    classified,
    cross_entropy,
    load_weights,
    read_shape,
    save_module,
)
from hepda.speech.conversion.training import mel_of
from hepda.speech.dataset.strings import strings_of
from hepda.speech.sounds.audio import Tape
from hepda.speech.sounds.features import FilterBank

if TYPE_CHECKING:
    from hepda.config import ConversionConfig

FORMAT = "hepda.judge/1"
_BATCH = 16
_RATE = 2e-3
_STRINGS = 6  # strings of a judge's epoch, in units of `strings.number`


@dataclass(frozen=True, slots=True)
class Judges:
    """Classifiers of log-mel frames.

    Attributes:
        effect: of strings; the classes are all effects, the unseen ones too.
        digit: of recordings of one word.
        speaker: of strings; the classes are all speakers.

    """

    effect: FrameClassifier
    digit: FrameClassifier
    speaker: FrameClassifier

    def save(self, folder: Path) -> None:
        """Write the judges to a folder."""
        for name in ("effect", "digit", "speaker"):
            save_module(getattr(self, name), FORMAT, folder / f"judge-{name}.safetensors")

    @classmethod
    def load(cls, folder: Path) -> Judges:
        """Read what `save` wrote."""
        return cls(*(_read(folder / f"judge-{name}.safetensors") for name in ("effect", "digit", "speaker")))


def _read(path: Path) -> FrameClassifier:
    judge = FrameClassifier(**read_shape(path))
    load_weights(judge, path)
    return judge.eval()


def trained_judges(config: ConversionConfig, sounds: ConversionSounds) -> Judges:
    """Train the judges on strings in all effects; no model is trained on the same strings.

    Effects and digits are learned from the speakers that are trained on, speakers from recordings of all of them that
    are in no test.
    """
    bank, rounds = bank_of(config), config.evaluation.judges
    drawn = [_material(config, sounds, bank, epoch) for epoch in range(rounds)]
    bands, corpus = config.mel.bands, sounds.corpus
    of_effect = fitted([of for of, _, _ in drawn], bands, len(sounds.effects.names), config.seed)
    of_digit = fitted([of for _, of, _ in drawn], bands, len(corpus.vocabulary), config.seed + 1)
    of_speaker = fitted([of for _, _, of in drawn], bands, len(corpus.speakers), config.seed + 2)
    return Judges(of_effect, of_digit, of_speaker)


Labelled = list[tuple[Tensor, int]]
"""Log-mel frames [n, bands] with their class."""


def _material(
    config: ConversionConfig, sounds: ConversionSounds, bank: FilterBank, epoch: int
) -> tuple[Labelled, Labelled, Labelled]:
    """Return what the judges of effects, digits and speakers learn from in an epoch."""
    random = np.random.default_rng([config.seed, epoch, 11])
    number, corpus = _STRINGS * config.strings.number, sounds.corpus
    effects = torch.from_numpy(random.integers(len(sounds.effects.names), size=number))
    speaker = corpus.speaker.numpy()
    of_effect: Labelled = []
    of_digit: Labelled = []
    of_speaker: Labelled = []
    for recordings, with_words in ((sounds.training.numpy(), True), (sounds.judging.numpy(), False)):
        who = random.choice(np.unique(speaker[recordings]), number)
        strings = strings_of(corpus, recordings, who, config.strings, random)
        strings = strings.at_speeds(config.strings.speeds, random)
        parts = frames_of(bank, sounds.effects.applied(strings.tape, effects))
        if not with_words:
            of_speaker = list(zip(parts, who.tolist(), strict=True))
            continue
        of_effect = list(zip(parts, effects.tolist(), strict=True))
        for recording, string, start, length in strings.places():
            of_digit.append((_word(parts[string], length, start, bank), corpus.words[recording][0]))
    return of_effect, of_digit, of_speaker


def frames_of(bank: FilterBank, tape: Tape) -> list[Tensor]:
    """Return the log-mel frames [n, bands] of every utterance of a tape."""
    values, _, count = mel_of(bank, tape)
    return list(torch.split(values, count.tolist()))


def _word(frames: Tensor, samples: int, start: int, bank: FilterBank) -> Tensor:
    """Return the frames of a recording that begins at the sample `start` of its string."""
    first = round(start / bank.hop_samples)
    return frames[first : first + max(8, samples // bank.hop_samples)]


def fitted(epochs: Sequence[Labelled], inputs: int, classes: int, seed: int) -> FrameClassifier:
    """Return a classifier that has learned from the rows of every epoch, in batches of similar lengths."""
    with seeded(seed):
        judge = FrameClassifier(inputs, classes)
    judge.scale_by(torch.cat([frames for frames, _ in epochs[0]]))
    optimizer = torch.optim.Adam(judge.parameters(), lr=_RATE)
    random = np.random.default_rng(seed)
    for rows in epochs:
        order = sorted(random.permutation(len(rows)).tolist(), key=lambda n: len(rows[n][0]))
        batches = [order[first : first + _BATCH] for first in range(0, len(order), _BATCH)]
        for number in random.permutation(len(batches)).tolist():
            frames, labels = padded([rows[n] for n in batches[number]])
            loss = cross_entropy(judge(frames), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return judge.eval()


def padded(rows: Labelled) -> tuple[Tensor, Tensor]:
    """Return frames [b, bands, n] and classes [b] of rows; shorter ones begin again from their first frame."""
    longest = max(len(frames) for frames, _ in rows)
    repeated = [frames[torch.arange(longest) % len(frames)].T for frames, _ in rows]
    return torch.stack(repeated), torch.tensor([label for _, label in rows])


def verdict(judge: FrameClassifier, frames: Tensor) -> int:
    """Return the class of frames [n, bands]."""
    return int(classified(judge, frames.T[None])[0])


def wrong_words(
    judge: FrameClassifier, frames: Tensor, places: Sequence[tuple[int, int, int]], bank: FilterBank
) -> int:
    """Return the number of words of a string that are not recognised.

    Args:
        judge: of words.
        frames: of the string [n, bands].
        places: of every word its number, its length and its first sample.
        bank: the filter bank.

    """
    found = (verdict(judge, _word(frames, length, start, bank)) for _, length, start in places)
    return sum(word != spoken for word, (spoken, _, _) in zip(found, places, strict=True))
