"""The errors of means over seeds, and the likelihood of how far points differ."""

import numpy as np
import pytest
from scipy import stats

from hepda.evaluation.best_of.errors import errors_of_replicas, errors_of_seeds, log_likelihood


def seeds(points=12, number=5, common=0.0, scale=1.0, seed=1):
    generator = np.random.default_rng(seed)
    own = np.broadcast_to(scale, points)[:, None] * generator.normal(size=(points, number))
    return own + common * generator.normal(size=number)


def test_an_effect_of_the_seeds_in_common_is_kept_apart():
    values = seeds(points=200, number=40, common=3.0)
    errors = errors_of_seeds(values[..., None], paired=True)
    assert errors.own[:, 0] == pytest.approx(1 / np.sqrt(40), rel=0.1)
    assert np.sqrt(errors.shared_variance[0]) == pytest.approx(3 / np.sqrt(40), rel=0.3)
    apart = errors_of_seeds(values[..., None], paired=False)
    assert apart.own[:, 0].mean() > 2.5 / np.sqrt(40) and not apart.shared_variance.any()


def test_the_drawn_errors_have_the_variances_and_correlations_of_the_values():
    generator = np.random.default_rng(2)
    first = generator.normal(size=(60, 8, 1))
    values = np.concatenate([first, 2 * first + generator.normal(size=first.shape)], axis=2)
    errors = errors_of_seeds(values, paired=True)
    own, shared = errors.draw(3000, np.random.default_rng(3))
    assert own.std(axis=0).mean(axis=0) == pytest.approx(np.array([1, np.sqrt(5)]) / np.sqrt(8), rel=0.06)
    correlation = np.corrcoef(own[..., 0].ravel(), own[..., 1].ravel())[0, 1]
    assert correlation == pytest.approx(2 / np.sqrt(5), abs=0.04) and np.abs(shared).max() < 0.5


def test_few_degrees_of_freedom_neither_relate_quantities_nor_spoil_the_mean():
    """Of two points with two seeds, every two quantities vary alike or opposite: that says next to nothing."""
    values = np.random.default_rng(5).normal(size=(2, 2, 2))
    errors = errors_of_seeds(np.concatenate([values, -values[..., :1]], axis=2), paired=True)
    assert errors.degrees == 1 and abs(errors.correlation[0, 1]) == pytest.approx(1 / 3)
    assert errors.correlation[0, 2] == pytest.approx(-1.0)  # the same number with its sign changed
    own, _ = errors.draw(4000, np.random.default_rng(6))
    assert np.abs(own).max() < 20 * errors.own.max()


def test_noisier_points_have_larger_errors_and_equal_ones_share_theirs():
    noisy = errors_of_seeds(seeds(points=20, number=10, scale=np.repeat([1.0, 10.0], 10))[..., None], paired=True)
    assert noisy.prior < 10 and np.median(noisy.own[10:]) > 4 * np.median(noisy.own[:10])
    assert noisy.own[10:].min() > 1.5 * noisy.own[:10].max()
    equal = errors_of_seeds(seeds(points=200)[..., None], paired=True)
    assert equal.own.std() < 0.1 * equal.own.mean() and equal.prior > 20


def test_missing_values_leave_the_effect_of_the_others_exact():
    values = np.arange(4.0)[:, None] + np.array([0.0, 5.0, -1.0])  # additive: nothing is left
    values[2, 1] = np.nan
    errors = errors_of_seeds(values[..., None], paired=True)
    assert errors.rest[0] == pytest.approx(0.0, abs=1e-9)
    assert errors.own[2, 0] > 0.5 and errors.own[[0, 1, 3], 0] == pytest.approx(0.0, abs=1e-5)


def test_one_seed_has_no_error():
    assert errors_of_seeds(np.ones((5, 1, 1)), paired=True) is None
    assert errors_of_seeds(np.array([[1.0, np.nan], [2.0, np.nan]])[..., None], paired=False) is None


def test_the_likelihood_of_a_spread_is_that_of_the_differences():
    """Restricted likelihood: that of the values' contrasts, a normal of one dimension less."""
    values, error, spread = np.array([0.3, -1.2, 2.0]), np.array([0.5, 1.0, 0.7]), np.array([0.0, 0.8, 3.0])
    contrasts = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])
    expected = [
        stats.multivariate_normal(np.zeros(2), contrasts @ np.diag(error**2 + s**2) @ contrasts.T).logpdf(
            contrasts @ values
        )
        for s in spread
    ]
    found, centre = log_likelihood(values, error, spread)
    assert found - found[0] == pytest.approx(np.array(expected) - expected[0])
    weight = 1 / error**2
    assert centre[0] == pytest.approx(values @ weight / weight.sum())


def test_replicas_lose_what_they_have_in_common_in_the_error_that_chooses():
    generator = np.random.default_rng(4)
    drawn = generator.normal(size=(4000, 6, 1)) + 5 * generator.normal(size=(4000, 1, 1))
    errors = errors_of_replicas(np.zeros((6, 1)), drawn)
    assert errors.own[:, 0] == pytest.approx(1.0, rel=0.1)
    assert errors.draw(4000, generator)[0].std() == pytest.approx(np.sqrt(26), rel=0.05)
