from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from hepda.adversarial import DANNClassifier, DANNRegressor
from hepda.adversarial.estimator import STEADY, without_repeats
from hepda.adversarial.methods.heads import Dann
from hepda.adversarial.training.selection import find_scorer

pytestmark = pytest.mark.filterwarnings("ignore:there are no target rows")

SMALL: dict[str, Any] = {
    "encoder": (16, 16),
    "domain_head": (8,),
    "epochs": 40,
    "learning_rate": 2e-2,
    "random_state": 1,
}


NUMERIC = {
    "check_methods_subset_invariance",
    "check_sample_weight_equivalence_on_dense_data",
    "check_transformer_preserve_dtypes",
}
"""Checks that compare numbers to the seventh digit: in float32 they depend on the processor's matrix products."""


@pytest.mark.slow
@parametrize_with_checks([DANNClassifier(), DANNRegressor()])
def test_scikit_learn_says_it_is_an_estimator(estimator: Any, check: Any) -> None:
    check(estimator)


OTHERS: tuple[dict[str, Any], ...] = (
    {"epochs": 40, "batch_size": 64, "random_state": 0},
    {**SMALL, "training": replace(STEADY, precision="float64")},
    {**SMALL, "training": replace(STEADY, precision="bfloat16")},
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [DANNClassifier, DANNRegressor])
@pytest.mark.parametrize("settings", OTHERS)
def test_scikit_learn_compares_numbers_in_other_settings(kind: type, settings: dict[str, Any]) -> None:
    checks = {check.func.__name__: check for _, check in estimator_checks_generator(kind(**settings))}
    assert checks.keys() >= NUMERIC
    for name in sorted(NUMERIC):
        checks[name](kind(**settings))


def test_a_weight_is_as_many_rows_to_the_last_bit() -> None:
    x, y, other = data(60)
    rng = np.random.default_rng(3)
    times, target_times = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
    weighted = DANNClassifier(**SMALL).fit(x, y, X_target=other, sample_weight=times, target_weight=target_times)
    order = rng.permutation(times.sum())
    repeated = DANNClassifier(**SMALL).fit(
        x.repeat(times, axis=0)[order], y.repeat(times)[order], X_target=other.repeat(target_times, axis=0)
    )
    assert np.array_equal(weighted.decision_function(x), repeated.decision_function(x))
    assert np.array_equal(weighted.transform(other), repeated.transform(other))


def test_weights_of_both_signs_are_not_added_to_each_other() -> None:
    keys = np.array([[2.0, 0.0], [1.0, 5.0], [2.0, 0.0], [1.0, 5.0], [3.0, 3.0], [1.0, 5.0]])
    weights = np.array([[1.0, 0.0], [1.0, 2.0], [-0.5, 0.0], [2.0, 3.0], [0.0, 0.0], [-1.0, 1.0]])
    rows, sums = without_repeats(keys, weights)
    assert keys[rows].tolist() == [[1.0, 5.0], [1.0, 5.0], [2.0, 0.0], [2.0, 0.0]]
    assert sums.tolist() == [[-1.0, 1.0], [3.0, 5.0], [-0.5, 0.0], [1.0, 0.0]]
    rows, sums = without_repeats(keys, np.zeros((6, 1)))
    assert rows.tolist() == list(range(6)) and not sums.any()


def test_a_row_alone_is_scored_as_among_others_and_the_type_is_kept() -> None:
    x, y, other = data(100)
    model = DANNClassifier(random_state=0).fit(x, y, X_target=other)
    together, single = model.decision_function(x), np.concatenate([model.decision_function(row[None]) for row in x])
    assert np.abs(together - single).max() < 1e-12
    assert model.transform(x).dtype == np.float64
    assert model.transform(x.astype(np.float32)).dtype == np.float32
    assert next(model.network_.parameters()).dtype == torch.float32


