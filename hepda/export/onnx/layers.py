"""Layers of networks as operators of ONNX, for values of any number of dimensions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from hepda.errors import ConfigError
from hepda.export.onnx.graph import OnnxGraph


def array(values: Tensor) -> NDArray[Any]:
    """Return a tensor as float32."""
    return values.detach().cpu().numpy().astype(np.float32)


def mlp(graph: OnnxGraph, x: str, layers: nn.Module) -> str:
    """Return the output [..., k] of a stack of layers, without dropout; spectral norms are in the weights."""
    for layer in layers.children():
        if isinstance(layer, nn.Linear):
            product = graph.add("MatMul", x, graph.constant(array(layer.weight).T))
            x = graph.add("Add", product, graph.constant(array(layer.bias)))
        elif not isinstance(layer, nn.Dropout):
            x = activation(graph, x, layer)
    return x


def layer_norm(graph: OnnxGraph, x: str, layer: nn.LayerNorm) -> str:
    """Return the output of a layer norm over the last dimension."""
    scale, shift = graph.constant(array(layer.weight)), graph.constant(array(layer.bias))
    return graph.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=float(layer.eps))


def activation(graph: OnnxGraph, x: str, layer: nn.Module) -> str:
    """Return the output of an activation.

    Raises:
        ConfigError: it has no form in ONNX here.

    """
    match layer:
        case nn.ReLU():
            return graph.add("Relu", x)
        case nn.Tanh():
            return graph.add("Tanh", x)
        case nn.ELU():
            return graph.add("Elu", x, alpha=float(layer.alpha))
        case nn.LeakyReLU():
            return graph.add("LeakyRelu", x, alpha=float(layer.negative_slope))
        case nn.SiLU():
            return graph.add("Mul", x, graph.add("Sigmoid", x))
        case nn.GELU():
            erf = graph.add("Erf", graph.add("Mul", x, graph.constant(1.0 / math.sqrt(2.0))))
            half = graph.add("Mul", x, graph.constant(0.5))
            return graph.add("Mul", half, graph.add("Add", erf, graph.constant(1.0)))
    raise ConfigError(f"the activation {type(layer).__name__} cannot be written as ONNX")
