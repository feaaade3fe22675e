import dataclasses
import json
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from hepda.baselines import bdt, libraries
from hepda.baselines.inputs import StoredFeatures
from hepda.config import BdtConfig
from hepda.errors import ConfigError, DataError, MissingExtraError, SourceError
from tests.reference.evaluation import auc


def needs(library):
    if library != "sklearn":
        pytest.importorskip(library, reason=f"{library} comes with the extra hepda[{library}]")


@pytest.fixture(params=["sklearn", "xgboost", "lightgbm"])
def library(request):
    needs(request.param)
    return request.param


def events(n=1500, seed=0, negative=0.0, levels=None):
    """Two shifted Gaussians; with `levels` the features take that many values, so that bins are exact."""
    generator = np.random.default_rng(seed)
    label = (generator.random(n) < 0.5).astype(np.int8)
    features = generator.normal(0, 1, (n, 4))
    features[:, 0] += 0.8 * label
    features[:, 1] += 0.5 * label * features[:, 2]
    if levels:
        features = np.round(np.clip(features, -2, 2) * levels / 4)
    weight = np.where(generator.random(n) < negative, -1.0, 1.0) * generator.uniform(0.5, 1.5, n)
    return bdt.TrainingEvents(features.astype(np.float32), label, weight)


def settings(library, **keys):
    return BdtConfig(kind="bdt", library=library, **({"iterations": 15, "max_leaves": 8, "patience": None} | keys))


def train(library, train_events, validation=None, seed=1, **keys):
    return bdt.fit(settings(library, **keys), train_events, validation, seed=seed)


def rows(events, index):
    return bdt.TrainingEvents(events.features[index], events.label[index], events.weight[index])


def test_trees_separate_and_scores_are_probabilities(library):
    trees = train(library, events())
    test = events(seed=9)
    score = trees.predict(test.features)
    assert score.dtype == np.float32 and score.shape == (1500,) and 0 <= score.min() < score.max() <= 1
    assert auc(score[:400], test.label[:400], np.ones(400)) > 0.65
    assert trees.trees == 15 and trees.library == library and trees.note is None


def test_the_same_seed_gives_the_same_numbers(library):
    test = events(seed=9).features
    first, second = (train(library, events(), events(seed=3), patience=3).predict(test) for _ in range(2))
    assert np.array_equal(first, second)


def test_features_of_a_table_give_trees_of_the_same_quality(library, tmp_path):
    part, test = events(4000), events(seed=9)
    np.save(tmp_path / "features.npy", part.features)
    table = np.load(tmp_path / "features.npy", mmap_mode="r")
    index = [np.flatnonzero(np.arange(4000) % 4 != number).astype(np.int32) for number in (0, 1)]
    memory = [rows(part, chosen) for chosen in index]
    stored = [dataclasses.replace(m, features=StoredFeatures(table, i)) for m, i in zip(memory, index, strict=True)]
    first, second = (train(library, *pair, patience=3) for pair in (memory, stored))
    second.save(tmp_path, "fold0", {})
    loaded, _ = bdt.load(tmp_path, "fold0")
    score, other = first.predict(test.features), second.predict(test.features)
    assert np.array_equal(loaded.predict(test.features), other)
    if library == "xgboost":  # its bins are merged from those of the blocks
        areas = [auc(s, test.label, np.ones(1500)) for s in (score, other)]
        assert areas[1] == pytest.approx(areas[0], abs=0.01) and first.trees > 1
        assert np.corrcoef(score, other)[0, 1] > 0.95
    else:
        assert np.array_equal(score, other)


def test_blocks_of_scored_events_change_no_number(library, monkeypatch):
    trees, test = train(library, events()), events(seed=9).features
    complete = trees.predict(test)
    monkeypatch.setattr(bdt, "_SCORED", 70)
    assert np.array_equal(trees.predict(test), complete)


def test_weights_reach_the_fit(library):
    train_events = events()
    region = train_events.features[:, 3] > 0
    # There the signal counts next to nothing, so the score must fall; elsewhere all is as it was.
    light = np.where(region & (train_events.label == 1), 0.05, 1.0)
    plain = train(library, dataclasses.replace(train_events, weight=np.ones(1500)))
    tilted = train(library, dataclasses.replace(train_events, weight=light))
    test = events(seed=9).features
    up = test[:, 3] > 0.2
    assert tilted.predict(test[up]).mean() < 0.6 * plain.predict(test[up]).mean()
    assert tilted.predict(test[~up]).mean() > 1.5 * tilted.predict(test[up]).mean()


