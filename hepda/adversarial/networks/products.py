"""The matrix products of linear layers, each taken from where it is fastest.

- `plain`: torch's own.
- `onednn`: float32 by oneDNN instead of the BLAS that torch is built with. On AMD's processors with AVX-512 it
  multiplies about twice as fast as MKL; on Intel's, and on AMD's with AVX2, it is no faster. The operator is private
  to torch, so it is used only if it exists, gives the same output and gradients, and is measured to be faster.
- `bfloat16`: inputs, weights and outputs rounded to bfloat16, sums in float32, as torch.autocast does it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

NARROW = 16  # layers with fewer outputs stay with torch: for a column or two its kernels are the faster


@dataclass(frozen=True, slots=True)
class Products:
    """The three matrix products of a linear layer, for a block of rows.

    Attributes:
        forward: (x [n, k], weight [o, k], bias [o], relu, out [n, o]): out = x W^T + b, with a ReLU after it or not.
        to_input: (gradient [n, o], weight [o, k], out [n, k]): out = G W.
        to_weight: (gradient [n, o], x [n, k], total [o, k]): total += G^T x; the total has the type of the parameters.
        dtype: the type that they compute in; None: the type of their arguments.

    """

    forward: Callable[[Tensor, Tensor, Tensor, bool, Tensor], None]
    to_input: Callable[[Tensor, Tensor, Tensor], None]
    to_weight: Callable[[Tensor, Tensor, Tensor], None]
    dtype: torch.dtype | None = None


def _forward(x: Tensor, weight: Tensor, bias: Tensor, relu: bool, out: Tensor) -> None:
    torch.addmm(bias, x, weight.t(), out=out)
    if relu:
        out.relu_()


def _to_input(gradient: Tensor, weight: Tensor, out: Tensor) -> None:
    if weight.shape[0] == 1:  # an outer product
        torch.mul(gradient, weight, out=out)
    else:
        torch.mm(gradient, weight, out=out)


def _to_weight(gradient: Tensor, x: Tensor, total: Tensor) -> None:
    total.addmm_(gradient.t(), x)


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None, after: str) -> Tensor:
    """Return x W^T + b by oneDNN, followed by `after`: `none` or `relu`."""
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, after, [], None)
    return result


def _onednn_forward(x: Tensor, weight: Tensor, bias: Tensor, relu: bool, out: Tensor) -> None:
    if weight.shape[0] < NARROW:
        _forward(x, weight, bias, relu, out)
    else:
        out.copy_(multiply(x, weight, bias, "relu" if relu else "none"))


def _onednn_to_input(gradient: Tensor, weight: Tensor, out: Tensor) -> None:
    if weight.shape[0] < NARROW:
        _to_input(gradient, weight, out)
    else:
        out.copy_(multiply(gradient, weight.t(), None, "none"))


def _onednn_to_weight(gradient: Tensor, x: Tensor, total: Tensor) -> None:
    """Multiply such that the smaller of the two matrices is the one that is copied to transpose it."""
    if min(gradient.shape[1], x.shape[1]) < NARROW:
        _to_weight(gradient, x, total)
    elif x.shape[1] < gradient.shape[1]:
        total.add_(multiply(x.t(), gradient.t(), None, "none").t())
    else:
        total.add_(multiply(gradient.t(), x.t(), None, "none"))


def _bfloat16_forward(x: Tensor, weight: Tensor, bias: Tensor, relu: bool, out: Tensor) -> None:
    if fuses():
        out.copy_(multiply(x, weight, bias, "relu" if relu else "none"))
    else:
        _forward(x, weight, bias, relu, out)


def _bfloat16_to_weight(gradient: Tensor, x: Tensor, total: Tensor) -> None:
    total.add_(gradient.t().mm(x))  # the sum over blocks of rows is in float32


PRODUCTS: dict[str, Products] = {
    "plain": Products(_forward, _to_input, _to_weight),
    "onednn": Products(_onednn_forward, _onednn_to_input, _onednn_to_weight),
    "bfloat16": Products(_bfloat16_forward, _to_input, _bfloat16_to_weight, torch.bfloat16),
}


def operator_available() -> bool:
    """Return whether torch has oneDNN's operator for a linear layer and its activation."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and hasattr(torch.ops.mkldnn, "_linear_pointwise")


_BFLOAT16 = "amx_bf16", "avx512_bf16", "avx10_2", "bf16", "sve_bf16"
"""Instruction sets of x86 and ARM that multiply bfloat16, as torch names them."""


def multiplies_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16; others emulate it, slower than float32.

    Versions of torch that do not tell what the processor can do are taken to know what they do.
    """
    known: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return not known or any(known.get(name, False) for name in _BFLOAT16)


@functools.cache
def fuses() -> bool:
    """Return whether that operator is available and correct in bfloat16."""
    if not operator_available():
        return False
    x, weight = torch.linspace(-1.0, 1.0, 64 * 30).reshape(64, 30), torch.linspace(-1.0, 2.0, 32 * 30).reshape(32, 30)
    bias = torch.linspace(-1.0, 1.0, 32)
    x, weight, bias = (value.bfloat16() for value in (x, weight, bias))
    try:
        output = multiply(x, weight, bias, "relu").float()
    except (RuntimeError, NotImplementedError, TypeError):
        return False
    with torch.autocast("cpu", enabled=False):  # a training may call this under autocast
        expected = torch.relu(x.float() @ weight.float().t() + bias.float())
    return bool(torch.allclose(output, expected, rtol=1e-2, atol=1e-2 * float(expected.max())))
