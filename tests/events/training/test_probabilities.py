"""Score columns of models of several classes: P(signal), the classes, discriminants, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hepda.config import BdtConfig
from hepda.errors import ConfigError, DataError, ExpressionError
from hepda.events.specs import Classes, ModelSpec
from hepda.events.training.probabilities import check_discriminants, probabilities_of, score_columns

NAMES = ("ttH", "tHq", "ttb", "ttlight")


def model(score: str | None = None, **discriminants: str) -> ModelSpec:
    classes = Classes(NAMES, ("ttH", "tHq"), {name: name for name in NAMES})
    section = BdtConfig(kind="bdt", score=score)
    return ModelSpec("m", section, grouping=classes, discriminants=discriminants)


def probabilities(n: int = 2000, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet([0.5, 0.4, 1.0, 0.3], n).astype(np.float32)


def test_the_score_is_the_probability_of_all_signals() -> None:
    p = probabilities()
    columns = score_columns(model(), p)
    assert list(columns) == ["m", "m.p_ttH", "m.p_tHq", "m.p_ttb", "m.p_ttlight"] == list(model().columns)
    assert all(values.dtype == np.float32 and values.shape == (2000,) for values in columns.values())
    np.testing.assert_allclose(columns["m"], p[:, 0] + p[:, 1], rtol=1e-6)
    assert columns["m"].max() <= 1.0
    assert np.array_equal(probabilities_of({"m": model()}, columns)["m"], p)


def test_one_score_stays_as_it_is() -> None:
    pair = ModelSpec("pair", BdtConfig(kind="bdt", classes="binary"), grouping=model().grouping)
    score = probabilities()[:, 0]
    assert list(score_columns(pair, score)) == ["pair"] and np.array_equal(score_columns(pair, score)["pair"], score)
    assert probabilities_of({"pair": pair}, {"pair": score}) == {}


def test_a_discriminant_is_its_formula_and_may_be_the_score() -> None:
    p = probabilities().astype(np.float64)
    text = "p_ttH / (p_ttH + 0.7 * p_ttb + where(p_ttlight > 0.5, 0.3, 0.2) * p_ttlight)"
    columns = score_columns(model("d", d=text, log_odds="log(p_ttH / p_ttb)"), p.astype(np.float32))
    light = np.where(p[:, 3] > 0.5, 0.3, 0.2) * p[:, 3]
    np.testing.assert_allclose(columns["m.d"], p[:, 0] / (p[:, 0] + 0.7 * p[:, 2] + light), rtol=1e-5)
    np.testing.assert_allclose(columns["m.log_odds"], np.log(p[:, 0] / p[:, 2]), rtol=1e-4, atol=1e-5)
    assert np.array_equal(columns["m"], columns["m.d"])


@pytest.mark.parametrize(
    ("text", "error", "expected"),
    [
        ("p_tth / p_ttb", ExpressionError, "'p_tth' is not the probability of a class. Did you mean 'p_ttH'?"),
        ("sum(p_ttH)", ExpressionError, "sum() is no function of numbers"),
        ("p_ttH[0]", ExpressionError, "a probability is one number"),
        ("2 + 1", ExpressionError, "has no probability of a class"),
        ("p_ttH / (p_ttb - p_ttlight)", ConfigError, "is not a finite number at 1 of 2001 sets of probabilities"),
        ("log(p_ttH - 0.5)", ConfigError, "is not a finite number at"),
    ],
)
def test_a_wrong_discriminant_is_found_before_the_training(text: str, error: type[Exception], expected: str) -> None:
    with pytest.raises(error) as caught:
        check_discriminants([model(d=text)])
    assert "discriminants.d" in str(caught.value) and expected in str(caught.value)


def test_a_score_out_of_0_to_1_is_found_before_the_training() -> None:
    with pytest.raises(ConfigError, match=r"models.m.score: discriminants.d has values from .* to .*within 0 and 1"):
        check_discriminants([model("d", d="p_ttH - p_ttb")])
    assert check_discriminants([model(None, d="p_ttH - p_ttb")]) == []


def test_a_division_by_zero_at_a_pure_class_is_a_line_and_an_error_only_for_such_events() -> None:
    pure = model(d="p_ttH / (p_ttH + p_ttb)")
    (line,) = check_discriminants([pure, pure])
    assert "divides by zero where p_tHq or p_ttlight is 1" in line
    assert np.isfinite(score_columns(pure, probabilities())["m.d"]).all()
    p = probabilities()
    p[[5, 70]] = np.eye(4)[3]
    with pytest.raises(
        DataError, match=r"discriminants.d: is not a finite number for 2 of 2000 events scored by m, .*"
    ):
        score_columns(pure, p)


def test_a_score_out_of_0_to_1_for_some_events_is_an_error() -> None:
    p = probabilities()
    p[0] = [2.0, -1.0, 0.0, 0.0]  # no softmax gives this
    with pytest.raises(DataError, match=r"models.m.score: discriminants.d is 2 for one of 1 events"):
        score_columns(model("d", d="p_ttH"), p)


def test_classes_of_events_follow_from_their_samples() -> None:
    table: Any = type("Table", (), {"sample_names": ("a", "data", "b"), "sample": np.array([2, 1, 0, 0], np.int16)})()
    classes = Classes(("S", "B"), ("S",), {"a": "B", "data": None, "b": "S"})
    assert classes.index(table).tolist() == [0, -1, 1, 1]
    assert classes.index(table, slice(1, 3)).tolist() == [-1, 1]
