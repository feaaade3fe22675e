"""Random filters and second noises: levels, spectra, and which utterances are changed."""

from __future__ import annotations

import numpy as np
import torch
from scipy.signal import freqz

from hepda.speech.sounds.audio import Tape, on_tape
from hepda.speech.sounds.augmentation import filtered, together
from hepda.speech.sounds.mixing import Noise, energies


def tape(*lengths: int) -> Tape:
    generator = torch.Generator().manual_seed(1)
    return on_tape([torch.randn(length, generator=generator) for length in lengths], 8000)


def test_a_filter_keeps_the_power_and_changes_the_spectrum_as_its_coefficients_say() -> None:
    before = tape(40_000, 30_000)
    after = filtered(before, 0.375, np.random.default_rng(3))
    torch.testing.assert_close(energies(after.samples, after), energies(before.samples, before), rtol=1e-4, atol=0.0)
    drawn = np.random.default_rng(3).uniform(-0.375, 0.375, (2, 4))
    for number in range(2):
        spectra = [torch.fft.rfft(side.utterance(number)) for side in (before, after)]
        measured = (spectra[1].abs() / spectra[0].abs()).numpy()
        a, b, c, d = drawn[number]
        expected = np.abs(freqz([1.0, a, b], [1.0, c, d], worN=len(measured), include_nyquist=True)[1])
        measured, expected = (
            values.reshape(-1, 100).mean(axis=1)
            for values in (measured[: len(measured) // 100 * 100], expected[: len(measured) // 100 * 100])
        )
        np.testing.assert_allclose(measured / measured.mean(), expected / expected.mean(), rtol=0.05)


def test_every_filter_is_stable() -> None:
    impulse = on_tape([torch.nn.functional.pad(torch.ones(1), (0, 999)) for _ in range(300)], 8000)
    after = filtered(impulse, 0.49, np.random.default_rng(1))
    assert max(float(after.utterance(number)[500:].abs().max()) for number in range(300)) < 1e-3


def test_a_share_of_the_utterances_has_a_second_softer_noise() -> None:
    speech = tape(*[2000] * 400)
    first, second = tape(*[2000] * 400), tape(*[2000] * 400)
    second = second.replaced(3.0 * torch.randn(len(second.samples), generator=torch.Generator().manual_seed(2)))
    one, two = (Noise(side.samples, energies(side.samples, side) / side.length) for side in (first, second))
    both = together(one, two, speech.length, 0.5, np.random.default_rng(1))
    added = energies(both.samples - one.samples, speech) / speech.length / one.power
    changed = added > 0.0
    assert 150 < int(changed.sum()) < 250
    softer = -10.0 * torch.log10(added[changed])
    assert float(softer.min()) > -0.1 and float(softer.max()) < 12.1 and 5.0 < float(softer.mean()) < 7.0
    torch.testing.assert_close(both.power, one.power * (1.0 + added), rtol=1e-4, atol=0.0)
