"""Trees that predict a number, in all three libraries: what they learn, that files are read again, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hepda.baselines import bdt
from hepda.baselines.forest import forest_of
from hepda.baselines.inputs import StoredFeatures, TrainingEvents
from hepda.config import BdtConfig
from hepda.errors import DataError, SourceError

LIBRARIES = ("sklearn", "xgboost", "lightgbm")


def settings(library: str, **changes: object) -> BdtConfig:
    if library != "sklearn":
        pytest.importorskip(library)
    return BdtConfig.model_validate({"kind": "bdt", "library": library, "iterations": 60, "patience": None, **changes})


def events(n: int, seed: int, loss: str = "squared") -> TrainingEvents:
    """A number of some hundred units that follows from two of three features, with tails."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 3)).astype(np.float32)
    number = 200.0 + 60.0 * features[:, 0] - 30.0 * np.abs(features[:, 1]) + 5.0 * rng.standard_t(3, n)
    return TrainingEvents(features, number, rng.uniform(0.5, 1.5, n), loss)  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", ["squared", "absolute"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_number_is_predicted_in_its_units_and_read_again(library: str, loss: str, tmp_path: Path) -> None:
    train, test = events(4000, 1, loss), events(2000, 2, loss)
    trees = bdt.fit(settings(library), train, seed=3)
    residual = trees.predict(test.features) - test.label
    assert abs(np.mean(residual)) < 1.5
    assert np.std(residual) < 0.25 * np.std(test.label)
    trees.save(tmp_path, "fold0-member0", {"features": ["a", "b", "c"]})
    again, about = bdt.load(tmp_path, "fold0-member0")
    assert about["loss"] == again.loss == loss
    np.testing.assert_array_equal(again.predict(test.features), trees.predict(test.features))
    forest = forest_of(trees)
    assert not forest.of_classes
    assert len(forest.start) == 1


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_table_on_disk_and_validation_events_give_a_number_too(library: str, tmp_path: Path) -> None:
    whole = events(3000, 5)
    np.save(tmp_path / "table.npy", whole.features)
    mapped = np.load(tmp_path / "table.npy", mmap_mode="r")
    stored = StoredFeatures(mapped, np.arange(2000))
    train = TrainingEvents(stored, whole.label[:2000], whole.weight[:2000], "squared")
    held_out = TrainingEvents(
        StoredFeatures(mapped, np.arange(2000, 3000)), whole.label[2000:], whole.weight[2000:], "squared"
    )
    trees = bdt.fit(settings(library, patience=5, iterations=300), train, held_out, seed=1)
    assert 1 <= trees.trees < 300
    assert np.corrcoef(trees.predict(whole.features), whole.label)[0, 1] > 0.95


def test_negative_weights_are_scaled_over_all_events() -> None:
    drawn = events(1000, 7)
    weight = np.where(np.arange(1000) % 5 == 0, -1.0, 1.0)
    usable, share = bdt.usable(replace(drawn, weight=weight))
    assert share == pytest.approx(0.2)
    assert usable.weight.sum() == pytest.approx(weight.sum())
    assert np.ptp(usable.weight) == pytest.approx(0.0)  # not by the value of the number, as for classes
    with pytest.raises(DataError, match="the weights of all events add up to"):
        bdt.usable(replace(drawn, weight=-weight))


@pytest.mark.parametrize("library", LIBRARIES)
def test_files_of_another_loss_are_refused(library: str, tmp_path: Path) -> None:
    trees = bdt.fit(settings(library, iterations=3), events(400, 1), seed=1)
    trees.save(tmp_path, "t", {})
    path = tmp_path / "t.metadata.json"
    for loss in ("classes", "absolute", "hinge"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"loss": loss}))
        with pytest.raises(SourceError):
            bdt.load(tmp_path, "t")
