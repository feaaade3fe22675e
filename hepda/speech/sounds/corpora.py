"""Speech whose words are known: the Free Spoken Digit Dataset, and digits made here where there is none."""

from __future__ import annotations

import hashlib
import io
import math
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hepda.errors import ConfigError, DataError, SourceError
from hepda.speech.sounds.audio import Tape, on_tape, read_audio, resample, sound_files

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FSDD_DIGEST = "45a9b976ba3397a2fd5c70a9f2e43c34f442a3a6be47392ecfc41174b678f37e"
"""Of version 1.0.10: 3,000 recordings, which `fsdd_digest` reads."""
FLITE_VOICES = ("kal", "awb", "rms", "slt")
ESPEAK_VOICES = ("en+m3", "en+f2", "en-us+m1", "en-us+f4")
_TONES = (300.0, 500.0, 750.0, 1050.0, 1400.0, 1800.0)  # Hz


@dataclass(frozen=True, slots=True)
class Corpus:
    """Utterances with their words and speakers.

    Attributes:
        tape: the samples.
        words: what is said, by number of `vocabulary`, utterance by utterance.
        speaker: of each utterance, int64 [u], of `speakers`.
        index: which recording of the same words by the same speaker it is, int64 [u].
        names: of the utterances; no two are the same.
        vocabulary, speakers: names.
        origin: where it comes from, for the manifest.

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
        """Some utterances, in the order of `numbers` [k]."""
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
    """One utterance on its way into a corpus."""

    samples: Tensor
    digit: int
    speaker: str
    index: int


def corpus_of(spoken: Sequence[Spoken], rate: int, origin: str) -> Corpus:
    """A corpus of spoken digits. Raises DataError if there are none."""
    speakers = tuple(dict.fromkeys(one.speaker for one in spoken))
    return Corpus(
        on_tape([one.samples for one in spoken], rate),
        tuple((one.digit,) for one in spoken),
        torch.tensor([speakers.index(one.speaker) for one in spoken]),
        torch.tensor([one.index for one in spoken]),
        tuple(f"{one.digit}_{one.speaker}_{one.index}" for one in spoken),
        DIGITS,
        speakers,
        origin,
    )


def read_fsdd(folder: Path, rate: int, recordings: int | None = None) -> Corpus:
    """Files `<digit>_<speaker>_<index>.wav` of a folder, as the Free Spoken Digit Dataset names them.

    recordings: of each digit by each speaker at most, those with the lowest index; None: all.

    Raises:
        SourceError: a file has another name, or there is none.

    """
    spoken = []
    for path in sorted(sound_files(folder), key=_fsdd_order):
        digit, speaker, index = _fsdd_parts(path)
        if recordings is None or index < recordings:
            spoken.append(Spoken(read_audio(path, rate), digit, speaker, index))
    return corpus_of(spoken, rate, str(folder))


def fsdd_folder(found: Path) -> Path:
    """The folder of the recordings of the published data set: `found` itself, or what its archive holds, taken out.

    Raises:
        DataError: the recordings are not those that were published as version 1.0.10.

    """
    folder = found
    if found.suffix == ".zip":
        folder = found.with_suffix("") / "recordings"
        if not folder.is_dir():
            _unpack(found, folder)
    told = fsdd_digest(folder)
    if told != FSDD_DIGEST:
        raise DataError(
            f"{folder} holds other recordings than version 1.0.10 of the Free Spoken Digit Dataset (its digest is "
            f"{told}, not {FSDD_DIGEST}); fetch it again, or name the folder as `data: folder`"
        )
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    """The recordings of an archive into a folder, which is there when all of them are."""
    temporary = folder.with_name("recordings.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            if name.endswith(".wav"):
                (temporary / Path(name).name).write_bytes(file.read(name))
    temporary.replace(folder)


def fsdd_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of the recordings of a folder, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.wav"), key=lambda path: path.name):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _fsdd_parts(path: Path) -> tuple[int, str, int]:
    parts = path.stem.split("_")
    if len(parts) != 3 or not parts[2].isdigit() or parts[0] not in "0123456789":
        raise SourceError(f"{path} is not named <digit>_<speaker>_<index>, as recordings of spoken digits are")
    return int(parts[0]), parts[1], int(parts[2])


def _fsdd_order(path: Path) -> tuple[str, int, int]:
    digit, speaker, index = _fsdd_parts(path)
    return speaker, digit, index


# ---- digits made here ----


@dataclass(frozen=True, slots=True)
class Segments:
    """Speech whose boundaries are known: samples [n], and each phone with the time (s) at which it ends."""

    samples: Tensor
    phones: tuple[str, ...]
    ends: tuple[float, ...]


def flite(text: str, rate: int, *, voice: str = "kal", stretch: float = 1.0, pitch: float | None = None) -> Segments:
    """Speech by flite with the phones it says and where each ends.

    stretch: factor on durations; pitch: mean of the fundamental frequency, in Hz (None: the voice's own).

    Raises:
        SourceError: flite is not installed, or fails.

    """
    command = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch:g}"]
    if pitch is not None:
        command += ["--setf", f"int_f0_target_mean={pitch:g}"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        told = _run([*command, "-psdur", "-t", text, "-o", str(path)]).decode()
        samples = read_audio(path, rate)
    parts = [part.rpartition(":") for part in told.split()]
    return Segments(samples, tuple(part[0] for part in parts), tuple(float(part[2]) for part in parts))


def espeak(text: str, rate: int, *, voice: str = "en", speed: int = 150, pitch: int = 50) -> Tensor:
    """Speech by espeak-ng. speed: words a minute; pitch: 0 to 99. Raises SourceError if it is absent or fails."""
    import soundfile

    sound = _run(["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text])
    samples, own = soundfile.read(io.BytesIO(sound), dtype="float32")
    return torch.from_numpy(resample(samples, own, rate))


def _run(command: list[str]) -> bytes:
    if shutil.which(command[0]) is None:
        raise SourceError(f"{command[0]} is not installed; install it, or take `data: tones`, which needs nothing")
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        raise SourceError(f"{' '.join(command)} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def tones(digit: int, rate: int, *, pitch: float, speed: float, generator: torch.Generator) -> Tensor:
    """A digit as three pairs of tones one after the other, which ring in a voice of its own: no synthesizer needed.

    The pairs of two digits differ in one at least. pitch: factor on the frequencies, which tells speakers apart;
    speed: factor on the rate of speaking. Levels, phases and durations vary a little, drawn from the generator.
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
    whole = torch.cat(parts)
    return whole + 1e-4 * torch.randn(len(whole), generator=generator)


def made_digits(by: str, rate: int, recordings: int, seed: int) -> Corpus:
    """Digits by `flite`, `espeak` or `tones`; `synthetic` takes both synthesizers where they are installed, else tones.

    Four voices of each synthesizer are the speakers, six pitches those of tones; recordings differ in rate and pitch.

    Raises:
        ConfigError: another maker.
        SourceError: the synthesizer that was asked for is not installed.

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
    made = []
    for number, voice in enumerate(FLITE_VOICES):
        for digit, word in enumerate(DIGITS):
            for index in range(recordings):
                stretch, pitch = random.uniform(0.8, 1.3), random.uniform(0.85, 1.15) * (110.0 + 30.0 * number)
                samples = flite(word, rate, voice=voice, stretch=stretch, pitch=pitch).samples
                made.append(Spoken(trimmed(samples, rate), digit, f"flite-{voice}", index))
    return made


def _by_espeak(rate: int, recordings: int, seed: int) -> list[Spoken]:
    random = np.random.default_rng(seed + 1)
    made = []
    for voice in ESPEAK_VOICES:
        for digit, word in enumerate(DIGITS):
            for index in range(recordings):
                speed, pitch = int(random.integers(120, 190)), int(random.integers(30, 71))
                samples = espeak(word, rate, voice=voice, speed=speed, pitch=pitch)
                made.append(Spoken(trimmed(samples, rate), digit, f"espeak-{voice}", index))
    return made


def _by_tones(rate: int, recordings: int, seed: int) -> list[Spoken]:
    generator = torch.Generator().manual_seed(seed)
    made = []
    for speaker, pitch in enumerate((0.8, 0.9, 1.0, 1.1, 1.2, 1.3)):
        for digit in range(len(DIGITS)):
            for index in range(recordings):
                speed = 0.8 + 0.5 * float(torch.rand(1, generator=generator))
                samples = tones(digit, rate, pitch=pitch, speed=speed, generator=generator)
                made.append(Spoken(samples, digit, f"tones-{speaker}", index))
    return made


_MAKERS = {"flite": _by_flite, "espeak": _by_espeak, "tones": _by_tones}
MAKERS = (*_MAKERS, "synthetic")


def trimmed(samples: Tensor, rate: int, keep: float = 0.03) -> Tensor:
    """Samples without what is 50 dB below the loudest at both ends, but for `keep` seconds.

    Raises:
        DataError: all samples are zero.

    """
    loud = torch.nonzero(samples.abs() > 10.0 ** (-50.0 / 20.0) * samples.abs().max()).flatten()
    if len(loud) == 0:
        raise DataError("an utterance is silent throughout")
    room = round(keep * rate)
    return samples[max(0, int(loud[0]) - room) : int(loud[-1]) + 1 + room]


# ---- changes of the voice ----


def at_speed(samples: Tensor, speed: float) -> Tensor:
    """Samples played `speed` times as fast: duration, pitch and formants change together (Ko et al. 2015)."""
    if speed == 1.0:
        return samples
    ratio = Fraction(speed).limit_denominator(40)
    return torch.from_numpy(resample(samples.numpy(), ratio.numerator, ratio.denominator))
