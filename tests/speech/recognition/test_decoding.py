from __future__ import annotations

import numpy as np
import pytest
import torch

from hepda.errors import DataError
from hepda.speech.recognition.decoding import decoded, frame_hits, log_priors, over_speakers, text_of, word_errors
from hepda.speech.recognition.hmm import Lexicon, graph_of
from hepda.speech.sounds.features import Frames


def test_word_errors_are_substitutions_deletions_and_insertions():
    reference = ["one two three", "four", "five six", "seven"]
    recognised = ["one three", "four four", "five nine", "seven"]
    errors = word_errors(reference, recognised)
    assert errors.wrong.tolist() == [1.0, 1.0, 1.0, 0.0]
    assert errors.reference.tolist() == [3.0, 1.0, 2.0, 1.0]
    assert errors.rate == pytest.approx(3.0 / 7.0)
    assert word_errors(["one"], [""]).wrong.tolist() == [1.0]
    with pytest.raises(DataError, match="without words"):
        word_errors(["one", " "], ["one", "two"])


def test_priors_are_shares_and_no_senone_is_impossible():
    priors = log_priors(torch.tensor([0, 0, 1, 0]), 3).exp()
    assert priors[:2].tolist() == pytest.approx([0.75, 0.25])
    assert 0.0 < float(priors[2]) < 1e-5


def test_likelihoods_are_probabilities_over_priors():
    """The common senone is a little more probable everywhere; against its prior it is the less likely one."""
    lexicon = Lexicon.of_words(("rare", "common"), 1)
    frames = Frames.laid_out(torch.tensor([6]))
    probability = torch.tensor([0.40, 0.59, 0.01]).expand(6, 3)
    graph = graph_of(lexicon, torch.full((3,), 0.5, dtype=torch.float64), [0, 1])
    even = torch.log(torch.full((3,), 1 / 3))
    assert decoded(probability, frames, even, graph) == [[1]]
    assert decoded(probability, frames, torch.log(torch.tensor([0.1, 0.8, 0.1])), graph) == [[0]]


def test_a_rate_has_an_interval_over_speakers():
    random = np.random.default_rng(4)
    speaker = np.repeat(np.arange(6), 100)
    rates = np.array([0.05, 0.1, 0.1, 0.2, 0.3, 0.45])
    wrong = (random.random(600) < rates[speaker]).astype(float)
    rate = over_speakers(wrong, np.ones(600), speaker, seed=1)
    assert rate.value == pytest.approx(wrong.mean())
    per_speaker = np.array([wrong[speaker == s].mean() for s in range(6)])
    expected = per_speaker.std() / np.sqrt(6.0)  # the bootstrap's error of a mean of six
    assert (rate.high - rate.low) / (2 * 1.96) == pytest.approx(expected, rel=0.15)
    alone = over_speakers(wrong, np.ones(600), np.zeros(600, int), seed=1)
    binomial = np.sqrt(wrong.mean() * (1 - wrong.mean()) / 600)
    assert (alone.high - alone.low) / (2 * 1.96) == pytest.approx(binomial, rel=0.1)
    assert over_speakers(wrong, np.ones(600), speaker, seed=1) == rate
    assert over_speakers(wrong[:1], np.ones(1), speaker[:1], seed=1).low is None


def test_frames_that_are_right_are_counted_by_utterance():
    frames = Frames.laid_out(torch.tensor([2, 3]))
    probability = torch.eye(3)[torch.tensor([0, 1, 2, 2, 0])]
    hits, of = frame_hits(probability, torch.tensor([0, 2, 2, 2, 2]), frames)
    assert hits.tolist() == [1.0, 2.0]
    assert of.tolist() == [2.0, 3.0]
    assert text_of([1, 0], ("a", "b")) == "b a"
