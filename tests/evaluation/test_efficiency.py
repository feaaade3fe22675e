import numpy as np
import pytest

from hepda.errors import DataError
from hepda.evaluation.efficiency import (
    cut_at_efficiency,
    efficiency_curve,
    quantile_edges,
    weighted_efficiency,
    working_point,
)


def test_unit_weights_give_the_binomial_error():
    passed = np.arange(100) < 30
    assert weighted_efficiency(passed, np.ones(100)) == pytest.approx((0.3, np.sqrt(0.3 * 0.7 / 100)))


def test_error_is_the_spread_of_repeated_experiments_with_signed_weights():
    generator = np.random.default_rng(0)
    values, errors = [], []
    for _ in range(400):
        passed = generator.random(500) < 0.2
        weight = generator.exponential(1, 500) * np.where(generator.random(500) < 0.15, -1, 1)
        value, error = weighted_efficiency(passed, weight)
        values.append(value)
        errors.append(error)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.1)


@pytest.mark.parametrize("efficiency", [0.1, 0.3, 0.5, 0.7, 1.0])
def test_cut_reaches_the_efficiency_and_a_tighter_one_does_not(efficiency):
    generator = np.random.default_rng(1)
    score, weight = np.round(generator.random(1000), 2), generator.exponential(1, 1000)
    cut = cut_at_efficiency(score, weight, efficiency)
    assert cut in score
    assert weight[score >= cut].sum() >= efficiency * weight.sum() * (1 - 1e-12)
    assert weight[score > cut].sum() < efficiency * weight.sum()


def test_cut_at_all_of_a_tiny_sample():
    assert cut_at_efficiency([0.1, 0.2, 0.3, 0.4], None, 0.5) == 0.3
    assert cut_at_efficiency([0.1, 0.2, 0.3, 0.4], None, 1.0) == 0.1
    assert cut_at_efficiency([0.1, 0.2, 0.3, 0.4], [1, 1, -0.5, 2], 0.5) == 0.4
    with pytest.raises(ValueError, match="efficiency must be in"):
        cut_at_efficiency([0.1], None, 0.0)


def test_working_points_by_hand():
    score = [0.9, 0.8, 0.7, 0.6, 0.85, 0.3, 0.2, 0.1]
    label = [1, 1, 1, 1, 0, 0, 0, 0]
    point = working_point(score, label, None, cut_at_efficiency(score[:4], None, 0.5))
    assert (point.cut, point.signal_efficiency, point.background_efficiency) == (0.8, 0.5, 0.25)
    assert point.rejection == 4
    assert point.rejection_error == pytest.approx(16 * np.sqrt(0.25 * 0.75 / 4))


def test_rejection_without_background_is_none_with_a_reason():
    point = working_point([0.9, 0.1], [1, 0], None, cut=0.5)
    assert point.rejection is None and point.rejection_error is None
    assert "no rejection" in point.why


def test_efficiency_against_a_variable():
    variable = np.array([-5, 0.5, 0.5, 1.5, 1.5, 9, 2.5])
    score = np.array([0, 1, 0, 1, 1, 1, 0])
    weight = np.array([1, 1, 1, 2, -1, 1, -0.5])
    curve = efficiency_curve(variable, score, weight, 0.5, [0, 1, 2])
    np.testing.assert_allclose(curve.efficiency, [1 / 3, 2 / 1.5])
    np.testing.assert_allclose(curve.n_eff, [3, 1.5**2 / 6.25])
    empty = efficiency_curve(variable, score, weight, 0.5, [0, 1, 2, 2.2, 3, 4])
    assert np.isnan(empty.efficiency[2]) and np.isnan(empty.efficiency[3]) and not np.isnan(empty.efficiency[4])
    with pytest.raises(ValueError, match="rising"):
        efficiency_curve(variable, score, weight, 0.5, [1, 1])
    with pytest.raises(ValueError, match="variable has 1"):
        efficiency_curve([1.0], score, weight, 0.5, [0, 1])


def test_negative_sum_is_an_error():
    with pytest.raises(DataError, match="positive sum"):
        weighted_efficiency([True, False], [-1.0, 0.5])


def test_edges_share_the_events_and_counts_have_a_bin_each():
    generator = np.random.default_rng(0)
    values = generator.exponential(1, 10_000)
    edges = quantile_edges(values, bins=5)
    assert len(edges) == 6
    shares = np.histogram(values, [0, *edges[1:-1], np.inf])[0] / 10_000
    np.testing.assert_allclose(shares, [0.206, 0.196, 0.196, 0.196, 0.206], atol=0.002)
    assert quantile_edges(np.repeat([5.0, 6, 7, 8, 20], [40, 40, 40, 40, 1])).tolist() == [4.5, 5.5, 6.5, 7.5, 8.5]
    assert quantile_edges([2.0, 2.0]).tolist() == [1.5, 2.5]
    assert quantile_edges([0.3, 0.3]).tolist() == [-0.2, 0.8]
