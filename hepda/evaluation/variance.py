"""Which of two choices matters: variance components of a grid of results, with every cell repeated by several seeds.

A result of level i of the first factor (the encoder), level j of the second (the recipe) and seed k is taken to be

    y_ijk = mu + a_i + b_j + (ab)_ij + e_ijk

in a balanced two-way layout (Searle, Casella & McCulloch, Variance Components (1992), chapter 4). With the mean squares
of the analysis of variance, A and B levels and n seeds, the components are

    fixed levels (the ones that there are):       s_a^2 = (MS_a - MS_e) / (B n),  s_ab^2 = (MS_ab - MS_e) / n
    random levels (drawn from many, as `random`): s_a^2 = (MS_a - MS_ab) / (B n), s_ab^2 = (MS_ab - MS_e) / n

and s_e^2 = MS_e. An estimate below 0 is reported as it is: the component is compatible with none. Intervals are those
of a bootstrap that draws seeds with replacement, the same ones for all cells, since a seed is the same draw for all;
drawing again adds the noise of the seeds once more, so the interval is mirrored at the estimate (basic bootstrap). The
variance of seeds that are drawn again is on average smaller by (n - 1) / n, by which it is divided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hepda.errors import DataError
from hepda.results.evaluation import FloatArray, Interval


@dataclass(frozen=True, slots=True)
class VarianceComponents:
    """Variances, in the square of the unit of the results.

    Attributes:
        first: of the levels of the first factor.
        second: of the levels of the second factor.
        interaction: of what a pair of levels has beyond the sum of both.
        seed: between seeds of the same pair.
        difference: `second` minus `first`: above 0 if the second factor matters more.

    """

    first: Interval
    second: Interval
    interaction: Interval
    seed: Interval
    difference: Interval


def variance_components(
    results: ArrayLike, *, random: bool = False, replicas: int = 2000, level: float = 0.6827, seed: int = 0
) -> VarianceComponents:
    """Return the variance components of a grid of results.

    Args:
        results: a number for each level of the first factor, level of the second factor, and seed [a, b, n].
        random: whether the levels stand for many others from which they were drawn; False: only they are of interest.
        replicas: number of bootstrap replicas.
        level: probability of the intervals.
        seed: seed of the bootstrap.

    Raises:
        DataError: a factor has one level, there is one seed, or a result is not a finite number.

    Example:
        >>> found = variance_components([[[1.0, 1.2], [3.0, 3.2]], [[1.1, 0.9], [3.1, 2.9]]])
        >>> bool(found.second.value > 10 * abs(found.first.value))
        True

    """
    values = np.asarray(results, dtype=np.float64)
    if values.ndim != 3 or min(values.shape) < 2:
        raise DataError(f"variance components need results [a, b, seeds], two of each or more, not {values.shape}")
    if not np.isfinite(values).all():
        raise DataError("variance components need finite results: a training of the grid is missing")
    generator = np.random.default_rng(seed)
    draws = generator.integers(0, values.shape[2], (replicas, values.shape[2]))
    estimate = _components(values, random=random)
    drawn = np.array([_components(values[:, :, chosen], random=random) for chosen in draws])
    drawn[:, 3] *= values.shape[2] / (values.shape[2] - 1)
    ends = np.quantile(drawn, [0.5 + level / 2, 0.5 - level / 2], axis=0)
    mirrored = 2.0 * estimate - ends
    numbers = zip(estimate.tolist(), *mirrored.tolist(), strict=True)
    return VarianceComponents(*(Interval(value, low, high, level) for value, low, high in numbers))


def _components(values: FloatArray, *, random: bool) -> FloatArray:
    """Return the five numbers of `VarianceComponents` of results [a, b, n]."""
    a, b, n = values.shape
    cells, mean = values.mean(axis=2), values.mean()
    rows, columns = cells.mean(axis=1) - mean, cells.mean(axis=0) - mean
    beyond = cells - mean - rows[:, None] - columns[None, :]
    ms_first = b * n * float(rows @ rows) / (a - 1)
    ms_second = a * n * float(columns @ columns) / (b - 1)
    ms_both = n * float((beyond**2).sum()) / ((a - 1) * (b - 1))
    ms_seed = float(((values - cells[:, :, None]) ** 2).sum()) / (a * b * (n - 1))
    below = ms_both if random else ms_seed
    first, second = (ms_first - below) / (b * n), (ms_second - below) / (a * n)
    return np.array([first, second, (ms_both - ms_seed) / n, ms_seed, second - first])


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Return the mean of values and its 95 % interval by Student's t (None for one value)."""
    from scipy.stats import t

    mean = float(np.mean(values))
    if len(values) < 2:
        return {"value": mean, "low": None, "high": None}
    half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return {"value": mean, "low": mean - half, "high": mean + half}
