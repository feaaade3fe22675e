"""Problems: players with an optimizer each, the epochs that train them, and the checkpoint of all of it.

A classifier with its reversed heads is one player (state.py): the reversal makes it a game within one step. A
generator and a discriminator are two players, which take turns (games/game.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
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


def below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
