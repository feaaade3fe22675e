from __future__ import annotations

import numpy as np
import pytest

from hepda.adversarial import History, class_weights, negative_weights
from hepda.adversarial.training.history import diagnose
from hepda.errors import ConfigError, DataError

W = np.array([2.0, -1.0, 1.0])


def test_each_policy_and_what_it_says() -> None:
    assert negative_weights(W, "keep").weight.tolist() == [2.0, -1.0, 1.0]
    assert negative_weights(W, "absolute").weight.tolist() == [2.0, 1.0, 1.0]
    done = negative_weights(W, "drop")
    assert done.weight.tolist() == [2.0, 0.0, 1.0]
    assert (done.rows, done.sumw) == (pytest.approx(1 / 3), 0.25)
    assert "33.3 % of rows, 25.0 %" in str(done)
    assert "there are none" in str(negative_weights(np.ones(2)))
    with pytest.raises(DataError, match="1 of 3 weights are negative"):
        negative_weights(W, "reject")
    with pytest.raises(ConfigError, match="Did you mean 'absolute'"):
        negative_weights(W, "absolut")
    with pytest.raises(DataError, match="NaN"):
        negative_weights([1.0, np.nan])
    assert W.tolist() == [2.0, -1.0, 1.0]


def test_class_weights_give_classes_one_sum_and_keep_signs() -> None:
    label, weight = np.array([0, 0, 0, 1, -1]), np.array([2.0, -1.0, 1.0, 8.0, 5.0])
    balanced = class_weights(label, weight)
    assert balanced[label == 0].sum() == balanced[label == 1].sum() == pytest.approx(2.0)
    assert balanced[1] < 0
    assert balanced[4] == 0
    with pytest.raises(DataError, match="two or more"):
        class_weights(np.zeros(3))
    with pytest.raises(DataError, match="class 0 add up to"):
        class_weights(label, -weight)


def history(**columns: list[float]) -> History:
    return History({**columns, "seconds": [1.0] * len(next(iter(columns.values())))})


def test_alarms_say_what_is_wrong() -> None:
    assert diagnose(history(class_loss=[0.6, 0.4, 0.35, 0.34]), "class", []) == []
    assert "collapse" in diagnose(history(class_loss=[0.5, 0.3, 0.5, 0.69]), "class", [])[0]
    certain = history(class_loss=[0.5] * 3, domain_accuracy=[0.99] * 3)
    assert "saturation" in diagnose(certain, "class", ["domain"])[0]
    blind = history(class_loss=[0.5] * 3, domain_loss=[0.6931] * 3, domain_chance=[0.6931] * 3)
    assert "blindness" in diagnose(blind, "class", ["domain"])[0]
    strong = history(class_loss=[0.5] * 3, domain_gradient=[2.0] * 3, task_gradient=[0.1] * 3)
    assert "opposition" in diagnose(strong, "class", ["domain"])[0]


def test_a_history_fills_what_was_not_measured_and_goes_through_json() -> None:
    table = History()
    table.add({"class_loss": 1.0, "seconds": 2.0})
    table.add({"class_loss": 0.5, "domain_loss": 0.7, "seconds": 2.0})
    table.rows = 100
    assert np.isnan(table["domain_loss"][0])
    assert (table.epochs, table.seconds, table.rows_per_second) == (2, 4.0, 25.0)
    again = History.from_dict(table.to_dict())
    assert again.to_dict() == table.to_dict()
