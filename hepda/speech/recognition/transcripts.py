"""Words for utterances that came without: what a network hears by Viterbi, and which of it is sure enough to learn."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hepda.speech.recognition.hmm import Lexicon, graph_of, viterbi
from hepda.speech.recognition.senones import aligned
from hepda.speech.sounds.features import Frames

_UTTERANCES = 512  # transcribed at a time


@dataclass(frozen=True, slots=True)
class Transcripts:
    """One word for each of u utterances.

    Attributes:
        word: the best one, int64 [u].
        margin: the logarithm by which its best path is more probable than that of any other word, over the frames of
            the utterance, float32 [u].
        senone: the states of all frames on that path, int64 [f].

    """

    word: Tensor
    margin: Tensor
    senone: Tensor

    def surest(self, share: float, frequency: Tensor) -> Tensor:
        """Which transcripts to learn, bool [u]: of each word, those with the largest margins.

        Of word w at most `share * frequency[w] * u` are taken, so that a word that the network hears everywhere does
        not take the place of the others (class-balanced self-training, Zou et al. 2018).

        share: of the utterances, 0 to 1; frequency [words]: how often each word is said, which adds up to 1.
        """
        taken = torch.zeros(len(self.word), dtype=torch.bool)
        for word, part in enumerate(frequency.tolist()):
            own = torch.nonzero(self.word == word).flatten()
            order = torch.argsort(self.margin[own], descending=True, stable=True)
            taken[own[order[: round(share * part * len(self.word))]]] = True
        return taken


def transcribed(likelihood: Tensor, frames: Frames, lexicon: Lexicon, stay: Tensor) -> Transcripts:
    """The best word of each utterance, by the best path through each word between optional silences.

    likelihood: log likelihoods of senones, float32 [f, senones]; stay: probability of staying in each.
    """
    scores = torch.empty(len(frames.count), len(lexicon.words))
    graphs = [graph_of(lexicon, stay, [word]) for word in range(len(lexicon.words))]
    padded = frames.padded(likelihood)
    for begin in range(0, len(scores), _UTTERANCES):
        part = slice(begin, begin + _UTTERANCES)
        count = frames.count[part]
        heard = padded[part, : int(count.max())]
        for word, graph in enumerate(graphs):
            scores[part, word] = viterbi(heard, count, graph)[1]
    best = scores.topk(2, dim=1)
    spoken = best.indices[:, 0]
    senone = aligned(padded, frames, lexicon, stay, [(number,) for number in spoken.tolist()])
    return Transcripts(spoken, (best.values[:, 0] - best.values[:, 1]) / frames.count, senone)
