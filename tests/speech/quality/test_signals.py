from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from hepda.errors import ConfigError, DataError, MissingExtraError
from hepda.speech.quality.signals import paired, pesq, raw_pesq, si_sdr, stoi
from tests.speech.quality.signals import noisy, voice

pytest.importorskip("pesq", reason="the extra `quality` is not installed")
pytest.importorskip("pystoi", reason="the extra `quality` is not installed")


def orthogonal(clean: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(4).standard_normal(len(clean))
    return noise - np.dot(noise, clean) / np.dot(clean, clean) * clean


@pytest.mark.parametrize("share", [0.01, 0.3, 2.0])
def test_si_sdr_is_the_ratio_to_what_is_orthogonal_whatever_the_level(share):
    clean = voice(1.0, 8000)
    noise = orthogonal(clean)
    expected = 10.0 * math.log10(np.sum(clean**2) / np.sum((share * noise) ** 2))
    for gain in (1.0, -0.2, 7.0):
        assert si_sdr(clean, gain * (clean + share * noise)) == pytest.approx(expected, abs=1e-8)


def test_si_sdr_of_zero_means_ignores_an_offset():
    clean, generator = voice(1.0, 8000), np.random.default_rng(0)
    estimate = clean + 0.01 * generator.standard_normal(8000)
    assert si_sdr(clean, estimate + 0.5) < si_sdr(clean, estimate) - 10.0
    shifted = si_sdr(clean - 0.1, estimate + 0.5, zero_mean=True)
    assert shifted == pytest.approx(si_sdr(clean, estimate, zero_mean=True), abs=1e-8)
    centred = si_sdr(clean - clean.mean(), estimate - estimate.mean())
    assert shifted == pytest.approx(centred, abs=1e-8)


def test_si_sdr_without_a_finite_value_is_an_error():
    clean = voice(1.0, 8000)
    for gain in (1.0, 0.3, -2.7):
        with pytest.raises(DataError, match="infinite"):
            si_sdr(clean, gain * clean)
    halves = np.concatenate([np.ones(10), np.zeros(10)])
    with pytest.raises(DataError, match="minus infinity"):
        si_sdr(halves, 1.0 - halves)
    with pytest.raises(DataError, match="is silent"):
        si_sdr(np.ones(10), voice(1.0, 8000)[:10], zero_mean=True)


@pytest.mark.parametrize(("rate", "largest"), [(8000, 4.549), (16000, 4.644)])
def test_pesq_of_identical_recordings_is_the_largest_and_noise_lowers_it(rate, largest):
    clean = voice(2.0, rate)
    assert pesq(clean, clean, rate) == pytest.approx(largest, abs=1e-3)
    assert pesq(clean, 0.1 * clean, rate) == pytest.approx(largest, abs=1e-3)
    scores = [pesq(clean, noisy(clean, snr), rate) for snr in (40.0, 20.0, 0.0)]
    assert largest > scores[0] > scores[1] > scores[2] > 1.0


def test_raw_pesq_is_the_inverse_of_the_mapping():
    for raw in (-0.5, 1.0, 2.255732, 4.5):
        assert raw_pesq(0.999 + 4.0 / (1.0 + math.exp(-1.4945 * raw + 4.6607))) == pytest.approx(raw, abs=1e-10)
    clean = voice(2.0, 8000)
    assert raw_pesq(pesq(clean, clean, 8000)) == pytest.approx(4.5, abs=1e-3)


def test_pesq_without_a_score_is_an_error():
    clean = voice(2.0, 8000)
    with pytest.raises(DataError, match=r"shorter than 1/4 s"):
        pesq(clean[:1900], clean[:1900], 8000)
    burst = np.zeros(4000)
    burst[2000:2800] = noisy(clean, 0.0)[2000:2800]
    with pytest.raises(DataError, match="no utterance"):  # 0.1 s of sound
        pesq(burst, burst, 8000)
    with pytest.raises(DataError, match="is silent"):
        pesq(clean, np.zeros(len(clean)), 8000)
    with pytest.raises(DataError, match="no score"):  # too quiet for the single precision of PESQ
        pesq(clean, 1e-30 * clean, 8000)
    with pytest.raises(ConfigError, match="44100"):
        pesq(clean, clean, 44100)


def test_more_utterances_than_pesq_can_hold_are_refused():
    """With 60 utterances in 30 s, the package ends the process."""
    clean = voice(30.0, 8000)
    with pytest.raises(DataError, match="longer than 19 s"):
        pesq(clean, clean, 8000)
    shorter = voice(19.0, 8000)
    assert pesq(shorter, shorter, 8000) == pytest.approx(4.549, abs=1e-3)


@pytest.mark.parametrize("rate", [8000, 10000, 44100])
@pytest.mark.parametrize("extended", [False, True])
def test_stoi_of_identical_recordings_is_one_and_noise_lowers_it(rate, extended):
    clean = voice(2.0, rate)
    assert stoi(clean, clean, rate, extended=extended) == pytest.approx(1.0, abs=1e-9)
    scores = [stoi(clean, noisy(clean, snr), rate, extended=extended) for snr in (20.0, 5.0, -10.0)]
    assert 1.0 > scores[0] > scores[1] > scores[2]


def test_stoi_without_a_value_is_an_error_and_not_a_small_number():
    clean = voice(2.0, 8000)
    for samples in (100, 205, 1000, 3174):
        with pytest.raises(DataError, match="fewer than 30 frames"):
            stoi(clean[:samples], clean[:samples], 8000)
    # long enough, but with 0.25 s of speech and silence for the rest
    pause = np.concatenate([clean[:2000], np.zeros(8000)])
    with pytest.raises(DataError, match="fewer than 30 frames"):
        stoi(pause, pause, 8000)
    with pytest.raises(DataError, match="is silent"):
        stoi(clean, np.zeros(len(clean)), 8000)
    with pytest.raises(ConfigError, match="6000 Hz"):
        stoi(clean, clean, 6000)


def test_stoi_does_not_depend_on_the_global_generator_and_leaves_it_as_it_is():
    """Where the estimate has pauses without a sound, pystoi fills them with random numbers."""
    clean = voice(2.0, 8000)
    estimate = clean.copy()
    estimate[4000:12000] = 0.0
    found = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002
        state = np.random.get_state()[1].copy()  # noqa: NPY002
        found.append(stoi(clean, estimate, 8000, extended=True))
        assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert found[0] == found[1]


def test_arrays_that_are_no_pair_of_recordings_are_refused():
    clean = voice(0.1, 8000)
    for wrong, said in (
        (clean[None], "shape"), ((clean * 32767).astype(np.int16), "int16"), (clean[:-1], "799"),
        (np.where(clean == clean.max(), np.nan, clean), "not finite"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=said):
            paired(clean, wrong)
    with pytest.raises(DataError, match="0 samples"):
        paired(clean[:0], clean[:0])
    both = paired(clean.astype(np.float32), clean)
    assert [samples.dtype for samples in both] == [np.float64, np.float64]


@pytest.mark.parametrize(("package", "call"), [("pesq", pesq), ("pystoi", stoi)])
def test_a_missing_package_names_the_extra(monkeypatch, package, call):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package} is not installed.*hepda\[quality\]"):
        call(np.ones(10), np.ones(10), 8000)
