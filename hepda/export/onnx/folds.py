"""The fold of an event in ONNX: the same hash of its key as `hepda.events.dataset.splits`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from hepda.export.onnx.graph import OnnxGraph


def fold(graph: OnnxGraph, key: Sequence[str], folds: int) -> str:
    """Return the fold, int64 [n], of events whose key is some int64 inputs [n].

    Sums and products are of int64, for which runtimes have them; they have the bits of those of uint64.

    Args:
        graph: the graph.
        key: names of the inputs, in their order.
        folds: number of folds.

    """
    value: str | None = None
    for part in key:
        mixed = _splitmix64(graph, graph.add("Cast", part, to=TensorProto.UINT64))
        value = _splitmix64(graph, mixed if value is None else graph.add("BitwiseXor", value, mixed))
    if value is None:
        raise ValueError("an event has a key")
    remainder = graph.add("Mod", value, graph.constant(np.uint64(folds)))
    return graph.add("Cast", remainder, to=TensorProto.INT64)


def _splitmix64(graph: OnnxGraph, x: str) -> str:
    x = _as_signed(graph, "Add", x, 0x9E3779B97F4A7C15)
    x = _folded(graph, x, 30)
    x = _as_signed(graph, "Mul", x, 0xBF58476D1CE4E5B9)
    x = _folded(graph, x, 27)
    x = _as_signed(graph, "Mul", x, 0x94D049BB133111EB)
    return _folded(graph, x, 31)


def _as_signed(graph: OnnxGraph, operator: str, x: str, number: int) -> str:
    constant = graph.constant(np.array(number, dtype=np.uint64).astype(np.int64))
    result = graph.add(operator, graph.add("Cast", x, to=TensorProto.INT64), constant)
    return graph.add("Cast", result, to=TensorProto.UINT64)


def _folded(graph: OnnxGraph, x: str, bits: int) -> str:
    shifted = graph.add("BitShift", x, graph.constant(np.array(bits, dtype=np.uint64)), direction="RIGHT")
    return graph.add("BitwiseXor", x, shifted)
