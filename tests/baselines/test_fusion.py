"""Fusion of probabilities: closed forms, a likelihood ratio that is known, scikit-learn, signed weights, files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, logit, softmax
from sklearn.linear_model import LogisticRegression

from hepda.baselines import fusion
from hepda.baselines.fusion import Fusion, fitted, mean_of
from hepda.errors import ConfigError, DataError, SourceError

Floats = NDArray[np.float64]


def two_views(n: int, scale: float = 1.0, seed: int = 0) -> tuple[dict[str, Floats], NDArray[np.int8]]:
    """Two independent measurements x = label + noise: the logit of all that is known is 2 x_1 + 2 x_2 (up to signs).

    The second model reports its logit divided by `scale`.
    """
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.5).astype(np.int8)
    x = rng.normal(2.0 * label - 1.0, 1.0, (2, n))
    return {"first": expit(2.0 * x[0]), "second": expit(2.0 * x[1] / scale)}, label


def three_classes(n: int, seed: int = 1) -> tuple[dict[str, Floats], NDArray[np.int8]]:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, n).astype(np.int8)
    logits = rng.normal(0.0, 1.0, (2, n, 3)) + 1.5 * np.eye(3)[label]
    return {"first": softmax(1.5 * logits[0], axis=1), "second": softmax(0.5 * logits[1], axis=1)}, label


def entropy(probability: NDArray[Any], label: NDArray[Any]) -> float:
    """The mean cross-entropy."""
    right = probability[np.arange(len(label)), label] if probability.ndim == 2 else (
        np.where(label == 1, probability, 1.0 - probability)
    )  # fmt: skip
    return -float(np.log(np.maximum(right.astype(np.float64), 1e-7)).mean())


def test_the_mean_is_that_of_the_logits_and_of_the_logarithms_of_several_probabilities() -> None:
    first, second = np.array([0.2, 0.9, 0.5]), np.array([0.4, 0.99, 0.5])
    fused = mean_of(("a", "b"))([first, second])
    np.testing.assert_allclose(fused, expit((logit(first) + logit(second)) / 2), rtol=1e-6)
    several = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]), np.array([[0.3, 0.3, 0.4], [0.6, 0.2, 0.2]])
    product = np.sqrt(several[0] * several[1])
    fused = mean_of(("a", "b"), 3)(several)
    np.testing.assert_allclose(fused, product / product.sum(axis=1, keepdims=True), rtol=1e-6)


def test_two_classes_as_two_probabilities_or_as_one_are_the_same() -> None:
    views, label = two_views(3000, scale=3.0)
    pairs = {name: np.stack([1.0 - p, p], axis=1) for name, p in views.items()}
    one, two = (fitted("logistic", of, label, np.ones(3000)) for of in (views, pairs))
    np.testing.assert_allclose(one(list(views.values())), two(list(pairs.values()))[:, 1], atol=2e-4)


def test_stacking_finds_the_likelihood_ratio_of_two_independent_models() -> None:
    """One of the models is too unsure by a factor of 3: its weight makes up for it, and the mean cannot."""
    views, label = two_views(60_000, scale=3.0)
    stacked = fitted("logistic", views, label, np.ones(len(label)))
    np.testing.assert_allclose(stacked.weights, (1.0, 3.0), atol=0.06)
    assert abs(stacked.biases[0]) < 0.05 and stacked.rows == 60_000
    test, truth = two_views(20_000, scale=3.0, seed=5)
    mean = entropy(mean_of(("first", "second"))(list(test.values())), truth)
    assert entropy(stacked(list(test.values())), truth) < mean - 0.02
    assert entropy(stacked(list(test.values())), truth) < entropy(test["first"], truth) - 0.05


def test_stacking_is_logistic_regression_on_the_logits() -> None:
    views, label = two_views(4000, scale=2.0)
    weight = np.random.default_rng(3).uniform(0.2, 3.0, 4000)
    stacked = fitted("logistic", views, label, weight)
    logits = np.stack([logit(np.clip(p, fusion.FLOOR, 1 - fusion.FLOOR)) for p in views.values()], axis=1)
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(logits, label, weight)
    np.testing.assert_allclose(stacked.weights, reference.coef_[0], rtol=5e-3)  # the prior counts as one event
    np.testing.assert_allclose(stacked.biases, reference.intercept_, atol=3e-3)


@pytest.mark.parametrize("method", ["isotonic", "logistic"])
def test_several_classes_gain_from_both_models(method: str) -> None:
    views, label = three_classes(30_000)
    test, truth = three_classes(10_000, seed=9)
    fused = fitted(method, views, label, np.ones(len(label)))(list(test.values()))
    assert np.allclose(fused.sum(axis=1), 1.0, atol=1e-5) and fused.shape == (10_000, 3)
    assert entropy(fused, truth) < min(entropy(part, truth) for part in test.values()) - 0.01
    if method == "logistic":
        mean = mean_of(tuple(views), 3)(list(test.values()))
        assert entropy(fused, truth) < entropy(mean, truth) - 0.01


def test_isotonic_calibration_rises_and_makes_a_wrong_probability_the_share_of_the_class() -> None:
    rng = np.random.default_rng(4)
    truth = rng.random(80_000)
    label = (rng.random(80_000) < truth).astype(np.int8)
    reported = truth**3  # far too low
    learned = fitted("isotonic", {"a": reported, "b": reported}, label, np.ones(80_000))
    curve = learned.curves[0][0]
    assert (np.diff(curve.y) >= 0).all() and len(curve.x) <= 200
    inner = (truth > 0.05) & (truth < 0.95)
    assert np.abs(learned([reported, reported]) - truth)[inner].max() < 0.06


@pytest.mark.parametrize("method", ["isotonic", "logistic"])
def test_a_negative_weight_takes_an_event_away(method: str) -> None:
    """Each event as it is, or as three of its copies with weights 2, -2 and 1: the same fusion."""
    views, label = two_views(20_000, scale=2.0)
    once = fitted(method, views, label, np.ones(20_000))
    of_copies = {name: np.repeat(part, 3) for name, part in views.items()}
    copies = fitted(method, of_copies, np.repeat(label, 3), np.tile([2.0, -2.0, 1.0], 20_000))
    tests = list(two_views(2000, scale=2.0, seed=8)[0].values())
    np.testing.assert_allclose(copies(tests), once(tests), atol=0.04 if method == "isotonic" else 1e-3)


def test_few_events_that_are_separated_completely_keep_finite_weights_near_the_mean() -> None:
    views = {"a": np.array([0.1, 0.2, 0.8, 0.9]), "b": np.array([0.3, 0.2, 0.9, 0.7])}
    stacked = fitted("logistic", views, np.array([0, 0, 1, 1]), np.ones(4))
    assert min(stacked.weights) > 0.3 and max(stacked.weights) < 2.0


@pytest.mark.parametrize("method", fusion.METHODS)
def test_what_is_saved_gives_the_same(method: str, tmp_path: Path) -> None:
    views, label = three_classes(3000)
    learned = fitted(method, views, label, np.ones(3000))
    learned.save(tmp_path / "both" / "fold0.json")
    again = Fusion.load(tmp_path / "both" / "fold0.json")
    assert again == learned
    np.testing.assert_array_equal(again(list(views.values())), learned(list(views.values())))


@pytest.mark.parametrize("change", ["text", "weights", "curves", "method", "nan"])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, change: str) -> None:
    views, label = two_views(500)
    path = tmp_path / "fold0.json"
    content = fitted("isotonic", views, label, np.ones(500)).to_json()
    spoiled = {
        "weights": {"weights": [1.0]}, "curves": {"curves": content["curves"][:1]}, "method": {"method": "median"},
        "nan": {"biases": [float("nan")]}, "text": {},
    }[change]  # fmt: skip
    text = json.dumps(content | spoiled)
    path.write_text(text[:-20] if change == "text" else text)
    with pytest.raises(SourceError, match=r"fold0.json: cannot be read as a fusion"):
        Fusion.load(path)
    with pytest.raises(SourceError, match="there is no"):
        Fusion.load(tmp_path / "fold1.json")


def test_what_cannot_be_learned_is_an_error() -> None:
    views, label = two_views(300)
    with pytest.raises(ConfigError, match="unknown method 'isotonik' of fusion"):
        fitted("isotonik", views, label, np.ones(300))
    with pytest.raises(DataError, match="have no best values"):
        fitted("logistic", views, label, np.where(label == 1, 1.0, -1.0))
    with pytest.raises(DataError, match="do not add up"):
        fitted("isotonic", views, label, np.full(300, -1.0))
