"""From log-mel frames to sound: magnitudes that have these energies, and phases by Griffin and Lim."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from hepda.speech.sounds.features import FilterBank, mel_matrix

ITERATIONS = 60
"""Iterations of the phases."""
_MOMENTUM = 0.99


def magnitudes(bank: FilterBank, mel: Tensor, steps: int = 30) -> Tensor:
    """Return magnitudes [frames, bins] whose energies in the mel bands are those of log-mel frames [frames, bands].

    They are found by multiplicative updates of a non-negative factor (Lee and Seung 2001), from a smooth start.

    Args:
        bank: the filter bank.
        mel: log energies.
        steps: number of updates.

    """
    high = bank.rate / 2.0 if bank.high is None else bank.high
    matrix = mel_matrix(bank.size // 2 + 1, bank.bands, bank.rate, bank.low, high).to(mel.dtype)
    energies = mel.exp()
    power = energies @ (matrix / matrix.sum(dim=0).clamp_min(1e-12)).T
    for _ in range(steps):
        power = power * ((energies / (power @ matrix).clamp_min(1e-12)) @ matrix.T) / matrix.sum(dim=1).clamp_min(1e-12)
    return power.clamp_min(0.0).sqrt()


def waveform(bank: FilterBank, mel: Tensor, start: Tensor | None = None, iterations: int = ITERATIONS) -> Tensor:
    """Return sound [n] of log-mel frames [frames, bands].

    Phases are those of Griffin and Lim 1984, in the fast version of Perraudin, Balazs and Sondergaard 2013.

    Args:
        bank: the filter bank that made the frames.
        mel: log energies.
        start: sound [n] whose phases are the first ones, such as that before a conversion; None: phases of 0.
        iterations: number of iterations.

    """
    target = magnitudes(bank, mel)
    size, hop, frames = bank.size, bank.hop_samples, len(mel)
    samples = (frames - 1) * hop + size
    window = torch.hann_window(bank.window_samples, periodic=True, dtype=mel.dtype)
    pad = (size - bank.window_samples) // 2
    window = functional.pad(window, (pad, size - bank.window_samples - pad))
    weight = _added(window.square().expand(frames, size), hop, samples).clamp_min(1e-3)

    def sound_of(spectrum: Tensor) -> Tensor:
        return _added(torch.fft.irfft(spectrum, size) * window, hop, samples) / weight

    def spectrum_of(sound: Tensor) -> Tensor:
        spectrum: Tensor = torch.fft.rfft(sound.unfold(0, size, hop) * window)
        return spectrum

    if start is None:
        current = target.to(torch.complex64)
    else:
        first = functional.pad(start[:samples], (0, max(0, samples - len(start))))
        current = _with_magnitudes(spectrum_of(first), target)
    previous = current
    for _ in range(iterations):
        projected = spectrum_of(sound_of(_with_magnitudes(current, target)))
        current = projected + _MOMENTUM * (projected - previous)
        previous = projected
    return sound_of(_with_magnitudes(current, target))


def _with_magnitudes(spectrum: Tensor, target: Tensor) -> Tensor:
    return target * spectrum / spectrum.abs().clamp_min(1e-12)


def _added(frames: Tensor, hop: int, samples: int) -> Tensor:
    """Return the sum [samples] of frames [frames, size] that begin `hop` samples after each other."""
    added: Tensor = functional.fold(frames.T[None], (1, samples), (1, frames.shape[1]), stride=(1, hop)).flatten()
    return added
