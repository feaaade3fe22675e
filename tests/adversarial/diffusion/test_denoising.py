"""Losses of noise and score for Gaussian data, where the best prediction is known; labels left out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hepda.adversarial.diffusion.denoising import (
    denoising_loss,
    drop_labels,
    noise_of,
    noise_of_velocity,
    score_matching_loss,
    score_of,
)
from hepda.adversarial.diffusion.schedules import find_schedule
from hepda.errors import ConfigError, DataError
from tests.adversarial.diffusion.gaussian import correlated

LINEAR = find_schedule("linear")
EXACT = correlated(LINEAR)


def rows(number: int, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Data, noise and times."""
    random = torch.Generator().manual_seed(seed)
    data = EXACT.draw(number, random)
    noise = torch.randn(number, 2, generator=random, dtype=torch.float64)
    return data, noise, LINEAR.draw(number, random, torch.float64)


def test_the_loss_of_the_exact_noise_is_known_and_any_other_is_larger() -> None:
    """Var(noise | x_t) = abar V / V_t for each eigenvalue V of the covariance."""
    data, noise, time = rows(100_000)
    values = torch.linalg.eigvalsh(EXACT.covariance)
    alpha_bar = LINEAR.alpha_bar(time)[:, None]
    least = float((alpha_bar * values / (alpha_bar * values + 1 - alpha_bar)).mean())
    measured = float(denoising_loss(EXACT.noise, LINEAR, data, noise, time).mean())
    assert measured == pytest.approx(least, rel=0.02)
    other = denoising_loss(lambda x, t: 0.8 * EXACT.noise(x, t), LINEAR, data, noise, time)
    assert float(other.mean()) > measured + 0.01


def test_noise_and_score_are_one_thing() -> None:
    data, noise, time = rows(50)
    of_noise = denoising_loss(noise_of(EXACT.score, LINEAR), LINEAR, data, noise, time).losses
    torch.testing.assert_close(score_matching_loss(EXACT.score, LINEAR, data, noise, time).losses, of_noise)
    torch.testing.assert_close(score_of(EXACT.noise, LINEAR)(data, time), EXACT.score(data, time))
    velocity = noise_of_velocity(lambda x, t: 0.3 * x, LINEAR)
    target = LINEAR.signal(time)[:, None] * noise - LINEAR.noise(time)[:, None] * data
    expected = (0.3 * LINEAR.noised(data, noise, time) - target).square().mean(dim=1)
    of_velocity = denoising_loss(velocity, LINEAR, data, noise, time, importance=LINEAR.inverse_signal)
    torch.testing.assert_close(of_velocity.losses, expected)
    both = [
        denoising_loss(EXACT.noise, LINEAR, data, noise, time, importance=LINEAR.likelihood).losses,
        score_matching_loss(EXACT.score, LINEAR, data, noise, time, importance=LINEAR.rate).losses,
    ]
    torch.testing.assert_close(*both)


def test_weights_are_repeated_rows_and_keep_their_signs() -> None:
    data, noise, time = rows(3)
    repeats = torch.tensor([1, 3, 2])
    more, noises, times = (of.repeat_interleave(repeats, dim=0) for of in (data, noise, time))
    for importance in (None, LINEAR.likelihood):
        weighted = denoising_loss(EXACT.noise, LINEAR, data, noise, time, repeats.double(), importance)
        as_rows = denoising_loss(EXACT.noise, LINEAR, more, noises, times, importance=importance)
        torch.testing.assert_close(weighted.mean(), as_rows.mean())
    losses = denoising_loss(EXACT.noise, LINEAR, data, noise, time).losses
    signed = denoising_loss(EXACT.noise, LINEAR, data, noise, time, torch.tensor([1.0, -2.0, 1.0]).double())
    torch.testing.assert_close(signed.mean(), (losses[0] - 2 * losses[1] + losses[2]) / 4)


def test_the_best_constant_under_signed_weights_is_the_weighted_mean() -> None:
    """Negative weights take events away: the minimum over a constant prediction is sum w noise / sum w."""
    data, noise, time = rows(200)
    weight = torch.where(torch.rand(200, generator=torch.Generator().manual_seed(2)) < 0.3, -1.0, 1.0).double()
    expected = (weight[:, None] * noise).sum(0) / weight.sum()
    constant = expected.clone().requires_grad_(True)
    loss = denoising_loss(lambda x, t: constant.expand_as(x), LINEAR, data, noise, time, weight).mean()
    (slope,) = torch.autograd.grad(loss, constant)
    torch.testing.assert_close(slope, torch.zeros(2, dtype=torch.float64))
    shifted = denoising_loss(lambda x, t: (expected + 0.1).expand_as(x), LINEAR, data, noise, time, weight).mean()
    assert float((shifted - loss).detach()) == pytest.approx(0.01 * float(weight.sum() / 200))


def test_labels_are_left_out_independently_at_their_rate() -> None:
    random = torch.Generator().manual_seed(3)
    label = torch.stack([torch.arange(40_000) % 10, torch.arange(40_000) % 2], dim=1)
    dropped = drop_labels(label, (10, 2), 0.1, random)
    missing = dropped == torch.tensor([10, 2])
    assert missing.float().mean(dim=0).tolist() == pytest.approx([0.1, 0.1], abs=0.005)
    assert float(missing.all(dim=1).float().mean()) == pytest.approx(0.01, abs=0.002)
    assert torch.equal(dropped[~missing], label[~missing])
    assert torch.equal(drop_labels(label, (10, 2), 0.0, random), label)
    assert bool((drop_labels(label, (10, 2), 1.0, random) == torch.tensor([10, 2])).all())


def test_what_does_not_fit_is_said() -> None:
    data, noise, time = rows(4)
    with pytest.raises(DataError, match="each row has a time"):
        denoising_loss(EXACT.noise, LINEAR, data, noise[:3], time)
    with pytest.raises(DataError, match="each row has a time"):
        score_matching_loss(EXACT.score, LINEAR, data, noise, time[:, None])
    with pytest.raises(ConfigError, match="must be from 0 to 1"):
        drop_labels(torch.zeros(2, 1, dtype=torch.long), (3,), 1.5, torch.Generator())
