"""An ONNX graph that is built node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
"""Of the operators of ONNX: the first with BitwiseXor, which the fold of an event needs."""
TREES_OPSET = 3
"""Of the operators of ai.onnx.ml."""
IR_VERSION = 8
"""Of the file; runtimes refuse one that is newer than they know."""
TREES_DOMAIN = "ai.onnx.ml"


class OnnxGraph:
    """Nodes, constants, inputs and outputs; operators are added in the order of the calculation."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"

    def input(self, name: str, kind: int, *shape: int) -> str:
        """Add an input of n rows: [n], or [n, *shape]."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, ["n", *shape]))
        return name

    def output(self, value: str, name: str, kind: int, *shape: int) -> None:
        """Make a value an output of n rows."""
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, kind, ["n", *shape]))

    def constant(self, value: NDArray[Any] | np.integer[Any] | float | Sequence[int]) -> str:
        """Add a constant; a float is float32, integers are int64."""
        kind = np.float32 if isinstance(value, float) else None
        array = np.ascontiguousarray(value, dtype=kind) if np.ndim(value) else np.asarray(value, dtype=kind)
        name = self._name("constant")
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add an operator with one output; return the output."""
        output = self._name(operator.lower())
        self.nodes.append(helper.make_node(operator, list(inputs), [output], domain=domain, **attributes))
        return output

    def concatenated(self, parts: Sequence[str], axis: int = 1) -> str:
        """Return the parts one after the other."""
        return parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=axis)

    def mean(self, parts: Sequence[str]) -> str:
        """Return the mean of values of the same shape."""
        return parts[0] if len(parts) == 1 else self.add("Mean", *parts)

    def column(self, values: str) -> str:
        """Return values [n] as a column [n, 1]."""
        return self.add("Unsqueeze", values, self.constant([1]))

    def of_column(self, matrix: str, number: int) -> str:
        """Return a column [n] of a matrix [n, k]."""
        return self.add("Gather", matrix, self.constant(np.int64(number)), axis=1)

    def model(self, name: str, about: Mapping[str, str], description: str) -> onnx.ModelProto:
        """Return the finished model with its metadata.

        Args:
            name: of the graph.
            about: entries of the metadata.
            description: what the model is, in words.

        Raises:
            onnx.checker.ValidationError: the graph is not a valid one.

        """
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(TREES_DOMAIN, TREES_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="hepda")
        model.producer_version, model.doc_string = about["hepda"], description
        helper.set_model_props(model, dict(about))
        onnx.checker.check_model(model, full_check=True)
        return model


FLOAT, INTEGER = TensorProto.FLOAT, TensorProto.INT64
