"""The differentiable part of PESQ against PESQ, and against closed forms of what it is made of."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hepda.speech.quality.disturbance import Disturbance, bark, threshold_of_hearing
from hepda.speech.quality.signals import pesq, raw_pesq
from tests.speech.quality.signals import noisy, voice


def disturbance(clean: np.ndarray, estimate: np.ndarray, rate: int = 8000) -> float:
    """That of an estimate, at the level of the clean recording."""
    level = float(np.sqrt(np.mean(clean**2)))
    sides = (torch.from_numpy(side / level).float()[None] for side in (clean, estimate))
    return float(Disturbance(rate)(*sides))


def test_the_scales_have_the_values_of_their_sources() -> None:
    # Traunmueller 1990 gives 8.5 Bark at 1 kHz; Terhardt 1979 has the most sensitive ear near 3.3 kHz.
    assert float(bark(torch.tensor(1000.0))) == pytest.approx(26.81 * 1000.0 / 2960.0 - 0.53)
    frequency = torch.linspace(100.0, 8000.0, 800)
    softest = threshold_of_hearing(frequency)
    assert abs(float(frequency[softest.argmin()]) - 3300.0) < 200.0
    assert 10.0 * math.log10(float(threshold_of_hearing(torch.tensor(1000.0)))) == pytest.approx(3.37, abs=0.05)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_perfect_estimate_has_none_and_more_noise_has_more(rate: int) -> None:
    clean = voice(2.0, rate)
    assert disturbance(clean, clean, rate) < 2e-3
    found = [disturbance(clean, noisy(clean, snr), rate) for snr in (30.0, 20.0, 10.0, 0.0)]
    assert found == sorted(found) and found[0] > 0.2 and found[-1] > 2.0 * found[0]


def test_it_is_what_pesq_takes_from_its_largest_value() -> None:
    pytest.importorskip("pesq", reason="the extra `quality` is not installed")
    expected, found = [], []
    for seed in range(3):
        clean = voice(3.0, 8000, seed)
        for snr in (25.0, 15.0, 5.0):
            white = noisy(clean, snr, seed)
            for estimate in (
                white,
                0.5 * (clean + white),
                clean + np.convolve(white - clean, np.ones(8) / 2.0, "same"),
            ):
                expected.append(4.5 - raw_pesq(pesq(clean, estimate, 8000)))
                found.append(disturbance(clean, estimate))
    assert np.corrcoef(expected, found)[0, 1] > 0.95
    assert np.mean(np.abs(np.array(expected) - found)) < 0.5


def test_what_is_added_counts_more_than_what_is_missing() -> None:
    clean, other = voice(2.0, 8000), voice(2.0, 8000, 5)
    assert disturbance(clean, clean + other) > disturbance(clean + other, clean)


def test_silence_has_a_finite_slope() -> None:
    clean = torch.zeros(2, 4000)
    clean[1] = torch.from_numpy(voice(0.5, 8000)).float() * 10.0
    estimate = torch.zeros(2, 4000, requires_grad=True)
    found = Disturbance(8000)(clean, estimate)
    found.sum().backward()
    assert float(found[0].detach()) < 2e-3 < 0.1 < float(found[1].detach())
    assert estimate.grad is not None and bool(torch.isfinite(estimate.grad).all())


def test_descending_it_raises_pesq() -> None:
    pytest.importorskip("pesq", reason="the extra `quality` is not installed")
    clean = voice(2.0, 8000)
    start = noisy(clean, 10.0)
    level = float(np.sqrt(np.mean(clean**2)))
    truth = torch.from_numpy(clean / level).float()[None]
    estimate = torch.from_numpy(start / level).float()[None].requires_grad_(True)
    of, optimizer = Disturbance(8000), torch.optim.Adam([estimate], lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        of(truth, estimate).sum().backward()
        optimizer.step()
    better = estimate.detach()[0].double().numpy() * level
    assert pesq(clean, better, 8000) > pesq(clean, start, 8000) + 0.3
