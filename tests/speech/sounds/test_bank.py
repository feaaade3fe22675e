from __future__ import annotations

import pytest
import torch

from hepda.speech.dataset.subsets import every
from hepda.speech.sounds.audio import on_tape
from hepda.speech.sounds.bank import Bank, Context, Extractor, Levels, Takes, blanked, masking, noisy, window_of
from hepda.speech.sounds.features import FilterBank
from hepda.speech.sounds.mixing import NoiseBank


def draw(samples: int, seed: int) -> torch.Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


NOISES = NoiseBank.of(on_tape([draw(9000, 21), draw(9000, 22)], 8000), torch.tensor([0, 1]), ("a", "b"))


def takes(noise: list[int]) -> Takes:
    tape = on_tape([draw(1000 + 100 * n, n) for n in range(len(noise))], 8000)
    numbers = torch.arange(len(noise))
    return Takes(tape, numbers, torch.tensor(noise), torch.tensor(noise), numbers, torch.ones(len(noise)))


def bank(noise=(-1, 0, 1), warps=(1.0,), masks=(0, 0)) -> Bank:
    extractor = Extractor(FilterBank(8000, 20, warps=warps))
    return Bank(takes(list(noise)), NOISES, Levels(0.0, 20.0), extractor, Context(3, 3, 1), 5, masks)


def test_noise_is_new_in_every_epoch_and_what_has_none_stays():
    frames_bank = bank()
    first = frames_bank.frames
    frames_bank.turn(1)
    second = frames_bank.frames
    clean = first.utterance == 0
    assert torch.equal(first.values[clean], second.values[clean])
    changed = (first.values != second.values).any(dim=1)
    assert float(changed[~clean].double().mean()) > 0.9
    frames_bank.close()


def test_an_epoch_has_the_same_frames_whatever_came_before_it():
    went, came = bank(warps=(0.9, 1.0, 1.1)), bank(warps=(0.9, 1.0, 1.1))
    for epoch in (1, 2, 3):
        went.turn(epoch)
    came.turn(3)  # as a resumed training does
    assert torch.equal(went.frames.values, came.frames.values)
    went.close()
    came.close()


def test_clean_takes_alone_are_made_once():
    frames_bank = bank(noise=(-1, -1))
    before = frames_bank.frames
    frames_bank.turn(4)
    assert frames_bank.fixed
    assert frames_bank.frames is before
    frames_bank.close()


def test_a_batch_of_numbers_becomes_windows_around_those_frames():
    frames_bank = bank()
    rows = torch.tensor([0, 7, len(frames_bank.frames) - 1])
    windows = frames_bank.windows(rows)
    assert windows.shape == (3, 7, 20)
    assert torch.equal(windows[:, 3], frames_bank.frames.values[rows])
    assert torch.equal(windows, frames_bank.frames.windows(3, 3, rows))
    assert torch.equal(windows[0, 0], windows[0, 3])  # before the first frame there is the first
    frames_bank.close()


def test_a_context_may_skip_frames():
    frames_bank = bank()
    begin = int(frames_bank.frames.first[-1])
    windows = window_of(frames_bank.frames, Context(3, 3, 3), torch.tensor([begin + 4]))
    assert torch.equal(windows[0], frames_bank.frames.values[begin + torch.tensor([1, 4, 7])])
    assert Context(6, 6, 3).middle == 2
    frames_bank.close()


def test_frames_are_normalised_by_utterance_or_by_speaker():
    tape = takes([-1, -1, -1, -1]).tape
    speaker = torch.tensor([0, 1, 0, 1])
    for by, group in (("utterance", torch.arange(4)), ("speaker", speaker)):
        frames = Extractor(FilterBank(8000, 20), by=by)(tape, speaker)
        for number in group.unique():
            values = frames.values[group[frames.utterance] == number]
            assert float(values.mean(dim=0).abs().max()) < 1e-4
            assert float((values.std(dim=0, unbiased=False) - 1.0).abs().max()) < 1e-3
    raw = Extractor(FilterBank(8000, 20), by="none")(tape, speaker)
    assert torch.equal(raw.values, FilterBank(8000, 20).of_tape(tape).values)
    many = Extractor(FilterBank(8000, 20), cepstra=13, deltas=2)
    assert many.width == 39
    assert many(tape, speaker).values.shape[1] == 39


def test_what_is_blanked_is_one_stretch_no_longer_than_asked():
    factors = masking(4000, 30, 6, torch.Generator().manual_seed(1))
    length = (factors == 0.0).sum(dim=1)
    assert set(length.tolist()) == set(range(7))
    edges = (factors[:, 1:] != factors[:, :-1]).sum(dim=1)
    assert int(edges.max()) <= 2
    windows = blanked(torch.ones(500, 9, 12), torch.Generator().manual_seed(2), (4, 3))
    assert 0.0 < float((windows == 0.0).double().mean()) < 0.5
    assert torch.equal(blanked(windows, torch.Generator(), (0, 0)), windows)


def test_ratios_are_drawn_evenly_between_the_two():
    ratios = Levels(-5.0, 20.0).drawn(20000, torch.Generator().manual_seed(1))
    assert float(ratios.min()) == pytest.approx(-5.0, abs=0.05)
    assert float(ratios.max()) == pytest.approx(20.0, abs=0.05)
    assert float(ratios.mean()) == pytest.approx(7.5, abs=0.2)


def test_no_noise_at_all_is_the_tape_itself():
    clean = takes([-1, -1])
    assert noisy(clean, NOISES, torch.zeros(2), torch.Generator()) is clean.tape


def test_every_so_many_frames_begin_elsewhere_in_the_next_utterance():
    chosen = every(torch.tensor([5, 5, 4]), 3)
    assert chosen.tolist() == [0, 3, 7, 11]
    assert every(torch.tensor([4, 2]), 1).tolist() == list(range(6))
