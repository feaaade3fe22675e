"""Checks of the structure of saved trees before a library reads them.

scikit-learn, XGBoost and LightGBM follow the indices of a tree without checking them. An index out of range ends the
process (SIGSEGV, SIGABRT), and an index that forms a cycle leads to an infinite loop. Therefore the trees are followed
here first: every child is in range and reached once, every feature exists, every array has the correct length. A
library gets the text as it was parsed here, so that it cannot interpret it differently.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.baselines.inputs import Loss
from hepda.baselines.libraries import OBJECTIVES

Numbers = NDArray[Any]


class StructureError(ValueError):
    """Error for trees that no library of hepda has written."""


def check_tree(left: Numbers, right: Numbers, inner: NDArray[np.bool_], feature: Numbers, features: int) -> None:
    """Follow a tree from its root, node 0.

    Args:
        left: numbers of the left children [n].
        right: numbers of the right children [n].
        inner: whether a node has children [n].
        feature: feature that an inner node compares [n].
        features: number of features.

    Raises:
        StructureError: a child or a feature is out of range, or a node is reached twice, as in a cycle.

    """
    n = len(inner)
    if not n or not len(left) == len(right) == len(feature) == n:
        raise StructureError("the arrays of a tree have different lengths")
    reached = np.zeros(n, dtype=np.bool_)
    nodes = np.zeros(1, dtype=np.int64)
    while len(nodes):
        if reached[nodes].any() or len(np.unique(nodes)) < len(nodes):
            raise StructureError("a node of a tree is reached twice")
        reached[nodes] = True
        nodes = nodes[inner[nodes]]
        if len(nodes) and (feature[nodes].min() < 0 or feature[nodes].max() >= features):
            raise StructureError(f"a tree compares a feature that is none of {features}")
        nodes = np.concatenate([left[nodes], right[nodes]]).astype(np.int64)
        if len(nodes) and (nodes.min() < 0 or nodes.max() >= n):
            raise StructureError(f"a child is none of the {n} nodes of its tree")


def _require(fits: bool, what: str) -> None:
    if not fits:
        raise StructureError(what)


# --- scikit-learn -------------------------------------------------------------------------------------------------


def check_sklearn(model: Any, categories: Mapping[int, int], loss: Loss = "classes") -> int:
    """Check a HistGradientBoostingClassifier (of a number: -Regressor) of skops, and return its number of features.

    Args:
        model: the object that skops returned.
        categories: how many values categorical features have, by column.
        loss: what the trees were made to minimise.

    Raises:
        StructureError: it is not a classifier on numbers and these categories, as `fit` makes it.
        AttributeError, TypeError: parts of it are missing or have another type.

    """
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    features = model._n_features
    _require(isinstance(features, int) and features == model.n_features_in_, "it has two different numbers of features")
    per_iteration = _sklearn_trees_per_iteration(model, loss)
    _require(model.n_trees_per_iteration_ == per_iteration and model._preprocessor is None, "it is not on numbers")
    start, shape = model._baseline_prediction, (1, per_iteration)
    _require(isinstance(start, np.ndarray) and start.shape == shape and start.dtype == np.float64, "no first value")
    is_categorical, known = model._bin_mapper.is_categorical_, model._bin_mapper.bin_thresholds_
    _require(isinstance(is_categorical, np.ndarray) and is_categorical.shape == (features,), "it has other categories")
    _require(set(np.flatnonzero(is_categorical)) == set(categories), "it has other categories")
    _require(isinstance(known, list) and len(known) == features, "it has other categories")
    for column, number in categories.items():  # the bits that scikit-learn sets for them
        _require(np.array_equal(known[column], np.arange(number)), "it has other categories")
    _require(isinstance(model._predictors, list) and len(model._predictors) > 0, "it has no trees")
    for trees in model._predictors:
        _require(isinstance(trees, list) and len(trees) == per_iteration, "an iteration has another number of trees")
        for tree in trees:
            nodes = tree.nodes
            _require(isinstance(nodes, np.ndarray) and nodes.dtype == PREDICTOR_RECORD_DTYPE and nodes.ndim == 1,
                     "its nodes are of another type")  # fmt: skip
            _check_sklearn_sets(tree, nodes[nodes["is_categorical"] != 0], categories)
            check_tree(nodes["left"], nodes["right"], nodes["is_leaf"] == 0, nodes["feature_idx"], features)
    return int(features)


def _sklearn_trees_per_iteration(model: Any, loss: Loss) -> int:
    """Check the loss of trees and, if they are of classes, the classes; return the number of trees of an iteration."""
    from sklearn._loss.loss import AbsoluteError, HalfBinomialLoss, HalfMultinomialLoss, HalfSquaredError

    if loss != "classes":
        kind = HalfSquaredError if loss == "squared" else AbsoluteError
        _require(isinstance(model._loss, kind), f"its loss is not the {loss} one")
        return 1
    classes = model.classes_
    _require(isinstance(classes, np.ndarray) and classes.dtype.kind in "iu" and classes.ndim == 1, "it has no classes")
    _require(np.array_equal(classes, np.arange(len(classes))) and len(classes) > 1, "its classes have no numbers")
    of_two = len(classes) == 2
    _require(
        isinstance(model._loss, HalfBinomialLoss if of_two else HalfMultinomialLoss),
        f"it is not of {len(classes)} classes",
    )
    _require(of_two or model._loss.n_classes == len(classes), f"it is not of {len(classes)} classes")
    return 1 if of_two else len(classes)


def _check_sklearn_sets(tree: Any, nodes: Numbers, categories: Mapping[int, int]) -> None:
    """Check the nodes that split a feature by a set of its values, and the sets."""
    sets = tree.raw_left_cat_bitsets
    _require(isinstance(sets, np.ndarray) and sets.dtype == np.uint32 and sets.shape[1:] == (8,), "it has no sets")
    _require(bool(np.isin(nodes["feature_idx"], list(categories)).all()), "it has other categories")
    _require(bool((nodes["bitset_idx"] < len(sets)).all()), "a node has no set")


# --- XGBoost ------------------------------------------------------------------------------------------------------

_XGBOOST_NUMBERS = ("base_weights", "loss_changes", "split_conditions", "sum_hessian")
_XGBOOST_WHOLE = ("default_left", "left_children", "parents", "right_children", "split_indices", "split_type")
_XGBOOST_SETS = ("categories", "categories_nodes", "categories_segments", "categories_sizes")


def checked_xgboost(text: str, categories: Mapping[int, int], loss: Loss = "classes") -> tuple[bytearray, int, int]:
    """Check an XGBoost model in JSON.

    Args:
        text: the model as JSON.
        categories: how many values categorical features have, by column.
        loss: what the trees were made to minimise.

    Returns:
        The model as newly written JSON, its number of features, and its number of trees (of each class, if there are
        three classes or more).

    Raises:
        StructureError: it is not a classifier on numbers, as `fit` makes it.
        ValueError, KeyError, TypeError: it is not JSON, or parts of it are missing or have another type.

    """
    model = json.loads(text, object_pairs_hook=_once)
    learner = model["learner"]
    booster, about = learner["gradient_booster"], learner["learner_model_param"]
    features, trees = int(about["num_feature"]), booster["model"]["trees"]
    classes, objective = int(about["num_class"]), learner["objective"]["name"]
    of_one = {"classes": "binary:logistic", **{name: of["xgboost"] for name, of in OBJECTIVES.items()}}[loss]
    of_two = objective == of_one and classes == 0
    _require(booster["name"] == "gbtree", "it is of another kind")
    _require(of_two or loss == "classes", "it is of another kind")
    _require(of_two or objective in (of_one, "multi:softprob"), "it is of another kind")
    _require(of_two or (objective == "multi:softprob" and 2 < classes <= 128), "it is not of these classes")
    _require(int(about.get("num_target", 1)) == 1, "it has several targets")
    types = ["c" if column in categories else "q" for column in range(features)] if categories else []
    _require(not learner["feature_names"] and learner["feature_types"] == types, "its features are others")
    _require(isinstance(trees, list) and len(trees) > 0, "it has no trees")
    count, forest, per_iteration = len(trees), booster["model"], 1 if of_two else classes
    _require(int(forest["gbtree_model_param"]["num_trees"]) == count, "its number of trees is wrong")
    _require(int(forest["gbtree_model_param"]["num_parallel_tree"]) == 1, "it has several trees per iteration")
    _require(count % per_iteration == 0, "an iteration has another number of trees")
    iterations = count // per_iteration
    _require(forest["tree_info"] == list(range(per_iteration)) * iterations, "its trees are of other classes")
    order = list(range(0, count + 1, per_iteration))
    _require(forest.get("iteration_indptr", order) == order, "its trees are not in their order")
    _require(not any((forest.get("cats") or {}).values()), "it has categories")
    for tree in trees:
        _check_xgboost(tree, features, categories)
    return bytearray(json.dumps(model).encode()), features, iterations


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict; reject a key that occurs twice, since readers may choose different values."""
    result = dict(pairs)
    _require(len(result) == len(pairs), "a key is given twice")
    return result


