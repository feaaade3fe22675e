"""What enhances a recording: a trained network, a filter, the ideal mask, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hepda.runtime.run_directory import MODELS
from hepda.speech.enhancement.filters import ideal_mask, wiener
from hepda.speech.enhancement.networks import MaskNetwork
from hepda.speech.enhancement.segan import WaveGenerator
from hepda.speech.enhancement.training import spectra_of

if TYPE_CHECKING:
    from hepda.config import EnhancementConfig

TrainedNetwork = MaskNetwork | WaveGenerator
"""A network that enhances."""
Enhancer = Callable[[Tensor, Tensor], Tensor]
"""From noisy samples [n], and the clean ones that only the ideal mask reads, to enhanced samples [n]."""


def enhancer_of(config: EnhancementConfig, model: str, network: TrainedNetwork | None) -> Enhancer:
    """Return what a model does with a recording; `network` is that of a model that is trained."""
    section, spectra = config.models[model], spectra_of(config)
    if section.kind == "noisy":
        return lambda noisy, clean: noisy
    if section.kind == "wiener":
        return lambda noisy, clean: wiener(spectra, noisy, smoothing=section.smoothing, floor=section.floor)
    if section.kind == "ideal_mask":
        return lambda noisy, clean: ideal_mask(spectra, noisy, clean)
    if network is None:
        raise RuntimeError(f"the model {model} needs its network")
    device = next(network.parameters()).device

    def enhanced(noisy: Tensor, clean: Tensor) -> Tensor:
        with torch.no_grad():
            return network.enhanced(noisy[None].to(device))[0].cpu()

    return enhanced


def read_network(config: EnhancementConfig, run: Path, model: str, member: int) -> TrainedNetwork | None:
    """Return the network of a training in a run directory; None for a model that is not trained."""
    if model not in config.networks:
        return None
    kind: type[TrainedNetwork] = MaskNetwork if config.models[model].kind == "mask" else WaveGenerator
    return kind.load(run / MODELS / model / f"fold0-member{member}.safetensors")
