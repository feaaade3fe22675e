"""A training: its state, a step, an epoch, the validation, and the checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hepda.adversarial import distributed
from hepda.adversarial.data.batches import Batch, DomainRows, DomainTable, PairedBatches, Placement, batch_sizes
from hepda.adversarial.data.resident import resident
from hepda.adversarial.networks.layers import FittedInputs
from hepda.adversarial.networks.network import Head, Network, rows_per_pass
from hepda.adversarial.networks.schedules import RATE_SCHEDULES
from hepda.adversarial.training.combining import find_rule, inner, inner_products, weighted_gradients
from hepda.adversarial.training.history import diagnose
from hepda.adversarial.training.layout import batch_layout, chance
from hepda.adversarial.training.objective import Losses, Objective
from hepda.adversarial.training.optimizers import Optimizers
from hepda.adversarial.training.problem import Player, Problem, below
from hepda.adversarial.training.settings import TrainSettings
from hepda.adversarial.training.stabilizers import MovingAverage
from hepda.errors import TrainingError
from hepda.timing import timed

_METER_EVERY = 8  # in long epochs, training losses and accuracies are measured on every eighth batch
_VALIDATIONS = 20  # in a training that they do not stop, the validation rows are evaluated about so often
_STEPS_PER_MEASUREMENT = 40  # gradient norms cost two more passes backward: not on every epoch of few steps


class TrainingState(Problem):
    """The training of a network with its heads and terms: a problem of one player, named `network`."""

    def __init__(
        self,
        settings: TrainSettings,
        network: Network,
        source: DomainRows,
        target: DomainRows | None,
        validation: tuple[DomainRows, DomainRows | None] | None,
        placement: Placement,
    ) -> None:
        device = placement.device
        self.settings, self.network, self.device, self.validation = settings, network, device, validation
        self.rows = len(source), 0 if target is None else len(target)
        sizes = batch_sizes(
            settings.batch_size, settings.target_size, *self.rows, partners=0 if target is None else target.partners
        )
        plan = batch_layout(network, source, target, sizes)
        layout = plan.layouts[network.main.name]
        for part in network.modules():
            if isinstance(part, FittedInputs) and not bool(part.fitted):
                part.fit(plan.source.features, plan.source.columns[:, layout.weight] if layout.source else None)
        self.objective = Objective(network, plan, device)
        tables = resident(plan.source, plan.target, device)
        batches = partial(PairedBatches, *tables, settings.batch_size, settings.target_size)
        self.batches = batches(settings.seed, placement)
        # the adversary's extra steps draw separate rows
        self.adversary_batches = batches(settings.seed + 104729, placement)
        self.most_steps = max([part.steps for part in self.objective.parts])
        self.optimizers = Optimizers(network, settings.for_optimizer())
        chances = {head.name: chance(head, source, target) for head in self.objective.heads}
        self.chances = {name: loss for name, loss in chances.items() if loss is not None}
        self.validated: tuple[Objective, tuple[DomainTable, DomainTable | None]] | None = None
        if validation is not None:
            held_out = batch_layout(network, *validation)
            self.validated = Objective(network, held_out, device), resident(held_out.source, held_out.target, device)
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.average = MovingAverage(self.parameters, settings.average) if settings.average else None
        super().__init__([Player("network", network, self.optimizers.optimizer)], settings.epochs)
        self.best: dict[str, Tensor] = {}
        self.best_score = -math.inf
        self.waited = 0
        self.products: dict[str, Tensor] = {}  # of gradients, measured and not read from the device yet
        self.silent: set[str] = set()  # reversed heads whose gradient was zero in their first step

    # ---- an epoch ----

    def epoch(self) -> None:
        """Train one pass over the source rows, evaluate the validation rows, add a line to the history."""
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
            measures = (i == 0 and number % measured == 0) or self._needs_gradient_check(line)
            meters = self._step(step, line if measures else None, measures or i % every == 0)
            for name, meter in meters.items():
                sums[name] = sums[name] + meter if name in sums else meter
        line |= self._norms() | self._read(sums, "")  # waits for the device
        line["seconds"] = time.perf_counter() - begin
        line["learning_rate"] = self.settings.learning_rate * self._rate_factor(step)
        self._check_finite(line, number)
        self.history.rows += steps * (self.batches.n_source + self.batches.n_target)
        line |= {f"{name}_strength": value for name, value in self.objective.value.items()}
        if not self._validates(number):
            self.history.add(line)
            return
        self.network.eval()
        if self.average is not None:
            self.average.swap()
        line |= self._validate()
        self.history.add(line)
        self._keep_best(line)
        if self.average is not None:
            self.average.swap()

    def _validates(self, number: int) -> bool:
        """Return whether the validation rows are evaluated after an epoch: after each, if they decide when it ends."""
        every = 1 if self.settings.patience is not None else max(1, self.epochs // _VALIDATIONS)
        return (number + 1) % every == 0 or number + 1 == self.epochs

    def _rate_factor(self, step: int) -> float:
        progress = step / (self.epochs * self.batches.steps)
        return RATE_SCHEDULES[self.settings.rate_schedule](progress)

    def _step(self, step: int, line: dict[str, float] | None, measure: bool) -> dict[str, Tensor]:
        """Do one update of everything. `line`, if given, receives the gradient norms."""
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
        """Set all gradients and return the meters. `line`, if given, receives the gradient norms."""
        losses = self._losses(batch, measure)
        if line is not None:
            self._measure_gradients(losses, line)
        with timed("backward"):
            if self.settings.combine != "sum" and losses.adversaries:
                self._combined_backward(losses)
            else:
                torch.autograd.backward(losses.total)
        return losses.meters

    @timed("forward")
    def _losses(self, batch: Batch, measure: bool) -> Losses:
        if self.settings.precision != "bfloat16":
            return self.objective(batch, measure)
        with torch.autocast(self.device.type, torch.bfloat16):
            return self.objective(batch, measure)

    @timed("further steps of the adversary")
    def _adversary_steps(self, step: int) -> None:
        """Update only the adversaries, on separate rows, before the step of the encoder."""
        for k in range(1, self.most_steps):
            batch = self.adversary_batches(step * (self.most_steps - 1) + k - 1)
            loss = self.objective.adversary_loss(batch, k)
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
        """Return the gradient of a loss, summed over all workers."""
        if not loss.requires_grad:
            return [None] * len(parameters)
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        distributed.all_reduce_in_place([gradient for gradient in gradients if gradient is not None])
        return list(gradients)

    def _combined_backward(self, losses: Losses) -> None:
        """Set all gradients; those of task and adversaries in the encoder are combined by the rule of the settings."""
        parts = [self._gradient(loss, self._encoder) for loss in (losses.task, *losses.adversaries.values())]
        weights = find_rule(self.settings.combine)(inner_products(parts))
        torch.autograd.backward(losses.total)
        # these gradients are sums over all workers, and will be summed again
        share = 1.0 / distributed.world_size()
        for parameter, gradient in zip(self._encoder, weighted_gradients(weights, parts), strict=True):
            parameter.grad = None if gradient is None else _laid_out_as(parameter, gradient * share)

    @timed("norms of gradients")
    def _measure_gradients(self, losses: Losses, line: dict[str, float]) -> None:
        """Measure the gradients of task and adversaries in the encoder: their norms, and the cosine of task and sum.

        They are read, and recorded in `line`, at the end of the epoch; at once, which waits for the device, only while
        an adversary has not shown yet that it acts.
        """
        if not losses.task.requires_grad or not self._encoder:
            return
        task = self._gradient(losses.task, self._encoder)
        self.products = {"task": inner(task, task)}
        total: list[Tensor | None] = [None] * len(task)
        for name, loss in losses.adversaries.items():
            gradients = self._gradient(loss, self._encoder)
            self.products[name] = inner(gradients, gradients)
            total = [a if b is None else b if a is None else a + b for a, b in zip(total, gradients, strict=True)]
        self.products |= {"": inner(total, total), "*": inner(task, total)}  # no names of heads
        if self._needs_gradient_check(line):
            line |= self._norms()
            self._check_alive(losses, line)

    def _norms(self) -> dict[str, float]:
        """Return norms and cosine from the products of gradients that were measured last; waits for the device."""
        if not self.products:
            return {}
        squares = _read_together(self.products, self.device)
        self.products = {}
        squared, product = squares.pop(""), squares.pop("*")
        line = {f"{name}_gradient": math.sqrt(square) for name, square in squares.items()}
        norm = math.sqrt(squared)
        if norm > 0.0 and line["task_gradient"] > 0.0:
            line["gradient_cosine"] = product / (norm * line["task_gradient"])
        return line

    # ---- whether the adversaries act ----

    def _has_sent_gradient(self, head: Head, line: dict[str, float]) -> bool:
        """Return whether a nonzero gradient of a reversed head in the encoder has been measured."""
        name = f"{head.name}_gradient"
        return line.get(name, 0.0) > 0.0 or any(value > 0.0 for value in self.history.columns.get(name, []))

    def _needs_gradient_check(self, line: dict[str, float]) -> bool:
        """Return whether an active reversed head has no measured nonzero gradient yet: its first steps are measured."""
        adversaries = [head for head in self.objective.active if head.reversal]
        return bool(self._encoder) and any(not self._has_sent_gradient(head, line) for head in adversaries)

    def _check_alive(self, losses: Losses, line: dict[str, float]) -> None:
        """Raise a TrainingError for a reversed head with rows and a strength whose gradient was always zero.

        If it was not zero before, the head is saturated, which further rows can end: a warning (history.py). A head
        whose last layer begins at zero trains before its gradient is nonzero: it has a second step.
        """
        for head in [h for h in self.objective.active if h.reversal]:
            rows = float(distributed.all_reduce(losses.meters[head.name])[1]) > 0.0
            if self._has_sent_gradient(head, line) or not rows or math.isnan(line[f"{head.name}_gradient"]):
                continue
            parameters = [p for p in head.module.parameters() if p.requires_grad]
            gradients = self._gradient(losses.adversaries[head.name], parameters)
            if head.name in self.silent or float(inner(gradients, gradients)) == 0.0:
                raise TrainingError(
                    f"the adversary {head.name!r} is dead: its gradient in the encoder is exactly zero at strength "
                    f"{self.objective.value[head.name]:.3g}. A softmax or sigmoid inside the head, a layer that is cut "
                    "off, or rows of one domain only do that; heads give logits"
                )
            self.silent.add(head.name)

    # ---- numbers ----

    def _read(self, sums: dict[str, Tensor], prefix: str) -> dict[str, float]:
        """Return weighted losses and accuracies from sums over batches."""
        line: dict[str, float] = {}
        meters = _read_together({name: distributed.all_reduce(meter) for name, meter in sums.items()}, self.device)
        for name, (losses, weights, correct, signed) in meters.items():
            if not weights > 0.0:
                continue
            line[f"{prefix}{name}_loss"] = losses / weights
            head = self.network.heads.get(name)
            if head is not None and head.loss in ("binary", "multiclass") and signed > 0.0:
                line[f"{prefix}{name}_accuracy"] = correct / signed
            if name in self.chances:
                line[f"{prefix}{name}_chance"] = self.chances[name] * signed / weights
        return line

    def _check_finite(self, line: dict[str, float], epoch: int) -> None:
        for name, value in line.items():
            if name.endswith("_loss") and not math.isfinite(value):
                raise TrainingError(
                    f"{name} is {value} in epoch {epoch + 1}: the training diverged. Lower the learning rate or the "
                    "strength, or set clip; with negative weights, try the policy absolute or drop"
                )

    # ---- validation ----

    @timed("validation")
    def _validate(self) -> dict[str, float]:
        if self.validated is None or self.validation is None:
            return {}
        objective, (source, target) = self.validated
        sums: dict[str, Tensor] = {}
        with torch.no_grad():
            for table, is_source in ((source, True), (target, False)):
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
        """Keep the weights of the best epoch, and stop when patience is exceeded."""
        patience, score = self.settings.patience, line.get("score", math.nan)
        if patience is None or self._strength_rising():
            return
        if score > self.best_score:
            self.best_score, self.waited = score, 0
            self.best = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
            self.history.best_epoch = self.history.epochs - 1
            return
        self.waited += 1
        if self.waited >= patience:
            self.history.stopped = f"no better value on the validation rows for {patience} epochs"

    def _strength_rising(self) -> bool:
        """Return whether a strength is still below 0.9 of its final value."""
        parts = [part.reversal for part in self.objective.parts if part.reversal is not None]
        epoch, epochs = self.history.epochs, self.epochs
        return any(r.at(epoch, epochs) < 0.9 * r.at(epochs, epochs) for r in parts) and epoch < epochs

    # ---- the end, and checkpoints ----

    def finish(self) -> None:
        """Set the final weights of the network, and add the warnings."""
        if self.best:
            self.network.load_state_dict(self.best)
        elif self.average is not None:
            self.average.swap()
        reversed_heads = [h.name for h in self.objective.heads if h.reversal]
        self.history.warnings = diagnose(self.history, self.network.main.name, reversed_heads)
        self.network.eval()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the best weights, the average of the weights, and the state of early stopping."""
        tensors = {f"best.{k}": v for k, v in self.best.items()}
        if self.average is not None:
            tensors |= {f"average.{i}": v for i, v in enumerate(self.average.mean)}
        return tensors, {
            "best_score": None if math.isinf(self.best_score) else self.best_score,
            "waited": self.waited,
            "averaged": 0 if self.average is None else self.average.steps,
        }

    def load_state(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Restore the state that `state` returned."""
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


def _read_together(values: dict[str, Tensor], device: torch.device) -> dict[str, Any]:
    """Return tensors of one shape as numbers, in one transfer: the device is waited for once."""
    stacked = torch.stack([value.to(device) for value in values.values()]) if values else torch.empty(0)
    return dict(zip(values, stacked.tolist(), strict=True))


def _laid_out_as(parameter: Tensor, gradient: Tensor) -> Tensor:
    """Return a gradient in the memory order of its parameter: fused optimizers go by memory, not by index."""
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def _chunks(table: DomainTable | None, source: bool, device: torch.device) -> Iterator[Batch]:
    """Yield batches of the rows of one domain, in order."""
    if table is None:
        return
    size = rows_per_pass(table.features)
    for start in range(0, len(table), size):
        part = slice(start, start + size)
        features = table.features[part].to(device, table.columns.dtype)
        yield Batch(features, table.columns[part].to(device), len(features) if source else 0)
