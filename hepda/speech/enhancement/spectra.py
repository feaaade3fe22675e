"""Short-time Fourier transforms with compressed magnitudes, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_SMALL = 1e-12  # added to squared magnitudes before a root, whose slope at 0 is infinite


@dataclass(frozen=True, slots=True)
class Spectra:
    """The transform of sound with Hann windows.

    Attributes:
        window: length of a window in samples.
        hop: samples from one window to the next.
        compression: power of compressed magnitudes.

    """

    window: int
    hop: int
    compression: float

    @property
    def bins(self) -> int:
        """Number of frequencies."""
        return self.window // 2 + 1

    def frames(self, samples: int) -> int:
        """Return the number of windows of sound with that number of samples."""
        return samples // self.hop + 1

    def of(self, samples: Tensor) -> Tensor:
        """Return the spectra [b, frames, bins] (complex) of sounds [b, n]; each sound is continued by its mirror image.

        Sounds that are shorter than half a window are continued by silence.
        """
        mode = "reflect" if samples.shape[-1] > self.window // 2 else "constant"
        spectrum = torch.stft(
            samples, self.window, self.hop, window=self.hann(samples), center=True, pad_mode=mode, return_complex=True
        )
        return spectrum.transpose(1, 2)

    def of_windows(self, samples: Tensor) -> Tensor:
        """Return the spectra [b, frames, bins] of the complete windows in sounds [b, n]; nothing is continued."""
        spectrum: Tensor = torch.fft.rfft(samples.unfold(-1, self.window, self.hop) * self.hann(samples))
        return spectrum

    def samples(self, spectrum: Tensor, number: int) -> Tensor:
        """Return sounds [b, number] of spectra [b, frames, bins] by overlap and addition."""
        turned = spectrum.transpose(1, 2)
        window = self.hann(turned.real)
        sound: Tensor = torch.istft(turned, self.window, self.hop, window=window, center=True, length=number)
        return sound

    def compressed(self, spectrum: Tensor) -> Tensor:
        """Return spectra with magnitudes to the power of `compression` and the same phases."""
        return spectrum * (spectrum.real.square() + spectrum.imag.square() + _SMALL).pow(0.5 * (self.compression - 1.0))

    def expanded(self, spectrum: Tensor) -> Tensor:
        """Undo `compressed`."""
        power = 0.5 * (1.0 / self.compression - 1.0)
        return spectrum * (spectrum.real.square() + spectrum.imag.square() + _SMALL).pow(power)

    def to_json(self) -> dict[str, Any]:
        """Return the fields for a file."""
        return {"window": self.window, "hop": self.hop, "compression": self.compression}

    def hann(self, like: Tensor) -> Tensor:
        """Return the window [window], with the type and device of a tensor."""
        return torch.hann_window(self.window, dtype=like.dtype, device=like.device)


def magnitude(spectrum: Tensor) -> Tensor:
    """Return the magnitudes of a spectrum; unlike those of torch they have a finite slope at 0."""
    return (spectrum.real.square() + spectrum.imag.square() + _SMALL).sqrt()
