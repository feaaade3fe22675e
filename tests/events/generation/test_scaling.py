"""Columns as normal numbers: the distribution, the way back, bounds, and equal values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from hepda.errors import DataError
from hepda.events.generation.scaling import NormalScaling


def sample(n: int = 20_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    values = np.column_stack([random.exponential(1.0, n), random.uniform(-1.0, 1.0, n), random.standard_cauchy(n)])
    mask = np.ones(values.shape, dtype=bool)
    mask[: n // 2, 2] = False
    return values, np.ones(n), mask


def test_columns_become_normal_and_return() -> None:
    values, weight, mask = sample()
    scaling = NormalScaling.of(values, weight, mask)
    normal = scaling.forward(values, mask)
    for column, there in zip(normal.T, mask.T, strict=True):
        assert kstest(column[there], "norm").statistic < 0.01
        assert (column[~there] == 0.0).all()
    back = scaling.backward(normal, mask)
    inner = mask & (np.abs(normal) < 4.0)
    np.testing.assert_allclose(back[inner], values[inner], rtol=2e-3, atol=1e-4)


def test_what_comes_back_is_within_the_values_that_were_seen() -> None:
    values, weight, mask = sample(2000)
    scaling = NormalScaling.of(values, weight, mask)
    far = np.random.default_rng(5).normal(0.0, 20.0, values.shape)
    back = scaling.backward(far, np.ones(values.shape, dtype=bool))
    assert (back.min(axis=0)[:2] >= values.min(axis=0)[:2]).all()
    assert (back.max(axis=0)[:2] <= values.max(axis=0)[:2]).all()


def test_weights_shift_the_median() -> None:
    values = np.linspace(0.0, 1.0, 1001)[:, None]
    weight = np.where(values[:, 0] < 0.5, 3.0, 1.0)
    scaling = NormalScaling.of(values, weight, np.ones((1001, 1), dtype=bool))
    assert scaling.backward(np.zeros((1, 1)), np.ones((1, 1), dtype=bool))[0, 0] == pytest.approx(1.0 / 3.0, abs=0.01)


def test_a_column_of_one_value_is_told() -> None:
    with pytest.raises(DataError, match="one value only"):
        NormalScaling.of(np.ones((10, 1)), np.ones(10), np.ones((10, 1), dtype=bool))
    rare = np.column_stack([np.linspace(-3.0, 3.0, 10), np.ones(10)])
    scaling = NormalScaling.of(rare, np.ones(10), np.ones((10, 2), dtype=bool), like=1)
    np.testing.assert_array_equal(scaling.values[0], scaling.values[1])
    few = np.repeat([[0.0], [1.0]], 50, axis=0)
    there = np.ones((100, 1), dtype=bool)
    scaling = NormalScaling.of(few, np.ones(100), there)
    np.testing.assert_allclose(scaling.backward(scaling.forward(few, there), there), few, atol=1e-6)
