from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from hepda.errors import ConfigError, DataError
from hepda.speech.quality import signals, spectral
from hepda.speech.quality.recordings import METRICS, RecordingQuality, means, quality_of, ratings
from hepda.speech.sounds.audio import read_audio
from tests.speech.quality.signals import noisy, voice

pytest.importorskip("pesq", reason="the extra `quality` is not installed")
pytest.importorskip("pystoi", reason="the extra `quality` is not installed")

DATA = Path(os.environ.get("HEPDA_DATA", "/nowhere")) / "speech"


def test_the_ratings_are_those_of_the_published_example():
    """Values and ratings that the readme of composite.m prints for sp09.wav of NOIZEUS and its enhanced version."""
    found = ratings(pesq=2.255732, llr=0.681368, wss=49.671978, segmental_snr=3.991727)
    assert (found.csig, found.cbak, found.covl) == pytest.approx((3.3050, 2.6160, 2.7133), abs=5e-5)


def test_the_ratings_are_opinion_scores():
    worst = ratings(pesq=-0.5, llr=2.0, wss=150.0, segmental_snr=-10.0)
    assert (worst.csig, worst.cbak, worst.covl) == (1.0, 1.0, 1.0)
    best = ratings(pesq=4.5, llr=0.0, wss=0.0, segmental_snr=35.0)
    assert (best.csig, best.cbak, best.covl) == (5.0, 5.0, 5.0)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_recording_has_the_values_of_all_metrics(rate):
    clean = voice(2.0, rate)
    pair = clean, noisy(clean, 15.0)
    quality = quality_of(*pair, rate)
    score = signals.pesq(*pair, rate)
    slope, snr = spectral.weighted_spectral_slope(*pair, rate), spectral.segmental_snr(*pair, rate)
    envelopes = spectral.log_likelihood_ratio(*pair, rate, limit=None)
    composite = ratings(signals.raw_pesq(score) if rate == 8000 else score, envelopes, slope, snr)
    assert quality.values == {
        "pesq": score, "stoi": signals.stoi(*pair, rate), "estoi": signals.stoi(*pair, rate, extended=True),
        "si_sdr": signals.si_sdr(*pair), "segmental_snr": snr, "csig": composite.csig, "cbak": composite.cbak,
        "covl": composite.covl, "llr": spectral.log_likelihood_ratio(*pair, rate), "wss": slope,
        "mel_cepstral_distance": spectral.mel_cepstral_distance(*pair, rate),
    }  # fmt: skip
    assert set(quality.values) == set(METRICS)
    assert quality.reasons == {}


def test_what_has_no_value_says_why():
    clean = voice(0.15, 8000)
    quality = quality_of(clean, noisy(clean, 10.0), 8000)
    assert {name for name, value in quality.values.items() if value is None} == set(quality.reasons)
    assert quality.reasons == {
        "pesq": "PESQ: shorter than 1/4 s", "csig": "PESQ: shorter than 1/4 s", "cbak": "PESQ: shorter than 1/4 s",
        "covl": "PESQ: shorter than 1/4 s", "stoi": "STOI: fewer than 30 frames of speech",
        "estoi": "STOI: fewer than 30 frames of speech",
    }  # fmt: skip
    silent = quality_of(clean, np.zeros(len(clean)), 8000)
    assert set(silent.values.values()) == {None}
    assert set(silent.reasons.values()) == {"the estimate is silent"}


def test_only_what_is_asked_for_is_measured():
    clean = voice(1.0, 44100)
    quality = quality_of(clean, noisy(clean, 10.0), 44100, metrics=("si_sdr", "llr"))
    assert list(quality.values) == ["si_sdr", "llr"]
    assert quality.values["si_sdr"] == pytest.approx(10.0, abs=0.3)


def test_wrong_questions_are_errors_and_not_counted():
    clean = voice(1.0, 8000)
    with pytest.raises(ConfigError, match="Did you mean 'pesq'"):
        quality_of(clean, clean, 8000, metrics=("pesk",))
    with pytest.raises(ConfigError, match="44100"):
        quality_of(clean, clean, 44100)
    with pytest.raises(DataError, match="cut both alike"):
        quality_of(clean, clean[1:], 8000)
    with pytest.raises(DataError, match="not finite"):
        quality_of(clean, clean * np.inf, 8000)


def test_means_count_what_has_no_value():
    qualities = [
        RecordingQuality({"pesq": 2.0, "stoi": None}, {"stoi": "short"}),
        RecordingQuality({"pesq": None, "stoi": None}, {"pesq": "silent", "stoi": "short"}),
        RecordingQuality({"pesq": 3.5, "stoi": None}, {"stoi": "silent"}),
    ]
    found = means(qualities)
    assert (found["pesq"].mean, found["pesq"].counted, found["pesq"].failed) == (2.75, 2, 1)
    assert found["pesq"].reasons == {"silent": 1}
    assert (found["stoi"].mean, found["stoi"].counted, found["stoi"].failed) == (None, 0, 3)
    assert found["stoi"].reasons == {"short": 2, "silent": 1}


def test_means_need_recordings_with_the_same_metrics():
    with pytest.raises(DataError, match="no recordings"):
        means([])
    with pytest.raises(DataError, match="different metrics"):
        means([RecordingQuality({"pesq": 2.0}, {}), RecordingQuality({"stoi": 0.5}, {})])


@pytest.mark.skipif(not (DATA / "fsdd").is_dir(), reason="HEPDA_DATA has no recordings of speech")
@pytest.mark.parametrize("speaker", ["jackson", "theo"])
@pytest.mark.parametrize(("kind", "ratios"), [("white", (20.0, 10.0, 0.0)), ("places__cafe", (10.0, 0.0, -8.0))])
def test_real_speech_is_worse_the_more_noise_it_has(speaker, kind, ratios):
    """At these ratios, no rating is at its limit."""
    folder = DATA / "fsdd" / "recordings"
    clean = np.concatenate([read_audio(folder / f"{digit}_{speaker}_0.wav", 8000).numpy() for digit in (1, 2, 3, 4)])
    if kind == "white":
        noise = np.random.default_rng(0).standard_normal(len(clean)).astype(np.float32)
    else:
        noise = read_audio(DATA / "noise" / f"{kind}.flac", 8000).numpy()[: len(clean)]
    noise *= np.sqrt(np.sum(clean**2) / np.sum(noise**2))
    without = quality_of(clean, clean, 8000)
    assert without.reasons == {"si_sdr": "SI-SDR is infinite: the estimate is the clean recording up to its scale"}
    mixed = [quality_of(clean, clean + 10.0 ** (-snr / 20.0) * noise, 8000) for snr in ratios]
    for name, metric in METRICS.items():
        values = [quality.values[name] for quality in ([] if name == "si_sdr" else [without]) + mixed]
        order = sorted(values, reverse=metric.better == "higher")
        assert values == order, name
        assert len(set(values)) == len(values), name
