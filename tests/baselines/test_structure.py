"""Trees that no library wrote are refused before a library follows them: there they end the process, or never end.

That scikit-learn, XGBoost and LightGBM do not look at the indices of a tree is their fault, reproduced with versions
1.9, 3.2 and 4.7: a child or feature out of range is read all the same, and a circle is followed for ever.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io

from hepda.baselines import bdt
from hepda.baselines.structure import StructureError, check_tree
from hepda.config import BdtConfig
from hepda.errors import SourceError

FEATURES = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
LABEL = (FEATURES[:, 0] + 0.3 * FEATURES[:, 1] > 0).astype(np.int8)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three trees of each library, as `Bdt.save` leaves them."""
    folder = tmp_path_factory.mktemp("trees")
    for library in bdt.LIBRARIES:
        if library != "sklearn":
            pytest.importorskip(library)
        settings = BdtConfig(kind="bdt", library=library, iterations=3, max_leaves=5, patience=None)
        trees = bdt.fit(settings, bdt.TrainingEvents(FEATURES, LABEL, np.ones(len(LABEL))))
        trees.save(folder, library, {"features": ["a", "b", "c"]})
        np.save(folder / f"{library}.npy", trees.predict(FEATURES))
    return folder


def crafted(saved: Path, folder: Path, library: str) -> Path:
    for suffix in (bdt.SUFFIX[library], ".metadata.json"):
        (folder / f"{library}{suffix}").write_bytes((saved / f"{library}{suffix}").read_bytes())
    return folder / f"{library}{bdt.SUFFIX[library]}"


@pytest.mark.parametrize("library", list(bdt.LIBRARIES))
def test_what_a_library_wrote_gives_the_same_scores_to_the_last_bit(saved: Path, library: str) -> None:
    trees, _ = bdt.load(saved, library)
    assert np.array_equal(trees.predict(FEATURES), np.load(saved / f"{library}.npy"))


def nodes(change: Callable[[Any], None]) -> Callable[[Any], None]:
    return lambda model: change(model._predictors[1][0].nodes)


def put(name: str, value: Any, at: int = 0) -> Callable[[Any], None]:
    def change(values: Any) -> None:
        values[name][at] = value

    return change


def turned(model: Any) -> None:
    tree = model._predictors[0][0]
    tree.nodes = tree.nodes.astype([(n, "<f8") for n in tree.nodes.dtype.names])


def no_trees(model: Any) -> None:
    model._predictors = []


def other_features(model: Any) -> None:
    model.n_features_in_ = 4


@pytest.mark.parametrize(
    "change",
    [
        nodes(put("left", 10**6)), nodes(put("right", 0)), nodes(put("left", 0)), nodes(put("feature_idx", 3)),
        nodes(put("feature_idx", -1)), nodes(put("is_leaf", 0, -1)), nodes(put("is_categorical", 1)), turned, no_trees,
        other_features,
    ],
)  # fmt: skip
def test_sklearn(saved: Path, tmp_path: Path, change: Callable[[Any], None]) -> None:
    path = crafted(saved, tmp_path, "sklearn")
    model = skops.io.load(path, trusted=bdt.TRUSTED)
    change(model)
    skops.io.dump(model, path)
    with pytest.raises(SourceError, match=r"sklearn\.skops cannot be read as a skops file"):
        bdt.load(tmp_path, "sklearn")


def tree_of(change: Callable[[Any], None]) -> Callable[[Any], None]:
    return lambda model: change(model["learner"]["gradient_booster"]["model"]["trees"][1])


def shorter(tree: Any) -> None:
    tree["split_conditions"].pop()


def text(tree: Any) -> None:
    tree["split_indices"][0] = "0"


def several(model: Any) -> None:
    model["learner"]["gradient_booster"]["model"]["tree_info"][0] = 7


def fewer(model: Any) -> None:
    model["learner"]["gradient_booster"]["model"]["trees"].pop()


