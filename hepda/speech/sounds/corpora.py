"""Speech with known words: the Free Spoken Digit Dataset, and synthetic digits where it is not available."""

from __future__ import annotations

import hashlib
import io
import math
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hepda.datasets.download import reading
from hepda.errors import ConfigError, DataError, SourceError
from hepda.speech.sounds.audio import Tape, on_tape, read_audio, resample, sound_files

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FSDD_DIGEST = "45a9b976ba3397a2fd5c70a9f2e43c34f442a3a6be47392ecfc41174b678f37e"
"""`fsdd_digest` of version 1.0.10 (3,000 recordings); the catalogue has the same value for `hepda data fetch`."""
FLITE_VOICES = ("kal", "awb", "rms", "slt")
ESPEAK_VOICES = ("en+m3", "en+f2", "en-us+m1", "en-us+f4")
_TONES = (300.0, 500.0, 750.0, 1050.0, 1400.0, 1800.0)  # Hz


@dataclass(frozen=True, slots=True)
class Corpus:
    """Utterances with their words and speakers.

    Attributes:
        tape: the samples.
        words: the words of each utterance, as numbers in `vocabulary`.
        speaker: the speaker of each utterance as a number in `speakers`, int64 [u].
        index: number of the recording among those of the same words by the same speaker, int64 [u].
        names: unique names of the utterances.
        vocabulary, speakers: names.
        origin: source of the corpus, for the manifest.

    """

    tape: Tape
    words: tuple[tuple[int, ...], ...]
    speaker: Tensor
    index: Tensor
    names: tuple[str, ...]
    vocabulary: tuple[str, ...]
    speakers: tuple[str, ...]
    origin: str

    def __len__(self) -> int:
        return len(self.names)

    def select(self, numbers: Tensor) -> Corpus:
        """Return some utterances, in the order of `numbers` [k]."""
        chosen: list[int] = numbers.tolist()
        return Corpus(
            self.tape.select(numbers),
            tuple(self.words[n] for n in chosen),
            self.speaker[numbers],
            self.index[numbers],
            tuple(self.names[n] for n in chosen),
            self.vocabulary,
            self.speakers,
            self.origin,
        )


@dataclass(frozen=True, slots=True)
class Spoken:
    """One utterance before it is part of a corpus."""

    samples: Tensor
    digit: int
    speaker: str
    index: int


def corpus_of(spoken: Sequence[Spoken], rate: int, origin: str) -> Corpus:
    """Return a corpus of spoken digits.

    Raises:
        DataError: there are no digits.

    """
    speakers = tuple(dict.fromkeys(utterance.speaker for utterance in spoken))
    return Corpus(
        on_tape([utterance.samples for utterance in spoken], rate),
        tuple((utterance.digit,) for utterance in spoken),
        torch.tensor([speakers.index(utterance.speaker) for utterance in spoken]),
        torch.tensor([utterance.index for utterance in spoken]),
        tuple(f"{utterance.digit}_{utterance.speaker}_{utterance.index}" for utterance in spoken),
        DIGITS,
        speakers,
        origin,
    )


def read_fsdd(folder: Path, rate: int, recordings: int | None = None) -> Corpus:
    """Read files `<digit>_<speaker>_<index>.wav` of a folder, the file names of the Free Spoken Digit Dataset.

    Args:
        folder: the folder.
        rate: rate of the samples in Hz.
        recordings: largest number for each digit and speaker, those with the lowest index; None: all.

    Raises:
        SourceError: a file has another name, or there is none.

    """
    spoken = []
    for path in sorted(sound_files(folder), key=_fsdd_order):
        digit, speaker, index = _fsdd_parts(path)
        if recordings is None or index < recordings:
            spoken.append(Spoken(read_audio(path, rate), digit, speaker, index))
    return corpus_of(spoken, rate, str(folder))


def read_recordings(folder: Path, rate: int, recordings: int | None = None) -> Corpus:
    """Read any recordings of a folder, whose words are not known.

    The speaker is the name of the folder in it that has the recording, or else the part of the file's name before the
    first underscore (`p226_001.wav` of the Voice Bank corpus).

    Args:
        folder: the folder.
        rate: rate of the samples in Hz.
        recordings: largest number for each speaker, the first by name; None: all.

    Raises:
        SourceError: there is no recording.

    """
    samples: list[Tensor] = []
    speakers, indices, names = [], [], []
    count: dict[str, int] = {}
    for path in sound_files(folder):
        inside = path.relative_to(folder)
        speaker = inside.parts[0] if len(inside.parts) > 1 else path.stem.partition("_")[0]
        index = count.get(speaker, 0)
        if recordings is not None and index >= recordings:
            continue
        count[speaker] = index + 1
        samples.append(read_audio(path, rate))
        speakers.append(speaker)
        indices.append(index)
        names.append(inside.with_suffix("").as_posix())
    known = tuple(dict.fromkeys(speakers))
    number = torch.tensor([known.index(speaker) for speaker in speakers])
    words: tuple[tuple[int, ...], ...] = ((),) * len(names)
    return Corpus(on_tape(samples, rate), words, number, torch.tensor(indices), tuple(names), (), known, str(folder))