def data(n: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, other = rng.normal(size=(n, 4)), rng.normal(size=(n, 4)) + np.array([0, 1, 0, 0])
    return x, np.where(x[:, 0] > 0, "signal", "background"), other


def test_fit_predict_and_all_that_comes_out() -> None:
    x, y, other = data()
    model = DANNClassifier(**SMALL).fit(x, y, X_target=other, sample_weight=np.ones(len(x)))
    assert model.classes_.tolist() == ["background", "signal"]
    assert model.score(x, y) > 0.9
    assert model.predict_proba(x).shape == (400, 2)
    assert np.allclose(model.predict_proba(x).sum(axis=1), 1.0)
    assert model.decision_function(x).shape == (400,)
    assert model.transform(other).shape == (400, 16)
    assert len(model.history_["class_loss"]) == len(model.history_["domain_loss"]) == 40
    assert all(s > 0 for s in model.history_["seconds"])


def test_several_classes() -> None:
    x, _, other = data()
    y = np.digitize(x[:, 0], [-0.5, 0.5])
    model = DANNClassifier(**SMALL, method="cdan+e").fit(x, y, X_target=other)
    assert model.predict_proba(x).shape == (400, 3)
    assert model.score(x, y) > 0.8


def test_one_table_with_sample_domain_is_the_same_as_two_tables() -> None:
    x, y, other = data()
    weight = np.random.default_rng(1).normal(1, 0.5, 800)
    two = DANNClassifier(**SMALL).fit(x, y, X_target=other, sample_weight=weight[:400], target_weight=weight[400:])
    together, label = np.concatenate([x, other]), np.concatenate([y, np.full(400, "unknown")])
    domain = np.repeat([1, -2], 400)
    joint = DANNClassifier(**SMALL).fit(together, label, sample_weight=weight, sample_domain=domain)
    assert np.array_equal(joint.decision_function(x), two.decision_function(x))
    assert joint.classes_.tolist() == ["background", "signal"]


def test_mask_and_domain_weight_choose_what_is_compared() -> None:
    x, y, other = data()
    zero = (y == "background").astype(float)
    masked = DANNClassifier(**SMALL).fit(x, y, X_target=other, domain_mask=y == "background")
    weighted = DANNClassifier(**SMALL).fit(x, y, X_target=other, domain_weight=zero)
    everything = DANNClassifier(**SMALL).fit(x, y, X_target=other)
    assert np.array_equal(masked.decision_function(x), weighted.decision_function(x))
    assert not np.allclose(masked.decision_function(x), everything.decision_function(x))


def test_without_target_or_strength_it_is_a_plain_network() -> None:
    x, y, other = data()
    plain = DANNClassifier(**SMALL).fit(x, y)
    none = DANNClassifier(**SMALL, strength=0.0).fit(x, y, X_target=other)
    empty = DANNClassifier(**SMALL).fit(x, y, X_target=other, target_weight=np.zeros(len(other)))
    assert np.array_equal(plain.decision_function(x), none.decision_function(x))
    assert np.array_equal(plain.decision_function(x), empty.decision_function(x))
    assert "domain_loss" not in plain.history_


def test_pandas_names_are_kept_and_asked_for() -> None:
    x, y, other = data()
    frame, target_frame = pd.DataFrame(x, columns=list("abcd")), pd.DataFrame(other, columns=list("abcd"))
    model = DANNClassifier(**SMALL).fit(frame, y, X_target=target_frame)
    assert model.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("dcba")])
    named = DANNClassifier(**SMALL).set_output(transform="pandas").fit(frame, y)
    assert named.transform(frame).columns[0] == "embedding0"


def test_in_a_pipeline_and_under_cross_validation() -> None:
    x, y, _ = data()
    assert cross_val_score(make_pipeline(StandardScaler(), DANNClassifier(**SMALL)), x, y, cv=3).mean() > 0.8
    assert clone(DANNClassifier(strength=3.0)).strength == 3.0


def test_weights_and_target_are_routed_through_a_pipeline_a_cross_validation_and_a_grid() -> None:
    """What the documentation recommends: the pipeline scales X_target as X, everywhere."""
    x, y, other = data()
    x, other = x * 100 + 300, other * 100 + 300
    weight = np.random.default_rng(1).uniform(0.5, 1.5, len(x))
    with config_context(enable_metadata_routing=True):
        scale = StandardScaler().set_fit_request(sample_weight=False)
        dann = DANNClassifier(**SMALL | {"epochs": 10}).set_fit_request(sample_weight=True, X_target=True)
        dann = dann.set_score_request(sample_weight=True)
        pipeline = Pipeline([("scale", scale), ("dann", dann)], transform_input=["X_target"])
        params = {"sample_weight": weight, "X_target": other[:-7]}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fitted = clone(pipeline).fit(x, y, **params)
            scores = cross_val_score(pipeline, x, y, cv=2, params=params)
            grid = GridSearchCV(pipeline, {"dann__strength": [0.1, 1.0]}, cv=2).fit(x, y, **params)
    scaled = StandardScaler().fit(x)
    by_hand = clone(dann).fit(scaled.transform(x), y, X_target=scaled.transform(other[:-7]), sample_weight=weight)
    assert np.array_equal(fitted.predict_proba(x), by_hand.predict_proba(scaled.transform(x)))
    assert scores.min() > 0.8 and set(grid.best_params_) == {"dann__strength"}
    assert "domain_loss" in grid.best_estimator_[-1].history_