def _check_xgboost(tree: Mapping[str, Any], features: int, categories: Mapping[int, int]) -> None:
    about = tree["tree_param"]
    n = int(about["num_nodes"])
    _require(int(about["num_feature"]) == features and int(about["size_leaf_vector"]) in (0, 1), "a tree differs")
    for name in _XGBOOST_NUMBERS:
        _require(len(_array(tree[name], np.float64)) == n, f"{name} has another length than its tree")
    integers = {name: _array(tree[name], np.int64) for name in _XGBOOST_WHOLE}
    for name, values in integers.items():
        _require(len(values) == n, f"{name} has another length than its tree")
    left, right, parents = integers["left_children"], integers["right_children"], integers["parents"]
    _require(bool(np.array_equal(left == -1, right == -1)), "a node has one child")
    _check_xgboost_sets(tree, integers, categories)
    _require(bool(np.all(((parents >= 0) & (parents < n)) | (parents == 2**31 - 1))), "a parent is none of its nodes")
    check_tree(left, right, left != -1, integers["split_indices"], features)


def _check_xgboost_sets(tree: Mapping[str, Any], nodes: Mapping[str, Numbers], categories: Mapping[int, int]) -> None:
    """Check the nodes that split a feature by a set of its values, and the sets, which stand one after the other."""
    values, of, begin, size = (_array(tree.get(name) or [], np.int64) for name in _XGBOOST_SETS)
    _require(len(of) == len(begin) == len(size), "its sets of categories have different lengths")
    _require(bool(np.isin(nodes["split_type"], (0, 1)).all()), "a node is of another kind")
    _require(bool(np.array_equal(of, np.flatnonzero(nodes["split_type"]))), "its sets are of other nodes")
    _require(bool(np.all(size >= 1)) and bool(np.array_equal(begin, np.cumsum(size) - size)), "its sets overlap")
    _require(int(size.sum()) == len(values), "its sets have another number of categories")
    for node, first, number in zip(of, begin, size, strict=True):
        known, inside = categories.get(int(nodes["split_indices"][node]), 0), values[first : first + number]
        _require(bool(np.all((inside >= 0) & (inside < known))), "it has other categories")


