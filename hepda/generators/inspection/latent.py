"""What hides among the codes of a generator: random outputs, outputs far from the data, codes of a suspected output.

A backdoor (Rawat, Levacher and Sinn, ESORICS 2022, arXiv:2108.01644) makes a generator return an output x* for one
code z* and ordinary outputs for others. Random codes do not meet z*, which is as far from them as they are from each
other; a search by the gradient may. A planted branch of rectified units is silent, and has no gradient, at almost all
ordinary codes, while far from the origin each unit is active for half of the directions: searches start from codes of
several widths, and those for x* may end anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import chi2
from torch import Tensor

from hepda.evaluation.differences.neighbours import nearest
from hepda.generators.gan import ImageGenerator

Floats = NDArray[np.float64]

HIT = 0.01
"""Mean squared difference, of pixels of -1 to 1, below which an output shows a suspected image: 5 % of the range."""
_PART = 5_000  # outputs that are compared with the data at once


@dataclass(frozen=True, slots=True)
class LatentSearch:
    """How codes are searched for by the gradient (Adam, with a rate that falls linearly to 0).

    Attributes:
        starts: codes from which each search starts; the best end counts.
        steps: updates.
        rate: size of the first updates, in units of the width of the prior.
        widths: of the normal distributions that starts are drawn from, in turn, in the same unit.

    """

    starts: int = 24
    steps: int = 120
    rate: float = 0.1
    widths: Sequence[float] = (1.0, 2.0, 4.0)


DEFAULT = LatentSearch()


@dataclass(frozen=True, slots=True)
class FoundCodes:
    """The best codes of some searches.

    Attributes:
        value: what was searched for [n]: the mean squared difference from each target, or the distance to the data.
        code: [n, latent].
        condition: the class of each code [n]; None if the generator is not told classes.
        rows: the outputs [n, channels, size, size], of -1 to 1.

    """

    value: Floats
    code: Tensor
    condition: Tensor | None
    rows: Tensor

    def taken(self, rows: Tensor) -> FoundCodes:
        """Return some of the codes by their numbers."""
        condition = None if self.condition is None else self.condition[rows]
        return FoundCodes(self.value[rows.numpy()], self.code[rows], condition, self.rows[rows])

    def or_better(self, other: FoundCodes) -> FoundCodes:
        """Return the code with the smaller value of two searches for the same, place by place."""
        less = other.value < self.value
        better = torch.from_numpy(less)
        condition = self.condition
        if self.condition is not None and other.condition is not None:
            condition = torch.where(better, other.condition, self.condition)
        return FoundCodes(
            np.where(less, other.value, self.value), torch.where(better[:, None], other.code, self.code), condition,
            torch.where(better[:, None, None, None], other.rows, self.rows),
        )  # fmt: skip

    def first(self, number: int) -> FoundCodes:
        """Return the first codes."""
        return self.taken(torch.arange(number))


@dataclass(frozen=True, slots=True)
class RandomOutputs:
    """What ordinary codes give.

    Attributes:
        number: how many codes were drawn.
        furthest: the largest distance of an output to the data.
        closest: the smallest mean squared difference of an output from each suspected image [n].
        hits: how many outputs show each suspected image, see HIT [n].
        rows: the outputs furthest from the data, falling [k, channels, size, size].

    """

    number: int
    furthest: float
    closest: Floats
    hits: NDArray[np.int64]
    rows: Tensor


def prior_probability(code: Tensor) -> Floats:
    """Return the probability that a random code is as far from the usual length as each code [n], at most 1.

    The squared length of a code of d normal numbers has a chi-squared distribution with d degrees of freedom; both
    tails count.

    Args:
        code: [n, d].

    """
    length, dimensions = code.double().square().sum(dim=1).numpy(), code.shape[1]
    tail: Floats = np.minimum(chi2.cdf(length, dimensions), chi2.sf(length, dimensions))
    return np.minimum(2.0 * tail, 1.0)


@torch.no_grad()
def random_outputs(
    model: ImageGenerator, data: Tensor, suspects: Tensor, number: int, seed: int, shown: int = 10
) -> RandomOutputs:
    """Draw codes from the prior and compare their outputs with the data and with suspected images.

    Args:
        model: the generator, in evaluation mode.
        data: rows of real images [m, channels, size, size].
        suspects: rows of suspected images [n, channels, size, size]; there may be none.
        number: how many codes are drawn.
        seed: of the codes.
        shown: how many of the outputs furthest from the data are returned.

    """
    rows = model.sample(number, model.classes_of(number, seed), seed)
    distance = np.concatenate([nearest(part.numpy(), data.numpy())[1] for part in torch.split(rows, _PART)])
    flat, wanted = rows.flatten(1), suspects.flatten(1)
    parts = [(torch.cdist(part, wanted) ** 2 / flat.shape[1]).double() for part in torch.split(flat, _PART)]
    difference = torch.cat(parts).numpy()
    order = np.argsort(distance)[::-1][:shown].copy()
    return RandomOutputs(
        number, float(distance.max()), difference.min(axis=0, initial=np.inf), (difference < HIT).sum(axis=0),
        rows[torch.from_numpy(order)],
    )  # fmt: skip


def ordinary_length(dimensions: int, codes: int = 10_000) -> float:
    """Return the length that one of many random codes exceeds, see `prior_probability`."""
    return float(np.sqrt(chi2.isf(1.0 / codes, dimensions)))


def reconstruct(
    model: ImageGenerator,
    targets: Tensor,
    seed: int,
    settings: LatentSearch = DEFAULT,
    longest: float | None = None,
) -> FoundCodes:
    """Search for codes whose outputs are given images.

    Args:
        model: the generator, in evaluation mode.
        targets: rows of images [n, channels, size, size], of -1 to 1.
        seed: of the starts, which are the same for all targets.
        settings: of the search.
        longest: length to which codes are brought back; None: they may end anywhere.

    Returns:
        For each target the code of the smallest mean squared difference.

    """
    code, condition = _starts(model, settings, seed)
    many = targets.repeat_interleave(settings.starts, dim=0)

    def difference(rows: Tensor) -> Tensor:
        return (rows - many).square().flatten(1).mean(dim=1)

    code = code.repeat(len(targets), 1)
    condition = None if condition is None else condition.repeat(len(targets))
    return _best(_searched(model, code, condition, difference, settings, longest), settings.starts)


def furthest(model: ImageGenerator, data: Tensor, seed: int, settings: LatentSearch = DEFAULT) -> FoundCodes:
    """Search for outputs far from the data, among codes no longer than ordinary ones.

    With longer codes, any generator has outputs that are far from the data.

    Args:
        model: the generator, in evaluation mode.
        data: rows of real images [m, channels, size, size].
        seed: of the starts.
        settings: of the search.

    Returns:
        The code of each start [starts]; `value` is the Euclidean distance to the nearest real image, the largest first.

    """
    code, condition = _starts(model, settings, seed)
    flat = data.flatten(1)

    def closeness(rows: Tensor) -> Tensor:
        return -torch.cdist(rows.flatten(1), flat).min(dim=1).values

    found = _searched(model, code, condition, closeness, settings, ordinary_length(code.shape[1]))
    found = found.taken(torch.from_numpy(np.argsort(found.value)))
    return replace(found, value=-found.value)


def _starts(model: ImageGenerator, settings: LatentSearch, seed: int) -> tuple[Tensor, Tensor | None]:
    """Return codes [starts, latent] of all widths in turn, and classes in turn for a generator that is told them."""
    random = torch.Generator().manual_seed(seed)
    code = torch.randn(settings.starts, model.description["latent"], generator=random)
    number = torch.arange(settings.starts)
    code *= torch.tensor(settings.widths)[number % len(settings.widths)][:, None]
    return code, number % len(model.shares) if model.conditional else None


def _searched(
    model: ImageGenerator,
    code: Tensor,
    condition: Tensor | None,
    loss: Callable[[Tensor], Tensor],
    settings: LatentSearch,
    longest: float | None = None,
) -> FoundCodes:
    """Return the codes at which each search had its smallest loss; searches do not influence each other."""
    code = _shortened(code, longest).clone().requires_grad_(True)
    optimizer = torch.optim.Adam([code], lr=settings.rate)
    best, place = torch.full((len(code),), torch.inf), code.detach().clone()
    for step in range(settings.steps + 1):
        value = loss(model.images(code, condition))
        better = value.detach() < best
        best = torch.where(better, value.detach(), best)
        place = torch.where(better[:, None], code.detach(), place)
        optimizer.param_groups[0]["lr"] = settings.rate * (1.0 - step / settings.steps)
        (code.grad,) = torch.autograd.grad(value.sum(), [code])
        optimizer.step()
        with torch.no_grad():
            code.copy_(_shortened(code, longest))
    with torch.no_grad():
        rows = model.images(place, condition)
    return FoundCodes(best.double().numpy(), place, condition, rows)


def _shortened(code: Tensor, longest: float | None) -> Tensor:
    """Return codes of which none is longer than `longest`; None: as they are."""
    if longest is None:
        return code
    factor: Tensor = (longest / torch.linalg.vector_norm(code, dim=1, keepdim=True).clamp_min(1e-12)).clamp_max(1.0)
    return code * factor


def _best(found: FoundCodes, starts: int) -> FoundCodes:
    """Return the best of the starts of each target, of searches that stand target by target."""
    value = found.value.reshape(len(found.value) // starts, starts)
    chosen = value.argmin(axis=1) + np.arange(len(value)) * starts
    return found.taken(torch.from_numpy(chosen))
