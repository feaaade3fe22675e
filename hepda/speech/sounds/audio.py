"""Sound files to tensors: any rate and number of channels in, one channel at one rate out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hepda.datasets.download import reading
from hepda.errors import DataError, MissingExtraError, SourceError

SUFFIXES = (".wav", ".flac", ".ogg", ".aiff", ".aif", ".au")
"""Suffixes of the files of a folder that are treated as recordings."""
RATES = (1000, 1_000_000)
"""The lowest and highest rate (Hz) of a recording; memory for resampling grows with the rate that a file claims."""
LEAST = 1.0 / 32768.0
"""The smallest level (rms) that is brought to another one, one step of 16 bits: digital silence stays silence."""
_FRAMES = 1 << 20  # frames per read: memory grows with the actual samples, not with the number in the header
_UNKNOWN = 1 << 62  # from this number of frames on, the header does not contain the actual number


def read_audio(path: Path, rate: int) -> Tensor:
    """Read the samples of a file, float32 [n] in [-1, 1], with averaged channels, resampled to `rate` (Hz).

    Raises:
        MissingExtraError: soundfile is not installed.
        SourceError: the file does not exist, is not a sound file, is damaged, or has a rate outside RATES.
        DataError: it is empty or holds values that are not finite.

    """
    try:
        import soundfile
    except ImportError as error:
        raise MissingExtraError("soundfile", "speech") from error
    if not path.is_file():
        raise SourceError(f"{path}: no such sound file")
    with reading(f"{path} cannot be read as sound"), soundfile.SoundFile(path) as file:
        native_rate: int = file.samplerate
        if not RATES[0] <= native_rate <= RATES[1]:
            raise ValueError(f"it claims {native_rate} samples a second; {RATES[0]} to {RATES[1]}")
        parts = []
        while len(part := file.read(_FRAMES, dtype="float32", always_2d=True)):
            parts.append(part.mean(axis=1))
        samples = np.concatenate(parts) if parts else np.empty(0, np.float32)
        if len(samples) < file.frames < _UNKNOWN:
            raise ValueError(f"it ends after {len(samples)} of {file.frames} samples")
    if len(samples) == 0:
        raise DataError(f"{path} holds no samples; take it out of the list")
    if not np.isfinite(samples).all():
        raise DataError(f"{path} holds samples that are not finite; take it out of the list")
    return torch.from_numpy(resample(samples, native_rate, rate))


def resample(samples: NDArray[np.float32], native_rate: int, rate: int) -> NDArray[np.float32]:
    """Resample samples [n] from `native_rate` to `rate` (Hz), by the polyphase filter of scipy."""
    if native_rate == rate:
        return np.ascontiguousarray(samples)
    from scipy.signal import resample_poly

    common = math.gcd(native_rate, rate)
    up, down = rate // common, native_rate // common
    result: NDArray[np.float32] = resample_poly(samples, up, down, window=_resampling_filter(up, down)).astype(
        np.float32
    )
    return result


@cache
def _resampling_filter(up: int, down: int) -> NDArray[np.float32]:
    """Return the filter of `resample_poly`, which would design it at each call: longer than a short utterance takes."""
    from scipy.signal import firwin

    most = max(up, down)
    coefficients: NDArray[np.float32] = firwin(20 * most + 1, 1.0 / most, window=("kaiser", 5.0)).astype(np.float32)
    return coefficients


def sound_files(folder: Path) -> list[Path]:
    """Return the sound files in a folder and its subfolders, in the order of their names.

    Raises:
        SourceError: the folder does not exist, or has no sound file.

    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder of recordings")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise SourceError(f"{folder} holds no sound file ({', '.join(SUFFIXES)})")
    return paths


def level(sounds: Tensor) -> Tensor:
    """Return the root mean square [..., 1] of sounds [..., n], at least one step of 16 bits."""
    return sounds.square().mean(dim=-1, keepdim=True).sqrt().clamp_min(LEAST)


@dataclass(frozen=True, slots=True)
class Tape:
    """Utterances one after the other in one tensor, without padding.

    Attributes:
        samples: float32 [n].
        start: first sample of each utterance, int64 [u].
        length: samples of each utterance, int64 [u].
        rate: in Hz.

    """

    samples: Tensor
    start: Tensor
    length: Tensor
    rate: int

    def __len__(self) -> int:
        return len(self.start)

    @property
    def seconds(self) -> float:
        """Duration of all utterances together."""
        return float(self.length.sum()) / self.rate

    def utterance(self, number: int) -> Tensor:
        """Return the samples of one utterance."""
        start = int(self.start[number])
        return self.samples[start : start + int(self.length[number])]

    def select(self, numbers: Tensor) -> Tape:
        """Return a new tape with some utterances, in the order of `numbers` [k]."""
        return on_tape([self.utterance(int(number)) for number in numbers], self.rate)

    def replaced(self, samples: Tensor) -> Tape:
        """Return the same utterances with other samples [n]."""
        return Tape(samples, self.start, self.length, self.rate)

    def at_level(self, wanted: float) -> Tape:
        """Return the utterances scaled to a root mean square; those of digital silence stay silent."""
        samples = [self.utterance(number) for number in range(len(self))]
        return on_tape([wanted * sound / level(sound) for sound in samples], self.rate)


def on_tape(utterances: Sequence[Tensor], rate: int) -> Tape:
    """Put utterances [n_i] on one tape.

    Raises:
        DataError: there are none.

    """
    if not utterances:
        raise DataError("no utterances: a selection or split leaves nothing to read")
    length = torch.tensor([len(utterance) for utterance in utterances])
    return Tape(torch.cat(list(utterances)), torch.cumsum(length, 0) - length, length, rate)
