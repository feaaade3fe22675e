"""Bias, resolution and response of predictions of known distributions."""

from __future__ import annotations

import numpy as np
import pytest

from hepda.errors import DataError
from hepda.evaluation.classes import Resampling
from hepda.evaluation.regression import residuals, target_edges, weighted_quantiles


def drawn(n: int, seed: int, shift: float = 3.0, width: float = 10.0):
    rng = np.random.default_rng(seed)
    target = rng.uniform(100, 300, n)
    return target + rng.normal(shift, width, n), target, rng


def test_a_gaussian_residual_has_its_mean_and_its_width() -> None:
    prediction, target, _ = drawn(40_000, 1)
    numbers, curve = residuals(prediction, target, None, np.linspace(100, 300, 5), Resampling(100, 3))
    assert numbers.bias.value == pytest.approx(3.0, abs=4 * 10 / 200)
    assert numbers.bias.error == pytest.approx(10 / np.sqrt(40_000), rel=0.25)
    assert numbers.resolution.value == pytest.approx(10.0, rel=0.02)
    # of the quantile of a Gaussian: sqrt(q (1 - q)) / (density sqrt(n)), the two of them correlated
    assert numbers.resolution.error == pytest.approx(0.058, rel=0.3)
    assert numbers.rmse.value == pytest.approx(np.hypot(3.0, 10.0), rel=0.02)
    assert numbers.correlation.value == pytest.approx(np.corrcoef(prediction, target)[0, 1], abs=1e-9)
    assert numbers.why is None
    np.testing.assert_allclose(curve.target, [125, 175, 225, 275], atol=1.5)
    np.testing.assert_allclose(curve.bias, 3.0, atol=0.5)
    np.testing.assert_allclose(curve.resolution, 10.0, rtol=0.06)
    assert np.all((curve.bias_low < curve.bias) & (curve.bias < curve.bias_high))
    np.testing.assert_allclose(curve.median - curve.target, 3.0, atol=1.5)


def test_tails_change_the_rmse_and_not_the_resolution() -> None:
    prediction, target, rng = drawn(20_000, 2, shift=0.0)
    far = rng.random(20_000) < 0.01
    with_tails, _ = residuals(prediction + 500.0 * far, target, None, [100, 300], Resampling(10))
    without, _ = residuals(prediction, target, None, [100, 300], Resampling(10))
    assert with_tails.rmse.value > 4 * without.rmse.value
    assert with_tails.resolution.value == pytest.approx(without.resolution.value, rel=0.03)


def test_signed_weights_remove_what_they_subtract() -> None:
    prediction, target, _ = drawn(20_000, 3)
    spoiled, spoiled_target, _ = drawn(5_000, 4, shift=80.0)
    # the same spoiled events twice, with weights of opposite sign: nothing of them is left
    values = np.concatenate([prediction, spoiled, spoiled])
    truth = np.concatenate([target, spoiled_target, spoiled_target])
    weight = np.concatenate([np.ones(20_000), np.full(5_000, 0.5), np.full(5_000, -0.5)])
    numbers, curve = residuals(values, truth, weight, [100, 300], Resampling(20))
    alone, of_alone = residuals(prediction, target, None, [100, 300], Resampling(20))
    assert numbers.bias.value == pytest.approx(alone.bias.value, abs=1e-9)
    assert numbers.rmse.value == pytest.approx(alone.rmse.value, abs=1e-6)
    assert numbers.resolution.value == pytest.approx(alone.resolution.value, rel=1e-6)
    assert numbers.bias.error > alone.bias.error  # but their fluctuations are
    assert curve.n_eff[0] < of_alone.n_eff[0]


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    covered = np.zeros(2)
    for seed in range(150):
        prediction, target, _ = drawn(300, 100 + seed)
        numbers, _ = residuals(prediction, target, None, [100, 300], Resampling(60, seed))
        covered += [
            numbers.bias.low <= 3.0 <= numbers.bias.high,
            numbers.resolution.low <= 10.0 <= numbers.resolution.high,
        ]
    # 68.27 % of 150 with a standard deviation of 5.7; quantiles of 300 events are known less well
    assert np.all(np.abs(covered - 102) < [18, 22]), covered


def test_bins_without_events_and_events_outside_of_the_bins() -> None:
    prediction, target, _ = drawn(1000, 5)
    numbers, curve = residuals(prediction, target, None, [150, 200, 250, 400, 500], Resampling(10))
    assert numbers.n_eff == pytest.approx(1000)
    assert curve.n_eff.sum() == pytest.approx(np.sum((target >= 150) & (target <= 500)))
    assert np.isnan(curve.bias[3]) and curve.n_eff[3] == 0
    assert np.isfinite(curve.bias[:3]).all()


def test_what_has_no_number_is_told() -> None:
    prediction, target, _ = drawn(100, 6)
    numbers, _ = residuals(prediction, np.full(100, 5.0), None, [4, 6], Resampling(10))
    assert numbers.correlation is None and "correlation" in numbers.why
    with pytest.raises(DataError, match="the residual"):
        residuals(prediction, target, np.full(100, -1.0), [100, 300], Resampling(10))
    with pytest.raises(DataError, match="not finite"):
        residuals(np.where(target > 200, np.nan, prediction), target, None, [100, 300], Resampling(10))


def test_quantiles_are_those_of_repeated_events() -> None:
    rng = np.random.default_rng(1)
    values, times = rng.normal(size=51), rng.integers(1, 5, 51)
    repeated = np.sort(np.repeat(values, times))
    for share in (0.1, 0.5, 0.9):
        expected = repeated[int(np.ceil(share * len(repeated))) - 1]
        assert weighted_quantiles(values, times, [share])[0] == expected


def test_edges_of_the_target() -> None:
    np.testing.assert_allclose(target_edges([1.0, 2.0], 4, (0.0, 8.0)), [0, 2, 4, 6, 8])
    target = np.random.default_rng(2).exponential(size=5000)
    edges = target_edges(target, 5)
    shares = np.histogram(target, edges)[0] / 5000
    np.testing.assert_allclose(shares, 0.196, atol=0.01)