def fsdd_folder(path: Path) -> Path:
    """Return the folder of the recordings of the published data set.

    Args:
        path: this folder, or the archive; an archive is unpacked.

    Raises:
        DataError: the recordings are not those that were published as version 1.0.10.

    """
    if path.suffix != ".zip":
        _check_fsdd(path, path)
        return path
    folder = path.with_suffix("") / "recordings"
    if folder.is_dir():
        _check_fsdd(folder, folder)
    else:
        _unpack(path, folder)
    return folder


def _check_fsdd(folder: Path, source: Path) -> None:
    """Compare the digest of the recordings in a folder, which come from `source`, with the published one."""
    digest = fsdd_digest(folder)
    if digest != FSDD_DIGEST:
        raise DataError(
            f"{source} holds other recordings than version 1.0.10 of the Free Spoken Digit Dataset (its digest is "
            f"{digest}, not {FSDD_DIGEST}); fetch it again, or name the folder as `data: folder`"
        )


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack the recordings of the published archive into a folder, if they are the published ones."""
    unpack(archive, folder, lambda unpacked: _check_fsdd(unpacked, archive))


def unpack(archive: Path, folder: Path, check: Callable[[Path], None] | None = None) -> None:
    """Unpack the recordings (.wav) of a zip archive into a folder, without the folders within.

    The folder exists only when it has all recordings.

    Args:
        archive: the archive.
        folder: the folder.
        check: raises an error if what is unpacked is not what it should be.

    """
    temporary = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    with reading(f"{archive}: is no archive of recordings"), zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            if name.endswith(".wav") and not name.startswith("__MACOSX"):
                (temporary / Path(name).name).write_bytes(file.read(name))
    if check is not None:
        check(temporary)
    temporary.replace(folder)


def fsdd_digest(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of the recordings in a folder, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.wav"), key=lambda path: path.name):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _fsdd_parts(path: Path) -> tuple[int, str, int]:
    parts = path.stem.split("_")
    if len(parts) != 3 or not (parts[2].isascii() and parts[2].isdigit()) or parts[0] not in tuple("0123456789"):
        raise SourceError(f"{path} is not named <digit>_<speaker>_<index>, as recordings of spoken digits are")
    return int(parts[0]), parts[1], int(parts[2])


def _fsdd_order(path: Path) -> tuple[str, int, int]:
    digit, speaker, index = _fsdd_parts(path)
    return speaker, digit, index


# ---- synthetic digits ----


@dataclass(frozen=True, slots=True)
class Segments:
    """Speech with known boundaries: samples [n], and each phone with the time (s) of its end."""

    samples: Tensor
    phones: tuple[str, ...]
    ends: tuple[float, ...]


def flite(text: str, rate: int, *, voice: str = "kal", stretch: float = 1.0, pitch: float | None = None) -> Segments:
    """Synthesise speech with flite, which also returns the phones and their ends.

    Args:
        text: the text to speak.
        rate: rate of the samples in Hz.
        voice: name of the voice.
        stretch: factor on durations.
        pitch: mean of the fundamental frequency in Hz; None: the default of the voice.

    Raises:
        SourceError: flite is not installed, or fails.

    """
    command = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch:g}"]
    if pitch is not None:
        command += ["--setf", f"int_f0_target_mean={pitch:g}"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        listing = _run([*command, "-psdur", "-t", text, "-o", str(path)]).decode()
        samples = read_audio(path, rate)
    parts = [part.rpartition(":") for part in listing.split()]
    return Segments(samples, tuple(part[0] for part in parts), tuple(float(part[2]) for part in parts))


def espeak(text: str, rate: int, *, voice: str = "en", speed: int = 150, pitch: int = 50) -> Tensor:
    """Synthesise speech with espeak-ng.

    Args:
        text: the text to speak.
        rate: rate of the samples in Hz.
        voice: name of the voice.
        speed: words per minute.
        pitch: 0 to 99.

    Raises:
        SourceError: espeak-ng is not installed, or fails.

    """
    import soundfile

    sound = _run(["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text])
    with reading(f"what espeak-ng says with {voice!r} cannot be read as sound"):
        samples, native_rate = soundfile.read(io.BytesIO(sound), dtype="float32")
    return torch.from_numpy(resample(samples, native_rate, rate))


def _run(command: list[str]) -> bytes:
    if shutil.which(command[0]) is None:
        raise SourceError(f"{command[0]} is not installed; install it, or take `data: tones`, which needs nothing")
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        raise SourceError(f"{' '.join(command)} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def tones(digit: int, rate: int, *, pitch: float, speed: float, generator: torch.Generator) -> Tensor:
    """Make a digit from three pairs of tones one after the other; no synthesizer is needed.

    The sequences of two digits differ in at least one pair. Levels, phases and durations vary a little, drawn from the
    generator.

    Args:
        digit: 0 to 9.
        rate: rate of the samples in Hz.
        pitch: factor on the frequencies, which distinguishes speakers.
        speed: factor on the rate of speaking.
        generator: source of the random numbers.

    """
    parts = [torch.zeros(round(0.03 * rate))]
    draw = torch.rand(3, 4, generator=generator)
    for step in range(3):
        pair = (digit + 2 * step * (1 + digit // 9)) % 9
        low, high = _TONES[pair % 3], _TONES[3 + pair // 3]
        length = round(rate * (0.08 + 0.06 * float(draw[step, 0])) / speed)
        time = torch.arange(length) / rate
        envelope = torch.sin(math.pi * (torch.arange(length) + 0.5) / length).sqrt()
        wave = torch.zeros(length)
        for number, frequency in enumerate((low, high)):
            phase = 2.0 * math.pi * float(draw[step, 1 + number])
            wave += torch.sin(2.0 * math.pi * pitch * frequency * time + phase)
        parts.append((0.1 + 0.1 * float(draw[step, 3])) * envelope * wave)
    parts.append(torch.zeros(round(0.03 * rate)))
    samples = torch.cat(parts)
    return samples + 1e-4 * torch.randn(len(samples), generator=generator)


def made_digits(by: str, rate: int, recordings: int, seed: int) -> Corpus:
    """Make a corpus of synthetic digits.

    The speakers are four voices of each synthesizer, or six pitches of tones. Recordings differ in rate and pitch.

    Args:
        by: `flite`, `espeak`, `tones` or `synthetic`: the synthesizers that are installed, or else tones.
        rate: rate of the samples in Hz.
        recordings: number of recordings of each digit by each speaker.
        seed: seed of the variations.

    Raises:
        ConfigError: `by` is none of these.
        SourceError: the synthesizer is not installed.

    """
    makers = [by]
    if by == "synthetic":
        installed = [name for name, program in (("flite", "flite"), ("espeak", "espeak-ng")) if shutil.which(program)]
        makers = installed or ["tones"]
    spoken: list[Spoken] = []
    for maker in makers:
        if maker not in _MAKERS:
            raise ConfigError(f"digits are made by {', '.join(_MAKERS)}, not by {maker!r}")
        spoken += _MAKERS[maker](rate, recordings, seed)
    return corpus_of(spoken, rate, f"made by {' and '.join(makers)}")


def _by_flite(rate: int, recordings: int, seed: int) -> list[Spoken]:
    random = np.random.default_rng(seed)
    digits = []
    for number, voice in enumerate(FLITE_VOICES):
        for digit, word in enumerate(DIGITS):
            for index in range(recordings):
                stretch, pitch = random.uniform(0.8, 1.3), random.uniform(0.85, 1.15) * (110.0 + 30.0 * number)
                samples = flite(word, rate, voice=voice, stretch=stretch, pitch=pitch).samples
                digits.append(Spoken(trimmed(samples, rate), digit, f"flite-{voice}", index))
    return digits


def _by_espeak(rate: int, recordings: int, seed: int) -> list[Spoken]:
    random = np.random.default_rng(seed + 1)
    digits = []
    for voice in ESPEAK_VOICES:
        for digit, word in enumerate(DIGITS):
            for index in range(recordings):
                speed, pitch = int(random.integers(120, 190)), int(random.integers(30, 71))
                samples = espeak(word, rate, voice=voice, speed=speed, pitch=pitch)
                digits.append(Spoken(trimmed(samples, rate), digit, f"espeak-{voice}", index))
    return digits


def _by_tones(rate: int, recordings: int, seed: int) -> list[Spoken]:
    generator = torch.Generator().manual_seed(seed)
    digits = []
    for speaker, pitch in enumerate((0.8, 0.9, 1.0, 1.1, 1.2, 1.3)):
        for digit in range(len(DIGITS)):
            for index in range(recordings):
                speed = 0.8 + 0.5 * float(torch.rand(1, generator=generator))
                samples = tones(digit, rate, pitch=pitch, speed=speed, generator=generator)
                digits.append(Spoken(samples, digit, f"tones-{speaker}", index))
    return digits


_MAKERS = {"flite": _by_flite, "espeak": _by_espeak, "tones": _by_tones}


def trimmed(samples: Tensor, rate: int, keep: float = 0.03) -> Tensor:
    """Cut off both ends of the samples where they are 50 dB below the loudest one, except for `keep` seconds.

    Raises:
        DataError: all samples are zero.

    """
    loud = torch.nonzero(samples.abs() > 10.0 ** (-50.0 / 20.0) * samples.abs().max()).flatten()
    if len(loud) == 0:
        raise DataError("an utterance is silent throughout")
    margin = round(keep * rate)
    return samples[max(0, int(loud[0]) - margin) : int(loud[-1]) + 1 + margin]


# ---- changes of the voice ----


def at_speed(samples: Tensor, speed: float) -> Tensor:
    """Return samples played `speed` times as fast: duration, pitch and formants change together (Ko et al. 2015)."""
    if speed == 1.0:
        return samples
    ratio = Fraction(speed).limit_denominator(40)
    return torch.from_numpy(resample(samples.numpy(), ratio.numerator, ratio.denominator))
