"""Points that are measured with several seeds: the errors of their means, and how far the points truly differ.

The model of a value is y[p, s] = mu[p] + c[s] + e[p, s]: the expected value of the point, an effect of the seed that
all points have in common (the same initial weights, the same order of the batches), and the rest. An effect in common
moves all points alike: it is part of the error of every mean, but it cannot change which point is the best. The
variances follow from the analysis of variance (Searle, Casella, McCulloch, Variance Components, 1992, chapter 4). The
variance of e may differ from point to point; as each is known from few seeds, it is moved towards that of all points as
far as the variances scatter no more than such estimates do (Smyth, Stat. Appl. Genet. Mol. Biol. 3 (2004) 3, section
6.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from hepda.results.evaluation import FloatArray

_ROUNDS = 12  # of the fit of means and seeds' effects in turn, which is exact in the first where no value is missing


_LARGEST_SCALE = 9.0  # of a drawn variance, in those that were estimated
_WEIGHT_OF_NONE = 2.0  # degrees of freedom that "the quantities have nothing to do with each other" counts for


class ErrorModel(Protocol):
    """The errors of the means of some points, for one or more quantities.

    mean: [points, quantities]; own: error of each mean without what all points have in common, the same shape.
    """

    @property
    def mean(self) -> FloatArray:
        """Means [points, quantities]."""

    @property
    def own(self) -> FloatArray:
        """Error of each mean without what all points have in common [points, quantities]."""

    def draw(self, draws: int, generator: Generator) -> tuple[FloatArray, FloatArray]:
        """Return random errors: of each mean alone [draws, points, quantities], and common ones [draws, quantities]."""


@dataclass(frozen=True, slots=True, eq=False)
class SeedErrors:
    """The errors of means over seeds.

    mean, own: see `ErrorModel`; correlation: between the quantities [quantities, quantities] of the rest e; degrees: of
    freedom of the variance of all points together; prior: those that the variance of all points counts for in that of
    one (infinite: they are the same); each: those of one point; seed_mean_square: mean square of the seeds' effects,
    times the number of points [quantities], None where seeds have nothing in common; shape: number of points and seeds;
    rest: variance of e, mean over points [quantities].
    """

    mean: FloatArray
    own: FloatArray
    correlation: FloatArray
    degrees: float
    prior: float
    each: float
    seed_mean_square: FloatArray | None
    shape: tuple[int, int]
    rest: FloatArray

    def draw(self, draws: int, generator: Generator) -> tuple[FloatArray, FloatArray]:
        """Return random errors, see `ErrorModel`; their variances are drawn as well, as they are estimates."""
        points, quantities = self.mean.shape
        root = _root(self.correlation)
        normal = generator.standard_normal((draws, points, quantities)) @ root.T
        scale = self.degrees / generator.chisquare(self.degrees, size=(draws, 1, 1))
        if np.isfinite(self.prior):
            freedom = self.prior + self.each
            scale = scale * (freedom / generator.chisquare(freedom, size=(draws, points, 1)))
        # Of one or two degrees of freedom the mean of the errors would not exist.
        own = normal * np.sqrt(np.minimum(scale, _LARGEST_SCALE)) * self.own
        return own, self._shared(draws, scale.mean(axis=1), generator)

    @property
    def shared_variance(self) -> FloatArray:
        """Variance of the error that the means of all points have in common [quantities]."""
        points, seeds = self.shape
        if self.seed_mean_square is None:
            return np.zeros_like(self.rest)
        return np.asarray(np.maximum(self.seed_mean_square - self.rest, 0.0) / (points * seeds))

    def _shared(self, draws: int, scale: FloatArray, generator: Generator) -> FloatArray:
        """Return common errors [draws, quantities]; `scale` [draws, 1] is that of the variance of the rest."""
        points, seeds = self.shape
        normal = generator.standard_normal((draws, len(self.rest)))
        if self.seed_mean_square is None:
            return np.zeros_like(normal)
        drawn = self.seed_mean_square * ((seeds - 1) / generator.chisquare(seeds - 1, size=(draws, 1)))
        variance = np.maximum(drawn - self.rest * scale, 0.0) / points
        return np.asarray(normal * np.sqrt(variance / seeds))


@dataclass(frozen=True, slots=True, eq=False)
class ReplicaErrors:
    """The errors of values [points, quantities] from bootstrap replicas [replicas, points, quantities]."""

    mean: FloatArray
    deviations: FloatArray
    """Replicas minus their mean."""

    @property
    def own(self) -> FloatArray:
        """The error of each value without what all points have in common, [points, quantities]."""
        points = len(self.mean)
        rest = self.deviations - self._common() if points > 1 else self.deviations
        return np.asarray(rest.std(axis=0, ddof=1) * np.sqrt(points / max(points - 1, 1)))

    def _common(self) -> FloatArray:
        return np.asarray(self.deviations.mean(axis=1, keepdims=True))

    def draw(self, draws: int, generator: Generator) -> tuple[FloatArray, FloatArray]:
        """Return random errors, see `ErrorModel`: replicas, so that their correlations are those of the events."""
        rows = self.deviations[generator.integers(len(self.deviations), size=draws)]
        return rows, np.zeros((draws, self.mean.shape[1]))


@dataclass(frozen=True, slots=True, eq=False)
class ValueErrors:
    """Known, independent errors [points] of values [points, quantities], the same for all quantities and fully
    correlated between them: one number that both chooses and is reported.
    """

    mean: FloatArray
    error: FloatArray

    @property
    def own(self) -> FloatArray:
        """The error of each value, [points, quantities]."""
        return np.repeat(self.error[:, None], self.mean.shape[1], axis=1)

    def draw(self, draws: int, generator: Generator) -> tuple[FloatArray, FloatArray]:
        """Return random errors, see `ErrorModel`."""
        drawn = generator.standard_normal((draws, len(self.error))) * self.error
        return np.repeat(drawn[..., None], self.mean.shape[1], axis=2), np.zeros((draws, self.mean.shape[1]))


def errors_of_replicas(values: FloatArray, replicas: FloatArray) -> ReplicaErrors:
    """Return the errors of values [points, quantities] from replicas [replicas, points, quantities]."""
    return ReplicaErrors(values, replicas - replicas.mean(axis=0))


def errors_of_seeds(values: FloatArray, *, paired: bool) -> SeedErrors | None:
    """Return the errors of means over seeds; None if no point has a second seed.

    Args:
        values: [points, seeds, quantities], NaN where missing; every point has a value of every quantity.
        paired: whether a seed has the same number at all points, so that they may have an effect in common.

    """
    present = np.asarray(np.isfinite(values).all(axis=2))
    count = present.sum(axis=1)
    points, seeds = present.shape
    filled = np.where(present[..., None], values, 0.0)
    mean = filled.sum(axis=1) / count[:, None]
    in_common = paired and points > 1 and seeds > 1
    centre, effect = _fit(filled, present) if in_common else (mean, np.zeros((seeds, values.shape[2])))
    rest = np.where(present[..., None], filled - centre[:, None] - effect, 0.0)
    degrees = float(present.sum() - points - (np.count_nonzero(present.any(axis=0)) - 1 if in_common else 0))
    if degrees < 1:
        return None
    total = (rest**2).sum(axis=(0, 1)) / degrees
    several = count > 1
    each = degrees / max(int(np.count_nonzero(several)), 1)
    shares = np.where(several, (count - 1) / (count - 1)[several].sum() * degrees, 1.0)
    variances = np.where(several[:, None], (rest**2).sum(axis=1) / shares[:, None], total)
    prior = _prior_degrees(variances[several], each)
    moderated = np.broadcast_to(total, mean.shape)
    if np.isfinite(prior):
        moderated = (prior * _prior_variance(variances[several], each, prior) + each * variances) / (prior + each)
    mean_square = points * (effect**2).sum(axis=0) / (seeds - 1) if in_common else None
    variance = moderated / count[:, None]
    if mean_square is not None:  # a point without some of the seeds has another mean of their effects
        of_effect = np.maximum(mean_square - total, 0.0) / points
        variance = variance + of_effect * (1.0 / count - 1.0 / seeds)[:, None]
    return SeedErrors(
        mean,
        np.sqrt(variance),
        _correlation(rest, filled, degrees),
        degrees,
        prior,
        each,
        mean_square,
        (points, seeds),
        total,
    )


def _fit(values: FloatArray, present: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Return the means of points [points, quantities] and the effects of seeds [seeds, quantities], of sum 0."""
    weight = present[..., None].astype(np.float64)
    effect = np.zeros(values.shape[1:])
    seeds = np.maximum(weight.sum(axis=0), 1.0)
    for _ in range(1 if present.all() else _ROUNDS):
        centre = (weight * (values - effect)).sum(axis=1) / weight.sum(axis=1)
        effect = (weight * (values - centre[:, None])).sum(axis=0) / seeds
        effect = effect - effect.mean(axis=0)
    return (weight * (values - effect)).sum(axis=1) / weight.sum(axis=1), effect


