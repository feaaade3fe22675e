"""Two moons turned by 35 degrees; benchmarks/moons.py has the table of all methods over ten seeds."""

from __future__ import annotations

import pytest

from benchmarks.moons import accuracy

pytestmark = pytest.mark.slow


def test_dann_is_steady_with_its_defaults() -> None:
    """A textbook loop gives 0.79 to 0.84 with single seeds between 0.50 and 0.997; without adaptation 0.74."""
    assert accuracy(0, method="none", epochs=200) < 0.85
    assert min(accuracy(seed, method="dann", epochs=700) for seed in range(2)) > 0.88


def test_smooth_predictions_find_the_gap() -> None:
    assert accuracy(0, method="vada", epochs=300, learning_rate=3e-3) > 0.97
