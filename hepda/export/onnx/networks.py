"""A trained network as ONNX: input scaling, layers, and the sigmoid, the softmax, or the units of a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hepda.adversarial import DeepSets, Network, SetTransformer
from hepda.adversarial.networks.layers import MLP, CategoricalEncoder, EmbeddedColumns, Standardize
from hepda.errors import ConfigError
from hepda.export.onnx.graph import FLOAT, OnnxGraph
from hepda.export.onnx.layers import array, mlp
from hepda.export.onnx.sets import Events, encoded


def network(graph: OnnxGraph, inputs: Events, trained: Network, names: Sequence[str]) -> str:
    """Return the outputs of heads [n, k]: probabilities, or a number in the units of its target.

    Args:
        graph: the graph.
        inputs: the events; of a network of flat features only their flat columns.
        trained: the network.
        names: the heads, in the order of the outputs.

    Raises:
        ConfigError: the network has a part that has no form in ONNX here.

    """
    encoder, heads = trained.encoder, [trained.heads[name] for name in names]
    if isinstance(encoder, DeepSets | SetTransformer):
        features = encoded(graph, inputs, encoder)
    elif isinstance(encoder, CategoricalEncoder):
        features = mlp(graph, _embedded(graph, inputs.flat, encoder.columns), encoder.layers)
    elif isinstance(encoder, MLP):
        features = mlp(graph, _standardised(graph, inputs.flat, trained.normalization), encoder)
    else:
        raise ConfigError(f"a network with an encoder of the kind {type(encoder).__name__} cannot be written as ONNX")
    parts = []
    for head in heads:
        raw = mlp(graph, features, head.module)
        if (scale := trained.target_scale(head)) is not None:
            width, mean = graph.constant(array(scale.width)), graph.constant(array(scale.mean))
            parts.append(graph.add("Add", graph.add("Mul", raw, width), mean))
        else:
            parts.append(graph.add("Sigmoid", raw) if head.loss == "binary" else graph.add("Softmax", raw, axis=1))
    return parts[0] if len(parts) == 1 else graph.concatenated(parts)


def _standardised(graph: OnnxGraph, x: str, part: Standardize | None) -> str:
    if part is None:
        return x
    shift, scale = graph.constant(array(-part.mean * part.scale)), graph.constant(array(part.scale))
    return graph.add("Add", graph.add("Mul", x, scale), shift)


def _embedded(graph: OnnxGraph, x: str, columns: EmbeddedColumns) -> str:
    """Return the standardised numbers and the vectors of the categories, [n, k]."""
    parts = []
    if columns.numbers:
        numbers = graph.add("Gather", x, graph.constant(np.array(columns.numbers, dtype=np.int64)), axis=1)
        parts.append(_standardised(graph, numbers, columns.standardize))
    for column, values in columns.categories.items():
        value = graph.add("Gather", x, graph.constant(np.array([column], dtype=np.int64)), axis=1)
        listed = graph.constant(np.array([values], dtype=np.float32))
        chosen = graph.add("Cast", graph.add("Equal", value, listed), to=FLOAT)
        total = graph.add("ReduceSum", chosen, graph.constant([1]), keepdims=1)
        other = graph.add("Sub", graph.constant(1.0), total)
        vectors = graph.constant(array(columns.vectors[str(column)]))
        parts.append(graph.add("MatMul", graph.concatenated([chosen, other]), vectors))
    return graph.concatenated(parts)
