"""Does a small loss mean a good sample? A bound on the Wasserstein distance of a score model, and the distance itself.

Kwon, Fan & Lee 2022 (arXiv:2212.06359): data p_0 and samples q_0 of the reversed diffusion with the score s obey
W2(p_0, q_0) <= int_0^T g^2 I sqrt(E_p |s - grad log p_t|^2) dt + I(T) W2(p_T, q_T), I(t) = exp int_0^t (L_f + g^2 L_s),
where L_f = g^2 / 2 for schedules that preserve the variance, and L_s(t) is the one-sided Lipschitz constant of the
score: (s(x) - s(y)) (x - y) <= L_s |x - y|^2. By Cauchy and Schwarz the first term is at most a constant times sqrt(J),
J = 1/2 int g^2 E|s - grad log p_t|^2 dt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hepda.adversarial.diffusion.flow_matching import optimal_pairs
from hepda.adversarial.diffusion.ode import Field
from hepda.errors import DataError


@dataclass(frozen=True, slots=True)
class WassersteinBound:
    """The bound in its parts; natural logarithms, because in many dimensions the numbers overflow.

    Attributes:
        objective: J, half the integral of g^2 E|s - grad log p_t|^2.
        log_integral: of the first term, int g^2 I sqrt(E) dt.
        log_factor: of the constant of the looser form, sqrt(2 int g^2 I^2 dt).
        log_amplification: log I(T), of which the second term is made.
        prior: W2(p_T, q_T).

    """

    objective: float
    log_integral: float
    log_factor: float
    log_amplification: float
    prior: float

    @property
    def log_bound(self) -> float:
        """Return the logarithm of the bound in its integral form."""
        return _log_sum(self.log_integral, self._log_offset)

    @property
    def log_bound_of_objective(self) -> float:
        """Return the logarithm of the looser form, constant times sqrt(J) plus offset."""
        return _log_sum(self.log_factor + 0.5 * _log(self.objective), self._log_offset)

    @property
    def _log_offset(self) -> float:
        return self.log_amplification + _log(self.prior)


def wasserstein_bound(
    increments: Tensor, lipschitz: Tensor, squared_errors: Tensor, prior: float = 0.0
) -> WassersteinBound:
    """Return the bound from values at times that rise from the data to the noise.

    Args:
        increments: integral of g^2 over the interval that ends at each time [k]; the betas of a discrete diffusion.
        lipschitz: L_s at each time [k].
        squared_errors: E_p |s - grad log p_t|^2 at each time [k], a sum over components. With the loss of denoising in
            its place, which is larger by a constant, the bound is looser.
        prior: W2(p_T, q_T), of the noise that sampling starts from.

    Raises:
        DataError: the values are not of one length, or not numbers.

    """
    values = [of.double() for of in (increments, lipschitz, squared_errors)]
    if len({of.shape for of in values}) > 1 or not all(bool(of.isfinite().all()) for of in values):
        raise DataError(f"the bound needs finite numbers at the same times: {[tuple(of.shape) for of in values]}")
    step, constant, error = values
    log_growth = ((0.5 + constant) * step).cumsum(0)
    return WassersteinBound(
        objective=float(0.5 * (step * error).sum()),
        log_integral=float(torch.logsumexp(step.log() + log_growth + 0.5 * error.log(), 0)),
        log_factor=0.5 * math.log(2.0) + 0.5 * float(torch.logsumexp(step.log() + 2.0 * log_growth, 0)),
        log_amplification=float(log_growth[-1]),
        prior=prior,
    )


def one_sided_lipschitz(field: Field, points: Tensor, time: Tensor) -> Tensor:
    """Return the largest eigenvalue of the symmetric part of d field / d x at each point [n].

    Their maximum over all x is L_s; over some points it is a lower estimate, so that a bound from it is not proven.

    Args:
        field: such as a score; it treats each row on its own.
        points: rows [n, d].
        time: of each row [n].

    """
    with torch.enable_grad():
        x = points.detach().requires_grad_(True)
        values = field(x, time)
        slopes = [torch.autograd.grad(of.sum(), x, retain_graph=True)[0] for of in values.unbind(dim=1)]
    matrix = torch.stack(slopes, dim=1).double()
    largest: Tensor = torch.linalg.eigvalsh(0.5 * (matrix + matrix.transpose(1, 2)))[:, -1]
    return largest


def wasserstein_2(first: Tensor, second: Tensor) -> float:
    """Return the exact W2 distance of two samples of n rows [n, ...], by the best assignment.

    Two samples of one density are apart as well: quote their distance beside it.
    """
    return math.sqrt(float((first - second[optimal_pairs(first, second)]).square().flatten(1).sum(dim=1).mean()))


def sliced_wasserstein_2(first: Tensor, second: Tensor, random: torch.Generator, directions: int = 50) -> float:
    """Return the sliced W2 distance of two samples of n rows [n, d]: root mean square over random directions.

    It is at most W2 / sqrt(d), in the mean over directions (Bonneel et al. 2015).
    """
    axes = torch.randn(first.shape[1], directions, generator=random, dtype=first.dtype)
    axes = axes / axes.norm(dim=0)
    ordered = [(rows @ axes).sort(dim=0).values for rows in (first, second)]
    return math.sqrt(float((ordered[0] - ordered[1]).square().mean()))


def _log(value: float) -> float:
    return math.log(value) if value > 0.0 else -math.inf


def _log_sum(first: float, second: float) -> float:
    return float(torch.logaddexp(torch.tensor(first).double(), torch.tensor(second).double()))
