"""A training in several processes: sums over all workers, by torch.distributed; with one worker they have no effect.

`torchrun --nproc-per-node 2 -m hepda train ...` starts them; gloo for tensors on CPUs, nccl on GPUs. Each worker has
its part of every batch, and the numbers are those of one worker with the entire batch: losses are divided by the
weights of all, and terms that compare rows with each other gather them. Only dropout and random transforms draw other
numbers.
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
_shut_down = False


def init() -> tuple[int, int]:
    """Join the workers that torchrun started, if there are any; return this worker's rank and their number.

    On GPUs each worker of a machine uses one. A process after `shutdown`, or started by a worker, is a single worker.
    """
    if not distributed.is_available():
        return 0, 1
    joins = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not _shut_down and multiprocessing.parent_process() is None
    if not distributed.is_initialized() and joins:
        # Its functions keep the workers that exist at its first import, and an optimizer imports it: `shutdown`
        # could not end gloo's threads, and one that still has a tensor at the end of the process would abort it
        # (https://github.com/pytorch/pytorch/issues/190489).
        import torch.distributed.nn

        gpu = int(os.environ.get("LOCAL_RANK", "0"))
        if gpu < torch.cuda.device_count():  # a training on GPUs finds a missing one (devices.find)
            torch.cuda.set_device(gpu)
        both = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"  # by where the tensors are
        distributed.init_process_group(both, timeout=_PATIENCE)
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def shutdown() -> None:
    """Leave the other workers: from now on this process is a single worker."""
    global _shut_down
    if is_distributed():
        distributed.destroy_process_group()
    _shut_down = True


def broadcast(value: Any) -> Any:
    """Return the first worker's value on all workers."""
    if not is_distributed():
        return value
    values = [value]
    distributed.broadcast_object_list(values, 0)
    return values[0]


def rank() -> int:
    """Return the number of this worker."""
    return distributed.get_rank() if is_distributed() else 0


def world_size() -> int:
    """Return the number of workers."""
    return 1 if not is_distributed() else distributed.get_world_size()


def is_distributed() -> bool:
    """Return whether this process is one of several workers."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all workers. The sum of their losses is minimised, so gradients are added as well."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.detach().clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return all_reduce(gradients[0])


def all_reduce(value: Tensor) -> Tensor:
    """Return the sum of a tensor over all workers, differentiable."""
    if not is_distributed():
        return value
    total: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
    return total


def shard(rows: int, rank: int, ranks: int) -> slice:
    """Return the rows of a batch that belong to a worker."""
    return slice(rows * rank // ranks, rows * (rank + 1) // ranks)


def local_rows(rows: int) -> slice:
    """Return the rows of a batch that belong to this worker."""
    return slice(0, rows) if not is_distributed() else shard(rows, distributed.get_rank(), world_size())


def gather(value: Tensor, rows: int) -> Tensor:
    """Return the rows [rows, ...] of the entire batch from this worker's part of them, differentiable.

    A loss that every worker computes from gathered rows counts once if each divides it by `world_size`.
    """
    if not is_distributed():
        return value
    local = local_rows(rows)
    padded = functional.pad(value.movedim(0, -1), (local.start, rows - local.stop)).movedim(-1, 0)
    return all_reduce(padded)


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