def test_a_weight_of_two_is_a_duplicated_row(library):
    # scikit-learn and LightGBM count rows in a leaf, so the least number is 1 here: with any other, a doubled
    # row counts twice in it and a weight of 2 once. Few feature values keep the bins the same.
    train_events = events(levels=12)
    twice = np.random.default_rng(5).random(1500) < 0.3
    heavy = dataclasses.replace(train_events, weight=np.where(twice, 2.0, 1.0))
    copied = rows(train_events, np.concatenate([np.arange(1500), np.flatnonzero(twice)]))
    copied = dataclasses.replace(copied, weight=np.ones(len(copied.label)))
    test = events(seed=9, levels=12).features
    keys = {"min_samples": 1, "l2": 1.0}
    by_weight, by_copy = (train(library, part, **keys).predict(test) for part in (heavy, copied))
    assert by_weight == pytest.approx(by_copy, abs=2e-5)
    unweighted = train(library, dataclasses.replace(train_events, weight=np.ones(1500)), **keys).predict(test)
    assert np.abs(by_weight - unweighted).max() > 0.01


def test_a_weight_of_zero_is_an_absent_row(library):
    train_events = events()
    absent = np.random.default_rng(5).random(1500) < 0.4
    silent = dataclasses.replace(train_events, weight=np.where(absent, 0.0, train_events.weight))
    test = events(seed=9).features
    assert np.array_equal(
        train(library, silent).predict(test), train(library, rows(train_events, ~absent)).predict(test)
    )


def test_negative_weights_count_by_their_absolute_value_and_it_is_said(library, tmp_path):
    train_events = events(negative=0.15)
    trees = train(library, train_events, events(seed=3, negative=0.15), patience=5)
    share = np.mean(train_events.weight < 0)
    assert trees.negative == pytest.approx(share)
    assert "absolute value" in trees.note and f"{100 * share:.1f} %" in trees.note
    trees.save(tmp_path, "fold0", {})
    loaded, about = bdt.load(tmp_path, "fold0")
    assert about["negative_weights"] == {"policy": "absolute", "share": share} and loaded.note == trees.note
    scaled = np.abs(train_events.weight)
    for value in (0, 1):
        scaled[train_events.label == value] *= (
            train_events.weight[train_events.label == value].sum() / scaled[train_events.label == value].sum()
        )
    by_hand = train(library, dataclasses.replace(train_events, weight=scaled)).predict(train_events.features)
    assert np.array_equal(train(library, train_events).predict(train_events.features), by_hand)


def test_signs_do_not_spoil_the_trees():
    """With the signs in the sums of a leaf this AUC is 0.03 lower and scores of 0 and 1 appear."""
    train_events, test = events(4000, negative=0.2), events(seed=9)
    keys = {"iterations": 40, "max_leaves": 31}
    signed = train("sklearn", train_events, **keys).predict(test.features)
    unsigned = train("sklearn", dataclasses.replace(train_events, weight=np.abs(train_events.weight)), **keys)
    expected = auc(unsigned.predict(test.features), test.label, np.ones(1500))
    assert auc(signed, test.label, np.ones(1500)) == pytest.approx(expected, abs=0.01)
    assert signed.min() > 0.001 and signed.max() < 0.999


def test_usable_weights_keep_the_signed_sum_of_each_class():
    signed = bdt.TrainingEvents(
        np.arange(6, dtype=np.float32)[:, None],
        np.array([1, 1, 1, 0, 0, 0], np.int8),
        np.array([2.0, -1.0, 1.0, 3.0, 0.0, 1.0]),
    )
    positive, negative = bdt.usable(signed)
    assert negative == pytest.approx(1 / 6)
    assert positive.weight == pytest.approx([1.0, 0.5, 0.5, 3.0, 1.0])
    assert positive.features[:, 0].tolist() == [0, 1, 2, 3, 5] and positive.label.tolist() == [1, 1, 1, 0, 0]
    assert signed.weight[1] == -1.0  # what was handed in stays
    with pytest.raises(DataError, match=r"class 1 add up to -1"):
        bdt.usable(dataclasses.replace(signed, weight=np.array([1.0, -2.0, 0.0, 1.0, 1.0, 1.0])))


def test_training_stops_on_the_validation_events(library):
    noise = events()
    generator = np.random.default_rng(4)
    noise = dataclasses.replace(noise, label=generator.integers(0, 2, 1500).astype(np.int8))
    other = dataclasses.replace(events(seed=3), label=generator.integers(0, 2, 1500).astype(np.int8))
    keys = {"iterations": 200, "learning_rate": 0.3}
    stopped = train(library, noise, other, patience=4, **keys)
    assert stopped.trees < 20  # there is nothing to learn
    assert train(library, noise, other, patience=None, iterations=30).trees == 30
    # The validation events choose: seen again, the training events would go on.
    assert train(library, noise, noise, patience=4, **keys).trees > 100


