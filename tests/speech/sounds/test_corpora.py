from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hepda.errors import ConfigError, DataError, SourceError
from hepda.speech.sounds.corpora import at_speed, espeak, flite, made_digits, read_fsdd, trimmed
from hepda.speech.sounds.noises import load_noises, load_rooms, recorded

DATA = Path(os.environ.get("HEPDA_DATA", "/nowhere")) / "speech"
real = pytest.mark.skipif(not (DATA / "fsdd").is_dir(), reason="HEPDA_DATA has no recordings of speech")


def write(path: Path, samples: np.ndarray, rate: int = 8000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)


@real
def test_the_real_recordings_are_read_with_their_words_and_speakers():
    corpus = read_fsdd(DATA / "fsdd" / "recordings", 8000, recordings=2)
    assert len(corpus) == 120
    assert corpus.speakers == ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
    assert corpus.names[21] == "0_jackson_1"
    assert (corpus.words[21], int(corpus.speaker[21]), int(corpus.index[21])) == ((0,), 1, 1)
    samples, rate = soundfile.read(DATA / "fsdd" / "recordings" / "0_jackson_1.wav", dtype="float32")
    assert rate == 8000
    assert np.array_equal(corpus.tape.utterance(21).numpy(), samples)
    some = corpus.select(torch.tensor([21, 3]))
    assert some.names == ("0_jackson_1", "1_george_1")
    assert torch.equal(some.tape.utterance(0), corpus.tape.utterance(21))


def test_a_file_of_another_name_is_refused(tmp_path):
    write(tmp_path / "hello.wav", np.zeros(10))
    with pytest.raises(SourceError, match="not named <digit>_<speaker>_<index>"):
        read_fsdd(tmp_path, 8000)


def test_tones_need_nothing_and_no_two_digits_are_alike():
    corpus = made_digits("tones", 8000, 2, seed=3)
    assert len(corpus) == 6 * 10 * 2
    again = made_digits("tones", 8000, 2, seed=3)
    assert torch.equal(corpus.tape.samples, again.tape.samples)
    numbers = [n for n in range(len(corpus)) if int(corpus.speaker[n]) == 2 and int(corpus.index[n]) == 0]
    thirds = []
    for number in numbers:
        samples = corpus.tape.utterance(number).numpy()
        parts = np.array_split(samples[240:-240], 3)
        spectra = [np.abs(np.fft.rfft(part * np.hanning(len(part)), 4096)) for part in parts]
        thirds.append(np.stack([s / np.linalg.norm(s) for s in spectra]))
    for digit in range(10):
        for other in range(digit):
            alike = (thirds[digit] * thirds[other]).sum(axis=1)
            assert alike.min() < 0.6  # one pair of tones at least is another


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
def test_flite_tells_its_phones_and_where_they_end():
    segments = flite("two", 8000, voice="rms")
    assert segments.phones == ("pau", "t", "uw", "pau")
    assert list(segments.ends) == sorted(segments.ends)
    assert len(segments.samples) / 8000 == pytest.approx(segments.ends[-1], abs=0.02)
    slow = flite("two", 8000, voice="rms", stretch=1.5)
    assert slow.ends[2] - slow.ends[0] == pytest.approx(1.5 * (segments.ends[2] - segments.ends[0]), rel=0.1)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_espeak_speaks_at_the_rate_that_is_asked():
    fast, slow = espeak("seven", 8000, speed=250), espeak("seven", 8000, speed=100)
    assert 0 < len(fast) < len(slow)
    assert float(slow.abs().max()) > 0.05


