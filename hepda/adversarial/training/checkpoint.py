"""The state of a training in one safetensors file; a resumed run is, bit for bit, the uninterrupted run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hepda.adversarial.tensor_files import read_description, read_tensors, reading_saved, write_tensors
from hepda.errors import SourceError

FORMAT = "hepda.checkpoint/3"


def optimizer_tensors(optimizer: torch.optim.Optimizer, name: str) -> dict[str, Tensor]:
    """Return the state of an optimizer by parameter number; all of it is tensors."""
    state = optimizer.state_dict()["state"]
    return {f"{name}.{i}.{key}": v for i, values in state.items() for key, v in values.items() if v is not None}


def restore_optimizer(optimizer: torch.optim.Optimizer, name: str, tensors: dict[str, Tensor]) -> None:
    """Restore the state that `optimizer_tensors` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        head, _, rest = key.partition(".")
        if head == name:
            number, _, field = rest.partition(".")
            state.setdefault(int(number), {})[field] = value
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for i, values in state.items():
        p = parameters[i]  # in the memory order of the parameter, which fused kernels use
        state[i] = {key: torch.empty_like(p).copy_(v) if v.dim() > 1 else v for key, v in values.items()}
    state_dict = optimizer.state_dict()
    state_dict["state"] = state
    optimizer.load_state_dict(state_dict)


def write_checkpoint(path: Path, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    """Write tensors and values for JSON, atomically, with the state of torch's random numbers.

    Those of a GPU are included if tensors are on it.
    """
    all_tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    all_tensors["random.cpu"] = torch.get_rng_state()
    gpus = [value.device for value in tensors.values() if value.device.type == "cuda"]
    if gpus:
        all_tensors["random.cuda"] = torch.cuda.get_rng_state(gpus[0])
    write_tensors(path, all_tensors, {"format": FORMAT, "said": json.dumps(values)})


def read_checkpoint(path: Path, device: torch.device | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the values of a checkpoint, and restore the state of torch's random numbers.

    Args:
        path: the file.
        device: the GPU whose random numbers are restored as well, if the checkpoint has some; None: none.

    Raises:
        SourceError: it is not a checkpoint of hepda.

    """
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise SourceError(f"{path}: not a checkpoint of this version of hepda; remove it, or train without resuming")
    values: dict[str, Any] = read_description(path, metadata, "said")
    with reading_saved(path):
        torch.set_rng_state(tensors.pop("random.cpu"))
        state = tensors.pop("random.cuda", None)
        if state is not None and device is not None and device.type == "cuda":
            torch.cuda.set_rng_state(state, device)
    return tensors, values
