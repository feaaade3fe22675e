"""The Frechet distance against closed forms for normal distributions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from hepda.errors import DataError
from hepda.evaluation.differences.frechet import frechet_distance


def with_moments(rows: int, mean: np.ndarray, covariance: np.ndarray, seed: int) -> np.ndarray:
    """Rows whose sample mean and sample covariance are exactly these."""
    x = np.random.default_rng(seed).normal(size=(rows, len(mean)))
    x -= x.mean(axis=0)
    whitened = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False)).T)
    return mean + whitened @ np.linalg.cholesky(covariance).T


def test_a_shift_is_its_squared_length() -> None:
    x = np.random.default_rng(1).normal(size=(200, 3))
    assert frechet_distance(x, x + np.array([1.0, -2.0, 0.5])) == pytest.approx(5.25)
    assert frechet_distance(x, x) == pytest.approx(0.0, abs=1e-10)


def test_covariances_that_commute_have_a_sum_of_squared_differences_of_widths() -> None:
    first, second = np.array([1.0, 2.0, 0.1]), np.array([0.5, 3.0, 0.4])
    zero = np.zeros(3)
    samples = [with_moments(50, zero, np.diag(widths**2), seed) for seed, widths in enumerate((first, second))]
    assert frechet_distance(*samples) == pytest.approx(float(((first - second) ** 2).sum()))


def test_any_covariances_agree_with_the_matrix_root_of_scipy() -> None:
    random = np.random.default_rng(2)
    roots = random.normal(size=(2, 4, 4))
    covariances = [root @ root.T for root in roots]
    means = random.normal(size=(2, 4))
    samples = [with_moments(60, m, c, seed) for seed, (m, c) in enumerate(zip(means, covariances, strict=True))]
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(
        covariances[0] + covariances[1] - 2.0 * sqrtm(covariances[0] @ covariances[1]).real
    )
    assert frechet_distance(*samples) == pytest.approx(expected)
    assert frechet_distance(*samples[::-1]) == pytest.approx(expected)


def test_a_feature_that_is_always_the_same_is_no_problem() -> None:
    x = np.random.default_rng(3).normal(size=(40, 2))
    first, second = (np.column_stack([values, np.full(40, 7.0)]) for values in (x, x + 1.0))
    assert frechet_distance(first, second) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.zeros((5, 2)), np.zeros((5, 3)), "of 2 and 3 features"),
        (np.zeros((1, 2)), np.zeros((5, 2)), "2 or more of"),
        (np.full((5, 2), np.nan), np.zeros((5, 2)), "5 rows have values that are not finite"),
    ],
)
def test_samples_that_cannot_be_compared_are_told(first: np.ndarray, second: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        frechet_distance(first, second)
