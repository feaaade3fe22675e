"""What a diffusion model learns: the noise in x_t, or the score, the gradient of log p_t; and labels left out.

A field is a function of rows [n, ...] and their times [n]; whatever else a network reads is bound by the caller:
`lambda x, t: network(x, t, label)`. Noise and score are one thing: score = -noise / sqrt(1 - abar).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hepda.adversarial.diffusion.ode import Field
from hepda.adversarial.diffusion.schedules import NoiseSchedule, over_rows
from hepda.adversarial.games.losses import RowLosses
from hepda.errors import ConfigError, DataError

Importance = Callable[[Tensor], Tensor]
"""From times [n] to factors on the losses at these times [n]."""


def denoising_loss(
    predicted: Field,
    schedule: NoiseSchedule,
    data: Tensor,
    noise: Tensor,
    time: Tensor,
    weight: Tensor | None = None,
    importance: Importance | None = None,
) -> RowLosses:
    """Return `lambda(t) |eps(x_t, t) - noise|^2`, as the mean over the components of a row (Ho et al. 2020, eq. 14).

    The best prediction is that of the density of the weights, which keep their signs; it exists where the weights of
    the data near a point do not add up to a negative number.

    Args:
        predicted: the noise in rows.
        schedule: of noise.
        data: rows without noise [n, ...].
        noise: standard normal numbers, of the same shape.
        time: of each row [n], such as `schedule.draw`.
        weight: event weights [n].
        importance: lambda; None: 1.

    Raises:
        DataError: data and noise do not have the same shape, or there is not one time for each row.

    """
    _one_shape(data, noise, time)
    return _squares(predicted(schedule.noised(data, noise, time), time) - noise, time, weight, importance)


def score_matching_loss(
    score: Field,
    schedule: NoiseSchedule,
    data: Tensor,
    noise: Tensor,
    time: Tensor,
    weight: Tensor | None = None,
    importance: Importance | None = None,
) -> RowLosses:
    """Return `lambda(t) |s(x_t, t) + noise / sqrt(1 - abar)|^2` (Vincent 2011; Song et al. 2021, eq. 7).

    Arguments as of `denoising_loss`, but for:

    Args:
        score: the gradient of log p_t at rows.
        schedule: of noise.
        data: rows without noise [n, ...].
        noise: standard normal numbers, of the same shape.
        time: of each row [n]; above 0.
        weight: event weights [n].
        importance: lambda; None: 1 - abar, with which the loss is that of the noise.

    Raises:
        DataError: data and noise do not have the same shape, or there is not one time for each row.

    """
    _one_shape(data, noise, time)
    width = schedule.noise(time)
    difference = score(schedule.noised(data, noise, time), time) + noise / over_rows(width, noise)
    return _squares(difference, time, weight, importance or (lambda _: width.square()))


def _squares(difference: Tensor, time: Tensor, weight: Tensor | None, importance: Importance | None) -> RowLosses:
    losses = difference.square().flatten(1).mean(dim=1)
    return RowLosses(losses if importance is None else importance(time) * losses, weight)


def _one_shape(data: Tensor, noise: Tensor, time: Tensor) -> None:
    if data.shape != noise.shape or time.shape != (len(data),):
        raise DataError(
            f"noise has the shape of the data, and each row has a time: data {tuple(data.shape)}, noise "
            f"{tuple(noise.shape)}, time {tuple(time.shape)}"
        )


def score_of(noise: Field, schedule: NoiseSchedule) -> Field:
    """Return the score of a model of the noise; for times above 0."""
    return lambda x, time: -noise(x, time) / over_rows(schedule.noise(time), x)


def noise_of(score: Field, schedule: NoiseSchedule) -> Field:
    """Return the noise of a model of the score."""
    return lambda x, time: -score(x, time) * over_rows(schedule.noise(time), x)


def noise_of_velocity(velocity: Field, schedule: NoiseSchedule) -> Field:
    """Return the noise of a model of v = sqrt(abar) noise - sqrt(1 - abar) x_0 (Salimans & Ho 2022, app. D).

    A network learns v better than the noise where there is hardly any signal: there a small error of the noise is a
    large one of x_0, and the first step of a sampler takes it. With the importance `schedule.inverse_signal` the loss
    of this noise is `|v(x_t, t) - v|^2`.
    """
    return lambda x, time: (
        over_rows(schedule.signal(time), x) * velocity(x, time) + over_rows(schedule.noise(time), x) * x
    )


def drop_labels(label: Tensor, classes: Sequence[int], probability: float, random: torch.Generator) -> Tensor:
    """Return labels of which some are replaced by "not said", the number after the last class (Ho & Salimans 2022).

    A model that is trained with them knows the density with and without each label, as guidance needs it.

    Args:
        label: class of each row in each kind of label, such as process and generator [n, kinds].
        classes: number of classes of each kind.
        probability: of each label to be left out, independently of the others.
        random: on the device of the labels.

    Raises:
        ConfigError: the probability is not from 0 to 1.

    """
    if not 0.0 <= probability <= 1.0:
        raise ConfigError(f"the probability of leaving out a label is {probability}; it must be from 0 to 1")
    left_out = torch.rand(label.shape, generator=random, device=label.device) < probability
    return torch.where(left_out, torch.tensor(list(classes), device=label.device), label)
