"""Test utterances under every condition, and the results of a network on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hepda.speech.dataset.material import Material
from hepda.speech.recognition.decoding import decoded, frame_hits, scaled, text_of, word_errors, word_scores
from hepda.speech.recognition.hmm import Graph
from hepda.speech.sounds.audio import Tape
from hepda.speech.sounds.bank import Context, Extractor, Takes, noisy, roomy, window_of
from hepda.speech.sounds.features import Frames

if TYPE_CHECKING:
    from hepda.adversarial import Network
    from hepda.config import SpeechConfig

CLEAN, SEEN, UNSEEN, ROOM, NEW_ROOM = "clean", "seen", "unseen", "room", "new_room"
"""Test conditions: no noise; types of noise in trainings, and other types; rooms in trainings, and other rooms."""
_ROWS = 8192  # number of windows in a batch


@dataclass(frozen=True, slots=True)
class Trial:
    """One condition for all test utterances.

    Attributes:
        condition: its name.
        noise: the type of noise of each utterance [u]; -1: none.
        snr: ratio of speech to noise in dB.
        room: the room of each utterance [u]; -1: none.

    """

    condition: str
    noise: Tensor
    snr: float
    room: Tensor


def trials_of(config: SpeechConfig, material: Material, utterances: int) -> list[Trial]:
    """Return all conditions.

    They depend on the seed of the analysis only: every training is tested on the same sound.
    """
    random = np.random.default_rng(config.seed + 77)
    none = torch.full((utterances,), -1)
    trials = [Trial(CLEAN, none, float("inf"), none)]
    for snr in config.evaluation.snr:
        for condition, kinds in ((SEEN, material.seen), (UNSEEN, material.unseen)):
            for _ in range(config.evaluation.repeats if kinds else 0):
                trials.append(Trial(condition, _dealt(kinds, utterances, random), snr, none))
    for condition, kinds in ((ROOM, material.seen_rooms), (NEW_ROOM, material.unseen_rooms)):
        for _ in range(config.evaluation.repeats if kinds else 0):
            trials.append(Trial(condition, none, float("inf"), _dealt(kinds, utterances, random)))
    return trials


def _dealt(kinds: tuple[int, ...], number: int, random: np.random.Generator) -> Tensor:
    dealt = np.resize(random.permutation(kinds), number)
    random.shuffle(dealt)
    return torch.from_numpy(dealt)


def trial_tape(trial: Trial, number: int, material: Material, tape: Tape, seed: int) -> Tape:
    """Return the sound of a trial: test utterances in their room, then in noise.

    Args:
        trial: the trial.
        number: its number among the trials, which is part of the seed.
        material: noises and rooms.
        tape: the test utterances.
        seed: the seed.

    """
    placed = roomy(tape, material.responses, trial.room)
    takes = Takes(placed, trial.noise, trial.noise, trial.noise, trial.noise, torch.ones(len(tape)))
    generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
    return noisy(takes, material.noises.test, torch.full((len(tape),), trial.snr), generator)


@dataclass(frozen=True, slots=True)
class Listener:
    """A trained network with everything that converts its output to words; single: a graph of each word alone, or
    none.
    """

    network: Network
    extractor: Extractor
    context: Context
    priors: Tensor
    graph: Graph
    vocabulary: tuple[str, ...]
    single: tuple[Graph, ...] = ()

    def senones(self, frames: Frames) -> Tensor:
        """Return the probabilities [f, senones] of all frames."""
        parts = []
        for begin in range(0, len(frames), _ROWS):
            rows = torch.arange(begin, min(begin + _ROWS, len(frames)))
            windows = window_of(frames, self.context, rows)
            parts.append(self.network.predict(windows, "senone", domain="target"))
        return torch.from_numpy(np.concatenate(parts))

    def evaluate(
        self, tape: Tape, speaker: Tensor, words: tuple[tuple[int, ...], ...], senone: Tensor
    ) -> NDArray[np.float32]:
        """Recognise the utterances of a tape and compare the result with their words and states.

        Args:
            tape: the utterances.
            speaker: the speaker of each utterance [u].
            words: the reference words of each utterance.
            senone: the states of the clean utterances [f].

        Returns:
            For each utterance [u, 3]: the number of wrong words, the number of correct frames, and the recognised word
            (-1 for none or several words). With graphs of single words, [u, 3 + words]: also the log likelihood of the
            best path through each word, divided by the number of frames.

        """
        frames = self.extractor(tape, speaker)
        probability = self.senones(frames)
        recognised = decoded(probability, frames, self.priors, self.graph)
        reference = [text_of(spoken, self.vocabulary) for spoken in words]
        errors = word_errors(reference, [text_of(spoken, self.vocabulary) for spoken in recognised])
        hits, _ = frame_hits(probability, senone, frames)
        single = np.array([spoken[0] if len(spoken) == 1 else -1 for spoken in recognised])
        result = np.stack([errors.wrong, hits, single], axis=1)
        if self.single:
            likelihood = scaled(probability, self.priors)
            result = np.concatenate([result, word_scores(likelihood, frames, self.single).numpy()], axis=1)
        return result.astype(np.float32)
