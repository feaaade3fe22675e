"""Types of noise, from recordings in a folder or synthetic ones that need no file; the same for rooms."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hepda.errors import ConfigError, DataError, nearest
from hepda.speech.sounds.audio import on_tape, read_audio, sound_files
from hepda.speech.sounds.mixing import NoiseBank

BABBLE = "babble"
"""The synthetic noise that is made from utterances."""
SYNTHETIC = ("white", "pink", "brown", "hum", BABBLE)
"""Noises that need no file."""
_SECONDS = 20.0  # mean length of synthetic noise in each part (training and test)
_TRAIN_SHARE = 0.6  # share of every recording for training (its beginning); the rest is for tests
_VOICES = 6  # simultaneous voices in babble


@dataclass(frozen=True, slots=True)
class NoiseTypes:
    """All noises of an analysis. The two banks have the same types and no sample in common.

    Attributes:
        train: beginnings of the recordings, for training and validation.
        test: ends of the recordings.
        files: the files that were read, by type.

    """

    train: NoiseBank
    test: NoiseBank
    files: dict[str, tuple[Path, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the types."""
        return self.train.names


def recorded(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return the recordings of a folder by type.

    The types are the names of the folders in it (DEMAND, MUSAN); any other file is a type by itself.

    Raises:
        SourceError: there is no sound file.

    """
    types: dict[str, list[Path]] = {}
    for path in sound_files(folder):
        inside = path.relative_to(folder).parts
        types.setdefault(inside[0] if len(inside) > 1 else path.stem, []).append(path)
    return {name: tuple(paths) for name, paths in types.items()}


def load_noises(
    files: dict[str, tuple[Path, ...]], synthetic: Sequence[str], rate: int, voices: Sequence[Tensor], seed: int
) -> NoiseTypes:
    """Load recorded and synthetic noises, each cut into a part for training and one for testing.

    Args:
        files: recordings by type.
        synthetic: names of synthetic noises.
        rate: rate of the samples in Hz.
        voices: utterances for babble, at the same rate.
        seed: seed of the synthetic noises.

    Raises:
        ConfigError: there is no synthetic noise of a name, or a name is used twice.
        DataError: a recording is shorter than a second, or there is no noise.

    """
    names = (*files, *synthetic)
    twice = [name for name in synthetic if name in files or names.count(name) > 1]
    if twice:
        raise ConfigError(f"noise.synthetic: {twice[0]} is used already; each type of noise needs its own name.")
    if not names:
        raise DataError("no noise: name a folder of recordings, or synthetic ones")
    parts: dict[str, list[Tensor]] = {"train": [], "test": []}
    kinds: list[int] = []
    for number, name in enumerate(names):
        for samples in _recordings(name, files, rate, voices, seed):
            if len(samples) < rate:
                raise DataError(f"a recording of the noise {name!r} is shorter than a second; take it out")
            cut = round(_TRAIN_SHARE * len(samples))
            parts["train"].append(samples[:cut])
            parts["test"].append(samples[cut:])
            kinds.append(number)
    kind = torch.tensor(kinds)
    banks = {part: NoiseBank.of(on_tape(recordings, rate), kind, names) for part, recordings in parts.items()}
    return NoiseTypes(banks["train"], banks["test"], files)


def _recordings(
    name: str, files: dict[str, tuple[Path, ...]], rate: int, voices: Sequence[Tensor], seed: int
) -> list[Tensor]:
    if name in files:
        return [read_audio(path, rate) for path in files[name]]
    return [synthetic_noise(name, round(2.0 * _SECONDS * rate), rate, _generator(name, seed), voices)]


def _generator(name: str, seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + zlib.crc32(name.encode()))


def babble_of(bank: NoiseBank, voices: Sequence[Tensor], seed: int) -> NoiseBank:
    """Return a bank whose synthetic babble is made of other voices; all other recordings are the same."""
    tape = bank.tape
    recordings = [tape.utterance(number) for number in range(len(tape))]
    for number in torch.nonzero(bank.kind == bank.names.index(BABBLE)).flatten().tolist():
        generator = _generator(BABBLE, seed)
        recordings[number] = synthetic_noise(BABBLE, len(recordings[number]), tape.rate, generator, voices)
    return NoiseBank.of(on_tape(recordings, tape.rate), bank.kind, bank.names)


def synthetic_noise(
    name: str, samples: int, rate: int, generator: torch.Generator, voices: Sequence[Tensor] = ()
) -> Tensor:
    """Return noise [samples] with a mean square of 0.01.

    The power spectra of white, pink and brown are proportional to 1, 1/f and 1/f^2 above 20 Hz. Hum is 50 Hz and its
    harmonics, the n-th with 1/n of the amplitude. Babble has six simultaneous voices, each a sequence of `voices`.

    Args:
        name: one of SYNTHETIC.
        samples: number of samples.
        rate: rate of the samples in Hz.
        generator: source of the random numbers.
        voices: utterances for babble.

    Raises:
        ConfigError: the name is another one.
        DataError: babble without voices.

    """
    if name in ("white", "pink", "brown"):
        spectrum = torch.fft.rfft(torch.randn(samples, generator=generator, dtype=torch.float64))
        frequency = torch.linspace(0.0, rate / 2.0, len(spectrum), dtype=torch.float64).clamp_min(20.0)
        noise = torch.fft.irfft(spectrum / frequency ** {"white": 0.0, "pink": 0.5, "brown": 1.0}[name], samples)
    elif name == "hum":
        time = torch.arange(samples, dtype=torch.float64) / rate
        order = torch.arange(1, int(min(rate / 2.0, 2000.0) // 50.0) + 1)
        phase = 2.0 * math.pi * torch.rand(len(order), generator=generator, dtype=torch.float64)
        noise = torch.zeros(samples, dtype=torch.float64)
        for n, begin in zip(order.tolist(), phase.tolist(), strict=True):
            noise += torch.sin(2.0 * math.pi * 50.0 * n * time + begin) / n
    elif name == BABBLE:
        if not voices:
            raise DataError("babble is made of utterances, and there are none")
        noise = torch.stack([_voice(samples, generator, voices) for _ in range(_VOICES)]).sum(dim=0)
    else:
        raise ConfigError(f"no synthetic noise {name!r}; one of {', '.join(SYNTHETIC)}.{nearest(name, SYNTHETIC)}")
    level = float(noise.double().square().mean().sqrt())
    scaled: Tensor = noise.mul(0.1 / level).float()
    return scaled


def _voice(samples: int, generator: torch.Generator, voices: Sequence[Tensor]) -> Tensor:
    """Return one voice: utterances drawn from `voices`, each with a mean square of 1, up to the number of samples."""
    parts: list[Tensor] = []
    missing = samples
    while missing > 0:
        utterance = voices[int(torch.randint(len(voices), (1,), generator=generator))]
        parts.append(utterance / utterance.square().mean().sqrt().clamp_min(1e-6))
        missing -= len(utterance)
    return torch.cat(parts)[:samples]


def load_rooms(
    folder: Path | None, synthetic: Sequence[float], rate: int, seed: int, only: Sequence[str] = ()
) -> dict[str, Tensor]:
    """Return room responses [m] by name: the recordings of a folder, and synthetic rooms.

    Args:
        folder: folder of recorded responses, or None.
        synthetic: reverberation times of the synthetic rooms in seconds.
        rate: rate of the samples in Hz.
        seed: seed of the synthetic rooms.
        only: names of the recordings to take; empty: all.

    Raises:
        ConfigError: the folder has no recording of one of these names.

    """
    files = {} if folder is None else {path.stem: path for path in sound_files(folder)}
    for name in only:
        if name not in files:
            raise ConfigError(f"rooms.only: {name!r} is no recording of {folder}.{nearest(name, files)}")
    rooms = {name: read_audio(files[name], rate) for name in only or files}
    generator = torch.Generator().manual_seed(seed)
    return rooms | {f"room {t60:g} s": synthetic_room(t60, rate, generator) for t60 in synthetic}


def synthetic_room(t60: float, rate: int, generator: torch.Generator) -> Tensor:
    """Return a room response [t60 * rate] (Polack 1988).

    It has the direct sound, then noise that decreases by 60 dB in `t60` seconds. The reverberation has as much energy
    as the direct sound.
    """
    length = max(2, round(t60 * rate))
    time = torch.arange(length) / rate
    tail = torch.randn(length, generator=generator) * torch.exp(-3.0 * math.log(10.0) * time / t60)
    tail[0] = 0.0
    tail /= tail.square().sum().sqrt()
    tail[0] = 1.0
    return tail
