"""Several processes as one: sums over all workers, through torch.distributed; alone, nothing happens.

Started by `torchrun --nproc-per-node 2 -m hepda train ...`; gloo on CPUs, nccl on GPUs.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

_PATIENCE = timedelta(days=2)  # the first worker reads events and grows trees while the others wait
_left = False


def join() -> tuple[int, int]:
    """Join the workers that torchrun started, if it did. Returns this worker's rank and their number.

    On GPUs each worker of a machine takes one. A process that left, or that a worker started, works alone.
    """
    if not distributed.is_available():
        return 0, 1
    wanted = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not _left and multiprocessing.parent_process() is None
    if not distributed.is_initialized() and wanted:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def leave() -> None:
    """Work alone from now on."""
    global _left
    if not alone():
        distributed.destroy_process_group()
    _left = True


def from_first(value: Any) -> Any:
    """The first worker's value, on all of them; alone, the value itself."""
    if alone():
        return value
    held = [value]
    distributed.broadcast_object_list(held, 0)
    return held[0]


def count() -> int:
    """Number of workers."""
    return 1 if alone() else distributed.get_world_size()


def alone() -> bool:
    """Whether this process works alone."""
    return not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1)


def sum_over_workers(value: Tensor) -> Tensor:
    """The sum of a tensor over all workers, without gradient; alone, the tensor itself."""
    if alone():
        return value
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total


@torch.no_grad()
def gather_over_workers(values: Tensor) -> Tensor:
    """Values [n] of all workers, one after the other; n may differ between them. Alone, the tensor itself."""
    if alone():
        return values
    sizes = torch.zeros(count(), dtype=torch.int64, device=values.device)
    sizes[distributed.get_rank()] = len(values)
    distributed.all_reduce(sizes)
    padded = values.new_zeros(int(sizes.max()))
    padded[: len(values)] = values
    parts = [torch.empty_like(padded) for _ in range(count())]
    distributed.all_gather(parts, padded)
    return torch.cat([part[:n] for part, n in zip(parts, sizes.tolist(), strict=True)])


@torch.no_grad()
def add_gradients(parameters: Iterable[Tensor]) -> None:
    """Sum gradients over all workers, in one message. Each worker's loss is already divided by the common sum
    of weights.
    """
    if alone():
        return
    held = [p for p in parameters if p.grad is not None]
    if not held:
        return
    flat = torch.cat([p.grad.flatten() for p in held if p.grad is not None])
    distributed.all_reduce(flat)
    start = 0
    for p in held:
        if p.grad is not None:
            p.grad.copy_(flat[start : start + p.numel()].view_as(p))
        start += p.numel()