def test_the_fallback_is_tones_where_no_synthesizer_is(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert made_digits("synthetic", 8000, 1, seed=1).origin == "made by tones"
    with pytest.raises(SourceError, match=r"flite is not installed; install it, or take `data: tones`"):
        made_digits("flite", 8000, 1, seed=1)
    with pytest.raises(ConfigError, match="made by flite, espeak, tones"):
        made_digits("festival", 8000, 1, seed=1)


def test_speed_changes_duration_and_pitch_together():
    tone = torch.sin(2.0 * torch.pi * 400.0 * torch.arange(8000) / 8000.0)
    fast = at_speed(tone, 1.25)
    assert len(fast) == 6400
    peak = int(np.abs(np.fft.rfft(fast.numpy())).argmax()) * 8000 / 6400
    assert peak == pytest.approx(500.0, abs=2.0)
    assert at_speed(tone, 1.0) is tone


def test_what_is_quiet_at_the_ends_is_trimmed():
    samples = torch.cat([1e-5 * torch.ones(4000), torch.ones(1000), torch.zeros(4000)])
    assert len(trimmed(samples, 8000, keep=0.01)) == 1000 + 2 * 80
    with pytest.raises(DataError, match="silent throughout"):
        trimmed(torch.zeros(100), 8000)


def test_noises_are_files_or_folders_and_training_never_hears_what_a_test_does(tmp_path):
    random = np.random.default_rng(1)
    write(tmp_path / "cafe" / "one.wav", 0.1 * random.normal(size=32000), 16000)
    write(tmp_path / "cafe" / "two.wav", 0.1 * random.normal(size=48000), 16000)
    write(tmp_path / "rain.flac", 0.1 * random.normal(size=24000), 8000)
    files = recorded(tmp_path)
    assert {name: len(paths) for name, paths in files.items()} == {"cafe": 2, "rain": 1}
    noises = load_noises(files, ("white",), 8000, [], seed=1)
    assert noises.names == ("cafe", "rain", "white")
    assert noises.train.kind.tolist() == noises.test.kind.tolist() == [0, 0, 1, 2]
    rain = torch.from_numpy(soundfile.read(tmp_path / "rain.flac", dtype="float32")[0])
    assert torch.equal(torch.cat([noises.train.tape.utterance(2), noises.test.tape.utterance(2)]), rain)
    write(tmp_path / "click.wav", np.ones(100))
    with pytest.raises(DataError, match="'click' is shorter than a second"):
        load_noises(recorded(tmp_path), (), 8000, [], seed=1)
    with pytest.raises(DataError, match="no noise"):
        load_noises({}, (), 8000, [], seed=1)
    with pytest.raises(ConfigError, match="hum is used already"):
        load_noises({"hum": ()}, ("white", "hum"), 8000, [], seed=1)


@real
def test_the_recorded_noises_and_rooms_are_there():
    assert len(recorded(DATA / "noise")) == 22
    rooms = load_rooms(DATA / "rooms", (0.3,), 8000, seed=1)
    assert len(rooms) == 13
    assert "room 0.3 s" in rooms


@real
def test_the_published_archive_is_taken_out_once_and_its_contents_are_checked(tmp_path, monkeypatch):
    import zipfile

    from hepda.speech.sounds import corpora

    files = sorted((DATA / "fsdd" / "recordings").glob("7_theo_*.wav"))
    with zipfile.ZipFile(tmp_path / "digits.zip", "w") as archive:
        for path in files:
            archive.write(path, f"free-spoken-digit-dataset-1.0.10/recordings/{path.name}")
        archive.writestr("free-spoken-digit-dataset-1.0.10/README.md", "text")
    with pytest.raises(DataError, match=r"other recordings than version 1\.0\.10"):
        corpora.fsdd_folder(tmp_path / "digits.zip")
    folder = tmp_path / "digits" / "recordings"
    assert not folder.exists()  # what is not the published data set does not stay where the next try would find it
    copies = tmp_path / "copies"
    copies.mkdir()
    for path in files:
        shutil.copy(path, copies)
    monkeypatch.setattr(corpora, "FSDD_DIGEST", corpora.fsdd_digest(copies))
    assert corpora.fsdd_folder(tmp_path / "digits.zip") == folder
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in files)
    (tmp_path / "digits.zip").unlink()
    assert corpora.fsdd_folder(tmp_path / "digits.zip") == folder


def test_a_digit_of_two_figures_is_refused(tmp_path):
    for name in ("12_jackson_0.wav", "_jackson_0.wav", "1_jackson_².wav"):  # each was a number once
        write(tmp_path / name, np.zeros(10))
        with pytest.raises(SourceError, match="not named <digit>_<speaker>_<index>"):
            read_fsdd(tmp_path, 8000)
        (tmp_path / name).unlink()
