"""A fusion of models as ONNX: the formulas of `hepda.baselines.fusion`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hepda.baselines.fusion import FLOOR, Fusion, RisingCurve
from hepda.export.onnx.graph import OnnxGraph


def fused(graph: OnnxGraph, fusion: Fusion, probabilities: Sequence[str]) -> str:
    """Return the probabilities of a fusion, [n, 1] of signal or [n, classes].

    Args:
        graph: the graph.
        fusion: of one fold.
        probabilities: of each model, of the same shape.

    """
    if fusion.method == "isotonic":
        calibrated = zip(probabilities, fusion.curves, strict=True)
        return graph.mean([_calibrated(graph, part, curves) for part, curves in calibrated])
    weighted = [
        graph.add("Mul", _logits(graph, part, fusion.outputs), graph.constant(float(weight)))
        for part, weight in zip(probabilities, fusion.weights, strict=True)
    ]
    logits = graph.add("Sum", *weighted, graph.constant(np.array([fusion.biases], dtype=np.float32)))
    return graph.add("Sigmoid", logits) if fusion.outputs == 1 else graph.add("Softmax", logits, axis=1)


def _logits(graph: OnnxGraph, probability: str, outputs: int) -> str:
    """Return logits (one output), or logarithms of the probabilities."""
    ends = graph.constant(FLOOR), graph.constant(1.0 - FLOOR)
    clipped = graph.add("Clip", probability, *ends)
    logarithm = graph.add("Log", clipped)
    if outputs > 1:
        return logarithm
    return graph.add("Sub", logarithm, graph.add("Log", graph.add("Sub", graph.constant(1.0), clipped)))


def _calibrated(graph: OnnxGraph, probability: str, curves: Sequence[RisingCurve]) -> str:
    """Return the calibrated probabilities of a model; those of several classes add up to 1."""
    columns = [
        _on_curve(graph, graph.add("Gather", probability, graph.constant([number]), axis=1), curve)
        for number, curve in enumerate(curves)
    ]
    if len(columns) == 1:
        return columns[0]
    joined = graph.concatenated(columns)
    return graph.add("Div", joined, graph.add("ReduceSum", joined, graph.constant([1]), keepdims=1))


def _on_curve(graph: OnnxGraph, column: str, curve: RisingCurve) -> str:
    """Return a function of straight lines of a column [n, 1]: its first value, and the covered part of every step."""
    x, y = (np.array(part, dtype=np.float64) for part in (curve.x, curve.y))
    if len(x) == 1:
        return graph.add("Add", graph.add("Mul", column, graph.constant(0.0)), graph.constant(float(y[0])))
    width, height = (graph.constant(np.diff(part)[None].astype(np.float32)) for part in (x, y))
    beyond = graph.add("Sub", column, graph.constant(x[None, :-1].astype(np.float32)))
    covered = graph.add("Clip", graph.add("Div", beyond, width), graph.constant(0.0), graph.constant(1.0))
    steps = graph.add("ReduceSum", graph.add("Mul", covered, height), graph.constant([1]), keepdims=1)
    return graph.add("Add", steps, graph.constant(float(y[0])))
