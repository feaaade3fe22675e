"""Several processes as one: sums over all workers, through torch.distributed; alone, nothing happens.

Started by `torchrun --nproc-per-node 2 -m hepda train ...`; gloo on CPUs, nccl on GPUs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch import Tensor, distributed


def join() -> tuple[int, int]:
    """Join the workers that torchrun started, if it did. Returns this worker's rank and their number."""
    if not distributed.is_available():
        return 0, 1
    if not distributed.is_initialized() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


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


def first_says(yes: bool) -> bool:
    """What the first worker says, on all of them."""
    if alone():
        return yes
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    answer = torch.tensor(int(yes), device=device)
    distributed.broadcast(answer, 0)
    return bool(answer)


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