def _array(values: Any, kind: type) -> Numbers:
    """Convert a list of numbers to an array of `kind`, int64 or float64; raise StructureError for other contents."""
    types = (int, bool) if kind is np.int64 else (int, float)
    numbers = isinstance(values, list) and all(isinstance(value, types) for value in values)
    _require(numbers, "it has values that are not numbers")
    try:
        return np.array(values, dtype=kind)
    except OverflowError as error:
        raise StructureError(f"a number is too large: {error}") from error


# --- LightGBM -----------------------------------------------------------------------------------------------------

_HEADER = ("version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective",
           "feature_names", "feature_infos", "tree_sizes")  # fmt: skip
_INNER = ("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child", "internal_value",
          "internal_weight", "internal_count")  # fmt: skip
_SETS = ("cat_boundaries", "cat_threshold")
_LEAF = ("leaf_value", "leaf_weight", "leaf_count")
_ONE = ("num_leaves", "num_cat", "is_linear", "shrinkage")
_INTEGERS = ("split_feature", "decision_type", "left_child", "right_child", "internal_count", "leaf_count",
             "num_leaves", "num_cat", "is_linear", "cat_boundaries", "cat_threshold")  # fmt: skip


def checked_lightgbm(text: str, categories: Mapping[int, int], loss: Loss = "classes") -> tuple[str, int, int]:
    """Check the header and the trees of a LightGBM model.

    Args:
        text: the model in LightGBM's text format.
        categories: how many values categorical features have, by column.
        loss: what the trees were made to minimise.

    Returns:
        The header and the trees as text, the number of features, and the number of trees (of each class, if there are
        three classes or more).

    Raises:
        StructureError: it is not a classifier on numbers, as `fit` makes it.
        ValueError, KeyError: it is not such a text, or parts of it are missing or have another type.

    """
    _require(text.isascii() and "\0" not in text, "it has characters that no model has")
    body, end, _ = text.partition("end of trees\n")
    head, first, other_trees = body.partition("\nTree=0\n")
    lines = head.splitlines()
    _require(bool(end) and bool(first) and lines[:1] == ["tree"], "it has no trees, or no end")
    about = _entries(lines[1:], _HEADER)
    features = int(about["max_feature_idx"]) + 1
    classes, objective = int(about["num_class"]), about["objective"].split()
    _require(about["num_tree_per_iteration"] == about["num_class"], "an iteration has another number of trees")
    of_one = ["binary", "sigmoid:1"] if loss == "classes" else [OBJECTIVES[loss]["lightgbm"]]
    of_two = classes == 1 and objective == of_one
    several = loss == "classes" and 2 < classes <= 128 and objective == ["multiclass", f"num_class:{classes}"]
    _require(of_two or several, "it has another objective")
    for name in ("feature_names", "feature_infos"):
        _require(len(about[name].split()) == features, f"{name} are not {features}")
    count = _check_sizes("Tree=0\n" + other_trees, [int(size) for size in about["tree_sizes"].split()])
    trees = ("Tree=0\n" + other_trees).split("\n\n\n")[:-1]
    _require(len(trees) == count, "its trees are not separated")
    for number, tree in enumerate(trees):
        name, _, entries = tree.partition("\n")
        _require(name == f"Tree={number}", "its trees are not in their order")
        _check_lightgbm(_entries(entries.splitlines(), (*_ONE, *_INNER, *_LEAF, *_SETS)), features, categories)
    _require(count % classes == 0, "an iteration has another number of trees")
    return body + end, features, count // classes


