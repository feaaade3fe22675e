"""A faster float32 linear layer for the processors that have one: oneDNN's, in place of the BLAS torch is
built with.

On some processors (AMD's, with MKL) oneDNN multiplies float32 matrices about twice as fast as torch's
default; on Intel's it is no faster. The operator is private to torch, so it is used only if it is there,
gives the same output and gradients, and is measured to be faster; otherwise nothing changes.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hepda.adversarial.layers import MLP

MARGIN = 1.3  # how many times faster it must be; far from 1, so that noise does not change the choice
_ROWS, _WIDTH = 2048, 128


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None, after: str) -> Tensor:
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, after, [], None)
    return result


class _Product(torch.autograd.Function):
    """x W^T by oneDNN, differentiable as often as one likes: the operator itself has no derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _multiply(x, weight, None, "none")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        to_x, to_weight = ctx.needs_input_grad
        return (_product(gradient, weight.t()) if to_x else None, _product(gradient.t(), x.t()) if to_weight else None)


def _product(x: Tensor, weight: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return _multiply(x, weight, None, "none")
    result: Tensor = _Product.apply(x, weight)  # type: ignore[no-untyped-call]
    return result


class _Linear(torch.autograd.Function):
    """x W^T + b, with a ReLU after it or not; all three products by oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
        output = _multiply(x, weight, bias, "relu" if relu else "none")
        ctx.relu = relu
        ctx.save_for_backward(x, weight, output if relu else None)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        x, weight, output = ctx.saved_tensors
        gradient = gradients[0]
        if ctx.relu:
            gradient = torch.ops.aten.threshold_backward(gradient, output, 0)
        gradient = gradient.contiguous()
        to_input = _product(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        to_weight = _product(gradient.t(), x.t())
        return to_input, to_weight, gradient.sum(dim=0), None


def linear(x: Tensor, layer: nn.Linear, relu: bool) -> Tensor:
    """A linear layer by oneDNN; x float32 [n, k]."""
    result: Tensor = _Linear.apply(x, layer.weight, layer.bias, relu)  # type: ignore[no-untyped-call]
    return result


def _plain(x: Tensor, layer: nn.Linear, relu: bool) -> Tensor:
    output = functional.linear(x, layer.weight, layer.bias)
    return torch.relu(output) if relu else output


Product = Callable[[Tensor, nn.Linear, bool], Tensor]


def _passes(product: Product, layer: nn.Linear, x: Tensor) -> list[Tensor]:
    """Output, and gradients of input, weight and bias, for a fixed gradient of the output."""
    given = x.detach().requires_grad_(True)
    output = product(given, layer, True)
    wanted = [given, layer.weight, layer.bias]
    return [output, *torch.autograd.grad(output, wanted, torch.ones_like(output))]


def _passes_twice(product: Product, layer: nn.Linear, x: Tensor) -> list[Tensor]:
    """Gradients of the squared gradient of the input, as a gradient penalty takes them."""
    given = x.detach().requires_grad_(True)
    output = product(given, layer, True).square().sum()
    (slope,) = torch.autograd.grad(output, given, create_graph=True)
    return list(torch.autograd.grad(slope.square().sum(), [given, layer.weight, layer.bias]))


def agrees() -> bool:
    """Whether the operator is there and gives torch's output, gradients and second derivatives to 1 part in 10^4."""
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not (there and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return False
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        for rows, columns, outputs in ((64, 30, 128), (33, 128, 64)):
            layer, x = nn.Linear(columns, outputs), torch.randn(rows, columns)
            try:
                found = _passes(linear, layer, x) + _passes_twice(linear, layer, x)
            except (RuntimeError, NotImplementedError, TypeError):
                return False  # another version of torch: the private operator has changed
            for a, b in zip(found, _passes(_plain, layer, x) + _passes_twice(_plain, layer, x), strict=True):
                if not torch.allclose(a, b, rtol=1e-4, atol=1e-4 * float(b.detach().abs().max())):
                    return False
    return True


def gain(repeats: int = 7) -> float:
    """How many times faster oneDNN passes forward and backward through a layer; the best of interleaved
    repeats.
    """
    best = {"plain": float("inf"), "onednn": float("inf")}
    products: dict[str, Product] = {"plain": _plain, "onednn": linear}
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        layer, x = nn.Linear(_WIDTH, _WIDTH), torch.randn(_ROWS, _WIDTH)
        for product in products.values():
            _passes(product, layer, x)
        for _ in range(repeats):
            for name, product in products.items():
                begin = time.perf_counter()
                _passes(product, layer, x)
                best[name] = min(best[name], time.perf_counter() - begin)
    return best["plain"] / best["onednn"]


@functools.cache
def worthwhile() -> bool:
    """Whether oneDNN is there, right, and faster by `MARGIN`; asked once a process, about 30 ms."""
    return agrees() and gain() > MARGIN


class Fast:
    """Within the block the MLPs of a network pass through oneDNN, if it is worthwhile (or `always`).

    Only plain linear layers and ReLUs of float32 networks on the CPU; everything else goes on as before.
    """

    def __init__(self, network: nn.Module, use: bool) -> None:
        modules = [m for m in network.modules() if isinstance(m, MLP)] if use else []
        self.modules = [m for m in modules if all(p.device.type == "cpu" for p in m.parameters())]

    def __enter__(self) -> None:
        for module in self.modules:
            module.product = linear

    def __exit__(self, *what: object) -> None:
        for module in self.modules:
            module.product = None
