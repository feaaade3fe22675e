"""Alignment: held against speech whose boundaries are known."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from hepda.errors import DataError
from hepda.speech.recognition.hmm import Lexicon
from hepda.speech.recognition.senones import Mixtures, flat_start, staying, train_aligner
from hepda.speech.sounds.audio import on_tape
from hepda.speech.sounds.corpora import DIGITS, flite
from hepda.speech.sounds.features import FilterBank, Frames, cepstra, normalised, with_deltas

HOP, CENTRE = 0.010, 0.016  # s; the middle of a frame of 256 samples at 8 kHz


def read(utterances):
    frames = FilterBank(8000).of_tape(on_tape(utterances, 8000))
    features = with_deltas(frames.with_values(cepstra(frames.values, 13)), 2)
    return features.with_values(
        normalised(features.values, features.utterance, len(utterances))
    ), frames.values.logsumexp(1)


def beginnings(senone: torch.Tensor, frames: Frames, states: int, number: int) -> list[float]:
    """The times (s) at which the units of an utterance begin, by its aligned frames."""
    senones = senone[frames.utterance == number]
    unit = torch.div(senones, states, rounding_mode="floor")
    changes = [t for t in range(1, len(senones)) if unit[t] != unit[t - 1]]
    return [(t - 0.5) * HOP + CENTRE for t in changes]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
def test_phones_begin_where_the_synthesizer_says():
    random = np.random.default_rng(1)
    spoken = [flite(word, 8000, voice="rms", stretch=random.uniform(0.8, 1.3)) for _ in range(8) for word in DIGITS]
    words = [[number % 10] for number in range(len(spoken))]
    phones = {
        word: tuple(p for p in segments.phones if p != "pau") for word, segments in zip(DIGITS, spoken, strict=False)
    }
    frames, energy = read([segments.samples for segments in spoken])
    lexicon = Lexicon.of_phones(phones, 3)
    aligner = train_aligner(frames, energy, words, lexicon, mixtures=1, stable=0.005)
    offsets = off_by(aligner.align(frames, words), frames, spoken)
    flat = off_by(flat_start(frames, energy, words, lexicon), frames, spoken)
    assert np.median(offsets["word"]) < 0.015
    assert np.median(offsets["end"]) < 0.025
    assert np.median(offsets["phone"]) < 0.040
    assert np.median(offsets["phone"]) < 0.8 * np.median(flat["phone"])
    assert aligner.changed[-1] <= 0.005


def off_by(senone, frames, spoken) -> dict[str, np.ndarray]:
    """By how much (s) the beginnings of words, those of phones within, and the ends are off."""
    parts: dict[str, list[np.ndarray]] = {"word": [], "phone": [], "end": []}
    for number, segments in enumerate(spoken):
        found, expected = beginnings(senone, frames, 3, number), segments.ends[:-1]  # a phone begins where another ends
        assert len(found) == len(expected)
        off = np.abs(np.array(found) - np.array(expected))
        for name, part in (("word", off[:1]), ("phone", off[1:-1]), ("end", off[-1:])):
            parts[name].append(part)
    return {name: np.concatenate(found) for name, found in parts.items()}


def two_states(utterances: int, seed: int = 3):
    """Utterances that are silent, then in one state, then in another, with means far apart."""
    random = np.random.default_rng(seed)
    lengths = random.integers(4, 12, (utterances, 3))
    truth = np.concatenate([np.repeat([2, 0, 1], row) for row in lengths])
    means = np.array([[3.0, 0.0], [0.0, 3.0], [-3.0, -3.0]])
    values = means[truth] + random.normal(0.0, 0.7, (len(truth), 2))
    frames = Frames.laid_out(torch.from_numpy(lengths.sum(axis=1))).with_values(torch.from_numpy(values).float())
    energy = torch.from_numpy(np.where(truth == 2, -10.0, 0.0) + random.normal(0.0, 0.1, len(truth)))
    return frames, energy, torch.from_numpy(truth)


def test_states_that_are_far_apart_are_found_and_the_alignment_becomes_stable():
    frames, energy, truth = two_states(40)
    aligner = train_aligner(frames, energy, [[0]] * 40, Lexicon.of_words(("w",), 2), mixtures=1)
    senone = aligner.align(frames, [[0]] * 40)
    # silence after the word is optional, before it too; here it is before alone
    assert float((senone == truth).double().mean()) > 0.99
    assert aligner.changed[-1] <= 0.01
    assert aligner.changed[0] > aligner.changed[-1]


def test_one_component_a_state_is_its_mean_and_variance():
    frames, _, truth = two_states(30)
    start = Mixtures(torch.ones(3, 1), torch.zeros(3, 1, 2), torch.ones(3, 1, 2))
    estimate = start.estimated(frames.values, truth)
    for state in range(3):
        values = frames.values[truth == state]
        torch.testing.assert_close(estimate.mean[state, 0], values.mean(dim=0), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(estimate.variance[state, 0], values.var(dim=0, unbiased=False), atol=1e-3, rtol=1e-3)


def test_several_components_are_scikit_learns():
    random = np.random.default_rng(2)
    values = np.concatenate([random.normal(-2.0, 0.5, (300, 2)), random.normal(2.0, 1.0, (200, 2))]).astype(np.float32)
    model = Mixtures(torch.ones(1, 1), torch.zeros(1, 1, 2), 4.0 * torch.ones(1, 1, 2)).split()
    frames, senone = torch.from_numpy(values), torch.zeros(500, dtype=torch.int64)
    for _ in range(60):
        model = model.estimated(frames, senone)
    theirs = GaussianMixture(2, covariance_type="diag", random_state=0, tol=1e-6).fit(values)
    order = np.argsort(model.mean[0, :, 0].numpy())
    np.testing.assert_allclose(model.mean[0].numpy()[order], np.sort(theirs.means_, axis=0), atol=0.02)
    ours = float(model.log_likelihood(frames).mean())
    assert ours == pytest.approx(theirs.score(values), abs=0.01)


def test_staying_is_one_less_visits_over_frames():
    count = torch.tensor([6, 4])
    senone = torch.tensor([0, 0, 0, 1, 1, 1, 0, 0, 0, 1])
    probability = staying(senone, Frames.laid_out(count), 2)
    assert probability.tolist() == pytest.approx([(6 - 2 + 1) / 8, (4 - 2 + 1) / 6])


def test_a_flat_start_gives_equal_shares_and_silence_where_it_is_quiet():
    frames = Frames.laid_out(torch.tensor([8]))
    energy = torch.tensor([-9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -9.0])
    assert flat_start(frames, energy, [[0]], Lexicon.of_words(("w",), 3)).tolist() == [3, 0, 0, 1, 1, 2, 2, 3]
    with pytest.raises(DataError, match="8 frames has words of 9 states"):
        flat_start(frames, energy, [[0]], Lexicon.of_words(("w",), 9))
