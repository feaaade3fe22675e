"""The matrix products of a training, counted while a profile is made: what a step cannot do without."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from hepda import timing

_aten = torch.ops.aten


@contextmanager
def counted(counts: Counter[timing.MatrixShape]) -> Iterator[None]:
    """Count the matrix products of the block by their shapes; convolutions as the products that they are.

    Args:
        counts: gets how often each shape [m, k] times [k, n] was multiplied.

    """
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False, custom_mapping=_operators(counts)):
        yield


def _operators(counts: Counter[timing.MatrixShape]) -> dict[Any, Any]:
    """Return what counts the products of each operator of torch, from the shapes of its arguments."""

    def count(m: int, k: int, n: int, times: int = 1) -> int:
        counts[m, k, n] += times
        return 2 * m * k * n * times

    def mm(a: Sequence[int], b: Sequence[int], *_: Any, **__: Any) -> int:
        return count(a[0], a[1], b[1])

    def addmm(_: Any, a: Sequence[int], b: Sequence[int], *__: Any, **___: Any) -> int:
        return count(a[0], a[1], b[1])

    def bmm(a: Sequence[int], b: Sequence[int], *_: Any, **__: Any) -> int:
        return count(a[1], a[2], b[2], a[0])

    def baddbmm(_: Any, a: Sequence[int], b: Sequence[int], *__: Any, **___: Any) -> int:
        return count(a[1], a[2], b[2], a[0])

    def linear(x: Sequence[int], weight: Sequence[int], *_: Any, **__: Any) -> int:
        return count(math.prod(x[:-1]), x[-1], weight[0])

    def convolution(
        x: Sequence[int], weight: Sequence[int], bias: Any, stride: Any, padding: Any, dilation: Any,
        transposed: bool, *_: Any, out_shape: Sequence[int], **__: Any,
    ) -> int:  # fmt: skip
        return count(*_convolved(x, weight, out_shape, transposed))

    def convolution_backward(
        gradient: Sequence[int], x: Sequence[int], weight: Sequence[int], bias: Any, stride: Any, padding: Any,
        dilation: Any, transposed: bool, output_padding: Any, groups: int, needed: Sequence[bool], *_: Any, **__: Any,
    ) -> int:  # fmt: skip
        m, k, n = _convolved(x, weight, gradient, transposed)
        total = count(m, n, k) if needed[0] else 0
        return total + (count(k, m, n) if needed[1] else 0)

    operators: dict[Any, Any] = {
        _aten.mm: mm, _aten.addmm: addmm, _aten.addmm_: addmm, _aten.bmm: bmm, _aten.baddbmm: baddbmm,
        _aten.convolution: convolution, _aten.convolution_backward: convolution_backward,
    }  # fmt: skip
    onednn = getattr(getattr(torch.ops, "mkldnn", None), "_linear_pointwise", None)
    return operators if onednn is None else {**operators, onednn: linear}


def _convolved(x: Sequence[int], weight: Sequence[int], output: Sequence[int], transposed: bool) -> timing.MatrixShape:
    """Return the product that a convolution is: output positions, times the window, times the output channels."""
    positions = x if transposed else output
    return math.prod((positions[0], *positions[2:])), math.prod(weight[1:]), weight[0]


class EpochProducts:
    """The products of all epochs of a training, from those of its second epoch: strengths begin at zero in the first.

    Args:
        epochs: number of epochs of the training.

    """

    def __init__(self, epochs: int) -> None:
        self._counts: Counter[timing.MatrixShape] = Counter()
        self._counted = min(1, epochs - 1)

    @contextmanager
    def counted(self, epoch: int) -> Iterator[None]:
        """Count the products of the block, an epoch, if a profile is made and it is the one that is counted.

        Args:
            epoch: its number, from 0.

        """
        if timing.recorder() is None or epoch != self._counted:
            yield
            return
        with counted(self._counts):
            yield

    def report(self, epochs: int) -> None:
        """Add the products of so many epochs to the profile."""
        timing.add_products([(shape, float(count * epochs)) for shape, count in self._counts.items()])
