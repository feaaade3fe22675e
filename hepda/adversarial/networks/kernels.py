"""Linear layers and their activations in one piece: fewer and faster kernels for the MLPs of a training.

A stack of layers is one function to autograd: its first derivatives are written out here, so that a step starts no
more kernels than the matrix products need, and each product is taken from where it is fastest. There are three kinds:

- `plain`: torch's own.
- `onednn`: float32 by oneDNN instead of the BLAS that torch is built with. On AMD's processors with AVX-512 it
  multiplies about twice as fast as MKL, on Intel's it is no faster. The operator is private to torch, so it is used
  only if it exists, gives the same output and gradients, and is measured to be faster.
- `bfloat16`: inputs, weights and outputs rounded to bfloat16, sums in float32, as torch.autocast does it.

Second derivatives (gradient penalties) are those of torch's own layers, computed again from the inputs. Where torch
transforms or compiles the function (torch.func, torch.compile), and for layers that are not plain, nothing is done.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hepda.adversarial.networks.layers import MLP
from hepda.adversarial.networks.reversal import transformed

MARGIN = 1.3  # how many times faster oneDNN must be; far from 1, so that noise does not change the choice
NARROW = 16  # layers with fewer outputs stay with torch: for a column or two its kernels are the faster
_ROWS, _WIDTH = 2048, 128
_aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Products:
    """The three matrix products of a linear layer.

    Attributes:
        forward: (x [n, k], weight [o, k], bias [o], relu) to x W^T + b [n, o], with a ReLU after it or not.
        to_input: (gradient [n, o], weight [o, k]) to G W [n, k].
        to_weight: (gradient [n, o], x [n, k]) to G^T x [o, k].
        dtype: the type that they compute in; None: the type of their arguments.

    """

    forward: Callable[[Tensor, Tensor, Tensor, bool], Tensor]
    to_input: Callable[[Tensor, Tensor], Tensor]
    to_weight: Callable[[Tensor, Tensor], Tensor]
    dtype: torch.dtype | None = None


def _forward(x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
    output = torch.addmm(bias, x, weight.t())
    return output.relu_() if relu else output


def _to_input(gradient: Tensor, weight: Tensor) -> Tensor:
    return gradient.mm(weight)


def _to_weight(gradient: Tensor, x: Tensor) -> Tensor:
    return gradient.t().mm(x)


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None, after: str) -> Tensor:
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, after, [], None)
    return result


def _onednn_forward(x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
    if len(weight) < NARROW:
        return _forward(x, weight, bias, relu)
    return _multiply(x, weight, bias, "relu" if relu else "none")


def _onednn_to_input(gradient: Tensor, weight: Tensor) -> Tensor:
    return _to_input(gradient, weight) if len(weight) < NARROW else _multiply(gradient, weight.t(), None, "none")


def _onednn_to_weight(gradient: Tensor, x: Tensor) -> Tensor:
    """Multiply such that the smaller of the two matrices is the one that is copied to transpose it."""
    if min(gradient.shape[1], x.shape[1]) < NARROW:
        return _to_weight(gradient, x)
    if x.shape[1] < gradient.shape[1]:
        return _multiply(x.t(), gradient.t(), None, "none").t()
    return _multiply(gradient.t(), x.t(), None, "none")


def _bfloat16_forward(x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
    return _multiply(x, weight, bias, "relu" if relu else "none") if fuses() else _forward(x, weight, bias, relu)


PRODUCTS: dict[str, Products] = {
    "plain": Products(_forward, _to_input, _to_weight),
    "onednn": Products(_onednn_forward, _onednn_to_input, _onednn_to_weight),
    "bfloat16": Products(_bfloat16_forward, _to_input, _to_weight, torch.bfloat16),
}


@dataclass(frozen=True, slots=True)
class _Activation:
    """An activation: value(before), and slope(gradient, before, after), the gradient with respect to its input."""

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor, Tensor, Tensor], Tensor]


_RELU = _Activation(functional.relu, lambda gradient, before, after: _aten.threshold_backward(gradient, after, 0))
_ACTIVATIONS: dict[type[nn.Module], _Activation] = {
    nn.ReLU: _RELU,
    nn.GELU: _Activation(functional.gelu, lambda gradient, before, after: _aten.gelu_backward(gradient, before)),
    nn.SiLU: _Activation(functional.silu, lambda gradient, before, after: _aten.silu_backward(gradient, before)),
    nn.Tanh: _Activation(torch.tanh, lambda gradient, before, after: _aten.tanh_backward(gradient, after)),
}


def keep_where_positive(gradient: Tensor, after: Tensor) -> None:
    """Set a gradient to 0, in place, where the output of a ReLU is not above 0."""
    if gradient.dtype == torch.bfloat16:
        # as integers of 16 bits, which have the same signs: torch is five times as fast with them
        gradient.view(torch.int16).mul_(after.view(torch.int16).clamp(0, 1))
    else:
        _aten.threshold_backward.grad_input(gradient, after, 0, grad_input=gradient)


class Stack:
    """Linear layers, each with its activation or None, that are passed in one piece."""

    def __init__(self, layers: Sequence[tuple[nn.Linear, _Activation | None]], products: Products) -> None:
        self.products = products
        self.activations = [activation for _, activation in layers]
        self.parameters = [p for layer, _ in layers for p in (layer.weight, layer.bias)]

    def __call__(self, x: Tensor) -> Tensor:
        """Input [n, k] to the output of the last layer [n, o]."""
        if transformed(x):
            return self.plain(x, self.parameters)
        if self.products.dtype is None and torch.is_autocast_enabled("cpu"):
            return self.plain(x, self.parameters)
        if not torch.is_grad_enabled():
            x, *parameters = self.as_computed(x, *self.parameters)
            return self.forward(x, parameters)[-1]
        result: Tensor = _Passed.apply(self, x, *self.parameters)  # type: ignore[no-untyped-call]
        return result

    def as_computed(self, *tensors: Tensor) -> Sequence[Tensor]:
        """Input and parameters in the type of the products."""
        dtype = self.products.dtype
        return tensors if dtype is None else [value.to(dtype) for value in tensors]

    def forward(self, x: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
        """Return the input, then what is before and after each activation: one tensor twice for a ReLU or none."""
        passed = [x.contiguous()]
        for i, activation in enumerate(self.activations):
            before = self.products.forward(passed[-1], parameters[2 * i], parameters[2 * i + 1], activation is _RELU)
            after = before if activation is None or activation is _RELU else activation.value(before)
            passed += [before, after]
        return passed

    def backward(
        self,
        gradient: Tensor,
        passed: Sequence[Tensor],
        parameters: Sequence[Tensor],
        to_input: bool,
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yield for each layer, last first: its number, the gradient before its activation, and its input.

        Args:
            gradient: of the output.
            passed: as `forward` gave it.
            parameters: as `forward` had them.
            to_input: whether to end with the gradient of the input, with the number -1.

        """
        last = len(self.activations) - 1
        for i in range(last, -1, -1):
            activation, (inputs, before, after) = self.activations[i], passed[2 * i : 2 * i + 3]
            if activation is _RELU and i < last:  # the gradient of the caller must not be overwritten
                keep_where_positive(gradient, after)
            elif activation is not None:
                gradient = activation.slope(gradient, before, after)
            yield i, gradient, inputs
            if i or to_input:
                gradient = self.products.to_input(gradient, parameters[2 * i])
        if to_input:
            yield -1, gradient, passed[0]

    def plain(self, x: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        """Return the same by torch's own layers, which can be differentiated any number of times."""
        for i, activation in enumerate(self.activations):
            x = functional.linear(x, parameters[2 * i], parameters[2 * i + 1])
            x = x if activation is None else activation.value(x)
        return x


class _Passed(torch.autograd.Function):
    """A `Stack` for autograd."""

    @staticmethod
    def forward(ctx: Any, stack: Stack, *tensors: Tensor) -> Tensor:
        x, *parameters = stack.as_computed(*tensors)
        passed = stack.forward(x, parameters)
        ctx.stack = stack
        ctx.save_for_backward(*tensors, *parameters, *passed)
        return passed[-1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        stack: Stack = ctx.stack
        saved, n, needs = ctx.saved_tensors, len(stack.parameters), ctx.needs_input_grad[1:]
        tensors, parameters, passed = saved[: n + 1], saved[n + 1 : 2 * n + 1], saved[2 * n + 1 :]
        if torch.is_grad_enabled():  # the gradient will be differentiated
            return None, *_second_derivatives(stack, gradients[0], tensors, needs)
        result: list[Tensor | None] = [None] * len(needs)
        for i, gradient, inputs in stack.backward(gradients[0].contiguous(), passed, parameters, needs[0]):
            if i < 0:
                result[0] = gradient
                continue
            if needs[2 * i + 1]:
                result[2 * i + 1] = stack.products.to_weight(gradient, inputs)
            if needs[2 * i + 2]:
                result[2 * i + 2] = gradient.sum(dim=0)
        if stack.products.dtype is not None:
            result = [f if f is None else f.to(g.dtype) for f, g in zip(result, tensors, strict=True)]
        return None, *result


def _second_derivatives(
    stack: Stack, gradient: Tensor, tensors: Sequence[Tensor], needs: Sequence[bool]
) -> list[Tensor | None]:
    """Return the gradients of `Stack.backward` with a graph: from torch's own layers, in the type of the parameters."""
    x, *parameters = tensors
    output = stack.plain(x.to(parameters[0].dtype), parameters)
    inputs = [value for value, needed in zip(tensors, needs, strict=True) if needed]
    gradients = iter(torch.autograd.grad(output, inputs, gradient.to(output.dtype), create_graph=True))
    return [next(gradients) if needed else None for needed in needs]


def parts(module: MLP, products: Products) -> list[Callable[[Tensor], Tensor]]:
    """Return the layers of an MLP in order, those that can be joined into a `Stack`."""
    pieces: list[Callable[[Tensor], Tensor]] = []
    joined: list[tuple[nn.Linear, _Activation | None]] = []
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


def _passes(stack: Stack, x: Tensor) -> list[Tensor]:
    """Output, and gradients of input and parameters, for a fixed gradient of the output."""
    inputs = x.detach().requires_grad_(True)
    output = stack(inputs)
    return [output, *torch.autograd.grad(output, [inputs, *stack.parameters], torch.ones_like(output))]


def operator_available() -> bool:
    """Return whether torch has oneDNN's operator for a linear layer and its activation."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@functools.cache
def fuses() -> bool:
    """Return whether that operator is available and correct in bfloat16."""
    if not operator_available():
        return False
    x, weight = torch.linspace(-1.0, 1.0, 64 * 30).reshape(64, 30), torch.linspace(-1.0, 2.0, 32 * 30).reshape(32, 30)
    bias = torch.linspace(-1.0, 1.0, 32)
    x, weight, bias = (value.bfloat16() for value in (x, weight, bias))
    try:
        output = _multiply(x, weight, bias, "relu").float()
    except (RuntimeError, NotImplementedError, TypeError):
        return False
    with torch.autocast("cpu", enabled=False):  # a training may call this under autocast
        expected = _forward(x.float(), weight.float(), bias.float(), True)
    return bool(torch.allclose(output, expected, rtol=1e-2, atol=1e-2 * float(expected.max())))


def agrees() -> bool:
    """Return whether oneDNN's operators are available and give torch's output and gradients to 1 part in 10^4."""
    if not operator_available():
        return False
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        for rows, columns, outputs in ((64, 30, 128), (67, 128, 64)):
            layers, x = (
                [(nn.Linear(columns, outputs), _RELU), (nn.Linear(outputs, 32), None)],
                torch.randn(rows, columns),
            )
            try:
                results = _passes(Stack(layers, PRODUCTS["onednn"]), x)
            except (RuntimeError, NotImplementedError, TypeError):
                return False  # another version of torch: the private operator has changed
            for a, b in zip(results, _passes(Stack(layers, PRODUCTS["plain"]), x), strict=True):
                if not torch.allclose(a, b, rtol=1e-4, atol=1e-4 * float(b.detach().abs().max())):
                    return False
    return True


def gain(repeats: int = 9) -> float:
    """Return how many times faster oneDNN passes forward and backward through a layer of 128, on one thread.

    The time is that of this thread only, the best of interleaved repeats: other work on the machine changes little.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            layer, x = nn.Linear(_WIDTH, _WIDTH), torch.randn(_ROWS, _WIDTH)
            stacks = {name: Stack([(layer, _RELU)], PRODUCTS[name]) for name in ("plain", "onednn")}
            best = dict.fromkeys(stacks, float("inf"))
            for repeat in range(repeats + 1):
                for name, stack in stacks.items():
                    begin = time.thread_time()
                    _passes(stack, x)
                    if repeat:  # the first makes the kernels
                        best[name] = min(best[name], time.thread_time() - begin)
    finally:
        torch.set_num_threads(threads)
    return best["plain"] / best["onednn"]


@functools.cache
def worthwhile() -> bool:
    """Return whether oneDNN is available, correct, and faster by `MARGIN`; measured once in a process, about 50 ms.

    Processes of one run do not measure it themselves: the process that starts them passes its result on
    (`TrainSettings.with_kernels`), so that their numbers do not depend on separate measurements.
    """
    return agrees() and gain() > MARGIN


class Fast:
    """Within the block the MLPs of a network use these products; None: those of torch.

    Only float networks on the CPU.
    """

    def __init__(self, network: nn.Module, products: Products | None) -> None:
        modules = [m for m in network.modules() if isinstance(m, MLP)] if products is not None else []
        self.modules = [m for m in modules if all(p.device.type == "cpu" for p in m.parameters())]
        self.products = products

    def __enter__(self) -> None:
        for module in self.modules:
            if self.products is not None:
                module.parts = parts(module, self.products)

    def __exit__(self, *what: object) -> None:
        for module in self.modules:
            module.parts = None