def test_only_the_trees_up_to_the_best_are_kept(library):
    train_events, validation = events(), events(seed=3)
    keys = {"iterations": 150, "learning_rate": 0.3, "max_leaves": 16}
    stopped = train(library, train_events, validation, patience=10, **keys)
    again = train(library, train_events, **(keys | {"iterations": stopped.trees}))
    assert stopped.trees < 140
    assert stopped.predict(validation.features) == pytest.approx(again.predict(validation.features), abs=1e-6)

    def loss(trees):
        score = (
            train(library, train_events, **(keys | {"iterations": trees})).predict(validation.features).astype(float)
        )
        right = np.where(validation.label == 1, score, 1 - score)
        return -np.average(np.log(right), weights=validation.weight)

    assert loss(stopped.trees) <= min(loss(stopped.trees + 1), loss(stopped.trees + 5), loss(stopped.trees + 10))


def test_save_and_load_give_the_same_scores_without_a_pickle(library, tmp_path):
    trees = train(library, events(), events(seed=3), patience=5)
    trees.save(tmp_path / "models" / "bdt", "fold0-member0", {"features": ["a", "b", "c", "d"]})
    loaded, about = bdt.load(tmp_path / "models" / "bdt", "fold0-member0")
    test = events(seed=9).features
    assert np.array_equal(loaded.predict(test), trees.predict(test))
    assert loaded.trees == trees.trees and about["features"] == ["a", "b", "c", "d"]
    assert about["library"] == library and about["negative_weights"] is None
    files = {path.name for path in (tmp_path / "models" / "bdt").iterdir()}
    assert files == {f"fold0-member0{bdt.SUFFIX[library]}", "fold0-member0.metadata.json"}
    for path in (tmp_path / "models" / "bdt").iterdir():
        assert not path.read_bytes().startswith(b"\x80")  # how a pickle begins
        if zipfile.is_zipfile(path):
            assert not [name for name in zipfile.ZipFile(path).namelist() if name.endswith((".pkl", ".pickle"))]


def test_a_file_that_has_not_changed_is_read_once(library, tmp_path):
    first, second = (train(library, events(seed=seed), iterations=3) for seed in (1, 2))
    test = events(seed=9).features
    first.save(tmp_path, "a", {})
    assert bdt.load(tmp_path, "a")[0].model is bdt.load(tmp_path, "a")[0].model
    second.save(tmp_path, "a", {})
    assert np.array_equal(bdt.load(tmp_path, "a")[0].predict(test), second.predict(test))


def test_leaves_without_limit(library):
    trees = train(library, events(), max_leaves=None, max_depth=None, iterations=3, min_samples=50)
    assert trees.trees == 3
    deep = train(library, events(), max_leaves=None, max_depth=2, iterations=3)
    assert len(np.unique(deep.predict(events(seed=9).features))) <= 4**3


def swap(folder, model):
    """Another object under the name of trained trees."""
    skops.io.dump(model, folder / "a.skops")


def test_only_the_types_of_trees_are_loaded(tmp_path):
    train("sklearn", events()).save(tmp_path, "a", {})
    assert set(skops.io.get_untrusted_types(file=tmp_path / "a.skops")) <= set(bdt.TRUSTED)
    train_events = events(50)
    # Of scikit-learn, and harmless to skops, but no BDT.
    swap(tmp_path, LogisticRegression().fit(train_events.features, train_events.label))
    with pytest.raises(SourceError, match="contains a LogisticRegression"):
        bdt.load(tmp_path, "a")
    model = DecisionTreeClassifier()
    model.fit(train_events.features, train_events.label)
    model.hook = json.JSONDecodeError  # a type that nobody vouches for
    swap(tmp_path, model)
    with pytest.raises(SourceError, match=r"contains types.*JSONDecodeError"):
        bdt.load(tmp_path, "a")


