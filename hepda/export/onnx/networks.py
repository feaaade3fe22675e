"""A trained network as ONNX: input scaling, layers, and the sigmoid or softmax."""

from __future__ import annotations

from hepda.adversarial import DeepSets, Network, SetTransformer
from hepda.adversarial.networks.layers import MLP, Standardize
from hepda.errors import ConfigError
from hepda.export.onnx.graph import OnnxGraph
from hepda.export.onnx.layers import array, mlp
from hepda.export.onnx.sets import Events, encoded


def network(graph: OnnxGraph, inputs: Events, trained: Network) -> str:
    """Return the probabilities [n, 1] of signal, or [n, classes].

    Args:
        graph: the graph.
        inputs: the events; of a network of flat features only their flat columns.
        trained: the network.

    Raises:
        ConfigError: the network has a part that has no form in ONNX here.

    """
    encoder, head = trained.encoder, trained.heads["class"]
    if isinstance(encoder, DeepSets | SetTransformer):
        features = encoded(graph, inputs, encoder)
    elif isinstance(encoder, MLP):
        features = mlp(graph, _standardised(graph, inputs.flat, trained.normalization), encoder)
    else:
        raise ConfigError(f"a network with an encoder of the kind {type(encoder).__name__} cannot be written as ONNX")
    raw = mlp(graph, features, head.module)
    return graph.add("Sigmoid", raw) if head.loss == "binary" else graph.add("Softmax", raw, axis=1)


def _standardised(graph: OnnxGraph, x: str, part: Standardize | None) -> str:
    if part is None:
        return x
    shift, scale = graph.constant(array(-part.mean * part.scale)), graph.constant(array(part.scale))
    return graph.add("Add", graph.add("Mul", x, scale), shift)
