"""The state of a training in one safetensors file: a resumed run is, bit for bit, the run that was not
interrupted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hepda.adversarial.tensor_files import described, read_said, read_tensors, write_tensors
from hepda.errors import SourceError

FORMAT = "hepda.checkpoint/3"


def optimizer_tensors(optimizer: torch.optim.Optimizer, name: str) -> dict[str, Tensor]:
    """State of an optimizer by parameter number; all of it is tensors."""
    state = optimizer.state_dict()["state"]
    return {f"{name}.{i}.{key}": v for i, values in state.items() for key, v in values.items() if v is not None}


def restore_optimizer(optimizer: torch.optim.Optimizer, name: str, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` took."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        head, _, rest = key.partition(".")
        if head == name:
            number, _, what = rest.partition(".")
            state.setdefault(int(number), {})[what] = value
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for i, values in state.items():
        p = parameters[i]  # in the memory order of the parameter: fused kernels go by it
        state[i] = {key: torch.empty_like(p).copy_(v) if v.dim() > 1 else v for key, v in values.items()}
    whole = optimizer.state_dict()
    whole["state"] = state
    optimizer.load_state_dict(whole)


def write_checkpoint(path: Path, tensors: dict[str, Tensor], said: dict[str, Any]) -> None:
    """Write tensors and what JSON can say, atomically, with the state of torch's random numbers."""
    whole = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    whole["random.cpu"] = torch.get_rng_state()
    for i in range(torch.cuda.device_count()):
        whole[f"random.cuda{i}"] = torch.cuda.get_rng_state(i)
    write_tensors(path, whole, {"format": FORMAT, "said": json.dumps(said)})


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and the rest of a checkpoint; torch's random numbers are put back.

    Raises:
        SourceError: it is not a checkpoint of hepda.

    """
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise SourceError(f"{path}: not a checkpoint of this version of hepda; remove it, or train without resuming")
    said: dict[str, Any] = read_said(path, metadata, "said")
    with described(path):
        torch.set_rng_state(tensors.pop("random.cpu"))
        for i in range(torch.cuda.device_count()):
            if f"random.cuda{i}" in tensors:
                torch.cuda.set_rng_state(tensors.pop(f"random.cuda{i}"), i)
    return tensors, said
