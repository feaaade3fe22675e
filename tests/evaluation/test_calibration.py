import numpy as np
import pytest
from sklearn.calibration import calibration_curve as sklearn_curve

from hepda.errors import DataError
from hepda.evaluation.calibration import calibration_curve


def test_equals_sklearn_without_weights():
    generator = np.random.default_rng(0)
    score = generator.random(2000)
    label = (generator.random(2000) < score**1.2).astype(int)
    result = calibration_curve(score, label)
    fraction, mean = sklearn_curve(label, score, n_bins=10)
    np.testing.assert_allclose(result.fraction, fraction)
    np.testing.assert_allclose(result.mean_score, mean)
    assert result.n_eff.sum() == pytest.approx(2000)


def test_a_calibrated_score_is_on_the_diagonal_with_signed_weights():
    generator = np.random.default_rng(1)
    score = generator.random(40_000)
    label = (generator.random(40_000) < score).astype(int)
    weight = np.where(generator.random(40_000) < 0.15, -1.0, 1.0)
    result = calibration_curve(score, label, weight)
    assert result.expected_error < 0.02 and result.why is None
    shifted = calibration_curve(np.sqrt(score), label, weight)
    assert shifted.expected_error > 0.1


def test_errors_are_the_spread_over_repeated_experiments():
    """With signed weights, of which 15 % are negative; 1000 pulls know their width to 2 %."""
    generator = np.random.default_rng(2)
    pulls = []
    for _ in range(100):
        score, flat, sign = generator.random((3, 4000))
        result = calibration_curve(score, (flat < score).astype(int), np.where(sign < 0.15, -1.0, 1.0))
        pulls.append((result.fraction - result.mean_score) / result.error)
    assert np.mean(pulls) == pytest.approx(0, abs=0.1)
    assert np.std(pulls) == pytest.approx(1, abs=0.08) and np.abs(pulls).max() < 5


def test_balance_gives_both_classes_the_same_sum():
    score, label = [0.25, 0.25, 0.75, 0.75], [1, 0, 1, 0]
    result = calibration_curve(score, label, [3.0, 10.0, 9.0, 10.0], edges=[0, 0.5, 1], balance=True)
    np.testing.assert_allclose(result.fraction, [0.25 / 0.75, 0.75 / 1.25])


def test_negative_bins_are_nan_and_told():
    result = calibration_curve([0.1, 0.1, 0.9, 0.9], [1, 0, 1, 0], [1, 1, 1, -2.0 + 1.5], edges=[0, 0.5, 0.8, 1])
    assert np.isnan(result.fraction[1]) and result.why is None  # empty, not negative
    negative = calibration_curve([0.1, 0.1, 0.9], [1, 0, 0], [1, 2, -1.0], edges=[0, 0.5, 1])
    assert np.isnan(negative.fraction[1]) and "1 bins" in negative.why
    with pytest.raises(DataError, match="no probabilities"):
        calibration_curve([-1.0, 2.0], [1, 0])
