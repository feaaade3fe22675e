"""Signals that are like speech: noise with the spectrum of a vowel, in syllables of a quarter of a second."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter


def voice(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Resonances at 500 Hz and 1500 Hz; syllables and pauses of 0.25 s."""
    generator = np.random.default_rng(seed)
    samples = generator.standard_normal(round(seconds * rate))
    for frequency in (500.0, 1500.0):
        angle, radius = 2.0 * np.pi * frequency / rate, np.exp(-np.pi * 150.0 / rate)
        samples = lfilter([1.0], [1.0, -2.0 * radius * np.cos(angle), radius**2], samples)
    syllables = np.sin(2.0 * np.pi * 2.0 * np.arange(len(samples)) / rate).clip(0.0)
    return 0.3 * samples / np.abs(samples).max() * syllables + 1e-4 * generator.standard_normal(len(samples))


def noisy(clean: np.ndarray, snr: float, seed: int = 1) -> np.ndarray:
    """White noise added at an SNR in dB."""
    noise = np.random.default_rng(seed).standard_normal(len(clean))
    return clean + noise * np.sqrt(np.sum(clean**2) / np.sum(noise**2) / 10.0 ** (snr / 10.0))
