"""Variance components: a grid with known effects, no effects at all, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hepda.errors import DataError
from hepda.evaluation.variance import spread, variance_components


def grid(first: float, second: float, both: float, noise: float, rng: np.random.Generator, n: int = 3) -> np.ndarray:
    """Results of three levels times four, with effects of these standard deviations (of fixed levels: exactly)."""

    def exactly(effects: np.ndarray, axis: int | tuple[int, ...], width: float, freedom: int) -> np.ndarray:
        centred = effects - effects.mean(axis=axis, keepdims=True) if isinstance(axis, int) else (
            effects - effects.mean(0, keepdims=True) - effects.mean(1, keepdims=True) + effects.mean()
        )  # fmt: skip
        return centred * width / np.sqrt((centred**2).sum() / freedom)

    a, b = exactly(rng.normal(size=3), 0, first, 2), exactly(rng.normal(size=4), 0, second, 3)
    ab = exactly(rng.normal(size=(3, 4)), (0, 1), both, 6)
    return 50.0 + a[:, None, None] + b[None, :, None] + ab[:, :, None] + rng.normal(0.0, noise, (3, 4, n))


def test_the_components_of_a_known_grid_are_found_without_bias() -> None:
    rng = np.random.default_rng(1)
    found = [variance_components(grid(1.0, 3.0, 0.5, 0.8, rng), replicas=2) for _ in range(400)]
    means = [np.mean([getattr(f, name).value for f in found]) for name in ("first", "second", "interaction", "seed")]
    np.testing.assert_allclose(means, [1.0, 9.0, 0.25, 0.64], rtol=0.05)


def test_of_nothing_but_noise_the_estimates_are_around_zero_and_may_be_negative() -> None:
    rng = np.random.default_rng(2)
    found = [variance_components(grid(0.0, 0.0, 0.0, 1.0, rng), replicas=2, random=True) for _ in range(300)]
    first = np.array([f.first.value for f in found])
    assert abs(first.mean()) < 3 * first.std() / np.sqrt(300) and (first < 0).mean() > 0.3


def test_intervals_contain_the_truth_and_tell_which_factor_matters() -> None:
    rng = np.random.default_rng(3)
    found = [variance_components(grid(0.5, 2.0, 0.3, 0.5, rng, n=8), replicas=200) for _ in range(150)]
    inside = np.mean([f.second.low <= 4.0 <= f.second.high for f in found])
    assert 0.55 < inside < 0.8
    assert np.mean([f.difference.low > 0.0 for f in found]) > 0.95


def test_the_interval_of_the_seeds_is_around_its_estimate_with_few_seeds() -> None:
    rng = np.random.default_rng(5)
    found = [variance_components(grid(1.0, 3.0, 0.5, 0.8, rng, n=5), replicas=200).seed for _ in range(150)]
    assert all(seed.low <= seed.value <= seed.high for seed in found)
    assert 0.55 < np.mean([seed.low <= 0.64 <= seed.high for seed in found]) < 0.85


def test_a_grid_with_gaps_or_one_seed_is_refused() -> None:
    with pytest.raises(DataError, match="two of each or more"):
        variance_components(np.zeros((3, 4, 1)))
    with pytest.raises(DataError, match="a training of the grid is missing"):
        variance_components(np.full((3, 4, 2), np.nan))


def test_the_interval_of_several_seeds_is_that_of_students_t() -> None:
    values = [0.2, 0.5, 0.3, 0.4]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert spread(values) == pytest.approx({"value": 0.35, "low": low, "high": high})
    assert spread([0.7]) == {"value": 0.7, "low": None, "high": None}