def _entries(lines: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Parse lines of `key=value` with known keys, each of which occurs once."""
    entries: dict[str, str] = {}
    for line in filter(None, lines):
        key, is_entry, value = line.partition("=")
        _require(bool(is_entry) and key in known and key not in entries, f"{line[:40]!r} is not expected there")
        entries[key] = value
    return entries


def _check_sizes(trees: str, sizes: Sequence[int]) -> int:
    """Check the sizes that LightGBM uses as offsets from tree to tree; return the number of trees."""
    position = 0
    for number, size in enumerate(sizes):
        _require(size > 0 and trees.startswith(f"Tree={number}\n", position), "the sizes of its trees are wrong")
        position += size
    _require(position == len(trees) and trees.count("Tree=") == len(sizes), "the sizes of its trees are wrong")
    return len(sizes)


def _check_lightgbm(tree: Mapping[str, str], features: int, categories: Mapping[int, int]) -> None:
    numbers = {name: _tokens(name, value) for name, value in tree.items()}
    _require(all(len(numbers[name]) == 1 for name in _ONE), "an entry of a tree has several values")
    leaves = int(numbers["num_leaves"][0])
    _require(numbers["is_linear"][0] == 0, "it has linear leaves")
    # A tree with a single leaf omits the entries that it does not have.
    for names, length in ((_INNER, leaves - 1), (_LEAF, leaves)):
        for name in names:
            size = len(numbers.get(name, ()))
            _require(size == length or (leaves == 1 and size <= 1), f"{name} has another length than its tree")
    _require(leaves >= 1 and len(numbers["leaf_value"]) == leaves, "a tree has no leaf values")
    if leaves == 1:
        _require(numbers["num_cat"][0] == 0, "it has sets without nodes")
        return
    _check_lightgbm_sets(numbers, categories)
    # Inner nodes first, then leaves, which LightGBM numbers -1, -2, ...
    left, right = (
        np.where(children >= 0, children, leaves - 2 - children)
        for children in (numbers["left_child"], numbers["right_child"])
    )
    for children in (numbers["left_child"], numbers["right_child"]):
        _require(bool(np.all((children < leaves - 1) & (children >= -leaves))), "a child is no node of its tree")
    inner, zeros = np.arange(2 * leaves - 1) < leaves - 1, np.zeros(leaves, dtype=np.int64)
    check_tree(np.r_[left, zeros], np.r_[right, zeros], inner, np.r_[numbers["split_feature"], zeros], features)


def _check_lightgbm_sets(numbers: Mapping[str, Numbers], categories: Mapping[int, int]) -> None:
    """Check the nodes that split a feature by a set of its values, and the sets: 32 values in a word."""
    count, by_set = int(numbers["num_cat"][0]), (numbers["decision_type"] & 1) != 0
    ends, words = numbers.get("cat_boundaries", np.zeros(1, np.int64)), numbers.get("cat_threshold", np.zeros(0))
    _require(count >= 0 and len(ends) == count + 1 and ends[0] == 0, "its sets have another number")
    _require(bool(np.all(np.diff(ends) >= 1)) and int(ends[-1]) == len(words), "its sets have another length")
    _require(bool(np.isin(numbers["split_feature"][by_set], list(categories)).all()), "it has other categories")
    chosen = numbers["threshold"][by_set]
    _require(bool(np.all((chosen >= 0) & (chosen < count) & (chosen == np.floor(chosen)))), "a node has no set")


def _tokens(name: str, value: str) -> Numbers:
    if name not in _INTEGERS:
        return np.array([float(word) for word in value.split()])
    integers = np.array([int(word) for word in value.split()], dtype=object)
    largest = 2**32 if name == "cat_threshold" else 2**31  # bits without a sign
    _require(all(abs(number) < largest for number in integers), f"{name} has a number that is too large")
    return integers.astype(np.int64)
