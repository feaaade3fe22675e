"""Strings of recordings in rooms: those to train on, and all pairs of rooms of the test strings."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from hepda.adversarial.tensor_files import read_description, read_tensors, write_tensors
from hepda.config.speech.conversion import DRY
from hepda.errors import ConfigError, DataError
from hepda.speech.dataset.material import load_corpus, load_rooms_of, numbers_of
from hepda.speech.dataset.strings import SpokenStrings, split_speakers, strings_of
from hepda.speech.sounds.audio import Tape
from hepda.speech.sounds.bank import roomy
from hepda.speech.sounds.corpora import Corpus
from hepda.speech.sounds.features import FilterBank

if TYPE_CHECKING:
    from hepda.config import ConversionConfig

LEVEL = 0.05
"""The root mean square of recordings; a recording that is converted later is brought to it, and back."""
_TEST, _REFERENCE, _TRAINING = 1, 2, 3  # what the seeds of strings differ in


@dataclass(frozen=True, slots=True)
class Effects:
    """The effects of an analysis.

    Attributes:
        names: of all effects; `dry`, no room, is the first.
        responses: of all effects but the first.
        seen: numbers of those that are trained with, the first one included.
        unseen: numbers of those that are references of tests only.

    """

    names: tuple[str, ...]
    responses: tuple[Tensor, ...]
    seen: tuple[int, ...]
    unseen: tuple[int, ...]

    def applied(self, tape: Tape, effect: Tensor) -> Tape:
        """Return utterances in their effects [u], numbers of `names`; each keeps its power."""
        return roomy(tape, list(self.responses), effect - 1)


@dataclass(frozen=True, slots=True)
class EffectTakes:
    """Strings of a training, or of judges.

    Attributes:
        source: the strings in their effects.
        target: the same strings in the wanted effects.
        reference: strings of other speakers, if there are any, in the wanted effects.
        effect, wanted: numbers of the effects [u].

    """

    source: Tape
    target: Tape
    reference: Tape
    effect: Tensor
    wanted: Tensor


@dataclass(frozen=True, slots=True)
class Conversions:
    """The conversions of the tests.

    Attributes:
        strings: dry test strings.
        reference: dry strings of other speakers, one for each test string.
        speaker: of each test string, int64 [s].
        string: of every conversion [n].
        effect, wanted: numbers of the effects of every conversion [n].

    """

    strings: SpokenStrings
    reference: Tape
    speaker: Tensor
    string: Tensor
    effect: Tensor
    wanted: Tensor

    def __len__(self) -> int:
        return len(self.string)


@dataclass(frozen=True, slots=True)
class ConversionSounds:
    """All sound of an analysis.

    Attributes:
        corpus: the recordings.
        training: numbers of the recordings to train on, int64.
        test: those that test strings are made of: half of those of the test speakers.
        judging: recordings for the judge of speakers: the other half, and as many of the others.
        effects: the effects.

    """

    corpus: Corpus
    training: Tensor
    test: Tensor
    judging: Tensor
    effects: Effects

    def takes(self, config: ConversionConfig, recordings: Tensor, epoch: int, seed: int) -> EffectTakes:
        """Return new strings of recordings in seen effects, each with a wanted effect that differs from its own.

        Strings are at the speeds of the analysis file.

        Args:
            config: the analysis.
            recordings: numbers of the recordings [k].
            epoch: of the training.
            seed: of the training.

        """
        random = np.random.default_rng([seed, epoch, _TRAINING])
        number, numbers = config.strings.number, recordings.numpy()
        speakers = np.unique(self.corpus.speaker.numpy()[numbers])
        who = random.choice(speakers, number)
        others = _others(who, speakers, random)
        strings, reference = (
            strings_of(self.corpus, numbers, speaker, config.strings, random)
            .at_speeds(config.strings.speeds, random)
            .tape
            for speaker in (who, others)
        )
        seen = np.array(self.effects.seen)
        first = random.integers(len(seen), size=number)
        second = (first + random.integers(1, len(seen), size=number)) % len(seen)
        effect, wanted = torch.from_numpy(seen[first]), torch.from_numpy(seen[second])
        return EffectTakes(
            self.effects.applied(strings, effect), self.effects.applied(strings, wanted),
            self.effects.applied(reference, wanted), effect, wanted,
        )  # fmt: skip

    def tests(self, config: ConversionConfig) -> Conversions:
        """Return every test string from every seen effect to every other one, and from one to each unseen effect."""
        random = np.random.default_rng([config.seed, _TEST])
        numbers, strings = self.test.numpy(), config.evaluation.strings
        speakers = np.unique(self.corpus.speaker.numpy()[numbers])
        who = np.resize(speakers, strings)
        spoken = strings_of(self.corpus, numbers, who, config.strings, random)
        again = np.random.default_rng([config.seed, _REFERENCE])
        reference = strings_of(self.corpus, numbers, _others(who, speakers, again), config.strings, again).tape
        rows = [(s, a, b) for s in range(strings) for a in self.effects.seen for b in self.effects.seen if a != b]
        rows += [(s, int(random.choice(self.effects.seen)), b) for s in range(strings) for b in self.effects.unseen]
        return Conversions(spoken, reference, torch.from_numpy(who), *torch.tensor(rows).unbind(1))


def _others(who: np.ndarray, speakers: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return another speaker for each of `who`; the same where there is only one."""
    if len(speakers) == 1:
        return who
    place = np.searchsorted(speakers, who)
    other: np.ndarray = speakers[(place + random.integers(1, len(speakers), size=len(who))) % len(speakers)]
    return other


