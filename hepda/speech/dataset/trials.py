"""Test utterances under every condition, and what a network makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hepda.speech.dataset.material import Material
from hepda.speech.recognition.decoding import decoded, frame_hits, text_of, word_errors
from hepda.speech.recognition.hmm import Graph
from hepda.speech.sounds.audio import Tape
from hepda.speech.sounds.bank import Context, Extractor, Takes, noisy, roomy, window_of
from hepda.speech.sounds.features import Frames

if TYPE_CHECKING:
    from hepda.adversarial import Network
    from hepda.config import SpeechConfig

CLEAN, SEEN, UNSEEN, ROOM, NEW_ROOM = "clean", "seen", "unseen", "room", "new_room"
"""Conditions of tests: no noise; types that trainings hear, and others; in rooms that they hear, and others."""
_ROWS = 8192  # windows at a time


@dataclass(frozen=True, slots=True)
class Trial:
    """One condition for all test utterances: its name, the type of noise [u], ratio (dB), room [u]; -1 is none."""

    condition: str
    noise: Tensor
    snr: float
    room: Tensor


def trials_of(config: SpeechConfig, material: Material, utterances: int) -> list[Trial]:
    """All conditions. They follow from the analysis's seed alone: every training is tested on the same sound."""
    random = np.random.default_rng(config.seed + 77)
    none = torch.full((utterances,), -1)
    found = [Trial(CLEAN, none, float("inf"), none)]
    for snr in config.evaluation.snr:
        for condition, kinds in ((SEEN, material.seen), (UNSEEN, material.unseen)):
            for _ in range(config.evaluation.repeats if kinds else 0):
                found.append(Trial(condition, _dealt(kinds, utterances, random), snr, none))
    for condition, kinds in ((ROOM, material.seen_rooms), (NEW_ROOM, material.unseen_rooms)):
        for _ in range(config.evaluation.repeats if kinds else 0):
            found.append(Trial(condition, none, float("inf"), _dealt(kinds, utterances, random)))
    return found


def _dealt(kinds: tuple[int, ...], number: int, random: np.random.Generator) -> Tensor:
    dealt = np.resize(random.permutation(kinds), number)
    random.shuffle(dealt)
    return torch.from_numpy(dealt)


def trial_tape(trial: Trial, number: int, material: Material, tape: Tape, seed: int) -> Tape:
    """The sound of a trial (the `number`-th of them): test utterances in their room, then in noise."""
    placed = roomy(tape, material.responses, trial.room)
    takes = Takes(placed, trial.noise, trial.noise, trial.noise, trial.noise, torch.ones(len(tape)))
    generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
    return noisy(takes, material.noises.test, torch.full((len(tape),), trial.snr), generator)


@dataclass(frozen=True, slots=True)
class Listener:
    """A trained network with all that turns its output into words."""

    network: Network
    extractor: Extractor
    context: Context
    priors: Tensor
    graph: Graph
    vocabulary: tuple[str, ...]

    def senones(self, frames: Frames) -> Tensor:
        """Probabilities [f, senones] of all frames."""
        parts = [self.network.predict(windows, "senone", domain="target") for windows in self._windows(frames)]
        return torch.from_numpy(np.concatenate(parts))

    def _windows(self, frames: Frames) -> Iterator[Tensor]:
        for begin in range(0, len(frames), _ROWS):
            rows = torch.arange(begin, min(begin + _ROWS, len(frames)))
            yield window_of(frames, self.context, rows)

    def judge(
        self, tape: Tape, speaker: Tensor, words: tuple[tuple[int, ...], ...], senone: Tensor
    ) -> NDArray[np.float32]:
        """For each utterance of a tape [u, 3]: wrong words, frames that are right, and the word that was found.

        words: what was said; senone [f]: the states of the clean utterances. The third is -1 for none or several.
        """
        frames = self.extractor(tape, speaker)
        probability = self.senones(frames)
        found = decoded(probability, frames, self.priors, self.graph)
        said = [text_of(spoken, self.vocabulary) for spoken in words]
        errors = word_errors(said, [text_of(spoken, self.vocabulary) for spoken in found])
        hits, _ = frame_hits(probability, senone, frames)
        single = np.array([spoken[0] if len(spoken) == 1 else -1 for spoken in found])
        result: NDArray[np.float32] = np.stack([errors.wrong, hits, single], axis=1).astype(np.float32)
        return result
