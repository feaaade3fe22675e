"""Several processes as one: sums over all workers, through torch.distributed; alone, nothing happens.

Started by `torchrun --nproc-per-node 2 -m hepda train ...`; gloo on CPUs, nccl on GPUs. Each worker has its part of
every batch, and the numbers are those of one worker with the whole of it: losses are divided by the weights of all, and
what compares rows with each other gathers them. Only dropout and random transforms draw other numbers.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional

_PATIENCE = timedelta(days=2)  # the first worker reads events and grows trees while the others wait
_left = False


def init() -> tuple[int, int]:
    """Join the workers that torchrun started, if it did. Returns this worker's rank and their number.

    On GPUs each worker of a machine takes one. A process that left, or that a worker started, works alone.
    """
    if not distributed.is_available():
        return 0, 1
    wanted = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not _left and multiprocessing.parent_process() is None
    if not distributed.is_initialized() and wanted:
        # Its functions keep the workers of the time when it is first imported, and an optimizer imports it: `shutdown`
        # could not end gloo's threads, and one that still held a tensor at the end of the process would abort it
        # (https://github.com/pytorch/pytorch/issues/190489).
        import torch.distributed.nn

        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def shutdown() -> None:
    """Work alone from now on."""
    global _left
    if is_distributed():
        distributed.destroy_process_group()
    _left = True


def broadcast(value: Any) -> Any:
    """Return the first worker's value, on all of them; alone, the value itself."""
    if not is_distributed():
        return value
    held = [value]
    distributed.broadcast_object_list(held, 0)
    return held[0]


def rank() -> int:
    """Return the number of this worker."""
    return distributed.get_rank() if is_distributed() else 0


def world_size() -> int:
    """Return number of workers."""
    return 1 if not is_distributed() else distributed.get_world_size()


def is_distributed() -> bool:
    """Return whether this process works alone."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all workers. What is minimised is the sum of their losses, so gradients add up too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.detach().clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return all_reduce(gradients[0])


def all_reduce(value: Tensor) -> Tensor:
    """Return the sum of a tensor over all workers, differentiable; alone, the tensor itself."""
    if not is_distributed():
        return value
    total: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
    return total


def shard(rows: int, rank: int, ranks: int) -> slice:
    """Return the rows of a batch that are a worker's."""
    return slice(rows * rank // ranks, rows * (rank + 1) // ranks)


def local_rows(rows: int) -> slice:
    """Return the rows of a batch that are this worker's."""
    return slice(0, rows) if not is_distributed() else shard(rows, distributed.get_rank(), world_size())


def gather(value: Tensor, rows: int) -> Tensor:
    """Rows [rows, ...] of the whole batch from this worker's part of them, differentiable; alone, the tensor itself.

    A loss that every worker computes from gathered rows counts once where each divides it by their `world_size`.
    """
    if not is_distributed():
        return value
    place = local_rows(rows)
    others = functional.pad(value.movedim(0, -1), (place.start, rows - place.stop)).movedim(-1, 0)
    return all_reduce(others)


@torch.no_grad()
def all_reduce_in_place(values: Sequence[Tensor]) -> None:
    """Sum tensors over all workers, in place and in one message."""
    if not is_distributed() or not values:
        return
    flat = torch.cat([value.flatten() for value in values])
    distributed.all_reduce(flat)
    start = 0
    for value in values:
        value.copy_(flat[start : start + value.numel()].view_as(value))
        start += value.numel()


def all_reduce_gradients(parameters: Iterable[Tensor]) -> None:
    """Sum gradients over all workers. Each worker's loss is already divided by the common sum of weights."""
    all_reduce_in_place([p.grad for p in parameters if p.grad is not None])