def test_files_that_are_missing_or_broken_are_named(library, tmp_path):
    with pytest.raises(SourceError, match=r"no .*a\.metadata\.json"):
        bdt.load(tmp_path, "a")
    train(library, events(), iterations=2).save(tmp_path, "a", {})
    path = tmp_path / f"a{bdt.SUFFIX[library]}"
    path.write_text("not trees")
    with pytest.raises(SourceError, match=rf"a\{path.suffix} cannot be read"):
        bdt.load(tmp_path, "a")
    path.unlink()
    with pytest.raises(SourceError, match="missing"):
        bdt.load(tmp_path, "a")
    (tmp_path / "a.metadata.json").write_text('{"library": "xgbost", "trees": 2, "negative_weights": null}')
    with pytest.raises(ConfigError, match="Did you mean 'xgboost'"):
        bdt.load(tmp_path, "a")
    (tmp_path / "a.metadata.json").write_text('{"trees": 2}')
    with pytest.raises(SourceError, match="not the metadata"):
        bdt.load(tmp_path, "a")


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_library_that_is_not_installed_names_its_extra(library, monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(libraries.importlib, "import_module", absent)
    with pytest.raises(MissingExtraError, match=rf"hepda\[{library}\]"):
        train(library, events(100))


# --- three classes and more ---------------------------------------------------------------------------------------


def three_classes(n=2400, seed=0, negative=0.0):
    """Three Gaussians in a plane, and two features without information."""
    generator = np.random.default_rng(seed)
    label = generator.integers(0, 3, n).astype(np.int8)
    features = generator.normal(0, 1, (n, 4))
    features[:, :2] += np.array([[0.0, 0.9], [0.8, -0.5], [-0.8, -0.5]])[label]
    weight = np.where(generator.random(n) < negative, -1.0, 1.0) * generator.uniform(0.5, 1.5, n)
    return bdt.TrainingEvents(features.astype(np.float32), label, weight)


def test_probabilities_of_three_classes_add_up_to_one_and_separate_each(library):
    trees = train(library, three_classes(), three_classes(seed=3), iterations=60, patience=8)
    test = three_classes(seed=9)
    score = trees.predict(test.features)
    assert score.dtype == np.float32 and score.shape == (2400, 3)
    assert score.sum(axis=1) == pytest.approx(np.ones(2400), abs=1e-5)
    for number in range(3):
        assert auc(score[:500, number], test.label[:500] == number, np.ones(500)) > 0.75
    assert 1 <= trees.trees < 60


def test_three_classes_are_those_of_scikit_learn_itself():
    train_events, test = three_classes(negative=0.1), three_classes(seed=9).features
    keys = {"iterations": 25, "max_leaves": 8, "learning_rate": 0.2, "min_samples": 10, "l2": 0.5}
    usable = bdt.usable(train_events)[0]
    direct = HistGradientBoostingClassifier(
        max_iter=25, max_leaf_nodes=8, learning_rate=0.2, min_samples_leaf=10, l2_regularization=0.5,
        early_stopping=False, random_state=1,
    ).fit(usable.features, usable.label, usable.weight)  # fmt: skip
    expected = direct.predict_proba(test).astype(np.float32)
    assert np.array_equal(train("sklearn", train_events, **keys).predict(test), expected)


def test_the_libraries_agree_on_three_classes(library):
    test = three_classes(seed=9)
    keys = {"iterations": 40, "max_leaves": 6, "learning_rate": 0.1}
    ours = train(library, three_classes(), **keys).predict(test.features)
    theirs = train("sklearn", three_classes(), **keys).predict(test.features)
    assert np.mean(ours.argmax(axis=1) == theirs.argmax(axis=1)) > 0.93
    assert np.abs(ours - theirs).mean() < 0.05


def test_trees_of_three_classes_are_saved_and_loaded(library, tmp_path):
    trees = train(library, three_classes(), three_classes(seed=3), patience=3, iterations=40)
    trees.save(tmp_path, "a", {"features": list("abcd"), "classes": ["x", "y", "z"]})
    loaded, about = bdt.load(tmp_path, "a")
    test = three_classes(seed=9).features
    assert np.array_equal(loaded.predict(test), trees.predict(test))
    assert loaded.trees == trees.trees == about["trees"] and about["classes"] == ["x", "y", "z"]
    if library == "sklearn":
        assert set(skops.io.get_untrusted_types(file=tmp_path / "a.skops")) <= set(bdt.TRUSTED)


@pytest.mark.parametrize(
    ("library", "old", "new"),
    [
        ("xgboost", '"num_class":"3"', '"num_class":"2"'),
        ("xgboost", '"tree_info":[0,1,2', '"tree_info":[0,2,1'),
        ("xgboost", '"tree_info":[0,1,2', '"tree_info":[0,1,7'),
        ("lightgbm", "num_tree_per_iteration=3", "num_tree_per_iteration=2"),
        ("lightgbm", "num_class=3", "num_class=5"),
        ("lightgbm", "num_class:3", "num_class:4"),
    ],
)
def test_trees_of_other_classes_than_they_say_are_refused(library, old, new, tmp_path):
    needs(library)
    train(library, three_classes(), iterations=4).save(tmp_path, "a", {})
    path = tmp_path / f"a{bdt.SUFFIX[library]}"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(SourceError, match="cannot be read"):
        bdt.load(tmp_path, "a")


def test_scikit_learns_trees_of_a_class_that_is_missing_are_refused(tmp_path):
    trees = train("sklearn", three_classes(), iterations=4)
    trees.model._predictors = [part[:2] for part in trees.model._predictors]
    trees.save(tmp_path, "a", {})
    with pytest.raises(SourceError, match="another number of trees"):
        bdt.load(tmp_path, "a")
