"""The recordings for training, validation and test, and the form in which a training uses them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hepda.errors import DataError
from hepda.speech.dataset.material import Material
from hepda.speech.sounds.audio import on_tape
from hepda.speech.sounds.bank import Context, Extractor, Takes, roomy
from hepda.speech.sounds.corpora import at_speed
from hepda.speech.sounds.features import FilterBank
from hepda.speech.sounds.noises import BABBLE, babble_of

if TYPE_CHECKING:
    from hepda.config import SpeechConfig
    from hepda.speech.sounds.corpora import Corpus


@dataclass(frozen=True, slots=True)
class Parts:
    """Numbers of recordings, int64: with known words, without words, for validation, and for the test."""

    labelled: Tensor
    unlabelled: Tensor
    validation: Tensor
    test: Tensor

    @property
    def known(self) -> Tensor:
        """Recordings whose words may be used before the test: the aligner is trained on them."""
        return torch.cat([self.labelled, self.validation]).sort().values


def folds(config: SpeechConfig, corpus: Corpus) -> int:
    """Return how often the corpus is split: once, or once for each speaker."""
    return len(corpus.speakers) if config.split.by == "speaker" else 1


def parts_of(config: SpeechConfig, corpus: Corpus, fold: int) -> Parts:
    """Return the recordings of a fold.

    Those without words are drawn with the seed of the analysis, the same ones for all trainings. Without
    `split.unlabelled` they are all training recordings.

    Raises:
        DataError: a part is empty.

    """
    split, index = config.split, corpus.index
    if split.by == "speaker":
        test, begin = corpus.speaker == fold, 0
    else:
        test, begin = index < split.test, split.test
    validation = ~test & (index >= begin) & (index < begin + split.validation)
    training = torch.nonzero(~test & ~validation).flatten()
    labelled = unlabelled = training
    if split.unlabelled:
        order = torch.randperm(len(training), generator=torch.Generator().manual_seed(config.seed))
        cut = round(split.unlabelled * len(training))
        unlabelled, labelled = training[order[:cut].sort().values], training[order[cut:].sort().values]
    parts = Parts(labelled, unlabelled, torch.nonzero(validation).flatten(), torch.nonzero(test).flatten())
    for name in ("labelled", "unlabelled", "validation", "test"):
        if len(getattr(parts, name)) == 0:
            raise DataError(f"split: no recording is left for the part {name!r}; see split.test and split.validation")
    return parts


def of_fold(config: SpeechConfig, material: Material, fold: int) -> Material:
    """Return the material for the trainings of a fold.

    The voices of babble do not include the speaker who is left out.
    """
    if config.split.by != "speaker" or BABBLE not in config.noise.synthetic:
        return material
    known = parts_of(config, material.corpus, fold).known.tolist()
    voices = [material.corpus.tape.utterance(number) for number in known]
    train = babble_of(material.noises.train, voices, config.seed)
    return replace(material, noises=replace(material.noises, train=train))


def subset(material: Material, number: int | None, seed: int) -> tuple[int, ...]:
    """Return the seen types of noise of a training: `number` of them, drawn with the seed, or all if it is None.

    A larger subset with the same seed contains the smaller one.

    Raises:
        DataError: there are fewer types.

    """
    if number is None:
        return material.seen
    if number > len(material.seen):
        raise DataError(f"noises: {number} types are requested, but training has only {len(material.seen)}")
    order = np.random.default_rng(seed).permutation(material.seen)
    return tuple(sorted(order[:number].tolist()))


def extractor_of(config: SpeechConfig, tracts: tuple[float, ...] = (1.0,)) -> Extractor:
    """Return the extractor from tapes to features with the settings of the analysis file.

    Args:
        config: the config of the analysis.
        tracts: factors of the vocal tract, which are used in training only.

    """
    f = config.frames
    bank = FilterBank(config.speech.rate, f.bands, f.window, f.hop, warps=tracts)
    return Extractor(bank, f.cepstra, f.deltas, f.normalise, f.variance)


def context_of(config: SpeechConfig) -> Context:
    """Return the window of a frame."""
    c = config.frames.context
    return Context(c.left, c.right, c.step)


@dataclass(frozen=True, slots=True)
class TakeChanges:
    """Changes of the recordings in a training.

    Attributes:
        copies: takes of each recording.
        speeds: factors, one drawn for each take.
        noises: types, distributed evenly over the takes; empty: none.
        clean: share of takes without noise.
        rooms: numbers of rooms, distributed evenly; empty: none.
        room_share: share of the takes in a room.

    """

    copies: int
    speeds: tuple[float, ...]
    noises: tuple[int, ...] = ()
    clean: float = 0.0
    rooms: tuple[int, ...] = ()
    room_share: float = 0.0


def takes_from(material: Material, recordings: Tensor, changes: TakeChanges, seed: int) -> tuple[Takes, Tensor]:
    """Return the takes of recordings, and the room of each take, int64 [u] (-1: none)."""
    random = np.random.default_rng(seed)
    numbers = np.tile(recordings.numpy(), changes.copies)
    noise = _dealt(len(numbers), changes.noises, changes.clean, random)
    room = _dealt(len(numbers), changes.rooms, 1.0 - changes.room_share, random)
    speed = random.choice(np.array(changes.speeds), len(numbers))
    corpus = material.corpus
    utterances = [at_speed(corpus.tape.utterance(n), s) for n, s in zip(numbers.tolist(), speed.tolist(), strict=True)]
    rooms, recording, kinds = torch.from_numpy(room), torch.from_numpy(numbers), torch.from_numpy(noise)
    tape = roomy(on_tape(utterances, corpus.tape.rate), material.responses, rooms)
    return Takes(tape, corpus.speaker[recording], kinds, kinds, recording, torch.from_numpy(speed)), rooms


def _dealt(number: int, kinds: tuple[int, ...], none: float, random: np.random.Generator) -> np.ndarray:
    """Return one of `kinds` for each of `number` takes, each equally often; -1 for a share of `none`."""
    if not kinds:
        return np.full(number, -1)
    dealt = np.resize(random.permutation(kinds), number)
    random.shuffle(dealt)
    dealt[random.random(number) < none] = -1
    return dealt


def every(count: Tensor, step: int) -> Tensor:
    """Return the numbers of every `step`-th frame of utterances with `count` [u] frames.

    The first of these frames differs from one utterance to the next.
    """
    utterance = torch.repeat_interleave(torch.arange(len(count)), count)
    inside = torch.arange(len(utterance)) - (torch.cumsum(count, 0) - count)[utterance]
    return torch.nonzero((inside + utterance) % step == 0).flatten()
