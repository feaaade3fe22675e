"""From log-mel frames to sound and back."""

from __future__ import annotations

import torch

from hepda.speech.conversion.waveforms import magnitudes, waveform
from hepda.speech.sounds.features import FilterBank, mel_matrix

BANK = FilterBank(8000, 20, 0.032, 0.008)


def sound() -> torch.Tensor:
    time = torch.arange(8000) / 8000
    voiced = sum(torch.sin(2 * torch.pi * 170.0 * n * time) / n for n in range(1, 15))
    noise = torch.randn(8000, generator=torch.Generator().manual_seed(1))
    return 0.1 * voiced * torch.sin(3.0 * time) ** 2 + 0.001 * noise


def test_magnitudes_have_the_energies_of_the_bands() -> None:
    mel = BANK(sound())
    found = magnitudes(BANK, mel, steps=200)
    matrix = mel_matrix(BANK.size // 2 + 1, 20, 8000, BANK.low, 4000.0).float()
    assert bool((found >= 0.0).all())
    torch.testing.assert_close((found.square() @ matrix).log(), mel, atol=0.05, rtol=0.01)


def test_sound_of_frames_has_these_frames() -> None:
    mel = BANK(sound())
    made = waveform(BANK, mel)
    assert len(made) == (len(mel) - 1) * BANK.hop_samples + BANK.size
    assert float((BANK(made) - mel).abs()[2:-2].mean()) < 0.4  # of log energies


def test_its_own_phases_give_the_sound_back() -> None:
    original = sound()
    mel = BANK(original)
    made = waveform(BANK, mel, original, iterations=0)
    span = slice(500, 7000)
    correlation = torch.corrcoef(torch.stack([made[span], original[span]]))[0, 1]
    assert float(correlation) > 0.95
