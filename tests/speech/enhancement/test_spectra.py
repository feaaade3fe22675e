"""Spectra and back, compressed and not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hepda.speech.enhancement.losses import compared, losses
from hepda.speech.enhancement.spectra import Spectra, magnitude

SPECTRA = Spectra(64, 16, 0.3)


@pytest.mark.parametrize("number", [20, 64, 1000, 1003])
def test_sound_comes_back_from_its_spectrum(number: int) -> None:
    sound = torch.randn(2, number, generator=torch.Generator().manual_seed(number))
    spectrum = SPECTRA.of(sound)
    assert spectrum.shape == (2, SPECTRA.frames(number), SPECTRA.bins)
    torch.testing.assert_close(SPECTRA.samples(spectrum, number), sound, atol=1e-5, rtol=1e-5)


def test_a_frame_is_the_transform_of_its_windowed_samples() -> None:
    sound = torch.randn(1, 640, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    frame = 20  # its window begins at 20 hops - half a window
    window = np.sin(np.pi * np.arange(64) / 64) ** 2  # Hann, periodic
    expected = np.fft.rfft(window * sound[0, 20 * 16 - 32 : 20 * 16 + 32].numpy())
    np.testing.assert_allclose(SPECTRA.of(sound)[0, frame].numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(SPECTRA.of_windows(sound)[0, frame - 2].numpy(), expected, atol=1e-12)


def test_compression_changes_magnitudes_and_keeps_phases() -> None:
    spectrum = SPECTRA.of(torch.randn(1, 640, generator=torch.Generator().manual_seed(2)))
    compressed = SPECTRA.compressed(spectrum)
    torch.testing.assert_close(compressed.abs(), spectrum.abs().pow(0.3), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(compressed.angle(), spectrum.angle(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(SPECTRA.expanded(compressed), spectrum, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(magnitude(spectrum), spectrum.abs(), atol=1e-5, rtol=1e-5)


def test_silence_has_a_finite_slope() -> None:
    spectrum = torch.zeros(1, 3, SPECTRA.bins, dtype=torch.complex64, requires_grad=True)
    (magnitude(SPECTRA.compressed(spectrum)).sum() + magnitude(SPECTRA.expanded(spectrum)).sum()).backward()
    assert spectrum.grad is not None and bool(torch.isfinite(torch.view_as_real(spectrum.grad)).all())


def test_consistent_losses_compare_spectra_of_waveforms() -> None:
    generator = torch.Generator().manual_seed(3)
    clean = torch.randn(2, 800, generator=generator)
    perfect = SPECTRA.compressed(SPECTRA.of(clean))
    for consistent in (True, False):
        assert max(float(v) for v in losses(compared(SPECTRA, perfect, clean, consistent=consistent)).values()) < 1e-4
    # A spectrum of no waveform: what the losses see is that of the waveform that it gives.
    estimate = perfect * torch.rand(perfect.shape, generator=generator)
    sides = compared(SPECTRA, estimate, clean, consistent=True)
    again = SPECTRA.compressed(SPECTRA.of(sides.estimated_sound))
    torch.testing.assert_close(sides.estimate, again)
    assert not torch.allclose(sides.estimate, estimate, atol=1e-2)
    torch.testing.assert_close(compared(SPECTRA, estimate, clean, consistent=False).estimate, estimate)


def test_losses_are_their_formulas() -> None:
    generator = torch.Generator().manual_seed(4)
    clean, other = (torch.randn(2, 800, generator=generator) for _ in range(2))
    estimate = SPECTRA.compressed(SPECTRA.of(other))
    sides = compared(SPECTRA, estimate, clean, consistent=False)
    truth = SPECTRA.of(clean).numpy()
    truth = truth * np.abs(truth) ** -0.7
    made = estimate.numpy()
    of = {name: float(value) for name, value in losses(sides).items()}
    assert of["complex"] == pytest.approx(
        np.mean((made.real - truth.real) ** 2 + (made.imag - truth.imag) ** 2), rel=1e-4
    )
    assert of["magnitude"] == pytest.approx(np.mean((np.abs(made) - np.abs(truth)) ** 2), rel=1e-4)
    assert of["time"] == pytest.approx(np.mean(np.abs(other.numpy() - clean.numpy())), rel=1e-3)
