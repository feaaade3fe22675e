"""Words for utterances without transcripts: recognition by Viterbi, and the choice of those that are certain enough."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hepda.speech.recognition.decoding import word_scores
from hepda.speech.recognition.hmm import Lexicon, graph_of
from hepda.speech.recognition.senones import aligned
from hepda.speech.sounds.features import Frames


@dataclass(frozen=True, slots=True)
class Transcripts:
    """One word for each of u utterances.

    Attributes:
        word: the best one, int64 [u].
        margin: difference in log probability between its best path and the best path of any other word, divided by the
            number of frames of the utterance, float32 [u].
        senone: the states of all frames on that path, int64 [f].

    """

    word: Tensor
    margin: Tensor
    senone: Tensor

    def surest(self, share: float, frequency: Tensor) -> Tensor:
        """Return which transcripts to learn, bool [u]: for each word, those with the largest margins.

        Of word w at most `share * frequency[w] * u` are taken, so that a word that the network finds in too many
        utterances does not displace the other words (class-balanced self-training, Zou et al. 2018).

        Args:
            share: share of the utterances, 0 to 1.
            frequency: relative frequency of each word [words], with sum 1.

        """
        chosen = torch.zeros(len(self.word), dtype=torch.bool)
        for word, part in enumerate(frequency.tolist()):
            candidates = torch.nonzero(self.word == word).flatten()
            order = torch.argsort(self.margin[candidates], descending=True, stable=True)
            chosen[candidates[order[: round(share * part * len(self.word))]]] = True
        return chosen


def transcribed(likelihood: Tensor, frames: Frames, lexicon: Lexicon, stay: Tensor) -> Transcripts:
    """Return the best word of each utterance, by the best path through each word between optional silences.

    Args:
        likelihood: log likelihoods of senones, float32 [f, senones].
        frames: the frames of the utterances.
        lexicon: the words and their states.
        stay: probability of staying in each senone.

    """
    graphs = [graph_of(lexicon, stay, [word]) for word in range(len(lexicon.words))]
    best = word_scores(likelihood, frames, graphs).topk(2, dim=1)
    spoken = best.indices[:, 0]
    words = [(number,) for number in spoken.tolist()]
    senone = aligned(frames.padded(likelihood), frames, lexicon, stay, words)
    return Transcripts(spoken, best.values[:, 0] - best.values[:, 1], senone)
