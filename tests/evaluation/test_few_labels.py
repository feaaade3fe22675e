"""New last layers from few labels: gains where the trained direction is wrong, none where it is right, closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from hepda.errors import DataError
from hepda.evaluation.few_labels import METHODS, EmbeddedEvents, FewLabelsSettings, few_labels

SEPARATION = 1.5


def events(n: int, seed: int, trained: tuple[float, ...], negative: float = 0.0) -> EmbeddedEvents:
    """Two classes, apart by 1.5 along the first of three directions, and a trained logit along `trained`."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    embedding = rng.normal(size=(n, 3)) + label[:, None] * np.array([SEPARATION, 0.0, 0.0])
    weight = np.where(rng.random(n) < negative, -1.0, 1.0)
    return EmbeddedEvents.of(7.0 + 3.0 * embedding, embedding @ np.array(trained), label, weight)


def test_a_wrong_direction_is_mended_up_to_the_best_linear_score() -> None:
    settings = FewLabelsSettings((1, 10, 100, 1000), draws=10)
    trained = (0.2, 1.0, 0.0)
    found = few_labels(events(6000, 1, trained), events(20_000, 2, trained), settings)
    best = norm.cdf(SEPARATION / np.sqrt(2))
    size = np.hypot(*trained[:2])
    assert found.trained == pytest.approx(norm.cdf(0.2 * SEPARATION / size / np.sqrt(2)), abs=0.01)
    for name, method in found.methods.items():
        # Cosines lose the length of the embedding, so prototypes stay a little below the best linear score.
        assert method.auc[-1] == pytest.approx(best, abs=0.03 if name == "prototypes" else 0.01), name
        assert np.all(np.diff(method.auc) > -0.005) and method.needed is not None
        assert np.all(method.low <= method.auc) and np.all(method.auc <= method.high)
    # One event of each class already moves the correction away from a score that is nearly blind, but not far.
    assert found.trained < found.methods["correction"].auc[0] < found.methods["correction"].auc[2]


def test_nothing_is_gained_where_the_trained_layer_is_the_best_one() -> None:
    trained = (SEPARATION, 0.0, 0.0)  # the logarithm of the ratio of the densities, up to a constant
    found = few_labels(events(6000, 3, trained), events(20_000, 4, trained), FewLabelsSettings((1, 30, 1000), draws=10))
    correction, refit = found.methods["correction"], found.methods["refit"]
    assert correction.needed is None and refit.needed is None
    assert correction.auc[0] > refit.auc[0] + 0.02  # with few events a correction stays near what was trained
    assert found.trained - correction.auc[-1] < 0.003


def test_negative_weights_count_in_the_judgement_and_draws_are_reproducible() -> None:
    trained = (0.2, 1.0, 0.0)
    pool, judging = events(3000, 5, trained, negative=0.2), events(20_000, 6, trained, negative=0.2)
    settings = FewLabelsSettings((10, 300), draws=6, seed=9)
    first, again = (few_labels(pool, judging, settings) for _ in range(2))
    assert np.array_equal(first.methods["refit"].auc, again.methods["refit"].auc)
    assert first.methods["refit"].auc[-1] == pytest.approx(norm.cdf(SEPARATION / np.sqrt(2)), abs=0.02)
    more = few_labels(pool, judging, FewLabelsSettings((10, 300, 1000), draws=6, seed=9))
    assert more.too_many == () and set(more.methods) == set(METHODS)


def test_numbers_that_are_more_than_there_is_are_named_and_bad_input_is_refused() -> None:
    trained = (0.2, 1.0, 0.0)
    judging = events(2000, 7, trained)
    found = few_labels(events(100, 8, trained), judging, FewLabelsSettings((10, 100), draws=5))
    assert found.events == (10,) and found.too_many == (100,)
    with pytest.raises(DataError, match="5 labelled events of a class are fewer than the 10"):
        few_labels(events(10, 8, trained), judging, FewLabelsSettings((10,), draws=5))
    with pytest.raises(DataError, match="not finite"):
        EmbeddedEvents.of([[np.nan], [1.0]], [0.0, 1.0], [0, 1])
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        EmbeddedEvents.of([1.0, 1.0], [0.0, 1.0], [0, 1])
