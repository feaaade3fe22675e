"""The Wiener filter and the ideal mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hepda.speech.enhancement.filters import ideal_mask, noise_spectra, wiener
from hepda.speech.enhancement.spectra import Spectra
from hepda.speech.quality.signals import si_sdr

SPECTRA = Spectra(256, 64, 0.3)
RATE = 8000


def speech_in_noise(level: float, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Bursts of a harmonic sound, as vowels with pauses, and the same in white noise."""
    time = torch.arange(3 * RATE) / RATE
    voiced = sum(torch.sin(2 * torch.pi * 150.0 * n * time) / n for n in range(1, 12))
    clean = voiced * (torch.sin(2 * torch.pi * 1.5 * time) > 0.2)
    return clean, clean + level * torch.randn(len(clean), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_power_of_stationary_noise_is_found(scale: float) -> None:
    random = np.random.default_rng(1)
    power = scale * random.exponential(size=(400, 65)) * np.linspace(0.5, 2.0, 65)
    ratio = noise_spectra(power)[100:].mean(axis=0) / (scale * np.linspace(0.5, 2.0, 65))
    # Its loudest frames count as speech, so the estimate is somewhat low, the same in every bin.
    assert 0.7 < ratio.mean() < 1.0 and ratio.std() < 0.1


def test_bursts_of_speech_hardly_change_the_power_of_the_noise() -> None:
    power = np.random.default_rng(2).exponential(size=(400, 65))
    with_speech = power.copy()
    with_speech[100:130] += 1000.0
    assert noise_spectra(with_speech)[115:130].mean() < 2.0 * noise_spectra(power)[115:130].mean()


@pytest.mark.parametrize("level", [0.1, 0.4])
def test_a_wiener_filter_removes_noise_and_the_ideal_mask_more(level: float) -> None:
    clean, noisy = speech_in_noise(level)
    before = si_sdr(clean.numpy(), noisy.numpy())
    filtered = si_sdr(clean.numpy(), wiener(SPECTRA, noisy, smoothing=0.98, floor=-20.0).numpy())
    ideal = si_sdr(clean.numpy(), ideal_mask(SPECTRA, noisy, clean).numpy())
    assert filtered > before + 5.0 and ideal > before + 5.0


def test_no_gain_is_below_the_floor() -> None:
    noise = torch.randn(RATE, generator=torch.Generator().manual_seed(3))
    energy = float(wiener(SPECTRA, noise, smoothing=0.98, floor=-10.0).square().sum() / noise.square().sum())
    assert 0.1 <= energy < 0.3  # -10 dB: a tenth of the power; of noise alone, little more passes


def test_the_ideal_mask_of_clean_speech_is_one() -> None:
    clean, _ = speech_in_noise(0.1)
    torch.testing.assert_close(ideal_mask(SPECTRA, clean, clean), clean, atol=1e-4, rtol=1e-4)
