"""Features against closed forms and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import torch

from hepda.errors import ConfigError, DataError
from hepda.speech.sounds.audio import on_tape
from hepda.speech.sounds.features import (
    FLOOR,
    FilterBank,
    Frames,
    cepstra,
    deltas,
    hertz,
    mel,
    mel_matrix,
    normalised,
    with_deltas,
)


def noise(samples: int, seed: int = 1) -> torch.Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def slow_log_mel(audio: np.ndarray, bank: FilterBank) -> np.ndarray:
    """Frame by frame and band by band, by scipy's window and FFT and the triangles written out."""
    window = scipy.signal.get_window("hann", bank.window_samples)  # periodic
    pad = (bank.size - bank.window_samples) // 2
    high = bank.rate / 2.0
    edges = hertz(torch.linspace(float(mel(torch.tensor(bank.low))), float(mel(torch.tensor(high))), bank.bands + 2))
    rows = []
    for first in range(0, len(audio) - bank.size + 1, bank.hop_samples):
        part = audio[first + pad : first + pad + bank.window_samples].astype(np.float64) * window
        power = np.abs(scipy.fft.rfft(part, bank.size)) ** 2
        frequency = np.arange(len(power)) * bank.rate / bank.size
        row = []
        for left, middle, right in zip(edges[:-2].tolist(), edges[1:-1].tolist(), edges[2:].tolist(), strict=True):
            heights = np.interp(frequency, [left, middle, right], [0.0, 1.0, 0.0], left=0.0, right=0.0)
            row.append(np.log(max(float(heights @ power), FLOOR)))
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize(("rate", "bands"), [(8000, 40), (16000, 40), (16000, 23)])
def test_log_energies_are_those_of_scipy_and_of_triangles_written_out(rate, bands):
    bank, audio = FilterBank(rate, bands), noise(rate // 2)
    np.testing.assert_allclose(bank(audio).numpy(), slow_log_mel(audio.numpy(), bank), atol=2e-4)


def test_a_tone_has_its_energy_in_the_band_of_its_frequency():
    bank = FilterBank(16000, 40)
    edges = hertz(torch.linspace(float(mel(torch.tensor(60.0))), float(mel(torch.tensor(8000.0))), 42))
    for band in (5, 20, 35):
        time = torch.arange(8000) / 16000.0
        tone = torch.sin(2.0 * torch.pi * float(edges[band + 1]) * time)
        assert bank(tone).mean(dim=0).argmax() == band


def test_batches_long_signals_and_tapes_have_the_same_frames():
    bank = FilterBank(8000, 24)
    audio = torch.stack([noise(60000, 1), noise(60000, 2)])
    both = bank(audio)  # longer than one transform's worth of frames
    assert both.shape == (2, bank.frames(60000), 24)
    torch.testing.assert_close(both[1], bank(audio[1]), atol=1e-5, rtol=1e-5)
    parts = [noise(n, n) for n in (700, 5000, 256, 1999)]
    frames = bank.of_tape(on_tape(parts, 8000))
    assert frames.count.tolist() == [bank.frames(len(part)) for part in parts]
    torch.testing.assert_close(frames.values, torch.cat([bank(part) for part in parts]), atol=1e-5, rtol=1e-5)


def test_every_utterance_of_a_tape_may_have_a_vocal_tract_of_its_own():
    bank = FilterBank(8000, 24, warps=(0.9, 1.0, 1.1))
    parts = [noise(1000, n) for n in range(4)]
    frames = bank.of_tape(on_tape(parts, 8000), torch.tensor([2, 0, 1, 2]))
    expected = [bank(part, warp) for part, warp in zip(parts, (1.1, 0.9, 1.0, 1.1), strict=True)]
    torch.testing.assert_close(frames.values, torch.cat(expected), atol=1e-5, rtol=1e-5)


def test_a_longer_tract_moves_a_tone_to_a_lower_band_and_keeps_the_ends():
    tone = torch.sin(2.0 * torch.pi * 1500.0 * torch.arange(4000) / 8000.0)
    bank = FilterBank(8000, 40, warps=(0.85, 1.0, 1.15))
    bands = [int(bank(tone, warp).mean(dim=0).argmax()) for warp in bank.warps]
    assert bands[0] > bands[1] > bands[2]
    for warp in bank.warps:
        matrix = mel_matrix(129, 40, 8000, 60.0, 4000.0, warp)
        assert matrix[-1].sum() == 0.0
        assert matrix[-2].sum() > 0.0  # the highest band still reaches up to half the rate


def test_cepstra_are_the_orthonormal_cosine_transform():
    values = noise(300).reshape(10, 30)
    np.testing.assert_allclose(
        cepstra(values, 13).numpy(), scipy.fft.dct(values.numpy(), norm="ortho")[:, :13], atol=1e-6
    )


@pytest.mark.parametrize("reach", [1, 2, 3])
def test_derivatives_are_slopes_of_lines_through_the_neighbours(reach):
    values = noise(400, 5).reshape(100, 4)
    count = torch.tensor([30, 70])
    slopes = deltas(Frames.laid_out(count).with_values(values), reach)
    for part in (slice(0, 30), slice(30, 100)):
        expected = scipy.signal.savgol_filter(values[part].numpy(), 2 * reach + 1, 1, deriv=1, axis=0, mode="nearest")
        np.testing.assert_allclose(slopes[part].numpy(), expected, atol=1e-6)


def test_derivatives_stand_beside_the_values():
    frames = Frames.laid_out(torch.tensor([12])).with_values(torch.arange(12.0)[:, None] ** 2)
    values_with_deltas = with_deltas(frames, 2).values
    assert values_with_deltas.shape == (12, 3)
    assert values_with_deltas[6].tolist() == pytest.approx([36.0, 12.0, 2.0])


def test_windows_repeat_the_ends_of_an_utterance_and_never_reach_into_the_next():
    frames = Frames.laid_out(torch.tensor([3, 2])).with_values(torch.arange(5.0)[:, None])
    assert frames.windows(2, 1)[..., 0].tolist() == [
        [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 2.0], [0.0, 1.0, 2.0, 2.0], [3.0, 3.0, 3.0, 4.0], [3.0, 3.0, 4.0, 4.0],
    ]  # fmt: skip
    assert frames.windows(1, 0, torch.tensor([3]))[..., 0].tolist() == [[3.0, 3.0]]
    assert frames.padded(frames.values)[..., 0].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 0.0]]


