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

from hepda.errors import DataError, MissingExtraError, SourceError

SUFFIXES = (".wav", ".flac", ".ogg", ".aiff", ".aif", ".au")
"""Files of a folder that are taken for recordings."""


def read_audio(path: Path, rate: int) -> Tensor:
    """The samples of a file, float32 [n] in [-1, 1], channels averaged, resampled to `rate` (Hz).

    Raises:
        MissingExtraError: soundfile is not installed.
        SourceError: there is no such file, or it is not a sound file.
        DataError: it is empty or holds values that are not finite.

    """
    try:
        import soundfile
    except ImportError as error:
        raise MissingExtraError("soundfile", "speech") from error
    if not path.is_file():
        raise SourceError(f"{path}: no such sound file")
    try:
        samples, own = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise SourceError(f"{path} cannot be read as sound: {error}") from error
    if len(samples) == 0:
        raise DataError(f"{path} holds no samples; take it out of the list")
    if not np.isfinite(samples).all():
        raise DataError(f"{path} holds samples that are not finite; take it out of the list")
    return torch.from_numpy(resample(samples.mean(axis=1), own, rate))


def resample(samples: NDArray[np.float32], own: int, rate: int) -> NDArray[np.float32]:
    """Samples [n] at `own` Hz as they are at `rate` Hz, by scipy's polyphase filter."""
    if own == rate:
        return np.ascontiguousarray(samples)
    from scipy.signal import resample_poly

    common = math.gcd(own, rate)
    up, down = rate // common, own // common
    result: NDArray[np.float32] = resample_poly(samples, up, down, window=_filter(up, down)).astype(np.float32)
    return result


@cache
def _filter(up: int, down: int) -> NDArray[np.float32]:
    """The filter that `resample_poly` designs anew at each call, which takes longer than a short utterance."""
    from scipy.signal import firwin

    most = max(up, down)
    found: NDArray[np.float32] = firwin(20 * most + 1, 1.0 / most, window=("kaiser", 5.0)).astype(np.float32)
    return found


def sound_files(folder: Path) -> list[Path]:
    """The sound files within a folder and the folders in it, in the order of their names.

    Raises:
        SourceError: there is no such folder, or no sound file in it.

    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: no such folder of recordings")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise SourceError(f"{folder} holds no sound file ({', '.join(SUFFIXES)})")
    return found


@dataclass(frozen=True, slots=True)
class Tape:
    """Utterances one after the other on one tensor: nothing is padded to the longest.

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
        """Of all utterances together."""
        return float(self.length.sum()) / self.rate

    def utterance(self, number: int) -> Tensor:
        """The samples of one utterance."""
        start = int(self.start[number])
        return self.samples[start : start + int(self.length[number])]

    def select(self, numbers: Tensor) -> Tape:
        """Some utterances, in the order of `numbers` [k], on a tape of their own."""
        return on_tape([self.utterance(int(number)) for number in numbers], self.rate)

    def replaced(self, samples: Tensor) -> Tape:
        """The same utterances with other samples [n]."""
        return Tape(samples, self.start, self.length, self.rate)


def on_tape(utterances: Sequence[Tensor], rate: int) -> Tape:
    """Utterances [n_i] on one tape.

    Raises:
        DataError: there are none.

    """
    if not utterances:
        raise DataError("no utterances: a selection or split leaves nothing to read")
    length = torch.tensor([len(utterance) for utterance in utterances])
    return Tape(torch.cat(list(utterances)), torch.cumsum(length, 0) - length, length, rate)
