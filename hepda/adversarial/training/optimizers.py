"""The optimizer of a run: encoder, heads and terms, each with its learning rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hepda.adversarial.networks.network import Network


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


OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]], float, float, bool], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "adam": _adam,
    "nadam": _nadam,
    "sgd": _sgd,
}


_KERNELS: dict[type[torch.optim.Optimizer], Callable[..., None]] = {
    torch.optim.Adam: torch._fused_adam_,
    torch.optim.AdamW: torch._fused_adamw_,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What an optimizer is made with; see `Trainer`."""

    name: str
    rate: float
    adversary_rate: float
    weight_decay: float
    momentum: float


class _Groups:
    """Parameter groups by learning rate and decay: the fewer there are, the fewer kernels a step starts."""

    def __init__(self) -> None:
        self.found: dict[tuple[float, float], list[nn.Parameter]] = {}

    def add(self, module: nn.Module, rate: float, decay: float) -> None:
        """Add the parameters of a module; vectors (biases) do not decay."""
        for p in module.parameters():
            if p.requires_grad:
                self.found.setdefault((rate, decay if p.dim() > 1 else 0.0), []).append(p)

    def groups(self) -> list[dict[str, Any]]:
        """As torch wants them."""
        return [
            {"params": parameters, "lr": rate, "weight_decay": decay, "base": rate}
            for (rate, decay), parameters in self.found.items()
        ]


class Optimizers:
    """One optimizer of everything; what has no gradient (an adversary that is off) stays as it is.

    Fused kernels, whose states are tensors only.
    """

    def __init__(self, network: Network, settings: Settings) -> None:
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
        self._calls: list[tuple[dict[str, Any], list[Tensor], list[Tensor], list[Tensor], list[Tensor]]] = []
        self._steps = self._counted = torch.empty(0)
        self.forget()

    def set_rate(self, factor: float) -> None:
        """Learning rates of this step: their base values times the schedule's factor."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["base"] * factor

    def clear(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update everything that has a gradient."""
        if not self._fused_step():
            self.optimizer.step()

    def _fused_step(self) -> bool:
        """The fused kernel of torch's Adams, called as their `step` does, which takes five times as long around the
        kernel as in it. False: another optimizer, or a parameter's first step, which makes its state.
        """
        kernel = _KERNELS.get(type(self.optimizer))
        held = [p.grad is not None for p in self.parameters]
        if kernel is None or any(
            has and p not in self.optimizer.state for has, p in zip(held, self.parameters, strict=True)
        ):
            return False
        if held != self._held:
            self._arrange(held)
        self._steps.add_(self._counted)
        for group, parameters, means, squares, steps in self._calls:
            kernel(
                parameters,
                [p.grad for p in parameters],
                means,
                squares,
                [],
                steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )
        return True

    def _arrange(self, held: list[bool]) -> None:
        """Lists of tensors for the kernel, for steps in which these parameters have a gradient. The numbers of steps
        become views of one tensor, so that one operation counts them.
        """
        state = self.optimizer.state
        counted = [p for p in self.parameters if p in state]
        self._steps = torch.stack([state[p]["step"] for p in counted])
        for p, step in zip(counted, self._steps, strict=True):
            state[p]["step"] = step
        has = dict(zip(self.parameters, held, strict=True))
        self._counted = self._steps.new_tensor([float(has[p]) for p in counted])
        self._calls = []
        for group in self.optimizer.param_groups:
            mine = [p for p in group["params"] if has[p]]
            if mine:
                states = [state[p] for p in mine]
                means, squares, steps = ([s[key] for s in states] for key in ("exp_avg", "exp_avg_sq", "step"))
                self._calls.append((group, mine, means, squares, steps))
        self._held = held

    def forget(self) -> None:
        """Forget where the state lies: it was put back from a checkpoint."""
        self._held = []
