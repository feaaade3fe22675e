"""Boosted trees of any library as one operator of ONNX."""

from __future__ import annotations

import numpy as np

from hepda.baselines.forest import Forest, joined
from hepda.export.onnx.graph import TREES_DOMAIN, OnnxGraph


def trees(graph: OnnxGraph, features: str, forest: Forest) -> str:
    """Return the probabilities [n, 1] of signal, or [n, classes], or the numbers [n, 1], of features [n, f]."""
    sizes = [len(tree.left) for tree in forest.trees]
    tree_of = np.repeat(np.arange(len(sizes)), sizes)
    node_of = np.concatenate([np.arange(size) for size in sizes])
    left, right = joined(forest.trees, "left"), joined(forest.trees, "right")
    leaf = left < 0
    output_of = np.repeat([tree.output for tree in forest.trees], sizes)
    compares = "BRANCH_LEQ" if forest.or_equal else "BRANCH_LT"
    raw = graph.add(
        "TreeEnsembleRegressor",
        features,
        domain=TREES_DOMAIN,
        n_targets=len(forest.start),
        base_values=forest.start.astype(np.float32).tolist(),
        nodes_treeids=tree_of.tolist(),
        nodes_nodeids=node_of.tolist(),
        nodes_featureids=np.where(leaf, 0, joined(forest.trees, "feature")).tolist(),
        nodes_values=np.where(leaf, 0, joined(forest.trees, "threshold")).astype(np.float32).tolist(),
        nodes_modes=np.where(leaf, "LEAF", compares).tolist(),
        nodes_truenodeids=np.where(leaf, 0, left).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, right).tolist(),
        nodes_missing_value_tracks_true=joined(forest.trees, "missing_left").astype(int).tolist(),
        target_treeids=tree_of[leaf].tolist(),
        target_nodeids=node_of[leaf].tolist(),
        target_ids=output_of[leaf].tolist(),
        target_weights=joined(forest.trees, "value")[leaf].astype(np.float32).tolist(),
    )
    if not forest.of_classes:
        return raw
    return graph.add("Sigmoid", raw) if len(forest.start) == 1 else graph.add("Softmax", raw, axis=1)
