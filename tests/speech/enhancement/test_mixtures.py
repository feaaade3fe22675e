"""Strings in noise: who speaks, in which noise, at which ratio; and recordings that have their noise."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hepda.config import validate_any
from hepda.config.speech.enhancement import AugmentationConfig
from hepda.errors import ConfigError, DataError, SourceError
from hepda.speech.dataset.strings import strings_of
from hepda.speech.enhancement.mixtures import NoisyStrings, Sounds, load_sounds, read_sounds, write_sounds
from tests.speech.enhancement.analysis import SMALL, small


@pytest.fixture(scope="module")
def sounds() -> Sounds:
    return load_sounds(small())


def ratios(mixtures: NoisyStrings) -> list[float]:
    """The ratio of speech to noise of each string, from the samples."""
    found = []
    for number in range(len(mixtures)):
        clean, noisy = mixtures.clean.utterance(number).double(), mixtures.noisy.utterance(number).double()
        found.append(float(10.0 * torch.log10(clean.square().sum() / (noisy - clean).square().sum())))
    return found


def test_tests_are_the_same_strings_in_the_same_noise_at_every_ratio(sounds: Sounds) -> None:
    test = sounds.test
    assert len(test) == 6 and test.string.tolist() == [0, 1, 2, 0, 1, 2]
    assert (
        ratios(test) == pytest.approx([10.0] * 3 + [0.0] * 3, abs=0.01) and test.snr.tolist() == [10.0] * 3 + [0.0] * 3
    )
    assert {sounds.speakers[n] for n in test.speaker.tolist()} == {"tones-2"}
    assert {sounds.noises[n] for n in test.noise.tolist()} == {"brown"}
    for number in range(3):
        loud, soft = ((test.noisy.utterance(n) - test.clean.utterance(n)) for n in (number + 3, number))
        torch.testing.assert_close(loud, soft * 10.0**0.5, atol=1e-5, rtol=1e-3)


def test_trainings_have_other_speakers_and_noises_and_every_epoch_is_new(sounds: Sounds) -> None:
    config = small()
    first, again, second, other = (
        sounds.epoch(config, epoch, seed) for epoch, seed in ((0, 1), (0, 1), (1, 1), (0, 2))
    )
    assert torch.equal(first.noisy.samples, again.noisy.samples)
    for mixtures in (second, other):
        assert len(mixtures.noisy.samples) != len(first.noisy.samples) or not torch.equal(
            mixtures.noisy.samples, first.noisy.samples
        )
    assert "tones-2" not in {sounds.speakers[n] for n in first.speaker.tolist()}
    assert {sounds.noises[n] for n in first.noise.tolist()} <= {"white", "hum"}
    of_noise = torch.isfinite(first.snr)
    assert np.array(ratios(first))[of_noise.numpy()] == pytest.approx(first.snr[of_noise].numpy(), abs=0.05)
    assert bool(((first.snr >= 0.0) & (first.snr <= 10.0) | ~of_noise).all())


def test_varied_mixtures_have_their_ratios(sounds: Sounds) -> None:
    plain = sounds.epoch(small(), 0, 1)
    varied = sounds.epoch(small(), 0, 1, AugmentationConfig(second_noise=1.0))
    assert torch.equal(plain.clean.length, varied.clean.length) and torch.equal(plain.snr, varied.snr)
    of_noise = torch.isfinite(varied.snr)
    assert np.array(ratios(varied))[of_noise.numpy()] == pytest.approx(varied.snr[of_noise].numpy(), abs=0.05)
    for number in range(len(plain)):
        pair = torch.stack([side.clean.utterance(number) for side in (plain, varied)])
        assert 0.3 < float(torch.corrcoef(pair)[0, 1]) < 0.999


def test_strings_have_the_recordings_and_pauses_that_are_asked_for() -> None:
    config = small(strings={"recordings": [4, 4], "pause": [0.1, 0.1]})
    sounds = load_sounds(config)
    assert sounds.material is not None
    recordings = sounds.material.corpus.tape
    shortest = 4 * int(recordings.length.min()) + 3 * 800
    longest = 4 * int(recordings.length.max()) + 3 * 800
    lengths = sounds.test.clean.length
    assert shortest <= int(lengths.min()) and int(lengths.max()) <= longest
    clean = sounds.test.clean.utterance(0)
    silent = "".join("1" if quiet else "0" for quiet in (clean == 0.0).tolist())
    assert sum(len(run) >= 800 for run in silent.split("0")) == 3


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"test": ["tones-9"]}, r"split\.test: 'tones-9' is no speaker"),
        ({"test": 1, "unused": ["tones-5"]}, r"split\.unused: tones-5 is tested on"),
        ({"test": 6}, "no speaker of .* is left to train on"),
    ],
)
def test_a_split_that_cannot_be_is_told(split: dict[str, object], message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        load_sounds(small(split=split))


def test_sounds_are_written_and_read(sounds: Sounds, tmp_path: Path) -> None:
    write_sounds(sounds, tmp_path)
    read = read_sounds(tmp_path)
    assert torch.equal(read.test.noisy.samples, sounds.test.noisy.samples) and read.speakers == sounds.speakers
    config = small()
    assert torch.equal(read.epoch(config, 1, 3).noisy.samples, sounds.epoch(config, 1, 3).noisy.samples)


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    """Two recordings of each of two speakers to train on, and two of a third one to test on, clean and noisy."""
    random = np.random.default_rng(1)
    for part, speakers in (("", ("p1", "p2")), ("test_", ("p3",))):
        for speaker in speakers:
            for number in range(2):
                clean = np.sin(np.arange(4000 + 100 * number) * 0.1 * (1 + number))
                for side, sound in (("clean", clean), ("noisy", clean + 0.1 * random.normal(size=len(clean)))):
                    path = tmp_path / f"{part}{side}" / f"{speaker}_{number:03}.wav"
                    path.parent.mkdir(exist_ok=True)
                    soundfile.write(path, 0.5 * sound, 8000)
    return {key: str(tmp_path / key) for key in ("clean", "noisy", "test_clean", "test_noisy")}


def paired(folders: dict[str, str]) -> dict[str, object]:
    data = {key: value for key, value in SMALL.items() if key not in ("speech", "noise", "split")}
    return data | {"pairs": {**folders, "rate": 8000}}


def test_recordings_that_have_their_noise_are_read_with_their_split(folders: dict[str, str], tmp_path: Path) -> None:
    config = validate_any(paired(folders), "test")
    sounds = load_sounds(config)
    assert sounds.pairs is not None and len(sounds.pairs) == 4 and len(sounds.test) == 2
    assert sounds.speakers == ("p1", "p2", "p3") and sounds.test.speaker.tolist() == [2, 2]
    assert sounds.test.snr.tolist() == pytest.approx([17.0, 17.0], abs=0.3)  # power 1/2 over 1/100
    assert sounds.epoch(config, 3, 1) is sounds.pairs
    write_sounds(sounds, tmp_path / "table")
    assert torch.equal(read_sounds(tmp_path / "table").pairs.noisy.samples, sounds.pairs.noisy.samples)


def test_folders_that_do_not_belong_together_are_told(folders: dict[str, str]) -> None:
    (Path(folders["noisy"]) / "p1_000.wav").unlink()
    with pytest.raises(DataError, match="do not have the same recordings: p1_000"):
        load_sounds(validate_any(paired(folders), "test"))
    soundfile.write(Path(folders["noisy"]) / "p1_000.wav", np.ones(100) * 0.1, 8000)
    with pytest.raises(DataError, match="p1_000 has not the length of the clean recording"):
        load_sounds(validate_any(paired(folders), "test"))


def test_the_published_pairs_are_unpacked_from_their_archives(
    folders: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = ("clean_trainset_28spk_wav", "noisy_trainset_28spk_wav", "clean_testset_wav", "noisy_testset_wav")
    (tmp_path / "data").mkdir()
    for (_, folder), name in zip(folders.items(), published, strict=True):
        shutil.make_archive(str(tmp_path / "data" / name), "zip", folder)
    monkeypatch.setenv("HEPDA_DATA", str(tmp_path / "data"))
    sounds = load_sounds(validate_any(paired({}), "test"))
    assert sounds.speakers == ("p1", "p2", "p3") and sounds.pairs is not None and len(sounds.pairs) == 4
    monkeypatch.setenv("HEPDA_DATA", str(tmp_path))
    monkeypatch.setenv("HEPDA_DATASETS", str(tmp_path / "none"))
    with pytest.raises(SourceError, match="hepda data fetch voicebank"):
        load_sounds(validate_any(paired({}), "test"))


def test_places_of_recordings_in_strings_are_told(sounds: Sounds) -> None:
    assert sounds.material is not None
    corpus = sounds.material.corpus
    strings = strings_of(corpus, np.arange(40), np.array([0, 0, 0]), small().strings, np.random.default_rng(1))
    for recording, string, start, length in strings.places():
        spoken = corpus.tape.utterance(recording)
        assert torch.equal(strings.tape.utterance(string)[start : start + length], spoken)
    fast = strings.at_speeds([1.25], np.random.default_rng(1))
    for (_, string, start, length), (_, _, first, number) in zip(strings.places(), fast.places(), strict=True):
        whole, found = (of.tape.utterance(string) for of in (strings, fast))
        assert len(found) == pytest.approx(len(whole) / 1.25, abs=1.0)
        parts = whole[start : start + length], found[first : first + number]
        loudness, at_speed = (float(part.square().mean().sqrt()) for part in parts)
        assert at_speed == pytest.approx(loudness, rel=0.05)
    assert strings.string.tolist() == sorted(strings.string.tolist()) and set(strings.string.tolist()) == {0, 1, 2}
