"""The settings of a training: validated, and with a fingerprint that checkpoints are compared by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch

from hepda.adversarial import devices, distributed
from hepda.adversarial.data.batches import DomainRows
from hepda.adversarial.networks.kernels import worthwhile
from hepda.adversarial.networks.network import Network
from hepda.adversarial.networks.products import multiplies_bfloat16
from hepda.adversarial.networks.schedules import RATE_SCHEDULES, find_schedule
from hepda.adversarial.networks.sets import SetEncoder
from hepda.adversarial.training.combining import find_rule
from hepda.adversarial.training.optimizers import MOMENTUM, OPTIMIZERS, OptimizerSettings
from hepda.errors import ConfigError, nearest

Scorer = Callable[[Network, DomainRows, DomainRows | None], float]
"""From a network, source rows and target rows to a number; a larger one is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """How a network is trained.

    Attributes:
        epochs: passes over the source rows.
        batch_size: source rows of a step; all of them if there are fewer.
        target_size: target rows of a step; None: as many as source rows.
        learning_rate: of the encoder and the heads that are not reversed.
        rate_schedule: `constant`, `one-cycle`, `cosine` or `ganin`.
        adversary_rate: factor on the learning rate of reversed heads and of terms with parameters.
        optimizer: `adamw`, `adam`, `nadam`, `sgd` (momentum 0.9) or `rmsprop` (without momentum).
        weight_decay: on weight matrices, not on biases.
        momentum: beta_1 of the Adams, momentum of sgd; None: 0.9.
        average: decay of the moving average of the weights (0.99, for example); 0: none. With it, the network
            ends with the average, and validation uses the average.
        clip: largest norm of the encoder's gradient; 0: no limit.
        combine: how the gradients of task and adversaries become one step of the encoder: `sum`, `projection` or
            `self_correcting` (combining.py).
        precision: `float32`; `bfloat16` for autocast, refused on a CPU that emulates it; `float64` for everything.
        patience: epochs without a better value on the validation rows before it ends; None: never. The
            network then has the weights of the best epoch. Epochs in which an adversary is below 0.9 of its
            final strength are no candidates: the class loss is lowest before the adversary acts.
        scorer: the value that is compared; larger is better (selection.py); None: minus the main head's weighted loss.
        seed: of the shuffles and of dropout.
        device: `auto` (a GPU if there is one), `cpu`, `cuda`, ...
        kernels: `plain`, `onednn`, or `auto`: oneDNN's linear layers where they are available, correct and measured
            to be faster (kernels.py).
        channels_last: keep batches and weights of four dimensions in torch's channels_last order, in which
            convolutions are faster; the numbers are the same except for rounding.

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
    combine: str = "sum"
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
        find_rule(self.combine)
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

    def with_kernels(self) -> TrainSettings:
        """Return the settings with the kernels that `auto` selects on this machine, for use by other processes."""
        if self.kernels != "auto" or self.precision != "float32" or self.chosen_device() != "cpu":
            return self
        return replace(self, kernels="onednn" if worthwhile() else "plain")

    def check_precision(self) -> None:
        """Raise ConfigError for bfloat16 on a processor or a GPU of this machine that emulates it."""
        if self.precision != "bfloat16":
            return
        device = self.chosen_device()
        if device == "cpu" and not multiplies_bfloat16():
            raise ConfigError(
                "precision is bfloat16, which this processor emulates (it has none of AVX512_BF16, AMX and the bf16 of "
                "ARM): a training would be slower than in float32. Set precision to float32, or use a GPU"
            )
        here = device.startswith("cuda") and torch.cuda.is_available()  # a GPU may be that of a cluster's workers
        if here and not torch.cuda.is_bf16_supported(including_emulation=False):
            gpu = devices.describe(torch.device(device))
            raise ConfigError(
                f"precision is bfloat16, in which {gpu} does not compute, and emulation is slower than float32. Set "
                "precision to float32"
            )

    def products(self) -> str:
        """Return the key of `products.PRODUCTS`; the same for all workers of a training."""
        if self.precision == "bfloat16":
            return "bfloat16"
        onednn = self.with_kernels().kernels == "onednn"
        return "onednn" if distributed.broadcast(onednn) else "plain"

    def chosen_device(self) -> str:
        """Return the device that `auto` selects, or the one that was named."""
        return devices.chosen(self.device)

    def dtype(self) -> torch.dtype:
        """Return the type of the parameters and of the rows of a batch."""
        return torch.float64 if self.precision == "float64" else torch.float32

    def memory_format(self) -> torch.memory_format:
        """Return the memory format of tensors of four dimensions."""
        return torch.channels_last if self.channels_last else torch.preserve_format

    def for_optimizer(self) -> OptimizerSettings:
        """Return the settings of the optimizer."""
        momentum = MOMENTUM if self.momentum is None else self.momentum
        return OptimizerSettings(self.optimizer, self.learning_rate, self.adversary_rate, self.weight_decay, momentum)

    def fingerprint(self, network: Network) -> str:
        """Return a short hash of the settings and the network's shape; a run can be resumed only with the same one."""
        left_out = "scorer", "device", "kernels"  # a resumed run keeps to the kernels that it began with
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in left_out}
        heads = [head.spec() for head in network.heads.values()]
        shapes = {name: list(p.shape) for name, p in network.state_dict().items()}
        parts: list[Any] = [settings, heads, shapes, [asdict(t.reversal) for t in network.terms]]
        if isinstance(network.encoder, SetEncoder):  # its shapes do not tell the number of heads or the layout of rows
            parts.append(network.encoder.spec)
        text = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
