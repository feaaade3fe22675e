"""The state of each frame: a small GMM-HMM from a flat start, aligned and estimated again until it is stable."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hepda.errors import DataError
from hepda.speech.recognition.hmm import Lexicon, graph_of_sequence, stacked, viterbi
from hepda.speech.sounds.features import FilterBank, Frames

_VARIANCE = 0.05  # smallest variance, as a share of that of all frames
_QUIET = 3.0 * math.log(10.0)  # 30 dB
_SPLIT = 0.2  # displacement of each half of a split Gaussian, in standard deviations


@dataclass(frozen=True, slots=True)
class Mixtures:
    """Diagonal Gaussian mixtures, one for each senone: weight [s, m], mean and variance [s, m, d]."""

    weight: Tensor
    mean: Tensor
    variance: Tensor

    def components(self, values: Tensor) -> Tensor:
        """Return the log of weight times density of every component, [f, s, m], at values [f, d]."""
        s, m, d = self.mean.shape
        precision = 1.0 / self.variance
        constant = (
            self.weight.log()
            - 0.5 * (d * math.log(2.0 * math.pi) + self.variance.log().sum(dim=2))
            - 0.5 * (self.mean.square() * precision).sum(dim=2)
        )
        linear = (self.mean * precision).reshape(s * m, d)
        square = (-0.5 * precision).reshape(s * m, d)
        log_densities = torch.addmm(constant.reshape(-1), values, linear.T).addmm_(values.square(), square.T)
        return log_densities.reshape(len(values), s, m)

    def log_likelihood(self, values: Tensor) -> Tensor:
        """Return the log density [f, s] of each senone at values [f, d]."""
        return torch.logsumexp(self.components(values), dim=2)

    def split(self) -> Mixtures:
        """Return twice as many components: each is split into two with slightly different means."""
        step = _SPLIT * self.variance.sqrt()
        return Mixtures(
            torch.cat([self.weight, self.weight], dim=1) / 2.0,
            torch.cat([self.mean - step, self.mean + step], dim=1),
            torch.cat([self.variance, self.variance], dim=1),
        )

    def estimated(self, values: Tensor, senone: Tensor) -> Mixtures:
        """Do one step of expectation and maximisation with given senones.

        A component with fewer than two frames keeps its mean and its variance.

        Args:
            values: values of the frames [f, d].
            senone: senone of each frame [f].

        """
        s, m, d = self.mean.shape
        share = torch.softmax(self.components(values)[torch.arange(len(values)), senone], dim=1)
        component = senone[:, None] * m + torch.arange(m)[None, :]
        number = torch.zeros(s * m).index_add_(0, component.flatten(), share.flatten())
        first, second = torch.zeros(s * m, d), torch.zeros(s * m, d)
        for j in range(m):
            first.index_add_(0, component[:, j], share[:, j, None] * values)
            second.index_add_(0, component[:, j], share[:, j, None] * values.square())
        enough = (number >= 2.0)[:, None]
        below = number.clamp_min(1e-3)[:, None]
        mean = torch.where(enough, first / below, self.mean.reshape(s * m, d))
        floor = _VARIANCE * values.var(dim=0)
        variance = torch.maximum(second / below - mean.square(), floor)
        variance = torch.where(enough, variance, self.variance.reshape(s * m, d))
        weight = (number.reshape(s, m) + 1.0) / (number.reshape(s, m) + 1.0).sum(dim=1, keepdim=True)
        return Mixtures(weight, mean.reshape(s, m, d), variance.reshape(s, m, d))


@dataclass(frozen=True, slots=True)
class Aligner:
    """A trained GMM-HMM.

    Attributes:
        lexicon: the words and their states.
        mixtures: distributions of the values in each state.
        stay: probability of staying in each senone, float64 [senones].
        changed: share of the frames that changed their senone in each realignment.

    """

    lexicon: Lexicon
    mixtures: Mixtures
    stay: Tensor
    changed: tuple[float, ...]

    def align(self, frames: Frames, words: Sequence[Sequence[int]]) -> Tensor:
        """Return the senone of every frame, int64 [f], of utterances with known words."""
        likelihood = frames.padded(self.mixtures.log_likelihood(frames.values))
        return aligned(likelihood, frames, self.lexicon, self.stay, words)


@dataclass(frozen=True, slots=True)
class Alignment:
    """The senone of every frame of a corpus, int64 [f], and the number of frames of each utterance, int64 [u]."""

    senone: Tensor
    count: Tensor

    def of(self, utterances: Tensor) -> Tensor:
        """Return the senones of some utterances [k], one after the other."""
        return self._at(utterances, Frames.laid_out(self.count[utterances]), torch.ones(len(utterances)), 0.0)

    def at_speeds(self, utterances: Tensor, speed: Tensor, count: Tensor, bank: FilterBank) -> Tensor:
        """Return the senones of utterances that are played at other speeds.

        A frame has the state of the frame of the recording whose middle is nearest to the part that the frame plays.

        Args:
            utterances: numbers of the utterances [k].
            speed: their speeds [k].
            count: their numbers of frames at these speeds [k].
            bank: the filterbank of the frames.

        """
        return self._at(utterances, Frames.laid_out(count), speed, 0.5 * bank.size / bank.hop_samples)

    def _at(self, utterances: Tensor, frames: Frames, speed: Tensor, middle: float) -> Tensor:
        begin = (torch.cumsum(self.count, 0) - self.count)[utterances]
        inside = (torch.arange(len(frames)) - frames.first).double()
        played = ((inside + middle) * speed.double()[frames.utterance] - middle).round().long()
        last = self.count[utterances][frames.utterance] - 1
        return self.senone[begin[frames.utterance] + torch.minimum(played.clamp_min(0), last)]


def aligned(
    likelihood: Tensor, frames: Frames, lexicon: Lexicon, stay: Tensor, words: Sequence[Sequence[int]]
) -> Tensor:
    """Return the senone of every frame, int64 [f], by the best path through the words of each utterance.

    Args:
        likelihood: log likelihoods of the mixtures or of a network, float32 [u, t, senones].
        frames: the frames of the utterances.
        lexicon: the words and their states.
        stay: probability of staying in each senone.
        words: the words of each utterance.

    Raises:
        DataError: an utterance is too short for its words.

    """
    senones = torch.empty((len(words), likelihood.shape[1]), dtype=torch.int64)
    for group in _with_same_arcs(words, lexicon).values():
        index = torch.tensor(group)
        texts = list(dict.fromkeys(tuple(words[number]) for number in group))
        graph_number = torch.tensor([texts.index(tuple(words[number])) for number in group])
        graph = stacked([graph_of_sequence(lexicon, stay, text) for text in texts], graph_number)
        path, _ = viterbi(likelihood[index], frames.count[index], graph)
        senones[index, : path.shape[1]] = torch.gather(graph.senone, 1, path.clamp_min(0))
    return senones[frames.utterance, torch.arange(len(frames)) - frames.first]


def _with_same_arcs(words: Sequence[Sequence[int]], lexicon: Lexicon) -> dict[tuple[int, ...], list[int]]:
    """Group utterances whose graphs have the same arcs: those with the same numbers of states, word by word."""
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, spoken in enumerate(words):
        groups[tuple(len(lexicon.spelling[word]) for word in spoken)].append(number)
    return groups


def flat_start(frames: Frames, energy: Tensor, words: Sequence[Sequence[int]], lexicon: Lexicon) -> Tensor:
    """Return a first guess of the senone of every frame, int64 [f]: silence in quiet frames, equal shares of the rest.

    Silence is everything before the first and after the last loud frame. A loud frame is neither 30 dB below the
    loudest frame of the utterance nor within the lowest eighth of its range.

    Args:
        frames: the frames of the utterances.
        energy: logarithm of the energy of each frame [f].
        words: the words of each utterance.
        lexicon: the words and their states.

    Raises:
        DataError: an utterance has fewer frames than its words have states.

    """
    senone = torch.full((len(frames),), lexicon.silence)
    begin = 0
    for spoken, count in zip(words, frames.count.tolist(), strict=True):
        part = energy[begin : begin + count]
        threshold = torch.maximum(part.min() + (part.max() - part.min()) / 8.0, part.max() - _QUIET)
        loud = torch.nonzero(part >= threshold).flatten()
        first, last = int(loud[0]), int(loud[-1]) + 1
        states = torch.tensor([s for word in spoken for s in lexicon.senones_of(word)])
        if last - first < len(states):
            first, last = 0, count
        if count < len(states):
            raise DataError(f"an utterance of {count} frames has words of {len(states)} states; take fewer states")
        shares = torch.arange(last - first) * len(states) // (last - first)
        senone[begin + first : begin + last] = states[shares]
        begin += count
    return senone


def staying(senone: Tensor, frames: Frames, senones: int) -> Tensor:
    """Return the probability of staying in each senone, float64 [senones]: 1 minus visits over frames.

    Args:
        senone: senones of aligned frames [f].
        frames: the frames of the utterances.
        senones: number of senones.

    """
    entered = torch.ones(len(senone), dtype=torch.bool)
    entered[1:] = (senone[1:] != senone[:-1]) | (frames.utterance[1:] != frames.utterance[:-1])
    number = torch.bincount(senone, minlength=senones).double()
    visits = torch.bincount(senone[entered], minlength=senones).double()
    return ((number - visits + 1.0) / (number + 2.0)).clamp(0.05, 0.98)


def train_aligner(
    frames: Frames,
    energy: Tensor,
    words: Sequence[Sequence[int]],
    lexicon: Lexicon,
    *,
    mixtures: int = 4,
    iterations: int = 20,
    stable: float = 0.01,
) -> Aligner:
    """Estimate mixtures and staying probabilities by Viterbi training from a flat start.

    Args:
        frames: cepstra with derivatives, normalised.
        energy: logarithm of the energy of each frame [f]; where it is low at the ends, the first guess is silence.
        words: the words of each utterance.
        lexicon: the words and their states.
        mixtures: final number of Gaussians for each senone, a power of two; it doubles each time the alignment is
            stable.
        iterations: largest number of realignments.
        stable: largest share of frames that change their senone in an alignment that counts as stable.

    """
    senone = flat_start(frames, energy, words, lexicon)
    values, d = frames.values, frames.values.shape[1]
    model = Mixtures(
        torch.ones(lexicon.senones, 1),
        values.mean(dim=0).expand(lexicon.senones, 1, d),
        values.var(dim=0).expand(lexicon.senones, 1, d),
    )
    changed: list[float] = []
    for _ in range(iterations):
        for _ in range(1 if model.mean.shape[1] == 1 else 3):
            model = model.estimated(values, senone)
        stay = staying(senone, frames, lexicon.senones)
        aligner = Aligner(lexicon, model, stay, tuple(changed))
        new = aligner.align(frames, words)
        changed.append(float((new != senone).double().mean()))
        senone = new
        if changed[-1] <= stable:
            if model.mean.shape[1] >= mixtures:
                break
            model = model.split()
    return Aligner(lexicon, model, stay, tuple(changed))
