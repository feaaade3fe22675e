"""Conditional flow matching: a velocity that carries one sample into another, learned without solving an equation.

Rows of the base (noise, or simulation) and of the data are joined by straight lines x_t = (1 - t) x_0 + t x_1; the
network learns the mean velocity x_1 - x_0 of the lines through a point (Lipman et al. 2023, eq. 23 with
sigma_min = 0; Liu et al. 2023; Tong et al. 2024 for a base that is not noise). dx/dt = v(x, t) from t = 0 to 1 then
carries the density of the base into that of the data.

The field is a function of the rows [n, ...] and their times [n]; whatever else a network reads (a class, a label of the
process) is bound to it by the caller: `lambda x, t: network(x, t, label)`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hepda.adversarial.diffusion.ode import Field, integrate
from hepda.adversarial.games.losses import RowLosses
from hepda.errors import ConfigError, DataError


def flow_matching_loss(
    velocity: Field, base: Tensor, data: Tensor, time: Tensor, weight: Tensor | None = None
) -> RowLosses:
    """Return `|v(x_t, t) - (x_1 - x_0)|^2` of pairs of rows, as the mean over the components of a row.

    Rows that are paired at random have the product of both weights; then the base and the data each have the density of
    their own weights. Weights keep their signs. The loss has a minimum only where, at each point and time, the weights
    of the lines that pass do not add up to a negative number.

    Args:
        velocity: the field to be learned.
        base: x_0 [n, ...].
        data: x_1, of the same shape.
        time: from 0 to 1 [n], such as `uniform_times`.
        weight: of the pairs [n].

    Raises:
        DataError: the rows do not have the same shape, or there is not one time for each.

    """
    if base.shape != data.shape or time.shape != (len(base),):
        raise DataError(
            f"flow matching pairs rows of one shape and needs a time for each: base {tuple(base.shape)}, data "
            f"{tuple(data.shape)}, time {tuple(time.shape)}"
        )
    share = time.reshape(-1, *[1] * (base.dim() - 1))
    predicted = velocity((1.0 - share) * base + share * data, time)
    return RowLosses((predicted - (data - base)).square().flatten(1).mean(dim=1), weight)


def uniform_times(rows: int, random: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return times from 0 to 1 [rows], drawn on the device of the random numbers."""
    return torch.rand(rows, generator=random, device=random.device, dtype=dtype)


def optimal_pairs(base: Tensor, data: Tensor) -> Tensor:
    """Return the row of `data` for each row of `base`, so that the mean squared distance is smallest [n].

    Optimal transport within a batch makes the lines cross less often (Tong et al. 2024, sec. 3.2). It is for rows of
    equal weight, such as rows drawn in proportion to their weights: the product of weights of chosen pairs would not
    give back the densities. Its cost grows with the cube of n; a batch of 256 takes a few milliseconds.

    Args:
        base: rows [n, ...].
        data: as many rows of the same shape.

    Raises:
        DataError: another number or shape of rows, or rows that are not finite.

    """
    from scipy.optimize import linear_sum_assignment

    if base.shape != data.shape:
        raise DataError(f"pairs need two samples of one shape: {tuple(base.shape)} and {tuple(data.shape)}")
    cost = torch.cdist(base.detach().flatten(1).double(), data.detach().flatten(1).double()).square()
    if not bool(cost.isfinite().all()):
        raise DataError("pairs need finite rows: a number is missing or too large, as after a training that diverged")
    _, column = linear_sum_assignment(cost.cpu().numpy())
    return torch.as_tensor(column, device=base.device)


def transported(velocity: Field, start: Tensor, steps: int = 20, method: str = "heun", until: float = 1.0) -> Tensor:
    """Return rows of the base carried along the velocity; no gradient is kept.

    Args:
        velocity: the learned field.
        start: rows of the base [n, ...].
        steps: number of steps of equal length.
        method: `euler`, `midpoint` or `heun` (ode.py).
        until: time at which to stop; 1 is the data.

    Raises:
        ConfigError: an unknown method, or fewer than one step.

    """
    if steps < 1:
        raise ConfigError(f"steps is {steps}; it must be 1 or more")
    return integrate(velocity, start, torch.linspace(0.0, until, steps + 1, device=start.device), method)
