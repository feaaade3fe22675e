"""Networks of sets as ONNX: deep sets and transformers of padded collections.

The networks compute objects that exist only, packed one after the other. Here all places are computed, and what comes
from a place without an object is replaced by 0 or has no weight in the attention: the same numbers in a fixed shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hepda.adversarial import DeepSets, SetTransformer
from hepda.adversarial.networks.sets import Block
from hepda.adversarial.networks.sets_inputs import COMPONENTS, Collection, SetInputs
from hepda.adversarial.networks.sets_pairs import PairBias
from hepda.export.onnx.graph import FLOAT, INTEGER, OnnxGraph
from hepda.export.onnx.layers import array, layer_norm, mlp

_SMALLEST = 1e-8  # as of sets_pairs


@dataclass(frozen=True, slots=True)
class Events:
    """Values of the graph: for each collection the features [n, size, k] and which objects exist [n, size]; the flat
    columns [n, f], or "" if there are none.
    """

    objects: tuple[str, ...]
    real: tuple[str, ...]
    flat: str = ""

    def part(self, number: int) -> tuple[str, str]:
        """Return the features and the existence of the objects of one collection."""
        return self.objects[number], self.real[number]


def events(graph: OnnxGraph, collections: Sequence[Collection]) -> Events:
    """Add the inputs of collections: `<name>` [n, size, k], float32, and `<name>_count` [n], int64."""
    objects, real = [], []
    for collection in collections:
        objects.append(graph.input(collection.name, FLOAT, collection.size, len(collection.features)))
        count = graph.add("Cast", graph.input(f"{collection.name}_count", INTEGER), to=FLOAT)
        places = graph.constant(np.arange(collection.size, dtype=np.float32)[None])
        real.append(graph.add("Less", places, graph.column(count)))
    return Events(tuple(objects), tuple(real))


def encoded(graph: OnnxGraph, of: Events, encoder: DeepSets | SetTransformer) -> str:
    """Return the features [n, width] of events."""
    standardised, flat = _standardised(graph, of, encoder.standardize)
    if isinstance(encoder, DeepSets):
        return _deep_sets(graph, Events(standardised, of.real, flat), encoder)
    return _Transformer(graph, encoder, of).features(standardised, flat)


def _standardised(graph: OnnxGraph, of: Events, inputs: SetInputs) -> tuple[tuple[str, ...], str]:
    """Return the standardised objects of each collection, and the standardised flat columns."""
    ends = np.cumsum([*inputs.widths, inputs.layout.flat])
    means, scales = (np.split(array(part), ends[:-1]) for part in (inputs.mean, inputs.scale))
    parts = [
        _scaled(graph, _prepared(graph, collection, values, log_energies=inputs.log_energies), mean, scale)
        for collection, values, mean, scale in zip(inputs.layout.collections, of.objects, means, scales, strict=False)
    ]
    return tuple(parts), _scaled(graph, of.flat, means[-1], scales[-1]) if of.flat else ""


def _scaled(graph: OnnxGraph, x: str, mean: np.ndarray, scale: np.ndarray) -> str:
    return graph.add("Mul", graph.add("Sub", x, graph.constant(mean)), graph.constant(scale))


def _prepared(graph: OnnxGraph, collection: Collection, values: str, *, log_energies: bool) -> str:
    """Return features of objects with logarithms of energies, and phi as cosine and sine (as SetInputs.prepared)."""
    energies = [collection.component(name) for name in ("pt", "mass")] if log_energies else []
    parts = []
    for number in range(len(collection.features)):
        column = graph.add("Gather", values, graph.constant([number]), axis=2)
        if number == collection.component("phi"):
            parts += [graph.add("Cos", column), graph.add("Sin", column)]
        elif number in energies:
            above = graph.add("Add", graph.add("Relu", column), graph.constant(1.0))
            parts.append(graph.add("Log", above))
        else:
            parts.append(column)
    return graph.concatenated(parts, axis=2)


def _where_real(graph: OnnxGraph, real: str, values: str) -> str:
    """Return values [n, size, k], 0 where there is no object [n, size]."""
    return graph.add("Where", graph.add("Unsqueeze", real, graph.constant([2])), values, graph.constant(0.0))


def _deep_sets(graph: OnnxGraph, of: Events, encoder: DeepSets) -> str:
    pooled = []
    for module, values, real in zip(encoder.objects, of.objects, of.real, strict=True):
        outputs = _where_real(graph, real, mlp(graph, values, module))
        total = graph.add("ReduceSum", outputs, graph.constant([1]), keepdims=0)
        if encoder.mean:
            count = graph.add("ReduceSum", graph.add("Cast", real, to=FLOAT), graph.constant([1]), keepdims=1)
            total = graph.add("Div", total, graph.add("Max", count, graph.constant(1.0)))
        pooled.append(total)
    return mlp(graph, graph.concatenated([*pooled, *([of.flat] if of.flat else [])]), encoder.event)


class _Transformer:
    """Writes a transformer of sets."""

    def __init__(self, graph: OnnxGraph, encoder: SetTransformer, of: Events) -> None:
        self.graph, self.encoder, self.of = graph, encoder, of
        self.rows = graph.add("Shape", of.real[0], start=0, end=1)

    def features(self, standardised: Sequence[str], flat: str) -> str:
        """Return the class token [n, width], normed."""
        graph, encoder = self.graph, self.encoder
        own = [self._class_token()]
        if encoder.flat_embedding is not None:
            own.append(graph.add("Unsqueeze", mlp(graph, flat, encoder.flat_embedding), graph.constant([1])))
        parts = [
            _where_real(graph, real, mlp(graph, values, module))
            for module, values, real in zip(encoder.embeddings, standardised, self.of.real, strict=True)
        ]
        always = graph.add("Equal", self._of_rows(len(own)), graph.constant(0.0))
        real = graph.concatenated([always, *self.of.real])
        seen = graph.add("Unsqueeze", real, graph.constant([1, 2]))
        for_class = graph.add("Where", seen, graph.constant(0.0), graph.constant(float("-inf")))
        bias = for_class
        if encoder.pairs is not None:
            bias = graph.add("Where", seen, self._of_pairs(encoder.pairs), graph.constant(float("-inf")))
        tokens = graph.concatenated([*own, *parts])
        *before, last = (block for block in encoder.blocks if isinstance(block, Block))
        for block in before:
            tokens = self._block(block, tokens, bias)
        token = self._block(last, tokens, for_class)
        return layer_norm(graph, graph.add("Squeeze", token, graph.constant([1])), encoder.norm)

    def _of_rows(self, *shape: int) -> str:
        """Return zeros [n, *shape]."""
        sizes = self.graph.concatenated([self.rows, self.graph.constant(list(shape))], axis=0)
        return self.graph.add("ConstantOfShape", sizes)

    def _class_token(self) -> str:
        token = self.graph.constant(array(self.encoder.class_token)[None, None])
        return self.graph.add("Add", self._of_rows(1, len(self.encoder.class_token)), token)

    def _block(self, block: Block, x: str, bias: str) -> str:
        """Return new vectors [n, tokens, width], of the last block that of the class token [n, 1, width]."""
        graph, heads = self.graph, block.heads
        normed = layer_norm(graph, x, block.norm)
        if block.last:
            x, queried = (self._first(value) for value in (x, normed))
        else:
            queried = normed
        query = self._heads(mlp(graph, queried, block.query), heads)
        key_value = self._heads(mlp(graph, normed, block.key_value), heads)
        width = block.query.outputs // heads
        key, value = (
            graph.add("Slice", key_value, *(graph.constant([k]) for k in (begin, begin + width, 3)))
            for begin in (0, width)
        )
        products = graph.add("MatMul", query, graph.add("Transpose", key, perm=[0, 1, 3, 2]))
        scaled = graph.add("Mul", products, graph.constant(1.0 / math.sqrt(width)))
        attention = graph.add("Softmax", graph.add("Add", scaled, bias), axis=3)
        attended = graph.add("Transpose", graph.add("MatMul", attention, value), perm=[0, 2, 1, 3])
        joined = graph.add("Reshape", attended, graph.constant([0, 0, heads * width]))
        x = graph.add("Add", x, mlp(graph, joined, block.out))
        return graph.add("Add", x, mlp(graph, layer_norm(graph, x, block.second_norm), block.feed_forward))

    def _first(self, tokens: str) -> str:
        return self.graph.add("Gather", tokens, self.graph.constant([0]), axis=1)

    def _heads(self, x: str, heads: int) -> str:
        """Return vectors [n, tokens, heads * d] as [n, heads, tokens, d]."""
        divided = self.graph.add("Reshape", x, self.graph.constant([0, 0, heads, -1]))
        return self.graph.add("Transpose", divided, perm=[0, 2, 1, 3])

    # --- features of pairs ---

    def _of_pairs(self, pairs: PairBias) -> str:
        """Return the bias [n, heads, tokens, tokens] of pairs of objects; 0 for tokens that are no pair."""
        graph = self.graph
        momenta, real = self._momenta(pairs)
        first, second = (graph.constant(index.cpu().numpy()) for index in (pairs.first, pairs.second))
        both = [graph.add("Gather", momenta, index, axis=1) for index in (first, second)]
        exist = [graph.add("Gather", real, index, axis=1) for index in (first, second)]
        by_name = pair_features(graph, *both)
        values = graph.concatenated(
            [graph.add("Unsqueeze", by_name[name], graph.constant([2])) for name in pairs.features], axis=2
        )
        scaled = _scaled(graph, values, array(pairs.mean), array(pairs.scale))
        by_pair = _where_real(graph, graph.add("And", *exist), mlp(graph, scaled, pairs.network))
        with_none = graph.concatenated([by_pair, self._of_rows(1, pairs.heads)])
        numbers = self.encoder.get_buffer("pair_of_tokens").cpu().numpy()
        tokens = math.isqrt(len(numbers))
        of_tokens = graph.add("Gather", with_none, graph.constant(numbers), axis=1)
        shaped = graph.add("Reshape", of_tokens, graph.constant([0, tokens, tokens, pairs.heads]))
        return graph.add("Transpose", shaped, perm=[0, 3, 1, 2])

    def _momenta(self, pairs: PairBias) -> tuple[str, str]:
        """Return pt, eta, phi, mass [n, objects, 4] of all objects with four-momenta, 1 in empty places, and `real`."""
        graph, momenta = self.graph, []
        for i in pairs.members:
            collection, values = pairs.layout.collections[i], self.of.objects[i]
            zero = self._of_rows(collection.size, 1)
            numbers = [collection.component(name) for name in COMPONENTS]
            columns = [
                zero if number is None else graph.add("Gather", values, graph.constant([number]), axis=2)
                for number in numbers
            ]
            momenta.append(graph.concatenated(columns, axis=2))
        real = graph.concatenated([self.of.real[i] for i in pairs.members])
        exists = graph.add("Unsqueeze", real, graph.constant([2]))
        return graph.add("Where", exists, graph.concatenated(momenta), graph.constant(1.0)), real


def pair_features(graph: OnnxGraph, first: str, second: str) -> dict[str, str]:
    """Return the logarithms [n, pairs] of kT, z, Delta R and m^2; formulas and names as in sets_pairs."""
    add, constant = graph.add, graph.constant

    def square(x: str) -> str:
        return add("Mul", x, x)

    def hypot(x: str, y: str) -> str:
        return add("Sqrt", add("Add", square(x), square(y)))

    def half(x: str) -> str:
        return add("Mul", x, constant(0.5))

    def at_least(x: str) -> str:
        return add("Max", x, constant(_SMALLEST))

    pt_a, eta_a, phi_a, mass_a, pt_b, eta_b, phi_b, mass_b = (
        add("Gather", momenta, constant(np.int64(k)), axis=2) for momenta in (first, second) for k in range(4)
    )
    mt_a, mt_b = hypot(pt_a, mass_a), hypot(pt_b, mass_b)
    rapidity = [
        add("Asinh", add("Div", add("Mul", pt, add("Sinh", eta)), at_least(mt)))
        for pt, eta, mt in ((pt_a, eta_a, mt_a), (pt_b, eta_b, mt_b))
    ]
    delta_y = add("Sub", *rapidity)
    shifted = add("Add", add("Sub", phi_a, phi_b), constant(math.pi))
    turns = add("Floor", add("Mul", shifted, constant(1.0 / (2 * math.pi))))
    around = add("Sub", shifted, add("Mul", turns, constant(2 * math.pi)))
    delta_phi = add("Sub", around, constant(math.pi))
    delta_r = hypot(delta_y, delta_phi)
    softer = add("Min", pt_a, pt_b)
    transverse, massive = add("Mul", pt_a, pt_b), add("Mul", mt_a, mt_b)
    excess = add(
        "Div",
        add("Add", add("Mul", square(mass_a), square(mt_b)), add("Mul", square(pt_a), square(mass_b))),
        at_least(add("Add", massive, transverse)),
    )
    opening = add(
        "Add",
        add("Mul", massive, square(add("Sinh", half(delta_y)))),
        add("Mul", transverse, square(add("Sin", half(delta_phi)))),
    )
    masses = add("Add", square(mass_a), square(mass_b))
    values = {
        "kt": add("Mul", softer, delta_r),
        "z": add("Div", softer, at_least(add("Add", pt_a, pt_b))),
        "delta_r": delta_r,
        "mass": add("Sum", masses, add("Mul", excess, constant(2.0)), add("Mul", opening, constant(4.0))),
    }
    return {name: add("Log", at_least(value)) for name, value in values.items()}
