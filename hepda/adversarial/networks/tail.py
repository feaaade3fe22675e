"""Weights that make a domain loss look at the tail of the score, where a search has its significance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hepda.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Tail:
    """A factor on the weights of a domain head's rows that depends on the signal efficiency of a cut at their score.

    With u the signal efficiency of a cut at the row's score (of the main head, without gradient),

        f(u) = floor + (1 - floor) / (1 + exp((u - efficiency) / (width efficiency)))

    so rows above the cut of that signal efficiency count fully, rows well below it count `floor`, and it is
    (1 + floor) / 2 on the cut. A factor that depends only on the score, the same for both domains, does not change the
    ratio of their densities at any score, nor therefore the best domain head on the score; it determines where the
    head's capacity and the reversed gradient are used. Quantiles are those of the batch: there is no state, so a
    resumed training is the same, and a monotonic change of the score has no effect.

    Attributes:
        efficiency: signal efficiency of the cut, between 0 and 1.
        floor: factor far below the cut, from 0 to 1.
        width: of the step, as a fraction of `efficiency`.

    """

    efficiency: float
    floor: float = 0.05
    width: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 < self.efficiency < 1.0:
            raise ConfigError(f"the tail's signal efficiency is {self.efficiency}; it must be between 0 and 1")
        if not 0.0 <= self.floor <= 1.0 or not self.width > 0.0:
            raise ConfigError(f"tail: floor is {self.floor} (0 to 1) and width {self.width} (above 0)")

    def factors(self, score: Tensor, source: Tensor, signal: Tensor) -> Tensor:
        """Return the factors f [n] of rows with `score` [n]; `source` and `signal` [m] as for `signal_efficiency`."""
        above = signal_efficiency(score, source, signal)
        step = torch.sigmoid((self.efficiency - above) / (self.width * self.efficiency))
        return self.floor + (1.0 - self.floor) * step


@torch.no_grad()
def signal_efficiency(score: Tensor, source: Tensor, signal: Tensor) -> Tensor:
    """Return the share of the signal above each score: `sum_j w_j [s_j > s_i] / sum_j w_j` [n].

    Args:
        score: s_i [n]; logits or probabilities, only their order matters.
        source: s_j [m] of the source rows.
        signal: w_j [m], their signed weights as signal, 0 for any other row. Where they do not add up to more than 0
            (a batch without signal) the efficiency is 0 everywhere: every row counts fully.

    """
    falling, order = source.sort(descending=True)
    above = torch.cat([signal.new_zeros(1), signal[order].cumsum(0)])
    # the number of source rows with a larger score
    larger = torch.searchsorted(-falling, -score.contiguous())
    total = above[-1]
    return torch.where(total > 0.0, above[larger] / total, torch.zeros_like(score))
