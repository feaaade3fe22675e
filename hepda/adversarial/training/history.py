"""The record of a training: one value of each quantity for each epoch, and warnings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class History:
    """A table with one row for each epoch, and quantities of the entire run.

    Columns, for a head `h`: `h_loss`, `h_accuracy` (weighted; heads that predict a class), `validation_h_loss`,
    `validation_h_accuracy`; for a reversed head or a term also `h_strength`, `h_gradient` (norm of what it
    sends into the encoder, strength included, on the first batch of the epoch), `h_chance` (loss of a random
    head of k domains: ln k, times sum w / sum |w|); `task_gradient`; `gradient_cosine` (between the task's and the
    adversaries' gradients); `learning_rate`; `seconds` (only of the training); `score` (of the scorer, the larger
    the better). A value that was not measured is NaN: gradients in some epochs of few steps, validation in some of a
    long training without patience.

    Attributes:
        columns: the table.
        rows: total number of source and target rows trained on.
        best_epoch: the epoch (from 0) whose weights the network has; None: the last one's.
        stopped: why it ended before the last epoch, or "".
        warnings: what may be wrong.
        kernels: with which products it was trained (products.PRODUCTS).

    """

    columns: dict[str, list[float]] = field(default_factory=dict)
    rows: int = 0
    best_epoch: int | None = None
    stopped: str = ""
    warnings: list[str] = field(default_factory=list)
    kernels: str = "plain"

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return len(self.columns.get("seconds", ()))

    @property
    def seconds(self) -> float:
        """Time spent in the training loop, without validation, set-up and checkpoints."""
        return sum(self.columns.get("seconds", ()))

    @property
    def rows_per_second(self) -> float:
        """Source and target rows per second of training."""
        return self.rows / self.seconds if self.seconds else math.nan

    def __getitem__(self, name: str) -> list[float]:
        return self.columns[name]

    def add(self, values: dict[str, float]) -> None:
        """Append an epoch; missing and new columns are filled with NaN."""
        n_epochs = self.epochs
        for name in {**self.columns, **values}:
            column = self.columns.setdefault(name, [math.nan] * n_epochs)
            column.append(float(values.get(name, math.nan)))

    def then(self, other: History) -> History:
        """Return one history of this training and of a later one of the same network."""
        joined = History.from_dict(self.to_dict())
        for epoch in range(other.epochs):
            joined.add({name: column[epoch] for name, column in other.columns.items()})
        joined.rows += other.rows
        joined.best_epoch = None if other.best_epoch is None else self.epochs + other.best_epoch
        joined.stopped, joined.kernels = other.stopped, other.kernels
        joined.warnings += other.warnings
        return joined

    def about(self) -> dict[str, Any]:
        """Return the entries of metadata and manifests about the training, without the table."""
        names = ("seconds", "rows_per_second", "epochs", "best_epoch", "stopped", "kernels")
        return {name: getattr(self, name) for name in names} | {"alarms": list(self.warnings)}

    def to_dict(self) -> dict[str, Any]:
        """Return the history as values for JSON; NaN becomes None."""
        columns = {k: [None if math.isnan(x) else x for x in v] for k, v in self.columns.items()}
        return {
            "columns": columns,
            "rows": self.rows,
            "best_epoch": self.best_epoch,
            "stopped": self.stopped,
            "alarms": list(self.warnings),
            "kernels": self.kernels,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> History:
        """Return the history that `to_dict` wrote."""
        columns = {k: [math.nan if x is None else float(x) for x in v] for k, v in values["columns"].items()}
        fields = {name: values[name] for name in ("rows", "best_epoch", "stopped", "kernels")}
        return cls(columns=columns, warnings=list(values["alarms"]), **fields)


def always_right(accuracy: Sequence[float]) -> bool:
    """Return whether a head was right on 98 % of its weights or more in each of its last three epochs: it has won."""
    return len(accuracy) >= 3 and min(accuracy[-3:]) >= 0.98


def diagnose(history: History, main: str, reversed_heads: list[str]) -> list[str]:
    """Return the problems that a history shows.

    * collapse: the main head's loss ends well above its lowest value;
    * saturation: a reversed head is right on 98 % of the weights or more in the last three epochs;
    * silence: the last measured gradient of a reversed head in the encoder is zero, and earlier ones were not;
    * blindness: a reversed head has the loss of a random guess in every epoch: it never learnt anything;
    * opposition: the adversary's gradient is ten times the task's in the last three epochs.
    """
    problems: list[str] = []
    table = history.columns
    losses = [x for x in table.get(f"{main}_loss", []) if not math.isnan(x)]
    if len(losses) > 3 and losses[-1] > 1.5 * min(losses) + 0.05:
        problems.append(
            f"collapse: the loss of {main!r} rose from {min(losses):.3f} to {losses[-1]:.3f}; the adversary may be "
            "erasing the classes. Lower its strength, or give the domain head the rows of one class only"
        )
    for name in reversed_heads:
        accuracy = [x for x in table.get(f"{name}_accuracy", []) if not math.isnan(x)]
        if always_right(accuracy):
            problems.append(
                f"saturation: {name!r} is right on {100 * accuracy[-1]:.1f} % of its weights; a head that always "
                "wins teaches the encoder little. Raise the strength, lower its rate, or check that no trivial "
                "variable separates the domains"
            )
        sent = [x for x in table.get(f"{name}_gradient", []) if not math.isnan(x)]
        if sent and sent[-1] == 0.0 < max(sent):
            problems.append(
                f"silence: the gradient of {name!r} in the encoder has become exactly zero; its outputs are so close "
                "to 0 and 1 that their slope is rounded to zero. Lower its strength or rate, or set clip"
            )
        pairs = list(zip(table.get(f"{name}_loss", []), table.get(f"{name}_chance", []), strict=False))
        pairs = [(a, b) for a, b in pairs if not (math.isnan(a) or math.isnan(b))]
        if len(pairs) >= 3 and all(abs(a - b) < 1e-3 * b for a, b in pairs):
            problems.append(
                f"blindness: {name!r} was never better than a random guess ({pairs[-1][1]:.4f}); the domains do not "
                "differ in its input, or it is too small or too slow. Compare with a fresh probe"
            )
        ratio = list(zip(table.get(f"{name}_gradient", []), table.get("task_gradient", []), strict=False))[-3:]
        if len(ratio) == 3 and all(a > 10 * b for a, b in ratio):
            problems.append(
                f"opposition: the gradient of {name!r} in the encoder is more than ten times that of the task and "
                "determines the training. Lower its strength unless this is intended"
            )
    return problems
