"""The device of a training: which one it is, whether it is there, exact numbers on it, and errors of a full memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hepda.errors import ConfigError, TrainingError

TRAININGS_AT_ONCE = 4
"""Trainings that share a GPU: it computes the kernels of several processes in turns, so more of them gain nothing."""
_FULL = "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"
"""What errors of a full memory say that torch does not raise as one."""
_TABLES = 8
"""The tables of a training are kept on a GPU if they need no more than its memory over this number: with all trainings
that share it, half of the memory is left for the steps."""


def chosen(name: str) -> str:
    """Return the device that `auto` selects, a GPU if there is one, or the one that was named."""
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def find(name: str) -> torch.device:
    """Return the device of a name: `auto`, `cpu`, `cuda` (the current GPU), `cuda:1`, or another of torch.

    Raises:
        ConfigError: torch has no such device, or it is not on this machine.

    """
    try:
        device = torch.device(chosen(name))
    except RuntimeError as error:
        raise ConfigError(
            f"device {name!r} is none of torch; take auto, cpu, cuda, or cuda:1 for the second"
        ) from error
    if device.type != "cuda":
        return device
    count = torch.cuda.device_count()
    if device.index is not None and 0 < count <= device.index:
        names = "only cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise ConfigError(f"device {name!r}: torch finds {count} CUDA devices here; there is {names}")
    if not count or not torch.cuda.is_available():
        raise ConfigError(f"device {name!r}: {_why_none()}; or take cpu or auto")
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # of torchrun: each process needs a GPU of its own
    if here > 1 and (here > count or device.index is not None):
        raise ConfigError(
            f"device {name!r}: torchrun started {here} processes on this machine, which has {count} CUDA devices, and "
            f"each needs its own; take --nproc-per-node {min(here, count)} and --device cuda, or --device cpu"
        )
    return torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)


def _why_none() -> str:
    """Return why torch has no CUDA device, and what to do about it."""
    if torch.version.cuda is None and torch.version.hip is None:
        return (
            f"this torch ({torch.__version__}) is built without CUDA; install one that has it "
            "(https://pytorch.org/get-started/locally)"
        )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = "" if visible is None else f", CUDA_VISIBLE_DEVICES is {visible!r}"
    return f"torch finds no CUDA device here{hidden}; `nvidia-smi` shows the GPUs and whether the driver works"


def describe(device: torch.device) -> str:
    """Return what a device is, for messages and manifests: `cpu`, or name, memory and CUDA version of a GPU."""
    if device.type != "cuda":
        return str(device)
    gigabytes = torch.cuda.get_device_properties(device).total_memory / 1e9
    return f"{torch.cuda.get_device_name(device)} ({device}, {gigabytes:.0f} GB, CUDA {torch.version.cuda})"


def trainings_at_once(name: str, most: int) -> int:
    """Return how many trainings run in parallel on the device of that name, of `most` that the machine could."""
    return min(most, TRAININGS_AT_ONCE) if chosen(name).startswith("cuda") else most


def fits(size: int, device: torch.device) -> bool:
    """Return whether tables of `size` bytes may stay in the memory of a GPU during a training."""
    free, total = torch.cuda.mem_get_info(device)
    return size <= min(total // _TABLES, free // 2)


def bytes_for_gradients(module: nn.Module, shape: Sequence[int]) -> int | None:
    """Return the bytes that autograd keeps of a pass forward through a module, for rows of a shape [n, ...].

    Nothing is computed: the tensors are torch's `meta` ones. None if the module cannot be passed without values.
    """
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()  # of all its views
        kept[storage._cdata] = storage
        return value

    named = [*module.named_parameters(), *module.named_buffers()]
    empty = {name: torch.empty_like(value, device="meta").requires_grad_(value.requires_grad) for name, value in named}
    dtype = next((p.dtype for p in module.parameters()), torch.float32)
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            torch.func.functional_call(module, empty, (torch.empty(*shape, dtype=dtype, device="meta"),))
    except RuntimeError:
        return None
    weights = {value.untyped_storage()._cdata for value in empty.values()}
    return sum(storage.nbytes() for key, storage in kept.items() if key not in weights)


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Within the block the same seed gives the same numbers on a GPU, and float32 has its full precision.

    Torch warns about the few operators that have no such kernel (sums along a sorted axis: `cumsum`); these are exact
    to rounding. cuDNN would otherwise compute convolutions in TensorFloat-32, with 10 bits in place of 23.
    """
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it starts
    settings: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fills = settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    settings.fill_uninitialized_memory = False  # costs a kernel for every tensor that is made empty
    try:
        with (
            torch.cuda.device(device),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        settings.fill_uninitialized_memory = fills


@contextmanager
def memory_errors(device: torch.device, content: Callable[[], str]) -> Iterator[None]:
    """Raise a TrainingError for a full memory of a device within the block; `content` tells what fills it."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and not any(text in str(error) for text in _FULL):
            raise
        raise TrainingError(
            f"the memory of {describe(device)} is full: {content()}. Take a smaller batch_size, run fewer trainings at "
            "once (training.processes), end other programs that use it (`nvidia-smi` lists them), or take "
            f"--device cpu. torch says: {str(error).splitlines()[0]}"
        ) from error
