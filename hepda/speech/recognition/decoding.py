"""From the senone probabilities of a network to words, and the rate of wrong words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hepda.errors import DataError, MissingExtraError
from hepda.speech.recognition.hmm import Graph, viterbi, words_on
from hepda.speech.sounds.features import Frames

Array = NDArray[Any]
_FLOOR = 1e-6  # smallest probability and prior, so that no senone is impossible
_UTTERANCES = 512  # number of utterances in a batch


def log_priors(senone: Tensor, senones: int) -> Tensor:
    """Return the log share of each senone among aligned frames [f], float32 [senones]."""
    number = torch.bincount(senone, minlength=senones).double()
    return torch.log((number / number.sum()).clamp_min(_FLOOR)).float()


def scaled(probability: Tensor, priors: Tensor) -> Tensor:
    """Return log likelihoods of senones up to a constant for each frame (Bourlard & Morgan 1994).

    They are the logarithms of p(senone | frame) / p(senone).
    """
    return torch.log(probability.clamp_min(_FLOOR)) - priors


def decoded(probability: Tensor, frames: Frames, priors: Tensor, graph: Graph) -> list[list[int]]:
    """Return the words of each utterance by Viterbi on `scaled` probabilities, float32 [f, senones]."""
    likelihood = frames.padded(scaled(probability, priors))
    words: list[list[int]] = []
    for begin in range(0, len(frames.count), _UTTERANCES):
        part = slice(begin, begin + _UTTERANCES)
        path, _ = viterbi(likelihood[part], frames.count[part], graph)
        words += [words_on(states, graph) for states in path]
    return words


def word_scores(likelihood: Tensor, frames: Frames, graphs: Sequence[Graph]) -> Tensor:
    """Return the log likelihood of the best path through each graph, divided by the number of frames.

    Args:
        likelihood: log likelihoods of senones, as of `scaled`, float32 [f, senones].
        frames: the frames of the utterances.
        graphs: of single words between optional silences.

    Returns:
        float32 [u, graphs].

    """
    padded = frames.padded(likelihood)
    scores = torch.empty(len(frames.count), len(graphs))
    for begin in range(0, len(scores), _UTTERANCES):
        part = slice(begin, begin + _UTTERANCES)
        count = frames.count[part]
        batch = padded[part, : int(count.max())]
        for number, graph in enumerate(graphs):
            scores[part, number] = viterbi(batch, count, graph)[1]
    return scores / frames.count[:, None]


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors of utterances: for each one the number of wrong words and of reference words, float64 [u]."""

    wrong: Array
    reference: Array

    @property
    def rate(self) -> float:
        """Word error rate: substitutions, deletions and insertions over the number of reference words."""
        return float(self.wrong.sum() / self.reference.sum())


def word_errors(reference: Sequence[str], recognised: Sequence[str]) -> Errors:
    """Return the errors of utterances by the alignment of jiwer.

    Args:
        reference: reference words, a text with blanks between words for each utterance.
        recognised: recognised words in the same form.

    Raises:
        DataError: an utterance has no reference words.
        MissingExtraError: jiwer is not installed.

    """
    try:
        import jiwer
    except ImportError as error:
        raise MissingExtraError("jiwer", "speech") from error
    if not reference or not all(text.strip() for text in reference):
        raise DataError("an utterance without words has no word error rate")
    wrong, n_words = np.zeros(len(reference)), np.zeros(len(reference))
    aligned = jiwer.process_words(list(reference), list(recognised)).alignments
    for number, chunks in enumerate(aligned):
        wrong[number] = sum(
            max(c.ref_end_idx - c.ref_start_idx, c.hyp_end_idx - c.hyp_start_idx) for c in chunks if c.type != "equal"
        )
        n_words[number] = len(reference[number].split())
    return Errors(wrong, n_words)


@dataclass(frozen=True, slots=True)
class Rate:
    """A ratio of sums with its interval; low and high are None if there is only one utterance."""

    value: float
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Return the rate in the form of metrics.json."""
        return {"value": self.value, "low": self.low, "high": self.high}


def over_speakers(
    above: Array, below: Array, speaker: Array, *, seed: int, replicas: int = 1000, level: float = 0.95
) -> Rate:
    """Return a ratio of sums over utterances with a percentile interval from a bootstrap of speakers and utterances.

    Speakers are drawn with replacement, then the utterances of each (Bisani & Ney 2004 draw only utterances): an
    utterance contains more information about the next utterance of the same speaker than about one of another speaker.
    With one speaker, only utterances are drawn.

    Args:
        above: numerators, float64 [u], for example wrong words.
        below: denominators, float64 [u], for example reference words.
        speaker: int [u].
        seed: seed of the draws.
        replicas: number of bootstrap samples.
        level: probability of the interval.

    """
    value = float(above.sum() / below.sum())
    names = np.unique(speaker)
    groups = [np.flatnonzero(speaker == name) for name in names]
    if len(speaker) < 2:
        return Rate(value, None, None)
    random = np.random.default_rng(seed)
    rates = np.empty(replicas)
    for replica in range(replicas):
        chosen = random.integers(0, len(groups), len(groups))
        rows = np.concatenate([groups[g][random.integers(0, len(groups[g]), len(groups[g]))] for g in chosen])
        rates[replica] = above[rows].sum() / below[rows].sum()
    low, high = np.quantile(rates, [0.5 - level / 2.0, 0.5 + level / 2.0])
    return Rate(value, float(low), float(high))


def text_of(words: Sequence[int], names: Sequence[str]) -> str:
    """Return words given by their numbers as a text."""
    return " ".join(names[word] for word in words)


def frame_hits(probability: Tensor, senone: Tensor, frames: Frames) -> tuple[Array, Array]:
    """Return the number of correct frames and of all frames of each utterance, float64 [u].

    A frame is correct if its most probable senone is the aligned one.
    """
    right = (probability.argmax(dim=1) == senone).double()
    hits = torch.zeros(len(frames.count), dtype=torch.float64).index_add_(0, frames.utterance, right)
    return hits.numpy(), frames.count.double().numpy()
