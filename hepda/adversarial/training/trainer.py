"""Trainer: the settings of a training, and `fit`. What happens in an epoch is in run.py."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch

from hepda.adversarial import distributed
from hepda.adversarial.data.batches import Rows
from hepda.adversarial.networks.domains import Joined
from hepda.adversarial.networks.kernels import PRODUCTS, Fast, worthwhile
from hepda.adversarial.networks.layers import seeded
from hepda.adversarial.networks.network import Network
from hepda.adversarial.networks.schedules import RATE_SCHEDULES, find_schedule
from hepda.adversarial.training.history import History
from hepda.adversarial.training.optimizers import OPTIMIZERS
from hepda.adversarial.training.run import Run
from hepda.errors import ConfigError, nearest

Scorer = Callable[[Network, Rows, Rows | None], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """How a network is trained.

    Attributes:
        epochs: passes over the source rows.
        batch_size: source rows a step; all of them if there are fewer.
        target_size: target rows a step; None: as many as source rows.
        learning_rate: of the encoder and the heads that are not reversed.
        rate_schedule: `constant`, `one-cycle`, `cosine` or `ganin`.
        adversary_rate: factor on the learning rate of reversed heads and of terms with parameters.
        optimizer: `adamw`, `adam`, `nadam` or `sgd` (momentum 0.9).
        weight_decay: on weight matrices, not on biases.
        momentum: beta_1 of the Adams, momentum of sgd; None: 0.9.
        average: decay of the moving average of the weights (0.99, for example); 0: none. With it, the network
            ends with the average, and validation looks at the average.
        clip: largest norm of the encoder's gradient; 0: no limit.
        projection: take off the part of the adversary's gradient that opposes the task's (stabilisers.py).
        precision: `float32`; `bfloat16` for autocast; `float64` for all of it.
        patience: epochs without a better value on the validation rows before it ends; None: never. The
            network then has the weights of the best epoch. Epochs in which an adversary is below 0.9 of its
            final strength are
            no candidates: the class loss is lowest before the adversary works.
        scorer: what is compared, the larger the better (selection.py); None: minus the main head's weighted
            loss.
        seed: of the shuffles and of dropout.
        device: `auto` (a GPU if there is one), `cpu`, `cuda`, ...
        kernels: `plain`, `onednn`, or `auto`: oneDNN's linear layers where they are there, right and measured
            to be faster (kernels.py).
        channels_last: keep batches and weights of four dimensions in torch's channels_last order, in which
            convolutions are faster; the numbers are the same but for rounding.

    """

    epochs: int = 40
    batch_size: int = 1024
    target_size: int | None = None
    learning_rate: float = 1e-3
    rate_schedule: str = "constant"
    adversary_rate: float = 1.0
    optimizer: str = "adamw"
    weight_decay: float = 0.0
    momentum: float | None = None
    average: float = 0.0
    clip: float = 0.0
    projection: bool = False
    precision: str = "float32"
    patience: int | None = None
    scorer: Scorer | None = None
    seed: int = 0
    device: str = "auto"
    kernels: str = "auto"
    channels_last: bool = False

    def __post_init__(self) -> None:
        find_schedule(self.rate_schedule, RATE_SCHEDULES, "learning rate")
        if self.optimizer not in OPTIMIZERS:
            known = ", ".join(OPTIMIZERS)
            raise ConfigError(
                f"unknown optimizer {self.optimizer!r}; one of {known}.{nearest(self.optimizer, OPTIMIZERS)}"
            )
        if self.precision not in ("float32", "bfloat16", "float64"):
            raise ConfigError(f"unknown precision {self.precision!r}; float32, bfloat16 or float64")
        if self.kernels not in ("auto", "plain", "onednn"):
            raise ConfigError(f"unknown kernels {self.kernels!r}; auto, plain or onednn")
        if self.kernels == "onednn" and self.precision != "float32":
            raise ConfigError(f"kernels are onednn, which multiplies float32, and the precision is {self.precision}")
        for name in ("epochs", "batch_size", "target_size", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; it must be 1 or more")
        for name in ("learning_rate", "adversary_rate"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be above 0")
        if not 0.0 <= self.average < 1.0:
            raise ConfigError(f"average is {self.average}; it must be at least 0 and below 1")

    def fit(
        self,
        network: Network,
        source: Rows,
        target: Rows | None = None,
        *,
        validation: tuple[Rows, Rows | None] | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        on_epoch: Callable[[History], None] | None = None,
    ) -> History:
        """Train a network, in place.

        Args:
            network: what is trained; its normalization is fitted to the source rows if it is not yet.
            source: rows with what the task's heads predict.
            target: rows of the other domain; without it, heads that compare domains take no part.
            validation: source and target rows that are not trained on, looked at after each epoch.
            checkpoint: a file that is written after each epoch; of several workers, by the first, and read by all.
            resume: go on from the checkpoint if there is one.
            on_epoch: called after each epoch with the history so far.

        Returns:
            The history. The network is left in evaluation mode on the CPU or GPU it was trained on.

        Raises:
            ConfigError: settings, or what the heads ask of the rows, that do not fit.
            DataError: rows that are not finite or have no weights.
            TrainingError: a loss that is not finite, or an adversary whose gradient is zero.

        """
        if self.patience is not None and validation is None:
            raise ConfigError("patience needs validation rows")
        if resume and checkpoint is None:
            raise ConfigError("resume needs a checkpoint")
        device = torch.device(self.chosen_device())
        rank, ranks = distributed.join()
        with seeded(self.seed):
            network = network.to(device, self.dtype())
            if self.channels_last:
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            run = Run(self, network, source, target, validation, device, rank, ranks)
            run.history.kernels = self._kernels()
            path = distributed.from_first(None if checkpoint is None else Path(checkpoint))
            if path is not None and distributed.from_first(resume and path.is_file()):
                run.restore(path)
            with Fast(network, PRODUCTS[run.history.kernels]), Joined(network):
                while not run.finished:
                    run.epoch()
                    if path is not None and rank == 0:
                        run.store(path)
                    if on_epoch is not None:
                        on_epoch(run.history)
            run.finish()
        return run.history

    def with_kernels(self) -> Trainer:
        """The same trainer with the kernels that `auto` stands for here, for other processes to use the same."""
        if self.kernels != "auto" or self.precision != "float32" or self.chosen_device() != "cpu":
            return self
        return replace(self, kernels="onednn" if worthwhile() else "plain")

    def _kernels(self) -> str:
        """The key of `kernels.PRODUCTS`; the same for all workers of a training."""
        if self.precision == "bfloat16":
            return "bfloat16"
        onednn = self.with_kernels().kernels == "onednn"
        return "onednn" if distributed.from_first(onednn) else "plain"

    def chosen_device(self) -> str:
        """The device that `auto` stands for, or the one that was named."""
        if self.device != "auto":
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"

    def dtype(self) -> torch.dtype:
        """Of the parameters and of the rows of a batch."""
        return torch.float64 if self.precision == "float64" else torch.float32

    def memory_format(self) -> torch.memory_format:
        """Of tensors of four dimensions."""
        return torch.channels_last if self.channels_last else torch.preserve_format

    def fingerprint(self, network: Network) -> str:
        """A short hash of the settings and the network's shape: only a run of the same one can be resumed."""
        left_out = "scorer", "device", "kernels"  # a resumed run keeps to the kernels that it began with
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in left_out}
        heads = [head.spec() for head in network.heads.values()]
        shapes = {name: list(p.shape) for name, p in network.state_dict().items()}
        text = json.dumps([settings, heads, shapes, [asdict(t.reversal) for t in network.terms]], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
