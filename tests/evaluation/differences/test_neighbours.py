"""Precision, recall and copies on samples for which they are known."""

from __future__ import annotations

import numpy as np
import pytest

from hepda.errors import DataError
from hepda.evaluation.differences.neighbours import copying, coverage, nearest


def test_a_mode_that_is_missing_costs_recall_and_one_that_is_invented_costs_precision() -> None:
    random = np.random.default_rng(1)
    centres = np.array([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0]])
    a, b, c = (random.normal(size=(300, 2)) + centre for centre in centres)
    real = np.concatenate([a, b])
    missing = coverage(real, random.normal(size=(400, 2)) + centres[0])
    assert missing.precision > 0.95 and 0.45 < missing.recall <= 0.5
    invented = coverage(real, np.concatenate([random.normal(size=(200, 2)), random.normal(size=(200, 2)) + centres[2]]))
    assert 0.45 < invented.precision <= 0.5
    both = coverage(np.concatenate([a, c]), random.normal(size=(300, 2)) + centres[1])
    assert (both.precision, both.recall) == (0.0, 0.0)


def test_balls_have_the_radius_of_the_kth_neighbour() -> None:
    real = np.array([[0.0], [1.0], [3.0]])  # k = 1: radii 1, 1 and 2
    generated = np.array([[-1.0], [-1.5], [2.5], [5.0], [5.5]])  # radii .5, .5, 2.5, .5, .5
    found = coverage(real, generated, neighbours=1)
    assert found.precision == pytest.approx(3 / 5)  # -1.5 and 5.5 are outside
    assert found.recall == 1.0  # all three are within 2.5 of 2.5
    assert coverage(real, generated[[0, 1, 3, 4]], neighbours=1).recall == 0.0
    assert coverage(real, generated, neighbours=2).precision == 1.0  # radii 3, 2 and 3


def test_the_nearest_example_is_that_of_all_distances() -> None:
    random = np.random.default_rng(2)
    rows, examples = random.normal(size=(20, 1, 3, 3)), random.normal(size=(31, 1, 3, 3))
    index, distance = nearest(rows, examples)
    every = np.sqrt(((rows[:, None] - examples[None]) ** 2).sum(axis=(2, 3, 4)))
    assert np.array_equal(index, every.argmin(axis=1))
    np.testing.assert_allclose(distance, every.min(axis=1))


def test_copies_are_found_and_new_rows_are_none() -> None:
    random = np.random.default_rng(3)
    examples, new, others = random.normal(size=(3, 2000, 6))
    real = nearest(new, examples)[1]
    honest = copying(nearest(others, examples)[1], real)
    assert honest.ratio == pytest.approx(1.0, abs=0.03) and honest.copies == pytest.approx(0.01, abs=0.01)
    copied = np.where(np.arange(2000)[:, None] % 4 == 0, examples + 1e-3, others)
    found = copying(nearest(copied, examples)[1], real)
    assert found.copies == pytest.approx(0.25 + 0.75 * honest.copies, abs=0.005) and found.ratio < 0.95


def test_what_says_nothing_is_told() -> None:
    with pytest.raises(DataError, match="among the examples"):
        copying(np.ones(3), np.zeros(3))
    with pytest.raises(DataError, match="4 or more of"):
        coverage(np.zeros((3, 2)), np.zeros((9, 2)))
    with pytest.raises(DataError, match="1 rows have values that are not finite"):
        nearest(np.array([[0.0], [np.inf]]), np.zeros((2, 1)))