def test_a_pipeline_that_transforms_only_x_is_told() -> None:
    x, y, other = data()
    few = SMALL | {"epochs": 2}
    pipeline = make_pipeline(StandardScaler(), DANNClassifier(**few))
    with pytest.warns(UserWarning, match=r"median of X_target in column 0 .* outside .*transform_input"):
        pipeline.fit(x + 50, y, dannclassifier__X_target=other + 50)
    frames = [pd.DataFrame(part, columns=list("abcd")) for part in (x, other)]
    with pytest.warns(UserWarning, match="X has no names of columns, and X_target has: was X transformed"):
        pipeline.fit(frames[0], y, dannclassifier__X_target=frames[1])


def test_a_network_without_a_target_is_told_unless_it_was_asked_for() -> None:
    x, y, _ = data()
    few = SMALL | {"epochs": 2}
    with pytest.warns(UserWarning, match="a network without adaptation"):
        DANNClassifier(**few).fit(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DANNClassifier(**few, strength=0.0).fit(x, y)
        DANNClassifier(**few, method="none").fit(x, y)


def test_regression_towards_a_target() -> None:
    x, _, other = data()
    y = 100.0 + 5.0 * x[:, 0]
    model = DANNRegressor(**{**SMALL, "epochs": 150}).fit(x, y, X_target=other)
    assert model.score(x, y) > 0.9


def test_patience_holds_rows_out() -> None:
    x, y, other = data()
    model = DANNClassifier(**{**SMALL, "epochs": 200, "training": replace(STEADY, patience=5)}).fit(
        x, y, X_target=other
    )
    assert "validation_class_loss" in model.history_


@pytest.mark.parametrize("scorer", ["density", "probe-auc", "dev"])
def test_patience_by_any_scorer_keeps_its_best_epoch(scorer: str) -> None:
    x, y, other = data()
    training = replace(STEADY, patience=8, scorer=find_scorer(scorer))
    settings = {**SMALL, "epochs": 8, "training": training, "schedule": "constant"}
    model = DANNClassifier(**settings).fit(x, y, X_target=other)
    assert model.training_.best_epoch == int(np.argmax(model.history_["score"]))
    assert model.history_["score"][0] != -model.history_["validation_class_loss"][0]


def test_a_method_object_has_settings_of_its_own() -> None:
    x, y, other = data()
    named = DANNClassifier(**SMALL).fit(x, y, X_target=other)
    method = Dann(hidden=(8,), activation="tanh")
    assert np.array_equal(
        DANNClassifier(**SMALL, method=method).fit(x, y, X_target=other).decision_function(x),
        named.decision_function(x),
    )
    smooth = clone(DANNClassifier(**SMALL, method=Dann(hidden=(8,), activation="tanh", smoothing=0.2)))
    assert smooth.get_params()["method"].smoothing == 0.2
    assert not np.array_equal(smooth.fit(x, y, X_target=other).decision_function(x), named.decision_function(x))


def test_what_cannot_be_fitted() -> None:
    x, y, other = data()
    with pytest.raises(ValueError, match="only one class"):
        DANNClassifier(**SMALL).fit(x, np.zeros(len(x)))
    with pytest.raises(ValueError, match="not both"):
        DANNClassifier(**SMALL).fit(x, y, X_target=other, sample_domain=np.ones(len(x)))
    with pytest.raises(ValueError, match="no source rows"):
        DANNClassifier(**SMALL).fit(x, y, sample_domain=-np.ones(len(x)))
    with pytest.raises(ValueError, match="features"):
        DANNClassifier(**SMALL).fit(x, y, X_target=other[:, :2])
