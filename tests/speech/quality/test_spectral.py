from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hepda.errors import ConfigError, DataError
from hepda.speech.quality.spectral import (
    log_likelihood_ratio,
    mel_cepstral_distance,
    segmental_snr,
    weighted_spectral_slope,
)
from hepda.speech.sounds.features import FilterBank
from tests.reference import speech_quality as reference
from tests.speech.quality.signals import noisy, voice

ALL = [segmental_snr, log_likelihood_ratio, weighted_spectral_slope, mel_cepstral_distance]


@pytest.mark.parametrize("rate", [8000, 11025, 16000])
def test_segmental_snr_and_envelopes_are_those_of_the_formulas(rate):
    clean = voice(1.01, rate)
    for snr in (20.0, 0.0):
        estimate = noisy(clean, snr)
        for fast, slow in (
            (segmental_snr, reference.segmental_snr),
            (log_likelihood_ratio, reference.log_likelihood_ratio),
        ):
            assert fast(clean, estimate, rate) == pytest.approx(slow(clean, estimate, rate), rel=1e-8)
        unlimited = reference.log_likelihood_ratio(clean, estimate, rate, limit=math.inf)
        assert log_likelihood_ratio(clean, estimate, rate, limit=None) == pytest.approx(unlimited, rel=1e-8)


@pytest.mark.parametrize(("rate", "seconds"), [(8000, 0.3), (16000, 0.2)])
def test_slopes_and_cepstra_are_those_of_the_formulas(rate, seconds):
    clean = voice(seconds, rate)
    estimate = noisy(clean, 5.0)
    slope = reference.weighted_spectral_slope(clean, estimate, rate)
    assert weighted_spectral_slope(clean, estimate, rate) == pytest.approx(slope, rel=1e-8)
    distance = reference.mel_cepstral_distance(clean, estimate, rate)
    assert mel_cepstral_distance(clean, estimate, rate) == pytest.approx(distance, rel=1e-3)  # float32 in the bank


@pytest.mark.parametrize("gain", [0.9, 0.5, 1.3, 3.0])
def test_the_segmental_snr_of_a_copy_is_that_of_its_scale(gain):
    clean = voice(1.0, 8000) + 0.01
    assert segmental_snr(clean, gain * clean, 8000) == pytest.approx(-20.0 * math.log10(abs(1.0 - gain)), abs=1e-8)


def test_the_segmental_snr_of_a_frame_is_limited():
    clean = voice(1.0, 8000) + 0.01
    assert segmental_snr(clean, clean, 8000) == 35.0
    assert segmental_snr(clean, 1.001 * clean, 8000) == 35.0
    assert segmental_snr(clean, -9.0 * clean, 8000) == -10.0


def test_digital_silence_has_the_lowest_segmental_snr():
    """As in composite.m: a frame that is silent in both counts -10 dB, even if the recordings are the same."""
    clean = np.concatenate([voice(1.0, 8000) + 0.01, np.zeros(8000)])
    value = segmental_snr(clean, clean, 8000)
    silent = 16000 - 240 - 8000  # samples where a frame can begin and hold nothing but silence
    assert value == pytest.approx(35.0 - 45.0 * (silent // 60) / ((16000 - 240) // 60), abs=0.5)
    assert value == pytest.approx(reference.segmental_snr(clean, clean, 8000))


@pytest.mark.parametrize("metric", [log_likelihood_ratio, weighted_spectral_slope, mel_cepstral_distance])
def test_the_level_is_no_distance(metric):
    clean = voice(1.0, 16000) + 1e-3 * np.random.default_rng(3).standard_normal(16000)
    assert metric(clean, clean, 16000) == 0.0
    assert metric(clean, 0.25 * clean, 16000) == pytest.approx(0.0, abs=2e-3)
    assert metric(clean, noisy(clean, 10.0), 16000) > 0.1


def test_a_frame_without_prediction_error_is_at_the_limit_and_no_error():
    """Digital silence and a pure tone leave linear prediction nothing but rounding."""
    clean = np.sin(2.0 * np.pi * 440.0 * np.arange(8000) / 16000.0)
    clean[:4000] = 0.0
    estimate = clean + 0.1 * np.random.default_rng(0).standard_normal(8000)
    assert log_likelihood_ratio(clean, clean, 16000) == 0.0
    assert log_likelihood_ratio(clean, estimate, 16000) == 2.0
    assert math.isfinite(log_likelihood_ratio(estimate, clean, 16000, limit=None))


def test_the_likelihood_ratio_of_coloured_noise_is_that_of_its_coefficient():
    """White noise predicted by the filter 1, -a of an autoregressive process: ln(1 + a^2), for long frames."""
    white = 0.1 * np.random.default_rng(5).standard_normal(80_000)
    coloured = white.copy()
    for i in range(1, len(white)):
        coloured[i] += 0.8 * coloured[i - 1]
    value = log_likelihood_ratio(white, coloured, 48_000, limit=None)
    assert value == pytest.approx(math.log(1.64), abs=0.06)


def test_the_distance_of_all_cepstra_is_the_one_of_the_spectra():
    """Parseval: all 39 coefficients but c_0 describe the mel spectrum but its mean."""
    clean = voice(1.0, 8000) + 0.003 * np.random.default_rng(3).standard_normal(8000)
    estimate = noisy(clean, 3.0)
    decibel = FilterBank(8000)(torch.from_numpy(np.stack([clean, estimate])).float()).numpy() * 10.0 / math.log(10.0)
    difference = decibel[0] - decibel[1]
    difference -= difference.mean(axis=1, keepdims=True)
    expected = np.sqrt(np.mean(difference**2, axis=1)).mean()
    assert mel_cepstral_distance(clean, estimate, 8000, coefficients=39) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("metric", ALL)
def test_what_cannot_be_measured_is_an_error(metric):
    clean = voice(1.0, 8000)
    with pytest.raises(DataError, match="shorter than a frame"):
        metric(clean[:199], clean[:199], 8000)
    with pytest.raises(DataError, match="the estimate is silent"):
        metric(clean, np.zeros(8000), 8000)
    with pytest.raises(DataError, match="the clean recording is silent"):
        metric(np.zeros(8000), clean, 8000)
    with pytest.raises(DataError, match="8000 samples and an estimate of 7999"):
        metric(clean, clean[1:], 8000)
    with pytest.raises(ConfigError, match="6000 Hz"):
        metric(clean, clean, 6000)
