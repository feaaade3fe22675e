"""Linear layers and their activations in one piece: fewer and faster kernels for the MLPs of a training.

A stack of layers is one function to autograd: its first derivatives are written out here. It passes through all its
layers, forward and backward, block by block of rows that stay in the cache of a core: matrix products of thin matrices
are limited by how fast their rows come from memory. Gradients of the weights are sums over the blocks.

Second derivatives (gradient penalties) are those of torch's own layers, computed again from the inputs. Where torch
transforms or compiles the function (torch.func, torch.compile), and for layers that are not plain, nothing is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hepda.adversarial.networks.layers import MLP
from hepda.adversarial.networks.products import Products
from hepda.adversarial.networks.reversal import transformed

BLOCK = 2**19
"""Bytes of a block of the widest layer. Smaller ones cost more calls than the caches give back."""
_aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation: value(before), and slope(gradient, before, after), the gradient with respect to its input."""

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor, Tensor, Tensor], Tensor]


RELU = Activation(functional.relu, lambda gradient, before, after: _aten.threshold_backward(gradient, after, 0))
_ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.ReLU: RELU,
    nn.GELU: Activation(functional.gelu, lambda gradient, before, after: _aten.gelu_backward(gradient, before)),
    nn.SiLU: Activation(functional.silu, lambda gradient, before, after: _aten.silu_backward(gradient, before)),
    nn.Tanh: Activation(torch.tanh, lambda gradient, before, after: _aten.tanh_backward(gradient, after)),
}
Layer = tuple[nn.Linear, Activation | None]


def keep_where_positive(gradient: Tensor, after: Tensor) -> None:
    """Set a gradient to 0, in place, where the output of a ReLU is not above 0."""
    if gradient.dtype == torch.bfloat16:
        # as integers of 16 bits, which have the same signs: torch is five times as fast with them
        gradient.view(torch.int16).mul_(after.view(torch.int16).clamp(0, 1))
    else:
        _aten.threshold_backward.grad_input(gradient, after, 0, grad_input=gradient)


