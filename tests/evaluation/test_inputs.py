import numpy as np
import pytest
from scipy import stats
from scipy.integrate import trapezoid

from hepda.errors import DataError
from hepda.evaluation.inputs import BINS, input_separations, weighted_correlations


def test_correlations_are_those_of_numpy_for_any_weights_and_scales():
    generator = np.random.default_rng(1)
    x = generator.normal(size=(500, 3)) @ generator.normal(size=(3, 3)) + [1e6, 0.0, -3.0]
    weight = generator.uniform(0.5, 2.0, 500)
    expected = np.cov(x, rowvar=False, aweights=weight)
    expected /= np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert weighted_correlations(x, weight) == pytest.approx(expected, abs=1e-9)


def test_an_event_and_its_negative_cancel():
    generator = np.random.default_rng(2)
    x, extra = generator.normal(size=(200, 2)), generator.normal(size=(50, 2))
    weight = np.concatenate([np.ones(250), -np.ones(50)])
    result = weighted_correlations(np.concatenate([x, extra, extra]), weight)
    assert result == pytest.approx(np.corrcoef(x, rowvar=False))


def test_missing_values_are_left_out_pair_by_pair_and_a_constant_has_no_correlation():
    generator = np.random.default_rng(3)
    x = generator.normal(5.0, 1.0, size=(300, 3))
    x[:, 2] = 7.0
    x[:100, 0] = -1.0
    result = weighted_correlations(x, np.ones(300), missing=-1.0)
    assert result[0, 1] == pytest.approx(np.corrcoef(x[100:, :2], rowvar=False)[0, 1])
    assert result[1, 1] == pytest.approx(1.0)
    assert np.isnan(result[2]).all() and np.isnan(result[:, 2]).all()
    with pytest.raises(DataError, match="correlations were given"):
        weighted_correlations(x, np.ones(3))


def test_the_separation_is_that_of_the_distributions():
    """Of exponential distributions e^-x and 2 e^-2x, the integral of (s - b)^2 / (s + b) / 2."""
    generator = np.random.default_rng(4)
    n = 40_000
    values = np.concatenate([generator.exponential(1.0, n), generator.exponential(0.5, n), generator.random(2 * n)])
    columns = np.column_stack([values[2 * n :], values[: 2 * n]])
    label = np.repeat([1, 0], n)
    best, worst = input_separations(["flat", "exponential"], columns, label, np.ones(2 * n))
    x = np.linspace(0, 40, 400_001)
    s, b = stats.expon.pdf(x), stats.expon.pdf(x, scale=0.5)
    exact = float(trapezoid(0.5 * (s - b) ** 2 / (s + b), x))
    assert best.name == "exponential" and best.separation == pytest.approx(exact, rel=0.03)
    assert worst.separation < 3 * BINS / n and worst.auc == pytest.approx(0.5, abs=0.01)
    assert best.auc == pytest.approx(2 / 3, abs=0.01)  # P(s > b) of the two


def test_the_error_is_the_spread_over_samples():
    found = []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        values = generator.normal(np.repeat([0.5, 0.0], 500))
        weight = np.where(generator.random(1000) < 0.1, -1.0, 1.0)
        [result] = input_separations(["x"], values[:, None], np.repeat([1, 0], 500), weight)
        found.append((result.separation, result.error))
    separations, errors = np.transpose(found)
    assert np.std(separations) == pytest.approx(np.mean(errors), rel=0.35)


def test_inputs_without_overlap_have_separation_one():
    values = np.repeat([1.0, 0.0], 50)[:, None]
    [result] = input_separations(["x"], values, np.repeat([1, 0], 50), np.ones(100))
    assert (result.separation, result.auc) == (1.0, 1.0)
