"""Losses of generators and discriminators, row by row, and their means with event weights.

A discriminator gives one raw number a row [n, 1]; losses are computed from it, never from a sigmoid's output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from hepda.errors import ConfigError, nearest


@dataclass(frozen=True, slots=True)
class RowLosses:
    """The losses of rows, and what the history and the rules for gradients need to know of these rows.

    Attributes:
        losses: one loss for each row [n].
        weight: event weights [n], with their sign; None: 1 for each.
        correct: 1.0 where the discriminator is right [n]; None if it makes no decision.
        score: what the discriminator thinks of each row [n], from 0 (generated) to 1 (real); None if it has no scale.

    """

    losses: Tensor
    weight: Tensor | None = None
    correct: Tensor | None = None
    score: Tensor | None = None

    def mean(self) -> Tensor:
        """Return `sum_i w_i l_i / sum_i |w_i|`, the mean that all losses of hepda are; 0 without weights."""
        return self._mean_of(self.losses, absolute=True)

    def accuracy(self) -> Tensor | None:
        """Return the fraction of weights with the right decision, with signs; None if there are no decisions."""
        return None if self.correct is None else self._mean_of(self.correct, absolute=False)

    def mean_score(self) -> Tensor | None:
        """Return the mean score with absolute weights; None without scores."""
        if self.score is None:
            return None
        return self.score.mean() if self.weight is None else _ratio(self.weight.abs() * self.score, self.weight.abs())

    def _mean_of(self, values: Tensor, absolute: bool) -> Tensor:
        if self.weight is None:
            return values.mean()
        return _ratio(self.weight * values, self.weight.abs() if absolute else self.weight)


def _ratio(values: Tensor, weights: Tensor) -> Tensor:
    total = weights.sum()
    return values.sum() / torch.where(total == 0.0, torch.ones_like(total), total)


@dataclass(frozen=True, slots=True)
class AdversarialLoss:
    """The losses of a discriminator's output, as functions of the raw output [n].

    Attributes:
        of_real: loss of the discriminator on real rows.
        of_generated: loss of the discriminator on generated rows.
        of_generator: loss of the generator on generated rows.
        score: from the output to a score from 0 to 1; None for an output without a scale.
        what: the formula and its source.

    """

    of_real: Callable[[Tensor], Tensor]
    of_generated: Callable[[Tensor], Tensor]
    of_generator: Callable[[Tensor], Tensor]
    score: Callable[[Tensor], Tensor] | None
    what: str

    def real(self, output: Tensor, weight: Tensor | None = None) -> RowLosses:
        """Return the discriminator's losses of real rows.

        Args:
            output: the raw output [n, 1] or [n].
            weight: event weights [n].

        """
        output = _flat(output)
        score = None if self.score is None else self.score(output).detach()
        correct = None if score is None else (score > 0.5).to(score.dtype)
        return RowLosses(self.of_real(output), weight, correct, score)

    def generated(self, output: Tensor, weight: Tensor | None = None) -> RowLosses:
        """Return the discriminator's losses of generated rows; arguments as of `real`."""
        output = _flat(output)
        score = None if self.score is None else self.score(output).detach()
        correct = None if score is None else (score <= 0.5).to(score.dtype)
        return RowLosses(self.of_generated(output), weight, correct, score)

    def generator(self, output: Tensor, weight: Tensor | None = None) -> RowLosses:
        """Return the generator's losses; `output` is the discriminator's of generated rows."""
        return RowLosses(self.of_generator(_flat(output)), weight)


def _flat(output: Tensor) -> Tensor:
    output = output.float() if output.dtype in (torch.bfloat16, torch.float16) else output
    return output.reshape(len(output))


def _away_from_zero(output: Tensor) -> Tensor:
    return output.square()


def _away_from_one(output: Tensor) -> Tensor:
    return (output - 1.0).square()


def _plausible(output: Tensor) -> Tensor:
    return functional.softplus(-output)


def _negative(output: Tensor) -> Tensor:
    return -output


def _itself(output: Tensor) -> Tensor:
    return output


LOSSES: dict[str, AdversarialLoss] = {
    "non_saturating": AdversarialLoss(
        _plausible, functional.softplus, _plausible, torch.sigmoid,
        "cross entropy; the generator minimises -log D (Goodfellow et al. 2014)",
    ),
    "least_squares": AdversarialLoss(
        _away_from_one, _away_from_zero, _away_from_one, _itself,
        "(D - 1)^2 and D^2; the generator minimises (D - 1)^2 (Mao et al. 2017, a = 0, b = c = 1)",
    ),
    "wasserstein": AdversarialLoss(
        _negative, _itself, _negative, None,
        "difference of means (Arjovsky et al. 2017), with `gradient_penalty`",
    ),
}  # fmt: skip
"""Losses by name."""


def find_loss(name: str) -> AdversarialLoss:
    """Return the loss of that name, or a `ConfigError` that lists the names there are."""
    if name not in LOSSES:
        raise ConfigError(f"unknown adversarial loss {name!r}; one of {', '.join(LOSSES)}.{nearest(name, LOSSES)}")
    return LOSSES[name]


def gradient_penalty(
    discriminator: Callable[[Tensor], Tensor],
    real: Tensor,
    generated: Tensor,
    random: torch.Generator,
    weight: Tensor | None = None,
) -> RowLosses:
    """Return `(|d D / d x| - 1)^2` at points drawn between real and generated rows (Gulrajani et al. 2017, eq. 3).

    Its usual factor is 10.

    Args:
        discriminator: from rows to a number each.
        real: rows [n, ...].
        generated: as many rows of the same shape, without gradient.
        random: draws the points.
        weight: event weights [n] of the pairs.

    """
    share = torch.rand(len(real), *[1] * (real.dim() - 1), generator=random, device=real.device, dtype=real.dtype)
    points = (share * real + (1.0 - share) * generated).detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(discriminator(points).sum(), points, create_graph=True)
    return RowLosses((slope.flatten(1).norm(dim=1) - 1.0).square(), weight)


def metric_regression(output: Tensor, quality: Tensor, weight: Tensor | None = None) -> RowLosses:
    """Return `(D - Q)^2`: a discriminator that predicts a measure of quality (MetricGAN, Fu et al. 2019, eq. 4).

    Args:
        output: its output [n, 1] or [n].
        quality: the measure of each row, scaled to 0 to 1 [n]; 1 for a row compared with itself.
        weight: event weights [n].

    """
    return RowLosses((_flat(output) - quality).square(), weight)