class Stack:
    """Linear layers, each with its activation or None, that are passed in one piece.

    Args:
        layers: the layers.
        products: their matrix products.
        inner: the number of a layer whose output is returned as well, before that of the last one; None: none is.

    """

    def __init__(self, layers: Sequence[Layer], products: Products, inner: int | None = None) -> None:
        self.layers, self.products = list(layers), products
        self.activations = [activation for _, activation in layers]
        self.parameters = [p for layer, _ in layers for p in (layer.weight, layer.bias)]
        self.widest = max(max(layer.weight.shape) for layer, _ in layers)
        last = len(self.layers) - 1
        self.returned = [last] if inner is None else [inner, last]

    def __call__(self, x: Tensor) -> Tensor:
        """Input [n, k] to the output of the last layer [n, o]."""
        return self.outputs(x)[-1]

    def outputs(self, x: Tensor) -> tuple[Tensor, ...]:
        """Input [n, k] to the outputs of the inner layer, if there is one, and of the last one."""
        if transformed(x) or (self.products.dtype is None and torch.is_autocast_enabled("cpu")):
            return self.plain(x, self.parameters)
        if not torch.is_grad_enabled():
            x, *parameters = self.as_computed(x, *self.parameters)
            passed = self.forward(x, parameters, keep=False)
            return tuple(passed[2 * i + 2] for i in self.returned)
        result: tuple[Tensor, ...] = _Passed.apply(self, x, *self.parameters)  # type: ignore[no-untyped-call]
        return result

    def as_computed(self, *tensors: Tensor) -> Sequence[Tensor]:
        """Input and parameters in the type of the products."""
        dtype = self.products.dtype
        return tensors if dtype is None else [value.to(dtype) for value in tensors]

    def rows_of_block(self, x: Tensor) -> int:
        """Return the rows of a block: of almost equal blocks, the least number that are not too large."""
        rows, most = x.shape[0], max(1, BLOCK // (self.widest * x.element_size()))
        return max(1, -(-rows // max(1, -(-rows // most))))

    def forward(self, x: Tensor, parameters: Sequence[Tensor], keep: bool) -> list[Tensor]:
        """Pass rows through all layers.

        Args:
            x: the input [n, k].
            parameters: weights and biases in the type of the input.
            keep: whether everything is returned; else only `returned` is, and what takes the other places holds the
                last block.

        Returns:
            The input, then what is before and after each activation: one tensor twice for a ReLU or none.

        """
        rows, size, passed = x.shape[0], self.rows_of_block(x), [x.contiguous()]
        for i, activation in enumerate(self.activations):
            before = x.new_empty(rows if keep or i in self.returned else size, parameters[2 * i].shape[0])
            passed += [before, before if activation is None or activation is RELU else torch.empty_like(before)]
        layers = list(zip(parameters[::2], parameters[1::2], self.activations, strict=True))
        forward = self.products.forward
        for blocks in zip(*_blocks(passed, rows, size), strict=True):
            inputs = blocks[0]
            for (weight, bias, activation), before, after in zip(layers, blocks[1::2], blocks[2::2], strict=True):
                forward(inputs, weight, bias, activation is RELU, before)
                if activation is not None and activation is not RELU:
                    after.copy_(activation.value(before))
                inputs = after
        return passed

    def backward(
        self,
        gradients: Sequence[Tensor | None],
        passed: Sequence[Tensor],
        parameters: Sequence[Tensor],
        results: Sequence[Tensor | None],
    ) -> None:
        """Add the gradients of the input, and of weights and biases, to `results`; None: that one is not needed.

        Args:
            gradients: of the outputs of the layers in `returned`; None: it is zero.
            passed: as `forward` kept it.
            parameters: as `forward` had them.
            results: tensors of zeros in the shapes of the input and the parameters.

        """
        of_layer = {i: g.contiguous() for i, g in zip(self.returned, gradients, strict=True) if g is not None}
        needed = [number for number, result in enumerate(results) if result is not None]
        if not of_layer or not needed:
            return
        rows, size = passed[0].shape[0], self.rows_of_block(passed[0])
        lowest, highest = max(0, needed[0] - 1) // 2, max(of_layer)
        layers = range(highest, lowest - 1, -1)
        scratch = {i: passed[0].new_empty(size, passed[2 * i + 2].shape[1]) for i in layers[1:]}
        here = dict(zip(scratch, _blocks(scratch.values(), rows, size), strict=True))
        given = dict(zip(of_layer, _blocks(of_layer.values(), rows, size), strict=True))
        kept = _blocks(passed[2 * lowest :], rows, size)
        of_input = None if results[0] is None else _blocks([results[0]], rows, size)[0]
        to_input, to_weight = self.products.to_input, self.products.to_weight
        for block in range(len(kept[0])):
            gradient = above = given[highest][block]
            for i in layers:
                inputs, before, after = (values[block] for values in kept[2 * (i - lowest) : 2 * (i - lowest) + 3])
                if i < highest:
                    gradient = here[i][block]
                    to_input(above, parameters[2 * i + 2], gradient)
                    if i in given:
                        gradient.add_(given[i][block])
                activation = self.activations[i]
                if activation is RELU and i < highest:
                    keep_where_positive(gradient, after)
                elif activation is not None:  # the gradient of the caller must not be overwritten
                    gradient = activation.slope(gradient, before, after)
                weight, bias = results[2 * i + 1], results[2 * i + 2]
                if weight is not None:
                    to_weight(gradient, inputs, weight)
                if bias is not None:
                    bias.add_(gradient.sum(dim=0))
                above = gradient
            if of_input is not None:
                to_input(above, parameters[0], of_input[block])

    def plain(self, x: Tensor, parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the same by torch's own layers, which can be differentiated any number of times."""
        outputs = []
        for i, activation in enumerate(self.activations):
            x = functional.linear(x, parameters[2 * i], parameters[2 * i + 1])
            x = x if activation is None else activation.value(x)
            outputs.append(x)
        return tuple(outputs[i] for i in self.returned)


def _blocks(tensors: Iterable[Tensor], rows: int, size: int) -> list[Sequence[Tensor]]:
    """Return the blocks of `size` rows of each tensor; one of fewer than `rows` is used again for each block."""
    count = max(1, -(-rows // size))
    found: list[Sequence[Tensor]] = []
    last: Tensor | None = None
    for values in tensors:
        if values is last:
            found.append(found[-1])
        elif values.shape[0] == rows:
            found.append([values] if count == 1 else values.chunk(count))
        else:
            found.append([*[values] * (count - 1), values[: rows - size * (count - 1)]])
        last = values
    return found


class _Passed(torch.autograd.Function):
    """A `Stack` for autograd."""

    @staticmethod
    def forward(ctx: Any, stack: Stack, *tensors: Tensor) -> tuple[Tensor, ...]:
        x, *parameters = stack.as_computed(*tensors)
        passed = stack.forward(x, parameters, keep=True)
        ctx.stack = stack
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *parameters, *passed)
        return tuple(passed[2 * i + 2] for i in stack.returned)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        stack: Stack = ctx.stack
        saved, n, needs = ctx.saved_tensors, len(stack.parameters), ctx.needs_input_grad[1:]
        tensors, parameters, passed = saved[: n + 1], saved[n + 1 : 2 * n + 1], saved[2 * n + 1 :]
        if torch.is_grad_enabled() or any(g is not None and _is_batched(g) for g in gradients):
            return None, *_by_torch(stack, gradients, tensors, needs)
        made = [passed[0], *tensors[1:]]  # the input in the type of the products
        results = [torch.zeros_like(f) if needed else None for f, needed in zip(made, needs, strict=True)]
        stack.backward(gradients, passed, parameters, results)
        if results[0] is not None:
            results[0] = results[0].to(tensors[0].dtype)
        return None, *results


def _is_batched(gradient: Tensor) -> bool:
    """Return whether a gradient stands for many: of vmap, or of autograd with `is_grads_batched`."""
    functions = torch._C._functorch
    return bool(functions.is_batchedtensor(gradient) or functions.is_legacy_batchedtensor(gradient))


def _by_torch(
    stack: Stack, gradients: Sequence[Tensor | None], tensors: Sequence[Tensor], needs: Sequence[bool]
) -> list[Tensor | None]:
    """Return the gradients of `Stack.backward` from torch's own layers, in the type of the parameters.

    They have a graph if they will be differentiated; torch.func may take many of them at once.
    """
    graph = torch.is_grad_enabled()
    with torch.enable_grad():
        x, *parameters = tensors
        outputs = stack.plain(x.to(parameters[0].dtype), parameters)
        pairs = [(output, g.to(output.dtype)) for output, g in zip(outputs, gradients, strict=True) if g is not None]
        inputs = [value for value, needed in zip(tensors, needs, strict=True) if needed]
        ends, of_ends = [output for output, _ in pairs], [g for _, g in pairs]
        found = iter(torch.autograd.grad(ends, inputs, of_ends, create_graph=graph, allow_unused=True))
    return [next(found) if needed else None for needed in needs]


def parts(module: MLP, products: Products) -> list[Callable[[Tensor], Tensor]]:
    """Return the layers of an MLP in order, those that can be joined into a `Stack`."""
    pieces: list[Callable[[Tensor], Tensor]] = []
    joined: list[Layer] = []
    layers = list(module)
    for i, layer in enumerate(layers):
        before = layers[i - 1] if i else None
        if type(layer) is nn.Linear:
            joined.append((layer, None))
        elif type(before) is nn.Linear and type(layer) in _ACTIVATIONS:
            joined[-1] = before, _ACTIVATIONS[type(layer)]
        else:
            pieces += [Stack(joined, products)] if joined else []
            joined = []
            pieces.append(layer)
    return [*pieces, Stack(joined, products)] if joined else pieces


def stack_of(module: MLP, products: Products) -> Stack | None:
    """Return an MLP as one `Stack`; None if a layer is not plain."""
    pieces = parts(module, products)
    return pieces[0] if len(pieces) == 1 and isinstance(pieces[0], Stack) else None


def joined(first: MLP, then: MLP, products: Products) -> Stack | None:
    """Return two MLPs, one after the other, as one `Stack` that returns both outputs; None if a layer is not plain."""
    before, after = stack_of(first, products), stack_of(then, products)
    if before is None or after is None:
        return None
    return Stack([*before.layers, *after.layers], products, inner=len(before.layers) - 1)
