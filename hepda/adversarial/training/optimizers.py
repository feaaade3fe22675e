"""The optimizer of a run: encoder, heads and terms, each with its learning rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from hepda.adversarial.networks.network import Network
from hepda.timing import timed


def _adamw(groups: list[dict[str, Any]], rate: float, momentum: float, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=rate, betas=(momentum, 0.999), fused=fused)


def _adam(groups: list[dict[str, Any]], rate: float, momentum: float, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.Adam(groups, lr=rate, betas=(momentum, 0.999), fused=fused)


def _nadam(groups: list[dict[str, Any]], rate: float, momentum: float, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.NAdam(groups, lr=rate, betas=(momentum, 0.999))


def _sgd(groups: list[dict[str, Any]], rate: float, momentum: float, fused: bool) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(groups, lr=rate, momentum=momentum, fused=fused)
    if momentum:  # torch refuses a step in which some parameters begin (after a warm-up) and others do not
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def _rmsprop(groups: list[dict[str, Any]], rate: float, momentum: float, fused: bool) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(groups, lr=rate)  # without momentum, as it was published and is used in games


MOMENTUM = 0.9
"""Of every optimizer that has one, unless the settings name another."""
OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]], float, float, bool], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "adam": _adam,
    "nadam": _nadam,
    "sgd": _sgd,
    "rmsprop": _rmsprop,
}


class OptimizerKeys(Protocol):
    """The keys of an analysis file that an optimizer needs."""

    @property
    def optimizer(self) -> str:
        """Its name in OPTIMIZERS."""

    @property
    def learning_rate(self) -> float:
        """The learning rate at the maximum of the schedule."""

    @property
    def weight_decay(self) -> float:
        """The decay of the weights."""

    @property
    def momentum(self) -> float | None:
        """The momentum; None: 0.9."""


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """The settings of an optimizer; see `TrainSettings`."""

    name: str
    rate: float
    adversary_rate: float
    weight_decay: float
    momentum: float


class _Groups:
    """Parameter groups by learning rate and decay: with fewer groups, a step starts fewer kernels."""

    def __init__(self) -> None:
        self.parameters: dict[tuple[float, float], list[nn.Parameter]] = {}

    def add(self, module: nn.Module, rate: float, decay: float) -> None:
        """Add the parameters of a module; vectors (biases) do not decay."""
        for p in module.parameters():
            if p.requires_grad:
                self.parameters.setdefault((rate, decay if p.dim() > 1 else 0.0), []).append(p)

    def groups(self) -> list[dict[str, Any]]:
        """Return the groups in the form of torch."""
        return [
            {"params": parameters, "lr": rate, "weight_decay": decay, "base": rate}
            for (rate, decay), parameters in self.parameters.items()
        ]


def optimizer_for(
    module: nn.Module, keys: OptimizerKeys, factors: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """Return the optimizer of a player of a game; vectors (biases) do not decay.

    Args:
        module: the player's module.
        keys: name, learning rate, decay and momentum.
        factors: of the learning rates of some of its children, by name; None: all have the same.

    """
    groups, factors = _Groups(), factors or {}
    for name, child in module.named_children():
        groups.add(child, factors.get(name, 1.0) * keys.learning_rate, keys.weight_decay)
    own = nn.ParameterList(module.parameters(recurse=False))
    groups.add(own, keys.learning_rate, keys.weight_decay)
    momentum = MOMENTUM if keys.momentum is None else keys.momentum
    return OPTIMIZERS[keys.optimizer](groups.groups(), keys.learning_rate, momentum, True)


class Optimizers:
    """One optimizer of everything; parameters without a gradient (of an inactive adversary) are not changed.

    It uses fused kernels, whose states are only tensors.
    """

    def __init__(self, network: Network, settings: OptimizerSettings) -> None:
        make, s = OPTIMIZERS[settings.name], settings
        groups = _Groups()
        groups.add(network.encoder, s.rate, s.weight_decay)
        for head in network.heads.values():
            rate = s.rate * head.rate * (s.adversary_rate if head.reversal else 1.0)
            groups.add(head.module, rate, s.weight_decay)
        for term in network.terms:
            groups.add(term, s.rate * s.adversary_rate * term.rate, s.weight_decay)
        self.optimizer = make(groups.groups(), s.rate, s.momentum, True)
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]

    def set_rate(self, factor: float) -> None:
        """Set the learning rates of this step: their base values times the schedule's factor."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["base"] * factor

    def clear(self) -> None:
        """Clear the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @timed("optimizer")
    def step(self) -> None:
        """Update everything that has a gradient."""
        self.optimizer.step()
