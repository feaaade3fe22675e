"""Problems: players with an optimizer each, the epochs that train them, and the checkpoint of all of it.

A classifier with its reversed heads is one player (state.py): the reversal makes it a game within one step. A
generator and a discriminator are two players, which take turns (`Game`).
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hepda.adversarial import distributed
from hepda.adversarial.training.checkpoint import (
    optimizer_tensors,
    read_checkpoint,
    restore_optimizer,
    write_checkpoint,
)
from hepda.adversarial.training.history import History
from hepda.adversarial.training.products import EpochProducts
from hepda.errors import ConfigError
from hepda.timing import timed


@dataclass(frozen=True, slots=True)
class Player:
    """A module with its optimizer.

    Attributes:
        name: its name in checkpoints and histories.
        module: the module that is trained.
        optimizer: the optimizer of the module's parameters.
        steps: number of updates in a turn.

    """

    name: str
    module: nn.Module
    optimizer: torch.optim.Optimizer
    steps: int = 1

    def tensors(self) -> dict[str, Tensor]:
        """Return the state of module and optimizer for a checkpoint."""
        tensors = {f"{self.name}.{key}": value for key, value in self.module.state_dict().items()}
        return tensors | optimizer_tensors(self.optimizer, f"{self.name}_optimizer")

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Restore the state that `tensors` returned."""
        self.module.load_state_dict(below(f"{self.name}.", tensors))
        restore_optimizer(self.optimizer, f"{self.name}_optimizer", tensors)


class Problem(ABC):
    """A training, epoch by epoch.

    Args:
        players: the players, in the order of their turns.
        epochs: number of epochs.

    """

    def __init__(self, players: Sequence[Player], epochs: int) -> None:
        self.players = {player.name: player for player in players}
        self.epochs = epochs
        self.history = History()

    @property
    def finished(self) -> bool:
        """Return whether the last epoch is done, or the training has stopped before it."""
        return self.history.epochs >= self.epochs or bool(self.history.stopped)

    @abstractmethod
    def epoch(self) -> None:
        """Train for an epoch and add a line to the history."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a text that must be the same in a checkpoint for the training to be resumed."""

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the state in addition to players and history: tensors, and values for JSON."""
        return {}, {}

    def load_state(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Restore the state that `state` returned."""
        return

    def finish(self) -> None:
        """End the training; modules are then in evaluation mode."""
        for player in self.players.values():
            player.module.eval()

    @timed("checkpoint")
    def store(self, path: Path) -> None:
        """Write a checkpoint."""
        tensors, values = self.state()
        for player in self.players.values():
            tensors |= player.tensors()
        values |= {"history": self.history.to_dict(), "fingerprint": self.fingerprint()}
        write_checkpoint(path, tensors, values)

    def resume(self, path: Path | None) -> None:
        """Continue from a checkpoint if there is one; the first of several workers decides whether there is."""
        path = distributed.broadcast(path)
        if path is not None and distributed.broadcast(path.is_file()):
            self.restore(path)

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint.

        Args:
            path: the file.

        Raises:
            ConfigError: it was written with other settings, modules or rows.

        """
        parameters = [p for player in self.players.values() for p in player.module.parameters()]
        tensors, values = read_checkpoint(path, parameters[0].device if parameters else None)
        if values["fingerprint"] != self.fingerprint():
            raise ConfigError(
                f"{path} was written with other training settings, another network or other rows; remove it, "
                "or train without resuming"
            )
        for player in self.players.values():
            player.load(tensors)
        self.history = History.from_dict(values["history"])
        self.load_state(tensors, values)


def train(
    problem: Problem,
    checkpoint: Path | None = None,
    resume: bool = False,
    on_epoch: Callable[[History], None] | None = None,
) -> History:
    """Train a problem to its end.

    Args:
        problem: the training.
        checkpoint: a file that is written after each epoch; of several workers, by the first, and read by all.
        resume: continue from the checkpoint if there is one.
        on_epoch: called after each epoch with the history so far.

    """
    path = distributed.broadcast(checkpoint)
    if resume:
        problem.resume(path)
    products = EpochProducts(problem.epochs)
    while not problem.finished:
        with products.counted(problem.history.epochs):
            problem.epoch()
        if path is not None and distributed.rank() == 0:
            problem.store(path)
        if on_epoch is not None:
            on_epoch(problem.history)
    products.report(problem.history.epochs)
    problem.finish()
    return problem.history


Loss = Callable[[int, torch.Generator], Tensor]
"""From the number of the update and its random numbers to the loss that a player minimises."""


class Game(Problem):
    """Players that take turns: each minimises its loss while the parameters of the others are fixed.

    Args:
        players: in the order of their turns.
        losses: the loss of each player, by name.
        turns: number of turns of all players in an epoch.
        epochs: number of epochs.
        seed: of the random numbers of the losses, which follow from it and the number of the update, so that a resumed
            training draws the same.
        device: of these random numbers.

    """

    def __init__(
        self,
        players: Sequence[Player],
        losses: Mapping[str, Loss],
        turns: int,
        epochs: int,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        super().__init__(players, epochs)
        missing = sorted(self.players.keys() ^ losses.keys())
        if missing or len(self.players) < len(players):
            raise ConfigError(f"every player of a game has one name and one loss; see {', '.join(missing) or 'names'}")
        self.losses, self.turns, self.seed = losses, turns, seed
        self.random = torch.Generator(device)

    def epoch(self) -> None:
        """Train for `turns` turns."""
        begin, first = time.perf_counter(), self.history.epochs * self.turns
        losses: dict[str, list[Tensor]] = {name: [] for name in self.players}
        for player in self.players.values():
            player.module.train()
        for turn in range(first, first + self.turns):
            for number, player in enumerate(self.players.values()):
                for k in range(player.steps):
                    update = turn * player.steps + k
                    self.random.manual_seed(((self.seed * 1_000_003 + update) * 1009 + number) % (2**63))
                    losses[player.name].append(self._update(player, update))
        line = {
            f"{name}_loss": sum(torch.stack(values).tolist()) / (self.turns * self.players[name].steps)
            for name, values in losses.items()
        }
        self.history.add(line | {"seconds": time.perf_counter() - begin})

    def _update(self, player: Player, update: int) -> Tensor:
        """Take a step of one player; return its loss before the step, which is not waited for."""
        parameters = [p for group in player.optimizer.param_groups for p in group["params"]]
        loss = self.losses[player.name](update, self.random)
        gradients = torch.autograd.grad(loss, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        distributed.all_reduce_gradients(parameters)
        player.optimizer.step()
        return loss.detach()

    def fingerprint(self) -> str:
        """Return the names, shapes and steps of the players, and the seed."""
        shapes = {
            player.name: [player.steps, {key: list(value.shape) for key, value in player.module.state_dict().items()}]
            for player in self.players.values()
        }
        return json.dumps([shapes, self.epochs, self.turns, self.seed], sort_keys=True)


def below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