def test_normalisation_is_by_group_and_leaves_what_is_constant():
    values = noise(600, 3).reshape(200, 3)
    values[:, 2] = 4.0
    group = torch.arange(200) % 4
    result = normalised(values, group, 4)
    for number in range(4):
        group_values = values[group == number]
        expected = (group_values - group_values.mean(dim=0)) / group_values.std(dim=0, unbiased=False)
        torch.testing.assert_close(result[group == number][:, :2], expected[:, :2], atol=1e-4, rtol=1e-4)
    assert float(result[:, 2].abs().max()) < 1e-5
    centred = normalised(values, group, 4, variance=False)
    torch.testing.assert_close(centred[group == 1], values[group == 1] - values[group == 1].mean(dim=0))


def test_what_cannot_be_is_said():
    with pytest.raises(ConfigError, match="too narrow"):
        FilterBank(8000, 200)
    with pytest.raises(ConfigError, match="audio at 8000 Hz"):
        FilterBank(8000, high=5000.0)
    with pytest.raises(ConfigError, match="at least as long"):
        FilterBank(8000, window=0.005)
    bank = FilterBank(8000)
    with pytest.raises(DataError, match="shorter than a frame"):
        bank(torch.zeros(100))
    with pytest.raises(DataError, match="utterance 1 has 100 samples"):
        bank.of_tape(on_tape([noise(500), noise(100)], 8000))
    with pytest.raises(ConfigError, match="16000 Hz"):
        bank.of_tape(on_tape([noise(500)], 16000))
