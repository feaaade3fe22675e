"""Batches on their way to a GPU: one copy of each, from memory that the GPU reads itself.

A copy from ordinary memory makes the CPU wait for the GPU. From pinned memory it does not; the buffer must then stay
unchanged until the copy is done, so two of them are filled in turn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_ALIGNED = 16  # bytes: a part of a buffer begins at a multiple, as loads of a GPU need


@dataclass(frozen=True, slots=True)
class _Part:
    """A tensor within a buffer of bytes: its place, type and shape, with its dimensions in the order of memory."""

    begin: int
    end: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    order: tuple[int, ...]

    def view(self, buffer: Tensor) -> Tensor:
        """Return the tensor of a buffer."""
        return buffer[self.begin : self.end].view(self.dtype).view(self.shape).permute(self.order)


def _parts(tensors: Sequence[Tensor]) -> list[_Part]:
    """Return where tensors are in a buffer, one after the other; those with channels last keep them there."""
    parts, begin = [], 0
    for tensor in tensors:
        last = tensor.dim() == 4 and not tensor.is_contiguous()
        shape = tuple(tensor.permute(0, 2, 3, 1).shape) if last else tuple(tensor.shape)
        order = (0, 3, 1, 2) if last else tuple(range(tensor.dim()))
        end = begin + math.prod(shape) * tensor.element_size()
        parts.append(_Part(begin, end, tensor.dtype, shape, order))
        begin = -(-end // _ALIGNED) * _ALIGNED
    return parts


class PinnedBatch:
    """The tensors of a batch in pinned memory, which reach the device in one copy; two buffers are used in turn.

    Args:
        tensors: in the shapes, types and memory order of the batch.
        device: the GPU.

    """

    def __init__(self, tensors: Sequence[Tensor], device: torch.device) -> None:
        self.device, self._layout = device, _parts(tensors)
        size = self._layout[-1].end
        self._buffers = [torch.empty(size, dtype=torch.uint8, pin_memory=True) for _ in range(2)]
        self._copied = [torch.cuda.Event() for _ in self._buffers]  # type: ignore[no-untyped-call]
        self._filled = -1

    def to_fill(self) -> list[Tensor]:
        """Return the tensors to fill; waits if the copy of their last content is not done, two batches ago."""
        self._filled += 1
        self._copied[self._filled % 2].synchronize()
        return [part.view(self._buffers[self._filled % 2]) for part in self._layout]

    def upload(self) -> list[Tensor]:
        """Return the tensors on the device; the CPU continues before they are there."""
        buffer = self._buffers[self._filled % 2].to(self.device, non_blocking=True)
        self._copied[self._filled % 2].record(torch.cuda.current_stream(self.device))
        return [part.view(buffer) for part in self._layout]