def _correlation(rest: FloatArray, values: FloatArray, degrees: float) -> FloatArray:
    """Return the correlations of the quantities [quantities, quantities]; 0 with one that does not vary.

    Correlations of different quantities from few degrees of freedom are near 1 by chance, so they are moved towards 0.
    """
    product = np.einsum("psa,psb->ab", rest, rest)
    size = np.sqrt(np.diag(product))
    size = np.where(size > 0, size, 1.0)
    result = product / np.outer(size, size)
    pairs = [[_same(values[..., a], values[..., b]) for b in range(len(size))] for a in range(len(size))]
    result = np.where(pairs, result, result * degrees / (degrees + _WEIGHT_OF_NONE))
    np.fill_diagonal(result, 1.0)
    return np.asarray(result)


def _same(first: FloatArray, second: FloatArray) -> bool:
    """Return whether two quantities are one number, or one with its sign changed."""
    return bool(np.array_equal(first, second) or np.array_equal(first, -second))


def _root(matrix: FloatArray) -> FloatArray:
    """Return a root R of a matrix of correlations, R R^T, that may be singular."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _prior_degrees(variances: FloatArray, each: float) -> float:
    """Return the degrees of freedom that the common variance counts for, from the scatter of the points' logarithms.

    Args:
        variances: of the points [points, quantities].
        each: degrees of freedom of each.

    """
    from scipy.special import polygamma

    positive = variances[:, (variances > 0).all(axis=0)]
    if positive.shape[0] < 3 or positive.shape[1] == 0:
        return np.inf
    scatter = float(np.log(positive).var(axis=0, ddof=1).mean()) - float(polygamma(1, each / 2))
    if scatter <= 0:
        return np.inf
    grid = np.geomspace(0.2, 1e4, 200)  # trigamma falls: its inverse by interpolation
    return float(2.0 * np.interp(-scatter, -polygamma(1, grid), grid)) if scatter > polygamma(1, 1e4) else np.inf


def _prior_variance(variances: FloatArray, each: float, prior: float) -> FloatArray:
    """Return the common variance [quantities] from the logarithms of those of the points, see `_prior_degrees`."""
    from scipy.special import digamma

    floor = np.where(variances > 0, variances, np.maximum(variances.mean(axis=0) * 1e-6, 1e-300))
    offset = np.log(each / 2) - digamma(each / 2) + digamma(prior / 2) - np.log(prior / 2)
    return np.asarray(np.exp(np.log(floor).mean(axis=0) + offset))


def log_likelihood(values: FloatArray, error: FloatArray, spread: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the restricted log likelihood of standard deviations of the true values, and the centre at each.

    Values are normal about their true values with their errors, and those normal about a common centre, which is
    integrated over with a flat prior (Gelman et al., Bayesian Data Analysis, 3rd edition, equations 5.20 and 5.21).

    Args:
        values: [..., points].
        error: of the values [points], positive.
        spread: standard deviations of the true values [grid].

    Returns:
        Log likelihood [..., grid], up to a constant, and centre [..., grid].

    """
    variance = error**2 + spread[:, None] ** 2  # [grid, points]
    weight = 1.0 / variance
    total = weight.sum(axis=1)
    first, second = values @ weight.T, values**2 @ weight.T
    centre = first / total
    square = np.maximum(second - first * centre, 0.0)
    return -0.5 * (np.log(variance).sum(axis=1) + np.log(total) + square), centre