def load_sounds(config: ConversionConfig) -> ConversionSounds:
    """Read the recordings and rooms that the analysis file names.

    Recordings are brought to one level, which is no effect of a room; speakers of other levels are judged wrongly.

    Raises:
        HepdaError: a file is missing or cannot be used, or a name does not exist.

    """
    recorded = load_corpus(config.speech, config.seed)
    corpus = replace(recorded, tape=recorded.tape.at_level(LEVEL))
    training, tested = split_speakers(config.split, corpus)
    rooms = load_rooms_of(config.rooms, config.speech.rate, config.seed)
    if DRY in rooms:
        raise ConfigError(f"rooms: a response is called {DRY!r}, which is the name of no room; rename its file.")
    unseen = tuple(number + 1 for number in numbers_of("rooms.unseen", config.rooms.unseen, tuple(rooms)))
    seen = tuple(number for number in range(len(rooms) + 1) if number not in unseen)
    if len(seen) < 2:
        raise ConfigError("rooms.unseen: names every room there is; one at least must be left to train with")
    index = corpus.index.numpy()
    test = tested[index[tested] % 2 == 0]
    if len(test) == len(tested):
        raise DataError("split.test: a test speaker needs two recordings of a word at least, one for the judges")
    judging = np.concatenate([tested[index[tested] % 2 == 1], training[index[training] % 2 == 1]])
    effects = Effects((DRY, *rooms), tuple(rooms.values()), seen, unseen)
    return ConversionSounds(
        corpus, torch.from_numpy(training), torch.from_numpy(test), torch.from_numpy(judging), effects
    )


def bank_of(config: ConversionConfig) -> FilterBank:
    """Return the filter bank of an analysis."""
    return FilterBank(config.speech.rate, config.mel.bands, config.mel.window, config.mel.hop)


# ---- on disk, for the trainings ----


def write_sounds(sounds: ConversionSounds, folder: Path) -> None:
    """Write all sound to a folder; nothing is pickled."""
    corpus, effects = sounds.corpus, sounds.effects
    tensors = {
        "samples": corpus.tape.samples, "start": corpus.tape.start, "length": corpus.tape.length,
        "speaker": corpus.speaker, "index": corpus.index, "training": sounds.training, "test": sounds.test,
        "judging": sounds.judging, **{f"response.{n}": response for n, response in enumerate(effects.responses)},
    }  # fmt: skip
    description = {
        "rate": corpus.tape.rate, "words": corpus.words, "names": corpus.names, "vocabulary": corpus.vocabulary,
        "speakers": corpus.speakers, "origin": corpus.origin, "effects": effects.names, "seen": effects.seen,
        "unseen": effects.unseen,
    }  # fmt: skip
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_tensors(folder / "recordings.safetensors", contiguous, {"sounds": json.dumps(description)})


def read_sounds(folder: Path) -> ConversionSounds:
    """Read what `write_sounds` wrote."""
    path = folder / "recordings.safetensors"
    tensors, metadata = read_tensors(path)
    said: dict[str, Any] = read_description(path, metadata, "sounds")
    names, vocabulary, speakers, effects, seen, unseen = (
        tuple(said[key]) for key in ("names", "vocabulary", "speakers", "effects", "seen", "unseen")
    )
    tape = Tape(tensors["samples"], tensors["start"], tensors["length"], said["rate"])
    words = tuple(tuple(of) for of in said["words"])
    corpus = Corpus(tape, words, tensors["speaker"], tensors["index"], names, vocabulary, speakers, said["origin"])
    responses = tuple(tensors[f"response.{number}"] for number in range(len(effects) - 1))
    return ConversionSounds(
        corpus, tensors["training"], tensors["test"], tensors["judging"], Effects(effects, responses, seen, unseen)
    )
