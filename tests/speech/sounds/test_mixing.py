from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch

from hepda.errors import ConfigError, DataError
from hepda.speech.sounds.audio import on_tape
from hepda.speech.sounds.mixing import Noise, NoiseBank, convolved, direct_first, in_rooms, mixed
from hepda.speech.sounds.noises import synthetic_noise, synthetic_room


def draw(samples: int, seed: int) -> torch.Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def speech():
    return on_tape([draw(n, n) * (1 + n / 1000.0) for n in (900, 2000, 1500)], 8000)


def bank() -> NoiseBank:
    recordings = [draw(5000, 11), 3.0 * draw(800, 12), draw(4000, 13)]
    return NoiseBank.of(on_tape(recordings, 8000), torch.tensor([1, 0, 1]), ("short", "long"))


def generator(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_ratio_is_the_one_that_is_stated_in_every_utterance():
    tape, snr = speech(), torch.tensor([10.0, -3.5, 0.0])
    noise = bank().drawn(torch.tensor([1, 0, 1]), tape.length, generator())
    mixture = mixed(tape, noise, snr)
    for number in range(3):
        clean, both = tape.utterance(number).double(), mixture.utterance(number).double()
        ratio = 10.0 * torch.log10(clean.square().sum() / (both - clean).square().sum())
        assert float(ratio) == pytest.approx(float(snr[number]), abs=2e-3)


def test_an_infinite_ratio_is_the_speech_itself():
    tape = speech()
    noise = bank().drawn(torch.zeros(3, dtype=torch.int64), tape.length, generator())
    mixture = mixed(tape, noise, torch.tensor([torch.inf, 5.0, torch.inf]))
    assert torch.equal(mixture.utterance(0), tape.utterance(0))
    assert torch.equal(mixture.utterance(2), tape.utterance(2))
    assert not torch.equal(mixture.utterance(1), tape.utterance(1))


def test_a_pause_in_a_recording_is_not_blown_up():
    tape = on_tape([draw(1000, 1)], 8000)
    quiet = Noise(1e-4 * draw(1000, 2), torch.tensor([0.01], dtype=torch.float64))
    added = mixed(tape, quiet, torch.tensor([0.0])).samples - tape.samples
    assert float(added.abs().max()) < 1e-3  # as loud as the recording would be, not as the speech


def test_noise_is_a_stretch_of_a_recording_of_its_type():
    noises = bank()
    noise = noises.drawn(torch.tensor([1, 1, 0]), torch.tensor([50, 60, 70]), generator())
    recordings = [noises.tape.utterance(number) for number in range(3)]
    begin = 0
    for kind, length in ((1, 50), (1, 60), (0, 70)):
        part = noise.samples[begin : begin + length]
        begin += length
        candidates = [r for r, k in zip(recordings, noises.kind.tolist(), strict=True) if k == kind]
        assert any(bool((r.unfold(0, length, 1) == part).all(dim=1).any()) for r in candidates)


def test_a_recording_that_is_too_short_is_repeated():
    short = bank().tape.utterance(1)
    noise = bank().drawn(torch.tensor([0]), torch.tensor([2000]), generator())
    assert torch.equal(noise.samples[:800], noise.samples[800:1600])
    assert torch.equal(noise.samples[:800].sort().values, short.sort().values)


def test_every_recording_of_a_type_and_every_place_in_it_is_drawn():
    noises = bank()
    kinds, length = torch.ones(4000, dtype=torch.int64), torch.ones(4000, dtype=torch.int64)
    drawn = noises.drawn(kinds, length, generator())
    first = torch.isin(drawn.samples, noises.tape.utterance(0))
    assert float(first.double().mean()) == pytest.approx(0.5, abs=0.03)
    quarter = noises.tape.utterance(0)[:1250]
    assert float(torch.isin(drawn.samples[first], quarter).double().mean()) == pytest.approx(0.25, abs=0.04)


def test_the_same_seed_draws_the_same_noise():
    first, two, other = (bank().drawn(torch.tensor([1]), torch.tensor([500]), generator(s)).samples for s in (5, 5, 6))
    assert torch.equal(first, two)
    assert not torch.equal(first, other)


def test_silence_cannot_be_mixed():
    tape = on_tape([draw(500, 1), torch.zeros(500)], 8000)
    noise = bank().drawn(torch.tensor([1, 1]), tape.length, generator())
    with pytest.raises(DataError, match="utterance 1 is silent"):
        mixed(tape, noise, torch.tensor([0.0, 0.0]))
    with pytest.raises(DataError, match="'long' is silent"):
        NoiseBank.of(on_tape([torch.zeros(100)], 8000), torch.tensor([1]), ("short", "long"))
    with pytest.raises(DataError, match="no recording of the noise 'short'"):
        NoiseBank.of(on_tape([draw(100, 1)], 8000), torch.tensor([1]), ("short", "long"))


@pytest.mark.parametrize(("dry", "response"), [(1000, 300), (300, 1000), (1, 1), (513, 512)])
def test_convolution_is_scipys(dry, response):
    a, b = draw(dry, 1), draw(response, 2)
    expected = scipy.signal.fftconvolve(a.double().numpy(), b.double().numpy())[:dry]
    np.testing.assert_allclose(convolved(a, b).numpy(), expected, atol=1e-6)


def test_a_room_keeps_the_power_and_does_not_delay():
    tape = speech()
    late = torch.cat([torch.zeros(200), synthetic_room(0.3, 8000, generator())])
    result = in_rooms(tape, [late], torch.tensor([0, -1, 0]))
    assert torch.equal(result.utterance(1), tape.utterance(1))
    for number in (0, 2):
        dry, wet = tape.utterance(number), result.utterance(number)
        assert float(wet.square().sum()) == pytest.approx(float(dry.square().sum()), rel=1e-4)
        lags = scipy.signal.correlate(wet.numpy(), dry.numpy())
        assert int(lags.argmax()) - (len(dry) - 1) == 0
    with pytest.raises(DataError, match="zero throughout"):
        direct_first(torch.zeros(10))


def test_a_synthetic_room_falls_by_sixty_decibels_in_its_time():
    tail = synthetic_room(0.5, 8000, generator())[1:].double()
    level = 10.0 * np.log10(np.cumsum(tail.square().numpy()[::-1])[::-1])  # Schroeder's backward integral
    five, twenty_five = (int(np.argmax(level < level[0] - fall)) for fall in (5.0, 25.0))
    assert 3.0 * (twenty_five - five) / 8000.0 == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize(("name", "slope"), [("white", 0.0), ("pink", -1.0), ("brown", -2.0)])
def test_coloured_noises_have_their_spectra(name, slope):
    noise = synthetic_noise(name, 160000, 16000, generator()).numpy()
    assert np.mean(noise**2) == pytest.approx(0.01, rel=1e-3)
    frequency, power = scipy.signal.welch(noise, 16000, nperseg=4096)
    chosen = (frequency > 60.0) & (frequency < 6000.0)
    assert np.polyfit(np.log(frequency[chosen]), np.log(power[chosen]), 1)[0] == pytest.approx(slope, abs=0.1)


def test_hum_is_at_multiples_of_fifty_hertz_alone():
    noise = synthetic_noise("hum", 16000, 8000, generator()).numpy()
    power = np.abs(np.fft.rfft(noise)) ** 2
    on_the_lines = power[np.arange(0, len(power), 100)].sum()
    assert on_the_lines / power.sum() > 0.999


def test_babble_is_made_of_the_voices():
    voices = [torch.sin(0.3 * torch.arange(900.0)), torch.sin(0.7 * torch.arange(1100.0))]
    power = np.abs(np.fft.rfft(synthetic_noise("babble", 16000, 8000, generator(), voices).numpy())) ** 2
    peaks = [round(16000 * w / (2 * np.pi)) for w in (0.3, 0.7)]
    near = sum(power[peak - 60 : peak + 60].sum() for peak in peaks)
    assert near / power.sum() > 0.9
    with pytest.raises(DataError, match="babble is made of utterances"):
        synthetic_noise("babble", 100, 8000, generator())
    with pytest.raises(ConfigError, match="Did you mean 'pink'"):
        synthetic_noise("pinc", 100, 8000, generator())
