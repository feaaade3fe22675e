"""The trees of the three libraries in one form: nodes as arrays, with thresholds of single precision.

Features are float32. scikit-learn and LightGBM compare them with thresholds of double precision, x <= t. For a float32
x this is x <= t32 with the largest float32 that is not above t, so that nothing is lost by the shorter number. XGBoost
compares x < t, with a float32.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.baselines.bdt import Bdt
from hepda.errors import ConfigError

_TINY = np.float32(1e-35)


@dataclass(frozen=True, slots=True, eq=False)
class DecisionTree:
    """One tree: arrays over its nodes [n], of which node 0 is the root.

    Attributes:
        feature: number of the feature that an inner node compares.
        threshold: the number that it is compared with, float32.
        left: the node where the comparison holds; -1 for a leaf.
        right: the other one; -1 for a leaf.
        missing_left: whether a missing value goes to the left.
        value: what a leaf adds to the raw output; 0 for an inner node.
        output: number of the raw output.

    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float32]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    value: NDArray[np.float64]
    output: int


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """All trees of a BDT: the raw outputs are `start` plus the sums of the leaves.

    Attributes:
        trees: the trees.
        start: raw outputs without any tree [k]: one (its sigmoid is P(signal)), or one for each class (softmax); or the
            number itself.
        or_equal: whether a node compares x <= t, else x < t.
        of_classes: whether the outputs are of classes; else the one output is the number that is predicted.

    """

    trees: tuple[DecisionTree, ...]
    start: NDArray[np.float64]
    or_equal: bool
    of_classes: bool = True


def forest_of(bdt: Bdt) -> Forest:
    """Return the trees of a BDT.

    Raises:
        ConfigError: of an unknown library, or with categorical features, which nodes compare with sets of values.

    """
    if bdt.categories:
        raise ConfigError(
            f"trees of {bdt.library} with categorical features split by sets of values, which this form of trees does "
            "not have; use the library's own file in models/, or give the features as numbers (without `categories`)"
        )
    if bdt.library not in _FORESTS:
        raise ConfigError(f"trees of {bdt.library!r} are not known; one of {', '.join(_FORESTS)}")
    forest: Forest = _FORESTS[bdt.library](bdt)
    return replace(forest, of_classes=bdt.loss == "classes")


def not_above(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 that is not above each threshold."""
    with np.errstate(over="ignore"):
        near = threshold.astype(np.float32)
    return np.where(near.astype(np.float64) > threshold, np.nextafter(near, np.float32(-np.inf)), near)


def _of_sklearn(bdt: Bdt) -> Forest:
    trees = []
    for iteration in bdt.model._predictors:
        for output, predictor in enumerate(iteration):
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(np.bool_)
            trees.append(
                DecisionTree(
                    nodes["feature_idx"].astype(np.int64),
                    not_above(nodes["num_threshold"].astype(np.float64)),
                    np.where(leaf, -1, nodes["left"].astype(np.int64)),
                    np.where(leaf, -1, nodes["right"].astype(np.int64)),
                    nodes["missing_go_to_left"].astype(np.bool_),
                    np.where(leaf, nodes["value"], 0.0),
                    output,
                )
            )
    return Forest(tuple(trees), np.asarray(bdt.model._baseline_prediction, dtype=np.float64).ravel(), or_equal=True)


def _of_xgboost(bdt: Bdt) -> Forest:
    learner = json.loads(bytes(bdt.model.get_booster().save_raw("json")))["learner"]
    classes = int(learner["learner_model_param"]["num_class"])
    outputs = max(1, classes)
    trees = [
        _xgboost_tree(tree, number % outputs)
        for number, tree in enumerate(learner["gradient_booster"]["model"]["trees"][: bdt.trees * outputs])
    ]
    written = json.loads(str(learner["learner_model_param"]["base_score"]))  # a number, or a list of one for each class
    start = np.broadcast_to(np.atleast_1d(np.asarray(written, dtype=np.float64)), outputs)
    if not classes and bdt.loss == "classes":
        start = np.log(start / (1.0 - start))
    return Forest(tuple(trees), start, or_equal=False)


def _xgboost_tree(tree: Mapping[str, Any], output: int) -> DecisionTree:
    left = np.asarray(tree["left_children"], dtype=np.int64)
    condition = np.asarray(tree["split_conditions"], dtype=np.float32)  # of a leaf: its value
    leaf = left < 0
    return DecisionTree(
        np.asarray(tree["split_indices"], dtype=np.int64),
        condition,
        left,
        np.asarray(tree["right_children"], dtype=np.int64),
        np.asarray(tree["default_left"], dtype=np.bool_),
        np.where(leaf, condition.astype(np.float64), 0.0),
        output,
    )


def _of_lightgbm(bdt: Bdt) -> Forest:
    model = bdt.model.dump_model(num_iteration=bdt.trees)
    outputs = int(model["num_tree_per_iteration"])
    trees = [
        _lightgbm_tree(list(_nodes(tree["tree_structure"])), number % outputs)
        for number, tree in enumerate(model["tree_info"])
    ]
    return Forest(tuple(trees), np.zeros(outputs), or_equal=True)


def _nodes(root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the nodes of a nested tree, each before those below it, with the numbers of its children."""
    waiting, count = [(root, 0)], 1
    numbered: dict[int, Mapping[str, Any]] = {}
    while waiting:
        node, number = waiting.pop()
        if "left_child" not in node:
            numbered[number] = node
            continue
        numbered[number] = {**node, "left": count, "right": count + 1}
        waiting += [(node["left_child"], count), (node["right_child"], count + 1)]
        count += 2
    for number in range(count):
        yield numbered[number]


def _lightgbm_tree(nodes: list[Mapping[str, Any]], output: int) -> DecisionTree:
    def column(name: str, default: float, kind: type[Any]) -> NDArray[Any]:
        return np.array([node.get(name, default) for node in nodes], dtype=kind)

    leaf = column("left", -1, np.int64) < 0
    return DecisionTree(
        column("split_feature", 0, np.int64),
        _without_tiny(not_above(column("threshold", 0.0, np.float64))),
        column("left", -1, np.int64),
        column("right", -1, np.int64),
        column("default_left", True, np.bool_),
        np.where(leaf, column("leaf_value", 0.0, np.float64), 0.0),
        output,
    )


def _without_tiny(threshold: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return thresholds that decide as LightGBM does, which takes features of up to 1e-35 in size for 0."""
    below = np.nextafter(-_TINY, np.float32(-np.inf))
    moved = np.where((threshold < 0) & (threshold >= -_TINY), below, threshold)
    return np.where((threshold >= 0) & (threshold <= _TINY), _TINY, moved)


_FORESTS = {"sklearn": _of_sklearn, "xgboost": _of_xgboost, "lightgbm": _of_lightgbm}


def joined(trees: Iterable[DecisionTree], name: str) -> NDArray[Any]:
    """Return an array of all trees, one after the other."""
    return np.concatenate([getattr(tree, name) for tree in trees])
