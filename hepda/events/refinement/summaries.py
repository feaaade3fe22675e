"""The distance of two samples of events by what their objects are, in statistics whose gradient reaches every object.

Each event has d numbers f: of its jets, how many are above each of a row of pt in each tag bin and in |eta|, the pt of
the leading ones, mass over pt, masses of pairs; how many jets and tags there are; H_T, missing momentum, and its
projection on the leading jet. Steps at a value are ramps between neighbouring values, so that they have a gradient. The
distance of a sample with means m from the target with means mu and covariance C,

    T^2 = (m - mu)^T C^-1 (m - mu),

is that of Hotelling (1931), and the squared maximum mean discrepancy with the kernel f(x)^T C^-1 f(y) (Gretton et al.
2012): the statistics in their own units, each counting once however much they overlap. Its costs grow as the number of
events, and the target is read once.

Jets at the threshold and events at the edge of the selection enter both samples with the same ramps (`Visibility`):
what a response moves across an edge is seen, and both samples are complete where they are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hepda.events.refinement.response import JetTensors

_STEPS = 8  # ramps of a number
_RANKS = 5  # leading jets
_PAIRED = 6  # leading jets of which pairs are made
_COUNTED = 5  # ramps of a number of jets or tags
_RIDGE, _FLOOR = 1e-3, 1e-3  # added to the covariance: in units of its diagonal, and for numbers that hardly vary
_ROWS = 8192  # events whose statistics are in memory at once


@dataclass(frozen=True, slots=True)
class Visibility:
    """Which jets and events are looked at.

    Attributes:
        threshold: pt, GeV, from which an analysis sees a jet.
        ramp: width of the ramp around it, as a fraction of the threshold.
        jets: least number of jets of an event.
        tags: (tag bin, least number of jets in it or above).

    """

    threshold: float
    ramp: float = 0.04
    jets: int = 0
    tags: tuple[int, int] = (0, 0)

    def of_jets(self, jets: JetTensors) -> Tensor:
        """Return from 0 to 1 how much each jet is seen [n, j]."""
        return jets.present * ((jets.pt / self.threshold - 1.0) / self.ramp + 0.5).clamp(0.0, 1.0)

    def of_events(self, jets: JetTensors, seen: Tensor) -> Tensor:
        """Return from 0 to 1 how much each event is selected [n]; `seen`: of its jets [n, j]."""
        selected = torch.ones_like(seen[:, 0])
        if self.jets:
            selected = selected * (seen.sum(1) - (self.jets - 1)).clamp(0.0, 1.0)
        lowest, least = self.tags
        if least:
            tagged = (seen * jets.tag[..., lowest:].sum(-1)).sum(1)
            selected = selected * (tagged - (least - 1)).clamp(0.0, 1.0)
        return selected


def ramps(values: Tensor, knots: Tensor) -> Tensor:
    """Return [..., k - 1] numbers that rise from 0 to 1 between neighbouring knots [k] of values [...]."""
    return ((values[..., None] - knots[:-1]) / knots.diff()).clamp(0.0, 1.0)


class Statistics:
    """The numbers of events, with knots from a target.

    Args:
        target: the events of the target.
        visibility: which of its jets and events are looked at.

    """

    def __init__(self, target: JetTensors, visibility: Visibility) -> None:
        self.visibility = visibility
        seen = visibility.of_jets(target)
        numbers, both = self._numbers(target, seen)
        there = dict.fromkeys(("pt", "eta", "mass"), seen > 0.0) | {"pairs": both > 0.0}
        self._knots = {
            name: _knots(values[there[name]] if name in there else values) for name, values in numbers.items()
        }

    def __call__(self, jets: JetTensors) -> tuple[Tensor, Tensor]:
        """Return the numbers of each event [n, d], and how much it is selected [n]."""
        seen = self.visibility.of_jets(jets)
        numbers, both = self._numbers(jets, seen)
        in_pt = ramps(numbers["pt"], self._knots["pt"])
        in_pt = torch.cat([torch.ones_like(in_pt[..., :1]), in_pt], dim=-1) * seen[..., None]
        by_tag = torch.einsum("njk,njt->nkt", in_pt, jets.tag)
        by_eta = torch.einsum("njk,nje->nke", in_pt, ramps(numbers["eta"], self._knots["eta"]))
        columns = [by_tag.flatten(1), by_eta.flatten(1)]
        columns.append((ramps(numbers["mass"], self._knots["mass"]) * seen[..., None]).sum(1))
        columns.append((ramps(numbers["pairs"], self._knots["pairs"]) * both[..., None]).sum(1))
        names = ("leading", "ht", "met", "along")
        columns += [ramps(numbers[name], self._knots[name]).flatten(1) for name in names]
        columns += self._counts(jets, seen)
        return torch.cat(columns, dim=1), self.visibility.of_events(jets, seen)

    def _numbers(self, jets: JetTensors, seen: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return numbers of jets [n, j], leading jets [n, r], pairs [n, p] and events [n], and how pairs are seen."""
        pairs, both = self._pairs(jets, seen)
        threshold = self.visibility.threshold
        visible = jets.pt * seen
        leading, order = visible.topk(min(_RANKS, visible.shape[1]), dim=1)
        first = jets.phi.gather(1, order[:, :1])[:, 0]
        numbers = {
            "pt": (jets.pt / threshold).log(),
            "eta": jets.eta.abs(),
            "mass": (jets.mass / jets.pt).clamp_min(1e-3).log(),
            "pairs": pairs,
            "leading": (leading / threshold).clamp_min(0.1).log(),
            "ht": (visible.sum(1) / threshold).clamp_min(0.1).log(),
            "met": (jets.met.square().sum(1) + 1.0).log(),
            "along": (jets.met[:, 0] * first.cos() + jets.met[:, 1] * first.sin()) / threshold,
        }
        return numbers, both

    def _pairs(self, jets: JetTensors, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return log of the masses of pairs of leading jets, taken as massless [n, p], and how much they are seen."""
        count = min(_PAIRED, jets.pt.shape[1])
        order = (jets.pt * seen).topk(count, dim=1).indices
        pt, eta, phi, visible = (part.gather(1, order) for part in (jets.pt, jets.eta, jets.phi, seen))
        first, second = torch.triu_indices(count, count, offset=1).unbind(0)
        angle = torch.cosh(eta[:, first] - eta[:, second]) - torch.cos(phi[:, first] - phi[:, second])
        square = 2.0 * pt[:, first] * pt[:, second] * angle
        return 0.5 * square.clamp_min(1.0).log(), visible[:, first] * visible[:, second]

    def _counts(self, jets: JetTensors, seen: Tensor) -> list[Tensor]:
        """Return ramps of the number of jets and of those in each tag bin or above it, [n, c] each."""
        at_least = jets.tag.flip(-1).cumsum(-1).flip(-1)
        numbers = (seen[..., None] * at_least).sum(1)  # [n, t]; all jets are in the lowest bin or above it
        return [
            ramps(numbers[:, t], start + torch.arange(_COUNTED + 1.0))
            for t, start in enumerate([float(max(self.visibility.jets - 1, 0)), *[0.0] * (numbers.shape[1] - 1)])
        ]


def _knots(values: Tensor) -> Tensor:
    """Return rising values between which about equal numbers of the finite `values` are."""
    flat = values.flatten().sort().values
    at = torch.linspace(0.01, 0.99, _STEPS + 1) * (len(flat) - 1)
    knots = torch.unique(flat[at.round().long()])
    return knots if len(knots) > 1 else torch.stack([knots[0], knots[0] + 1.0])


@dataclass(frozen=True, slots=True)
class Center:
    """Means of the statistics of events [d], and the sum of the weights of those that are selected."""

    mean: Tensor
    total: Tensor


class Distance:
    """Hotelling's T^2 from a fixed target.

    Args:
        target: the events of the target.
        weight: their signed weights [n].
        visibility: which jets and events are looked at.

    """

    def __init__(self, target: JetTensors, weight: Tensor, visibility: Visibility) -> None:
        self.statistics = Statistics(target, visibility)
        blocks = [self.statistics(target.rows(slice(i, i + _ROWS))) for i in range(0, len(target), _ROWS)]
        numbers, selected = (torch.cat(part).double() for part in zip(*blocks, strict=True))
        share = weight.double() * selected
        share = share / share.sum()
        self.mean = share @ numbers
        centred = numbers - self.mean
        size = share.abs() / share.abs().sum()  # with signs, the covariance of few events may not be positive
        covariance = (centred * size[:, None]).T @ centred
        factor = torch.linalg.cholesky(covariance + torch.diag(_RIDGE * covariance.diagonal().clamp_min(0.0) + _FLOOR))
        self.whiten = torch.linalg.inv(factor).float()
        self.mean = self.mean.float()

    def residual(self, jets: JetTensors, weight: Tensor) -> tuple[Tensor, Center]:
        """Return C^-1/2 (m - mu) [d] of events with signed weights [n], and what `share` needs of their means."""
        numbers, selected = self.statistics(jets)
        total = (weight * selected).sum()
        mean = ((weight * selected) @ numbers) / total
        return self.whiten @ (mean - self.mean), Center(mean.detach(), total.detach())

    def share(self, jets: JetTensors, direction: Tensor, center: Center) -> Tensor:
        """Return what each event adds to the residual along `direction` [d], per unit of its weight [n].

        To first order: the mean of weighted events, with its denominator, that have the means `center`.
        """
        numbers, selected = self.statistics(jets)
        along: Tensor = (numbers - center.mean) @ (self.whiten.T @ direction)
        return selected * along / center.total
