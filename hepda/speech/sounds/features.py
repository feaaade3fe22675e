"""Log-mel filterbanks and cepstra of frames, their derivatives, context windows and normalisation, as tensors.

All frames of all utterances are the rows of one matrix. If a derivative or a window needs a frame beyond an end of an
utterance, the first or last frame of that utterance is used instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from hepda.errors import ConfigError, DataError
from hepda.speech.sounds.audio import Tape

FLOOR = 1e-8
"""Smallest energy of a band: about that of rounding to 16 bits, so that digital silence is not an outlier."""
_CHUNK = 512  # frames in a transform: its spectra fit into the cache of the processor


def mel(frequency: Tensor) -> Tensor:
    """Convert Hz to mel, 2595 log10(1 + f / 700) (O'Shaughnessy 1987; HTK)."""
    return 2595.0 * torch.log10(1.0 + frequency / 700.0)


def hertz(mels: Tensor) -> Tensor:
    """Convert mel to Hz, the inverse of `mel`."""
    return 700.0 * (torch.pow(10.0, mels / 2595.0) - 1.0)


def mel_matrix(bins: int, bands: int, rate: int, low: float, high: float, warp: float = 1.0) -> Tensor:
    """Return triangles of height 1, evenly spaced in mel: the matrix [bins, bands] from power spectra to bands.

    Args:
        bins: bins of the power spectrum.
        bands: number of mel bands.
        rate: rate of the audio in Hz.
        low: lower edge of the lowest band in Hz.
        high: upper edge of the highest band in Hz.
        warp: factor on the frequencies of the edges between `low` and a knee at 0.85 `high` / max(warp, 1), linear from
            there to `high`: a change of the length of the vocal tract (Jaitly & Hinton 2013).

    Raises:
        ConfigError: the bands are so narrow that one of them has no bin of the spectrum.

    """
    ends = mel(torch.tensor([low, high], dtype=torch.float64))
    edges = hertz(torch.linspace(float(ends[0]), float(ends[1]), bands + 2, dtype=torch.float64))
    if warp != 1.0:
        knee = 0.85 * high / max(warp, 1.0)
        beyond = high - (high - warp * knee) / (high - knee) * (high - edges)
        edges = torch.where(edges <= knee, warp * edges, beyond)
    frequency = torch.linspace(0.0, rate / 2.0, bins, dtype=torch.float64)[:, None]
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (frequency - left) / (middle - left), (right - frequency) / (right - middle)
    matrix = torch.minimum(rising, falling).clamp_min(0.0)
    empty = torch.nonzero(matrix.sum(dim=0) == 0.0).flatten().tolist()
    if empty:
        raise ConfigError(
            f"{bands} mel bands between {low:g} and {high:g} Hz are too narrow for {bins} bins of the spectrum: band "
            f"{empty[0] + 1} holds none. Take fewer bands or a longer transform"
        )
    return matrix.float()


@dataclass(frozen=True)
class FilterBank:
    """Logarithms of the energies in mel bands of each frame.

    Attributes:
        rate: of the audio, in Hz.
        bands: number of mel bands.
        window, hop: length and distance of frames, in seconds.
        low, high: edges of the lowest and highest band, in Hz; high None: half the rate.
        warps: factors of the vocal tract, one filterbank for each (`mel_matrix`); the call selects one for each
            utterance.

    """

    rate: int
    bands: int = 40
    window: float = 0.025
    hop: float = 0.010
    low: float = 60.0
    high: float | None = None
    warps: tuple[float, ...] = (1.0,)
    _matrices: dict[float, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        top = self.rate / 2.0 if self.high is None else self.high
        if not 0.0 <= self.low < top <= self.rate / 2.0:
            raise ConfigError(f"mel bands from {self.low:g} to {top:g} Hz; audio at {self.rate} Hz has 0 to half of it")
        if self.hop_samples < 1 or self.window_samples < self.hop_samples:
            raise ConfigError(f"frames of {self.window} s every {self.hop} s; a frame is at least as long as its hop")
        for warp in self.warps:
            self._matrices[warp] = mel_matrix(self.size // 2 + 1, self.bands, self.rate, self.low, top, warp)

    @property
    def window_samples(self) -> int:
        """Samples of a frame."""
        return round(self.window * self.rate)

    @property
    def hop_samples(self) -> int:
        """Samples between the beginnings of frames."""
        return round(self.hop * self.rate)

    @cached_property
    def size(self) -> int:
        """Points of the Fourier transform: the next power of two."""
        return int(2 ** math.ceil(math.log2(self.window_samples)))

    @cached_property
    def _window(self) -> Tensor:
        return torch.hann_window(self.window_samples, periodic=True)

    def __call__(self, audio: Tensor, warp: float = 1.0) -> Tensor:
        """Return log energies [..., frames, bands] of audio [..., samples].

        Frame t is computed from the `size` samples that begin at t times the hop.

        Raises:
            DataError: the audio is shorter than one frame.

        """
        frames = self.frames(audio.shape[-1])
        if frames < 1:
            raise DataError(f"{audio.shape[-1]} samples at {self.rate} Hz are shorter than a frame of {self.size}")
        result = audio.new_empty((*audio.shape[:-1], frames, self.bands))
        span = self.size - self.hop_samples
        for first in range(0, frames, _CHUNK):
            last = min(first + _CHUNK, frames)
            spectrum = torch.stft(
                audio[..., first * self.hop_samples : last * self.hop_samples + span],
                self.size,
                self.hop_samples,
                self.window_samples,
                self._window,
                center=False,
                return_complex=True,
            )
            # the memory of the transform is in the order of frames, so this transpose copies nothing
            result[..., first:last, :] = self._log_energies(spectrum.transpose(-1, -2), warp)
        return result

    def _log_energies(self, spectrum: Tensor, warp: float) -> Tensor:
        power = torch.view_as_real(spectrum).square().sum(dim=-1)
        return torch.matmul(power, self._matrices[warp]).clamp_min_(FLOOR).log_()

    def frames(self, samples: int) -> int:
        """Return the number of whole frames in a number of samples."""
        return max(0, (samples - self.size) // self.hop_samples + 1)

    def of_tape(self, tape: Tape, warp: Tensor | None = None) -> Frames:
        """Return the frames of every utterance of a tape.

        Args:
            tape: the utterances.
            warp: index of each utterance into `warps` [u]; None: 0 for all.

        Raises:
            ConfigError: the tape has another rate than this filterbank.
            DataError: an utterance is shorter than a frame.

        """
        if tape.rate != self.rate:
            raise ConfigError(f"audio at {tape.rate} Hz and a filterbank for {self.rate} Hz")
        counts = (tape.length - self.size).div(self.hop_samples, rounding_mode="floor") + 1
        if int(counts.min()) < 1:
            short = int(counts.argmin())
            raise DataError(f"utterance {short} has {int(tape.length[short])} samples; a frame needs {self.size}")
        frames = Frames.laid_out(counts)
        inside = torch.arange(len(frames)) - frames.first
        begins = tape.start[frames.utterance] + inside * self.hop_samples
        if warp is None or len(self.warps) == 1:
            return frames.with_values(self._of_places(tape.samples, begins, self.warps[0]))
        values = torch.empty(len(frames), self.bands)
        for number in sorted(set(warp.tolist())):
            rows = torch.nonzero((warp == number)[frames.utterance]).flatten()
            values[rows] = self._of_places(tape.samples, begins[rows], self.warps[number])
        return frames.with_values(values)

    def _of_places(self, samples: Tensor, begins: Tensor, warp: float) -> Tensor:
        """Return the log energies [k, bands] of the frames that begin at the samples `begins` [k]."""
        views, pad = samples.unfold(0, self.size, 1), (self.size - self.window_samples) // 2
        window = torch.zeros(self.size)
        window[pad : pad + self.window_samples] = self._window
        result = torch.empty(len(begins), self.bands)
        for first in range(0, len(begins), _CHUNK):
            part = views[begins[first : first + _CHUNK]].mul_(window)
            result[first : first + _CHUNK] = self._log_energies(torch.fft.rfft(part), warp)
        return result


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of utterances one after the other.

    Attributes:
        values: float32 [f, d].
        count: frames of each utterance, int64 [u].
        utterance: the utterance of each frame, int64 [f].
        first, last: the first and last frame of the utterance of each frame, int64 [f].

    """

    values: Tensor
    count: Tensor
    utterance: Tensor
    first: Tensor
    last: Tensor

    @classmethod
    def laid_out(cls, count: Tensor) -> Frames:
        """Make frames without values, `count` [u] of them for each utterance."""
        utterance = torch.repeat_interleave(torch.arange(len(count)), count)
        ends = torch.cumsum(count, 0)
        return cls(torch.empty(int(ends[-1]), 0), count, utterance, (ends - count)[utterance], ends[utterance] - 1)

    def __len__(self) -> int:
        return len(self.utterance)

    def with_values(self, values: Tensor) -> Frames:
        """Return the same frames with other values [f, d]."""
        return Frames(values, self.count, self.utterance, self.first, self.last)

    def neighbours(self, offsets: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return row numbers [k, o] of the frames `offsets` [o] away from those of `rows` [k] (None: all)."""
        middle = torch.arange(len(self)) if rows is None else rows
        first, last = (self.first, self.last) if rows is None else (self.first[rows], self.last[rows])
        positions = middle[:, None] + offsets[None, :]
        return torch.minimum(torch.maximum(positions, first[:, None]), last[:, None])

    def windows(self, left: int, right: int, rows: Tensor | None = None) -> Tensor:
        """Return values [k, left + 1 + right, d] of frames and of their neighbours."""
        return self.values[self.neighbours(torch.arange(-left, right + 1), rows)]

    def padded(self, values: Tensor) -> Tensor:
        """Return values [f, ...] of the frames as [u, longest, ...], with zeros after the end of an utterance."""
        result = values.new_zeros((len(self.count), int(self.count.max()), *values.shape[1:]))
        result[self.utterance, torch.arange(len(self)) - self.first] = values
        return result


def deltas(frames: Frames, reach: int = 2) -> Tensor:
    """Return derivatives in time [f, d]: slopes of straight lines through 2 `reach` + 1 frames (Furui 1986)."""
    offsets = torch.arange(-reach, reach + 1)
    around = frames.values[frames.neighbours(offsets)]
    slope = offsets.to(around.dtype) / float(offsets.square().sum())
    return torch.einsum("fod,o->fd", around, slope)


def with_deltas(frames: Frames, order: int, reach: int = 2) -> Frames:
    """Append derivatives up to `order` to the values of frames."""
    parts = [frames]
    for _ in range(order):
        parts.append(frames.with_values(deltas(parts[-1], reach)))
    return frames.with_values(torch.cat([part.values for part in parts], dim=1))


def cepstra(log_mel: Tensor, number: int) -> Tensor:
    """Return the first `number` cosine coefficients [..., number] of log energies [..., bands].

    The transform is an orthonormal DCT-II (MFCC).
    """
    bands = log_mel.shape[-1]
    angle = math.pi / bands * (torch.arange(bands) + 0.5)[:, None] * torch.arange(number)[None, :]
    matrix = torch.cos(angle) * math.sqrt(2.0 / bands)
    matrix[:, 0] /= math.sqrt(2.0)
    return log_mel @ matrix.to(log_mel.dtype)


def normalised(values: Tensor, group: Tensor, groups: int, *, variance: bool = True) -> Tensor:
    """Subtract from values [f, d] the mean of their group and, with `variance`, divide by its standard deviation.

    A coefficient that is constant within a group is 0 in the result.

    Args:
        values: values of the frames [f, d].
        group: the utterance or the speaker of each frame, int64 [f].
        groups: number of groups.
        variance: whether to divide by the standard deviation.

    """
    number = torch.bincount(group, minlength=groups).clamp_min(1).to(values.dtype)[:, None]

    def mean(of: Tensor) -> Tensor:
        return values.new_zeros((groups, values.shape[1])).index_add_(0, group, of) / number

    centred = values - mean(values)[group]
    if not variance:
        return centred
    deviation = mean(centred.square()).sqrt_()
    return centred / torch.where(deviation > 1e-4, deviation, torch.ones_like(deviation))[group]
