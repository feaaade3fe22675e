"""A training under way: its state, a step, an epoch, the look at validation rows, and the checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hepda.adversarial import distributed
from hepda.adversarial.data.batches import Batch, DomainRows, DomainTable, PairedBatches, batch_sizes
from hepda.adversarial.networks.network import Head, Network, rows_at_once
from hepda.adversarial.networks.schedules import RATE_SCHEDULES
from hepda.adversarial.training.history import LN2, diagnose
from hepda.adversarial.training.layout import BatchLayout, batch_layout, is_domain_head
from hepda.adversarial.training.objective import Losses, Objective
from hepda.adversarial.training.optimizers import Optimizers
from hepda.adversarial.training.problem import Player, Problem, below
from hepda.adversarial.training.settings import TrainSettings
from hepda.adversarial.training.stabilizers import MovingAverage, inner, self_correct
from hepda.errors import TrainingError

_METER_EVERY = 8  # in long epochs, training losses and accuracies are those of every eighth batch
_STEPS_PER_MEASUREMENT = 20  # gradient norms cost two more passes backward: not on every epoch of few steps


class TrainingState(Problem):
    """The training of a network with its heads and terms: a problem of one player, named `network`."""

    def __init__(
        self,
        settings: TrainSettings,
        network: Network,
        source: DomainRows,
        target: DomainRows | None,
        validation: tuple[DomainRows, DomainRows | None] | None,
        device: torch.device,
        rank: int,
        ranks: int,
    ) -> None:
        self.settings, self.network, self.device, self.validation = settings, network, device, validation
        self.rows = len(source), 0 if target is None else len(target)
        sizes = batch_sizes(settings.batch_size, settings.target_size, *self.rows)
        plan = batch_layout(network, source, target, sizes)
        if network.normalization is not None and not bool(network.normalization.fitted):
            layout = plan.layouts[network.main.name]
            network.normalization.fit(
                plan.source.features, plan.source.columns[:, layout.weight] if layout.source else None
            )
        self.objective = Objective(network, plan, device)
        batches = partial(PairedBatches, plan.source, plan.target, settings.batch_size, settings.target_size)
        where = device, rank, ranks, settings.memory_format()
        self.batches = batches(settings.seed, *where)
        # the adversary's extra steps draw rows of their own
        self.more = batches(settings.seed + 104729, *where)
        self.most_steps = max([part.steps for part in self.objective.parts])
        self.optimizers = Optimizers(network, settings.for_optimizer())
        self.domain_heads = {h.name for h in self.objective.heads if is_domain_head(h, source, target)}
        self.look = None if validation is None else self._validation_plan(validation)
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.average = MovingAverage(self.parameters, settings.average) if settings.average else None
        super().__init__([Player("network", network, self.optimizers.optimizer)], settings.epochs)
        self.best: dict[str, Tensor] = {}
        self.best_score = -math.inf
        self.waited = 0
        self.silent: set[str] = set()  # reversed heads that sent nothing in their first step

    # ---- an epoch ----

    def epoch(self) -> None:
        """Train one pass over the source rows, look at the validation rows, add a line to the history."""
        self.network.train()
        number, steps = self.history.epochs, self.batches.steps
        every = 1 if steps < 10 * _METER_EVERY else _METER_EVERY
        measured = max(1, _STEPS_PER_MEASUREMENT // steps)
        begin = time.perf_counter()
        sums: dict[str, Tensor] = {}
        line: dict[str, float] = {}
        for i in range(steps):
            step = number * steps + i
            self.objective.advance(step / steps, self.epochs)
            look = (i == 0 and number % measured == 0) or self._unproven(line)
            meters = self._step(step, line if look else None, look or i % every == 0)
            for name, meter in meters.items():
                sums[name] = sums[name] + meter if name in sums else meter
        line |= self._read(sums, "")  # waits for the device
        line["seconds"] = time.perf_counter() - begin
        line["learning_rate"] = self.settings.learning_rate * self._rate_factor(step)
        self._check_finite(line, number)
        self.history.rows += steps * (self.batches.n_source + self.batches.n_target)
        line |= {f"{name}_strength": value for name, value in self.objective.value.items()}
        self.network.eval()
        if self.average is not None:
            self.average.swap()
        line |= self._validate()
        self.history.add(line)
        self._keep_best(line)
        if self.average is not None:
            self.average.swap()

    def _rate_factor(self, step: int) -> float:
        progress = step / (self.epochs * self.batches.steps)
        return RATE_SCHEDULES[self.settings.rate_schedule](progress)

    def _step(self, step: int, line: dict[str, float] | None, measure: bool) -> dict[str, Tensor]:
        """One update of everything. `line`, if given, receives the gradient norms."""
        settings, optimizers = self.settings, self.optimizers
        optimizers.set_rate(self._rate_factor(step))
        self._adversary_steps(step)
        optimizers.clear()
        meters = self._gradients(self.batches(step), measure, line)
        distributed.all_reduce_gradients(self.parameters)
        if settings.clip:
            torch.nn.utils.clip_grad_norm_(self.network.encoder.parameters(), settings.clip)
        optimizers.step()
        if self.average is not None:
            self.average.update()
        return meters

    def _gradients(self, batch: Batch, measure: bool, line: dict[str, float] | None) -> dict[str, Tensor]:
        """Set all gradients; returns the meters. `line`, if given, receives the gradient norms."""
        losses = self._losses(batch, measure)
        if line is not None:
            self._measure_gradients(losses, line)
        if self.settings.projection and losses.adversary is not None:
            self._projected_backward(losses, losses.adversary)
        else:
            torch.autograd.backward(losses.total)
        return losses.meters

    def _losses(self, batch: Batch, measure: bool) -> Losses:
        if self.settings.precision != "bfloat16":
            return self.objective(batch, measure)
        with torch.autocast(self.device.type, torch.bfloat16):
            return self.objective(batch, measure)

    def _adversary_steps(self, step: int) -> None:
        """Update the adversaries alone, each on rows of its own, before the encoder moves."""
        for k in range(1, self.most_steps):
            batch = self.more(step * (self.most_steps - 1) + k - 1)
            loss = self.objective.adversary_alone(batch, k)
            if loss is None:
                return
            self.optimizers.clear()
            torch.autograd.backward(loss)
            distributed.all_reduce_gradients(self.parameters)
            self.optimizers.step()

    @property
    def _encoder(self) -> list[Tensor]:
        return [p for p in self.network.encoder.parameters() if p.requires_grad]

    @staticmethod
    def _gradient(loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor | None]:
        """Of a loss of all workers."""
        if not loss.requires_grad:
            return [None] * len(parameters)
        found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        distributed.all_reduce_in_place([gradient for gradient in found if gradient is not None])
        return list(found)

    def _projected_backward(self, losses: Losses, adversary: Tensor) -> None:
        against, along = (self._gradient(loss, self._encoder) for loss in (adversary, losses.task))
        torch.autograd.backward(losses.total)
        # these gradients are of all workers, and will be summed over them once more
        share = 1.0 / distributed.world_size()
        for p, g, a in zip(self._encoder, along, self_correct(along, against), strict=True):
            whole = g if a is None else a if g is None else g + a
            p.grad = None if whole is None else _laid_out_as(p, whole * share)

    def _measure_gradients(self, losses: Losses, line: dict[str, float]) -> None:
        """Norms of what task and adversaries send into the encoder, and the cosine between the task's and their sum."""
        if not losses.task.requires_grad or not self._encoder:
            return
        task = self._gradient(losses.task, self._encoder)
        line["task_gradient"] = math.sqrt(float(inner(task, task)))
        whole: list[Tensor | None] = [None] * len(task)
        for name, loss in losses.adversaries.items():
            own = self._gradient(loss, self._encoder)
            line[f"{name}_gradient"] = math.sqrt(float(inner(own, own)))
            whole = [a if b is None else b if a is None else a + b for a, b in zip(whole, own, strict=True)]
        self._check_alive(losses, line)
        norm = math.sqrt(float(inner(whole, whole)))
        if norm > 0.0 and line["task_gradient"] > 0.0:
            line["gradient_cosine"] = float(inner(task, whole)) / (norm * line["task_gradient"])

    # ---- whether the adversaries live ----

    def _sent(self, head: Head, line: dict[str, float]) -> bool:
        """Return whether a reversed head has been seen to send the encoder something."""
        name = f"{head.name}_gradient"
        return line.get(name, 0.0) > 0.0 or any(value > 0.0 for value in self.history.columns.get(name, []))

    def _unproven(self, line: dict[str, float]) -> bool:
        """Return whether a reversed head is on that was not seen to send anything: its first steps tell."""
        return bool(self._encoder) and any(h.reversal and not self._sent(h, line) for h in self.objective.active)

    def _check_alive(self, losses: Losses, line: dict[str, float]) -> None:
        """Raise a TrainingError for a reversed head that never sent the encoder anything, with rows and a strength.

        One that did is saturated, which the next rows can end: a warning (history.py). One whose last layer begins at
        zero trains before it sends anything: it has a second step.
        """
        for head in [h for h in self.objective.active if h.reversal]:
            rows = float(distributed.all_reduce(losses.meters[head.name])[1]) > 0.0
            if self._sent(head, line) or not rows or math.isnan(line[f"{head.name}_gradient"]):
                continue
            parameters = [p for p in head.module.parameters() if p.requires_grad]
            own = self._gradient(losses.adversaries[head.name], parameters)
            if head.name in self.silent or float(inner(own, own)) == 0.0:
                raise TrainingError(
                    f"the adversary {head.name!r} is dead: its gradient in the encoder is exactly zero at strength "
                    f"{self.objective.value[head.name]:.3g}. A softmax or sigmoid inside the head, a layer that is cut "
                    "off, or rows of one domain only do that; heads give logits"
                )
            self.silent.add(head.name)

    # ---- numbers ----

    def _read(self, sums: dict[str, Tensor], prefix: str) -> dict[str, float]:
        """Weighted losses and accuracies from sums over batches."""
        line: dict[str, float] = {}
        for name, meter in sums.items():
            above, below, right, signed = distributed.all_reduce(meter).tolist()
            if not below > 0.0:
                continue
            line[f"{prefix}{name}_loss"] = above / below
            head = self.network.heads.get(name)
            if head is not None and head.loss in ("binary", "multiclass") and signed > 0.0:
                line[f"{prefix}{name}_accuracy"] = right / signed
            if name in self.domain_heads:
                line[f"{prefix}{name}_chance"] = LN2 * signed / below
        return line

    def _check_finite(self, line: dict[str, float], epoch: int) -> None:
        for name, value in line.items():
            if name.endswith("_loss") and not math.isfinite(value):
                raise TrainingError(
                    f"{name} is {value} in epoch {epoch + 1}: the training diverged. Lower the learning "
                    "rate or the "
                    "strength, or set clip; with negative weights, try the policy absolute or drop"
                )

    # ---- validation ----

    def _validation_plan(self, validation: tuple[DomainRows, DomainRows | None]) -> tuple[Objective, BatchLayout]:
        plan = batch_layout(self.network, *validation)
        return Objective(self.network, plan, self.device), plan

    def _validate(self) -> dict[str, float]:
        if self.look is None or self.validation is None:
            return {}
        objective, plan = self.look
        sums: dict[str, Tensor] = {}
        with torch.no_grad():
            for table, is_source in ((plan.source, True), (plan.target, False)):
                for batch in _chunks(table, is_source, self.device):
                    for name, meter in objective.meters(batch).items():
                        sums[name] = sums[name] + meter if name in sums else meter
        line = self._read(sums, "validation_")
        if self.settings.scorer is not None:
            line["score"] = self.settings.scorer(self.network, *self.validation)
        else:
            line["score"] = -line[f"validation_{self.network.main.name}_loss"]
        return line

    def _keep_best(self, line: dict[str, float]) -> None:
        """Remember the weights of the best epoch, and stop when patience is at its end."""
        patience, score = self.settings.patience, line.get("score", math.nan)
        if patience is None or self._growing():
            return
        if score > self.best_score:
            self.best_score, self.waited = score, 0
            self.best = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
            self.history.best_epoch = self.history.epochs - 1
            return
        self.waited += 1
        if self.waited >= patience:
            self.history.stopped = f"no better value on the validation rows for {patience} epochs"

    def _growing(self) -> bool:
        """Return whether a strength is still below 0.9 of its final value."""
        parts = [part.reversal for part in self.objective.parts if part.reversal is not None]
        epoch, epochs = self.history.epochs, self.epochs
        return any(r.at(epoch, epochs) < 0.9 * r.at(epochs, epochs) for r in parts) and epoch < epochs

    # ---- the end, and checkpoints ----

    def finish(self) -> None:
        """Give the network the weights it ends with, and add the warnings."""
        if self.best:
            self.network.load_state_dict(self.best)
        elif self.average is not None:
            self.average.swap()
        reversed_heads = [h.name for h in self.objective.heads if h.reversal]
        self.history.warnings = diagnose(self.history, self.network.main.name, reversed_heads)
        self.network.eval()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the best weights, the average of the weights, and what stops the training."""
        tensors = {f"best.{k}": v for k, v in self.best.items()}
        if self.average is not None:
            tensors |= {f"average.{i}": v for i, v in enumerate(self.average.mean)}
        return tensors, {
            "best_score": None if math.isinf(self.best_score) else self.best_score,
            "waited": self.waited,
            "averaged": 0 if self.average is None else self.average.steps,
        }

    def load_state(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        self.best = below("best.", tensors)
        if self.average is not None:
            self.average.steps = values["averaged"]
            for i, mean in enumerate(self.average.mean):
                mean.copy_(tensors[f"average.{i}"])
        self.best_score = -math.inf if values["best_score"] is None else values["best_score"]
        self.waited = values["waited"]

    def fingerprint(self) -> str:
        """Return the fingerprint of settings and network, and the numbers of rows."""
        return f"{self.settings.fingerprint(self.network)} {self.rows[0]} {self.rows[1]}"


def _laid_out_as(parameter: Tensor, gradient: Tensor) -> Tensor:
    """Return a gradient in the memory order of its parameter: fused optimizers go by memory, not by index."""
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def _chunks(table: DomainTable | None, source: bool, device: torch.device) -> Iterator[Batch]:
    """Batches of rows of one domain, in order."""
    if table is None:
        return
    size = rows_at_once(table.features)
    for start in range(0, len(table), size):
        part = slice(start, start + size)
        features = table.features[part].to(device, table.columns.dtype)
        yield Batch(features, table.columns[part].to(device), len(features) if source else 0)
