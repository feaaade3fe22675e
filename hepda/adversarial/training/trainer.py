"""Trainer: the training loop. What happens in an epoch is in state.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from hepda.adversarial import devices, distributed
from hepda.adversarial.data.batches import DomainRows, Placement
from hepda.adversarial.memory import keep_freed_memory
from hepda.adversarial.networks.domains import GlobalBatchNorms
from hepda.adversarial.networks.kernels import Fast
from hepda.adversarial.networks.layers import seeded
from hepda.adversarial.networks.network import Network
from hepda.adversarial.networks.products import PRODUCTS
from hepda.adversarial.training.history import History
from hepda.adversarial.training.problem import train
from hepda.adversarial.training.settings import TrainSettings
from hepda.adversarial.training.state import TrainingState
from hepda.errors import ConfigError


class Trainer:
    """Train networks with given settings.

    Args:
        settings: settings of the training; None: the defaults.
        changes: single settings that replace those (`Trainer(epochs=5)`).

    """

    def __init__(self, settings: TrainSettings | None = None, **changes: Any) -> None:
        self.settings = replace(settings or TrainSettings(), **changes)

    def fit(
        self,
        network: Network,
        source: DomainRows,
        target: DomainRows | None = None,
        *,
        validation: tuple[DomainRows, DomainRows | None] | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        on_epoch: Callable[[History], None] | None = None,
    ) -> History:
        """Train a network, in place.

        Args:
            network: the network; its normalization is fitted to the source rows if it is not yet.
            source: rows with the targets of the task's heads.
            target: rows of the other domain; without it, heads that compare domains are not trained.
            validation: source and target rows that are not trained on, evaluated after each epoch; without patience,
                in trainings of 40 epochs or more, about 20 times and after the last one.
            checkpoint: a file that is written after each epoch; of several workers, by the first, and read by all.
            resume: continue from the checkpoint if there is one.
            on_epoch: called after each epoch with the history so far.

        Returns:
            The history. The network is left in evaluation mode on the CPU or GPU it was trained on.

        Raises:
            ConfigError: settings are inconsistent or not possible on this processor, rows do not have what the heads
                need, or the device is not there.
            DataError: rows that are not finite or have no weights.
            TrainingError: a loss that is not finite, an adversary whose gradient is zero, or a GPU whose memory is
                full.

        """
        settings = self.settings
        if settings.patience is not None and validation is None:
            raise ConfigError("patience needs validation rows")
        if resume and checkpoint is None:
            raise ConfigError("resume needs a checkpoint")
        settings.check_precision()
        rank, ranks = distributed.init()
        device = devices.find(settings.device)
        keep_freed_memory()
        content = partial(_content, settings, network, source, target)
        with seeded(settings.seed, device), devices.reproducible(device), devices.memory_errors(device, content):
            network = network.to(device, settings.dtype())
            if settings.channels_last:
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            placement = Placement(device, rank, ranks, settings.memory_format())
            run = TrainingState(settings, network, source, target, validation, placement)
            run.history.kernels = settings.products()
            path = None if checkpoint is None else Path(checkpoint)
            if resume:  # with the kernels of its beginning
                run.resume(path)
            with Fast(network, PRODUCTS[run.history.kernels]), GlobalBatchNorms(network):
                return train(run, path, on_epoch=on_epoch)


def _content(settings: TrainSettings, network: Network, source: DomainRows, target: DomainRows | None) -> str:
    """Return what a training holds in the memory of its device, for the message of an error."""
    features, rows = source.features, len(source) + (0 if target is None else len(target))
    step = settings.batch_size + (0 if target is None else settings.target_size or settings.batch_size)
    parameters = sum(p.numel() for p in network.parameters())
    kept = devices.bytes_for_gradients(network, (min(step, rows), *features.shape[1:]))
    return (
        f"the training has {rows} rows of shape {tuple(features.shape[1:])} in steps of {min(step, rows)}, and a "
        f"network of {parameters} parameters" + ("" if kept is None else f"; a step keeps {kept / 1e9:.2g} GB")
    )
