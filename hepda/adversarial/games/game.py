"""A game: players that take turns, each with losses of its own, until the last epoch.

A classifier with its reversed heads needs no game: the reversal does both sides in one step (training/state.py).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hepda.adversarial import distributed
from hepda.adversarial.games.losses import RowLosses
from hepda.adversarial.networks.schedules import Schedule, constant
from hepda.adversarial.training.combining import (
    ADAPTIVE,
    Gradients,
    adaptive_weights,
    find_rule,
    inner,
    inner_products,
    weighted_gradients,
)
from hepda.adversarial.training.history import History, always_right
from hepda.adversarial.training.problem import Player, Problem
from hepda.adversarial.training.stabilizers import MovingAverage
from hepda.errors import ConfigError, TrainingError

Terms = Mapping[str, Tensor | RowLosses]
"""The losses of a player by name; a number, or those of rows."""
Losses = Callable[[int, torch.Generator], Tensor | RowLosses | Terms]
"""From the number of the update and its random numbers to the losses that a player minimises."""

_ALONE = "loss"
"""The name of a loss that has none."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How a player moves.

    Attributes:
        losses: its losses; those of several names are added with `weights`.
        weights: factors on the losses, by name; 1 if not given.
        combine: how the gradients of its losses become one step: `sum`, `projection`, `self_correcting`, in the order
            of the losses, or `adaptive`, for the losses of real and of generated rows (training/combining.py).
        average: decay of the moving average of its weights, which it has at the end; 0: none.
        clip: largest norm of its gradient; 0: no limit.
        schedule: factor on the learning rates of its optimizer, of the fraction of the run that is done.

    """

    losses: Losses
    weights: Mapping[str, float] = field(default_factory=dict)
    combine: str = "sum"
    average: float = 0.0
    clip: float = 0.0
    schedule: Schedule = constant

    def __post_init__(self) -> None:
        if self.combine != ADAPTIVE:
            find_rule(self.combine)
        if not 0.0 <= self.average < 1.0:
            raise ConfigError(f"average is {self.average}; it must be at least 0 and below 1")


@dataclass(slots=True)
class _Sums:
    """What the updates of a player in an epoch have added up to, on its device."""

    updates: int = 0
    values: dict[str, Tensor] = field(default_factory=dict)

    def add(self, values: Mapping[str, Tensor]) -> None:
        self.updates += 1
        for name, value in values.items():
            self.values[name] = self.values[name] + value if name in self.values else value


class Game(Problem):
    """Players that take turns: each minimises its losses while the parameters of the others are fixed.

    Columns of the history, for a player `p`: `p_loss` (weighted sum of its losses), `p_gradient` (norm of its gradient
    in the first update of the epoch); for a loss `l` of several also `p_l_loss`; `p_l_accuracy` (or `p_accuracy`)
    where a loss has decisions; with a rule other than the sum also `p_l_weight`, the mean weight of the rule; and
    `seconds`.

    Args:
        players: in the order of their turns.
        rules: how each player moves, by name.
        turns: number of turns of all players in an epoch.
        epochs: number of epochs.
        seed: of the random numbers of the losses, which follow from it and the number of the update, so that a resumed
            training draws the same.
        device: of these random numbers.

    Raises:
        ConfigError: players and rules do not have the same names, or there are several processes.

    """

    def __init__(
        self,
        players: Sequence[Player],
        rules: Mapping[str, Rules],
        turns: int,
        epochs: int,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__(players, epochs)
        missing = sorted(self.players.keys() ^ rules.keys())
        if missing or len(self.players) < len(players):
            raise ConfigError(f"every player of a game has one name and its rules; see {', '.join(missing) or 'names'}")
        if distributed.world_size() > 1:
            raise ConfigError("a game runs in one process; start it without torchrun")
        self.rules, self.turns, self.seed = dict(rules), turns, seed
        self.random = torch.Generator(device)
        self.rates = {name: [g["lr"] for g in player.optimizer.param_groups] for name, player in self.players.items()}
        self.averages = {
            name: MovingAverage(list(self.players[name].module.parameters()), rule.average)
            for name, rule in self.rules.items()
            if rule.average
        }

    # ---- an epoch ----

    def epoch(self) -> None:
        """Train for `turns` turns.

        Raises:
            TrainingError: a loss that is not finite, or a player without any gradient.

        """
        begin, first = time.perf_counter(), self.history.epochs * self.turns
        sums = {name: _Sums() for name in self.players}
        for player in self.players.values():
            player.module.train()
        for turn in range(first, first + self.turns):
            for number, player in enumerate(self.players.values()):
                for k in range(player.steps):
                    update = turn * player.steps + k
                    self.random.manual_seed(((self.seed * 1_000_003 + update) * 1009 + number) % (2**63))
                    sums[player.name].add(self._update(player, update, first=turn == first and k == 0))
        line = self._line(sums)
        self._check(line)
        self.history.add(line | {"seconds": time.perf_counter() - begin})

    def _update(self, player: Player, update: int, first: bool) -> dict[str, Tensor]:
        """Take a step of one player; return what the history records of it, which is not waited for."""
        rules = self.rules[player.name]
        terms = _terms(rules.losses(update, self.random))
        losses = {name: (term.mean() if isinstance(term, RowLosses) else term) for name, term in terms.items()}
        scaled = [loss * rules.weights.get(name, 1.0) for name, loss in losses.items()]
        parameters = [p for group in player.optimizer.param_groups for p in group["params"]]
        recorded = _recorded(terms, losses) | {"loss": torch.stack([loss.detach() for loss in scaled]).sum()}
        if rules.combine == "sum" or len(terms) == 1:
            gradients = _gradient(scaled[0] if len(scaled) == 1 else torch.stack(scaled).sum(), parameters)
        else:
            parts = [_gradient(loss, parameters, again=True) for loss in scaled]
            weights = self._weights(rules.combine, parts, terms)
            gradients = weighted_gradients(weights, parts)
            recorded |= {f"{name}_weight": weight for name, weight in zip(terms, weights.unbind(), strict=True)}
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        if first:
            recorded["gradient"] = inner(gradients, gradients).sqrt()
        if rules.clip:
            torch.nn.utils.clip_grad_norm_(parameters, rules.clip)
        factor = rules.schedule(update / (self.epochs * self.turns * player.steps))
        for group, rate in zip(player.optimizer.param_groups, self.rates[player.name], strict=True):
            group["lr"] = rate * factor
        player.optimizer.step()
        if player.name in self.averages:
            self.averages[player.name].update()
        return recorded

    def _weights(self, rule: str, parts: Sequence[Gradients], terms: Mapping[str, Tensor | RowLosses]) -> Tensor:
        if rule != ADAPTIVE:
            return find_rule(rule)(inner_products(parts))
        scores = [term.mean_score() for term in terms.values() if isinstance(term, RowLosses)]
        present = [score for score in scores if score is not None]
        if len(terms) != 2 or len(present) != 2:
            raise ConfigError(
                f"the rule `adaptive` needs a loss of real and one of generated rows, both with scores; here are "
                f"{', '.join(terms)}"
            )
        return adaptive_weights(inner_products(parts), torch.stack(present))

    def _line(self, sums: Mapping[str, _Sums]) -> dict[str, float]:
        """Return the line of the history: means over the updates, in one transfer from the device."""
        names = [(player, name) for player, of in sums.items() for name in of.values]
        device = self.random.device
        stacked = torch.stack([sums[player].values[name].to(device) for player, name in names])
        once = "gradient"  # of the first update alone
        return {
            f"{player}_{name}": value / (1 if name == once else sums[player].updates)
            for (player, name), value in zip(names, stacked.tolist(), strict=True)
        }

    def _check(self, line: Mapping[str, float]) -> None:
        epoch = self.history.epochs + 1
        for name, value in line.items():
            if name.endswith("_loss") and not math.isfinite(value):
                raise TrainingError(
                    f"{name} is {value} in epoch {epoch}: the training diverged. Lower the learning rate, or set clip"
                )
        for name in self.players:
            if line[f"{name}_gradient"] == 0.0 and epoch == 1:
                raise TrainingError(
                    f"the player {name!r} has no gradient: its losses do not depend on its parameters, or its output "
                    "is cut off"
                )

    # ---- the end, and checkpoints ----

    def finish(self) -> None:
        """Set the averages of the weights where there are some, and add the warnings; modules evaluate then."""
        for average in self.averages.values():
            average.swap()
        self.history.warnings = saturated(self.history, list(self.players))
        super().finish()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the averages of the weights."""
        tensors = {f"{name}_average.{i}": v for name, of in self.averages.items() for i, v in enumerate(of.mean)}
        return tensors, {"averaged": {name: average.steps for name, average in self.averages.items()}}

    def load_state(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Restore the state that `state` returned."""
        for name, average in self.averages.items():
            average.steps = values["averaged"][name]
            for i, mean in enumerate(average.mean):
                mean.copy_(tensors[f"{name}_average.{i}"])

    def fingerprint(self) -> str:
        """Return the names, shapes, steps and rules of the players, and the seed."""
        players = {
            player.name: [
                player.steps,
                {key: list(value.shape) for key, value in player.module.state_dict().items()},
                [getattr(self.rules[player.name], key) for key in ("combine", "average", "clip")],
                [self.rules[player.name].schedule.__name__, self.rates[player.name]],
                dict(self.rules[player.name].weights),
            ]
            for player in self.players.values()
        }
        return json.dumps([players, self.epochs, self.turns, self.seed], sort_keys=True)


def _terms(losses: Tensor | RowLosses | Terms) -> dict[str, Tensor | RowLosses]:
    return dict(losses) if isinstance(losses, Mapping) else {_ALONE: losses}


def _recorded(terms: Mapping[str, Tensor | RowLosses], losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the losses by name, and the accuracies of those with decisions."""
    recorded = {f"{name}_loss": loss.detach() for name, loss in losses.items() if name != _ALONE}
    for name, term in terms.items():
        accuracy = term.accuracy() if isinstance(term, RowLosses) else None
        if accuracy is not None:
            recorded["accuracy" if name == _ALONE else f"{name}_accuracy"] = accuracy
    return recorded


def _gradient(loss: Tensor, parameters: Sequence[Tensor], again: bool = False) -> Gradients:
    if not loss.requires_grad:
        return [None] * len(parameters)
    return torch.autograd.grad(loss, parameters, retain_graph=again, allow_unused=True)


def saturated(history: History, players: Sequence[str]) -> list[str]:
    """Return a warning for every player that makes hardly a wrong decision any more.

    A discriminator that is right on 98 % of the weights of all its losses in each of the last three epochs has won: it
    sends the generator little that helps.
    """
    problems = []
    for name in players:
        columns = [c for key, c in history.columns.items() if key.startswith(f"{name}_") and key.endswith("accuracy")]
        if columns and all(always_right(column) for column in columns):
            least = 100.0 * min(column[-1] for column in columns)
            problems.append(
                f"saturation: {name!r} has won, it is right on {least:.1f} % of its weights or more; what it sends to "
                "the others helps them little. Give it fewer steps or a lower learning rate, or take the loss "
                "`wasserstein` with a gradient penalty"
            )
    return problems
