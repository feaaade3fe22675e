"""Categorical features of trees: sets of values in all three libraries, on events in memory and in a table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hepda.baselines import bdt
from hepda.baselines.forest import forest_of
from hepda.baselines.inputs import StoredFeatures, TrainingEvents, coded
from hepda.config import BdtConfig
from hepda.errors import ConfigError, SourceError
from tests.reference.evaluation import auc

VALUES = (11, 13, 15, -1, 22, 130)
"""Values in an order that no cut on the number separates: the first, third and fifth are signal-like."""
CATEGORIES = {1: VALUES}


@pytest.fixture(params=["sklearn", "xgboost", "lightgbm"])
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name != "sklearn":
        pytest.importorskip(name)
    return name


def events(n: int = 2000, seed: int = 0) -> TrainingEvents:
    rng = np.random.default_rng(seed)
    index = rng.integers(0, len(VALUES), n)
    label = (rng.random(n) < np.where(index % 2 == 0, 0.9, 0.1)).astype(np.int8)
    features = np.column_stack([rng.normal(0, 1, n), np.array(VALUES)[index], rng.normal(0, 1, n)])
    return TrainingEvents(features.astype(np.float32), label, rng.uniform(0.5, 1.5, n))


def settings(library: str, **keys: object) -> BdtConfig:
    # One split of each tree: a cut on a number cannot tell these values apart, a set of them can.
    return BdtConfig(kind="bdt", library=library, **({"iterations": 3, "max_leaves": 2, "patience": None} | keys))  # type: ignore[arg-type]


def test_codes_are_places_in_the_list_and_other_values_are_missing() -> None:
    features = np.array([[0, 13], [0, -1], [0, 130], [0, 12], [0, np.nan], [0, 1e9]], dtype=np.float32)
    np.testing.assert_array_equal(coded(features, CATEGORIES)[:, 1], [1, 3, 5, np.nan, np.nan, np.nan])
    assert features[0, 1] == 13


def test_one_split_by_a_set_separates_what_no_cut_does(library: str, tmp_path: Path) -> None:
    train, test = events(), events(seed=1)
    by_set = bdt.fit(settings(library), train, categories=CATEGORIES)
    by_cut = bdt.fit(settings(library), train)
    ones = np.ones(400)
    areas = [auc(trees.predict(test.features)[:400], test.label[:400], ones) for trees in (by_set, by_cut)]
    assert areas[0] > 0.87
    assert areas[1] < 0.8
    by_set.save(tmp_path, "trees", {"features": ["a", "b", "c"]})
    again, _ = bdt.load(tmp_path, "trees")
    np.testing.assert_array_equal(again.predict(test.features), by_set.predict(test.features))
    unknown = test.features[:5].copy()
    unknown[:, 1] = 12
    assert np.isfinite(again.predict(unknown)).all()
    with pytest.raises(ConfigError, match="split by sets of values"):
        forest_of(again)


def test_early_stopping_and_three_classes(library: str) -> None:
    train, held_out = events(), events(seed=2)
    trees = bdt.fit(settings(library, patience=2, iterations=20), train, held_out, categories=CATEGORIES)
    assert 1 <= trees.trees <= 20
    three = TrainingEvents(train.features, (np.arange(2000) % 3).astype(np.int8), train.weight)
    assert bdt.fit(settings(library), three, categories=CATEGORIES).predict(train.features).shape == (2000, 3)


def test_events_in_a_table_are_coded_as_they_are_read(library: str) -> None:
    train = events()
    stored = TrainingEvents(StoredFeatures(train.features, np.arange(2000)), train.label, train.weight)
    in_memory = bdt.fit(settings(library), train, categories=CATEGORIES)
    in_table = bdt.fit(settings(library), stored, categories=CATEGORIES)
    np.testing.assert_allclose(in_table.predict(train.features), in_memory.predict(train.features), atol=2e-3)


def test_categories_of_a_file_that_do_not_fit_are_refused(library: str, tmp_path: Path) -> None:
    trees = bdt.fit(settings(library), events(), categories=CATEGORIES)
    trees.save(tmp_path, "trees", {"features": ["a", "b", "c"]})
    path = tmp_path / "trees.metadata.json"
    about = json.loads(path.read_text())
    for columns in ({}, {"0": [1, 2]}, {"1": [1]}, {"1": [1, 1]}, {"1": "12"}, {"1": [1.5, 2]}):
        path.write_text(json.dumps(about | {"categorical_columns": columns}))
        with pytest.raises(SourceError):
            bdt.load(tmp_path, "trees")
