"""Permutation importance for the classes: closed forms, errors that are the spread, nothing from unused inputs."""

import numpy as np
import pytest
from scipy.stats import norm

from hepda.errors import DataError
from hepda.evaluation.importance import class_importance


def sample(n, seed, negative=0.0):
    """Two independent inputs, of which signal has larger values by 1 and 0.5, and one that says nothing."""
    generator = np.random.default_rng(seed)
    label = np.arange(n) % 2
    inputs = generator.normal(0, 1, (n, 3)) + label[:, None] * np.array([1.0, 0.5, 0.0])
    return inputs, label, np.where(generator.random(n) < negative, -1.0, 1.0)


def scored(inputs, coefficients):
    """A linear classifier of these inputs, as `class_importance` asks for it."""

    def predict(changes):
        scores = []
        for name, order in changes:
            changed = inputs.copy()
            if name:
                changed[:, "xyz".index(name)] = inputs[order, "xyz".index(name)]
            scores.append(changed @ np.asarray(coefficients))
        return np.stack(scores)

    return predict


def importance(n, seed, coefficients=(1.0, 0.5, 0.0), **options):
    inputs, label, weight = sample(n, seed, **options)
    return class_importance(scored(inputs, coefficients), list("xyz"), label, weight, seed=seed, at_once=3)


def test_the_decrease_is_that_of_the_closed_form():
    """Shuffled, x has the mixture of both classes; without its difference a signal event is ahead by y alone."""
    result = importance(60_000, 1)
    found = dict(zip(result.names, result.drop, strict=True))
    assert result.auc == pytest.approx(norm.cdf(1.25 / np.sqrt(2 * 1.25)), abs=0.005) and result.events == 60_000
    # x -> mixture: its difference between two events is 0 on average, with halves of 0 and of +-1
    of_mixture = 0.5 * norm.cdf(0.25 / np.sqrt(2.5)) + 0.25 * sum(norm.cdf((0.25 + d) / np.sqrt(2.5)) for d in (-1, 1))
    assert found["x"] == pytest.approx(result.auc - of_mixture, abs=0.006)
    assert result.names == ("x", "y", "z") and found["z"] == 0.0


def test_the_error_is_the_spread_over_samples_with_signed_weights():
    results = [importance(2_000, seed, negative=0.15) for seed in range(60)]
    for name in "xy":
        drops = [dict(zip(r.names, r.drop, strict=True))[name] for r in results]
        errors = [dict(zip(r.names, r.error, strict=True))[name] for r in results]
        assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(drops), rel=0.3)


def test_calls_are_as_large_as_allowed_and_the_seed_repeats():
    inputs, label, weight = sample(500, 3)
    sizes = []

    def predict(changes):
        sizes.append(len(changes))
        return scored(inputs, (1.0, 0.5, 0.0))(changes)

    first = class_importance(predict, list("xyz"), label, weight, at_once=4)
    assert sizes == [1, 4, 2]
    second = class_importance(predict, list("xyz"), label, weight, at_once=1)
    np.testing.assert_array_equal(first.drop, second.drop)


def test_too_few_events_and_no_inputs_are_named():
    inputs, label, _ = sample(8, 1)
    with pytest.raises(DataError):
        class_importance(scored(inputs, (1, 0, 0)), ["x"], label)
    with pytest.raises(DataError, match="no inputs"):
        class_importance(scored(inputs, (1, 0, 0)), [], label)