@pytest.mark.parametrize(
    "change",
    [
        tree_of(put("left_children", 10**6)), tree_of(put("right_children", -7)), tree_of(put("left_children", 0)),
        tree_of(put("right_children", 10**12)), tree_of(put("split_indices", 3)), tree_of(put("split_indices", 10**25)),
        tree_of(put("parents", 10**6, 1)), tree_of(put("split_type", 1)), tree_of(shorter), tree_of(text), several,
        fewer,
    ],
)  # fmt: skip
def test_xgboost(saved: Path, tmp_path: Path, change: Callable[[Any], None]) -> None:
    path = crafted(saved, tmp_path, "xgboost")
    model = json.loads(path.read_text())
    before = copy.deepcopy(model)
    change(model)
    assert model != before
    path.write_text(json.dumps(model))
    with pytest.raises(SourceError, match=r"xgboost\.json cannot be read as a model of XGBoost"):
        bdt.load(tmp_path, "xgboost")


@pytest.mark.parametrize("broken", ["[" * 100_000, "{}", '{"learner": 1, "learner": 2}', "\0"])
def test_text_that_is_no_model_of_xgboost(saved: Path, tmp_path: Path, broken: str) -> None:
    crafted(saved, tmp_path, "xgboost").write_text(broken)
    with pytest.raises(SourceError, match="cannot be read"):
        bdt.load(tmp_path, "xgboost")


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        (r"left_child=\S+", "left_child=99999"), (r"right_child=\S+", "right_child=0"),
        (r"left_child=\S+", "left_child=-99"),
        (r"split_feature=\S+", "split_feature=3"), (r"split_feature=\S+", "split_feature=-1"),
        (r"num_leaves=\d+", "num_leaves=1000000"), (r"num_leaves=\d+", "num_leaves=1"), (r"num_cat=0", "num_cat=1"),
        (r"decision_type=2", "decision_type=1"), (r"threshold=\S+ ", "threshold="), (r"tree_sizes=\d+", "tree_sizes=9"),
        (r"tree_sizes=\d+", "tree_sizes=999999999"), (r"max_feature_idx=2", "max_feature_idx=3"), (r"Tree=1", "Tree=2"),
        (r"is_linear=0", "is_linear=1"), (r"num_class=1", "num_class=2"), (r"leaf_value=\S+", "leaf_value=x"),
        (r"end of trees", "end of all"), (r"left_child=\S+", "left_child=99999999999999999999"),
    ],
)  # fmt: skip
def test_lightgbm(saved: Path, tmp_path: Path, pattern: str, instead: str) -> None:
    path = crafted(saved, tmp_path, "lightgbm")
    content = path.read_text()
    match = re.search(pattern, content)
    assert match is not None
    # of the same length where that is possible: the sizes of the trees alone would not tell
    path.write_text(content.replace(match.group(), instead.ljust(len(match.group())), 1))
    with pytest.raises(SourceError, match=r"lightgbm\.txt cannot be read as a model of LightGBM"):
        bdt.load(tmp_path, "lightgbm")


@pytest.mark.parametrize("library", list(bdt.LIBRARIES))
def test_metadata_that_ask_for_more_than_there_is(saved: Path, tmp_path: Path, library: str) -> None:
    crafted(saved, tmp_path, library)
    page = tmp_path / f"{library}.metadata.json"
    about = json.loads(page.read_text())
    for change, message in (({"trees": 4}, "has 4 trees, but"), ({"features": ["a"]}, "has 1 features, but")):
        page.write_text(json.dumps(about | change))
        with pytest.raises(SourceError, match=message):
            bdt.load(tmp_path, library)


def test_a_tree_is_followed_from_its_root() -> None:
    def check(left: list[int], right: list[int], features: int = 2) -> None:
        inner = np.array([child >= 0 for child in left])
        check_tree(np.array(left), np.array(right), inner, np.zeros(len(left), np.int64), features)

    check([1, -1, -1], [2, -1, -1])
    check([3, 7, -1, -1], [2, 7, -1, -1])  # a node that a pruning left is not reached, and not looked at
    for left, right, message in (
        ([1, -1], [1, -1], "twice"), ([1, 0, -1], [2, 2, -1], "twice"), ([1, -1, -1], [3, -1, -1], "none of the 3"),
        ([], [], "lengths"),
    ):  # fmt: skip
        with pytest.raises(StructureError, match=message):
            check(left, right)
    with pytest.raises(StructureError, match="a feature that is none of 0"):
        check([1, -1, -1], [2, -1, -1], 0)
