import numpy as np
import pytest
from scipy import stats

from hepda.evaluation.overtraining import overtraining_test


def test_remembered_events_are_found_and_fresh_ones_are_not():
    generator = np.random.default_rng(0)
    train, test = generator.normal(0, 1, 3000), generator.normal(0, 1, 2000)
    weight = np.where(generator.random(3000) < 0.1, -1.0, 1.0)
    fresh = overtraining_test(train, weight, test, None, class_name="signal", permutations=99)
    assert fresh.p_value > 0.05
    remembered = overtraining_test(train + 0.2, weight, test, None, class_name="signal", permutations=99)
    assert remembered.p_value == pytest.approx(0.01)
    assert remembered.ks > fresh.ks
    assert np.dot(fresh.train, np.diff(fresh.edges)) == pytest.approx(1)
    assert np.dot(fresh.test, np.diff(fresh.edges)) == pytest.approx(1)


def test_ks_is_scipys_and_errors_are_poisson():
    generator = np.random.default_rng(1)
    train, test = generator.random(500), generator.random(400)
    result = overtraining_test(train, None, test, None, class_name="background", edges=[0, 0.5, 1], permutations=10)
    assert result.ks == pytest.approx(stats.ks_2samp(train, test).statistic)
    counts = np.histogram(train, [0, 0.5, 1])[0]
    np.testing.assert_allclose(result.train_error, np.sqrt(counts) / 500 / 0.5)
