"""From a batch to losses: every head on its rows with its weights, reversed heads behind their reversal."""

from __future__ import annotations

import functools
import operator
from collections.abc import Set
from dataclasses import dataclass

import torch
from torch import Tensor

from hepda.adversarial.data.batches import Batch
from hepda.adversarial.distributed import all_reduce, gather, world_size
from hepda.adversarial.networks.losses import LOSSES, class_probabilities, correct, weighted_sum
from hepda.adversarial.networks.network import Head, Network, check_output
from hepda.adversarial.networks.reversal import gradient_reversal
from hepda.adversarial.networks.tail import Tail
from hepda.adversarial.networks.term import Term, View
from hepda.adversarial.training.layout import BatchLayout
from hepda.adversarial.training.stabilizers import input_gradient_penalty

_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses of a batch.

    Attributes:
        task: sum over heads that are not reversed, each times its scale.
        adversaries: losses of reversed heads and alignment terms by name, each times its scale.
        meters: by name, [weighted sum of losses, sum of absolute weights, weighted sum of correct predictions, sum
            of weights], without gradient.

    """

    task: Tensor
    adversaries: dict[str, Tensor]
    meters: dict[str, Tensor]

    @property
    def adversary(self) -> Tensor | None:
        """The sum over adversaries; None if there are none."""
        return functools.reduce(operator.add, self.adversaries.values()) if self.adversaries else None

    @property
    def total(self) -> Tensor:
        """The loss that is minimised; the reversal changes the sign of the adversary's gradient in the encoder."""
        adversary = self.adversary
        return self.task if adversary is None else self.task + adversary


@dataclass(slots=True)
class _ForwardPass:
    """A batch with the features and outputs that heads and terms use, and the meters that they add."""

    batch: Batch
    features: Tensor
    outputs: dict[str, Tensor]
    meters: dict[str, Tensor] | None = None


class Objective:
    """Computes the losses of batches laid out by a `BatchLayout`.

    Strengths are tensors that are changed in place, so that a compiled step is compiled once.
    """

    def __init__(self, network: Network, plan: BatchLayout, device: torch.device) -> None:
        self.network, self.layouts, self.term_layouts = network, plan.layouts, plan.terms
        self.heads = [network.heads[name] for name in plan.layouts]
        self.terms = [term for term in network.terms if term.name in plan.terms]
        self.parts: list[Head | Term] = [*self.heads, *self.terms]
        names = [part.name for part in self.parts if part.reversal is not None]
        self.strength = {name: torch.ones((), device=device) for name in names}
        self.value = dict.fromkeys(self.strength, 1.0)
        self._activate()

    def advance(self, epoch: float, epochs: float) -> None:
        """Set every strength to its value after `epoch` of `epochs` epochs; a head with strength 0 is omitted."""
        changed = False
        for part in self.parts:
            if part.reversal is not None:
                value = part.reversal.at(epoch, epochs)
                changed |= (value > 0.0) != (self.value[part.name] > 0.0)
                self.value[part.name] = value
                self.strength[part.name].fill_(value)
        if changed:
            self._activate()

    def _activate(self) -> None:
        self.active = [h for h in self.heads if self.value.get(h.name, 1.0) > 0.0]
        self.active_terms = [t for t in self.terms if self.value[t.name] > 0.0]
        self._shared_outputs = {h.reads for h in self.active if h.reads}
        self._needs_target = bool(self.active_terms) or any(self.layouts[h.name].target for h in self.active)
        main = self.network.main
        reads_all = not self._needs_target and main in self.active and main.reads is None and not main.gradient_penalty
        if reads_all or self.active_terms or any(h.tail for h in self.active):
            self._shared_outputs.add(main.name)

    @property
    def adversaries(self) -> list[Head | Term]:
        """Reversed heads and terms that are on."""
        return [h for h in self.active if h.reversal] + list(self.active_terms)

    def __call__(self, batch: Batch, measure: bool = True) -> Losses:
        """Return the losses of a batch with every part whose strength is not 0, and meters if `measure` is True."""
        n = batch.n_source
        rows = batch.features if self._needs_target else batch.features[:n]
        features, outputs = self._encoded(rows, n, self._shared_outputs)
        passed = _ForwardPass(batch, features, outputs, {} if measure else None)
        task: Tensor | None = None
        adversaries: dict[str, Tensor] = {}
        for head in self.active:
            loss = self._head_loss(head, passed)
            loss = loss if head.scale == 1.0 else loss * head.scale
            if head.reversal is None:
                task = loss if task is None else task + loss
            else:
                adversaries[head.name] = loss
        for term in self.active_terms:
            loss = self._term_loss(term, passed)
            adversaries[term.name] = loss if term.adversarial else loss * self.strength[term.name]
        return Losses(features.new_zeros(()) if task is None else task, adversaries, passed.meters or {})

    def adversary_loss(self, batch: Batch, step: int) -> Tensor | None:
        """Return the loss of the adversaries with more than `step` steps, without gradient of the features."""
        parts = [p for p in self.adversaries if p.steps > step]
        if not parts:
            return None
        with torch.no_grad():
            features, outputs = self._encoded(batch.features, batch.n_source, self._shared_outputs)
        passed, total = _ForwardPass(batch, features, outputs), features.new_zeros(())
        for part in parts:
            if isinstance(part, Head):
                total = total + part.scale * self._head_loss(part, passed)
            else:
                total = total + self._term_loss(part, passed)
        return total

    def _encoded(self, x: Tensor, n_source: int, names: Set[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the features of rows, and the raw outputs of heads that read the features of all of them."""
        network, main = self.network, self.network.main.name
        if main not in names:
            features, outputs = network.encode(x, n_source), {}
        else:
            features, output = network.encode_with_output(x, n_source)
            outputs = {main: output}
        return features, outputs | {name: network.head_modules[name](features) for name in names - {main}}

    @torch.no_grad()
    def meters(self, batch: Batch) -> dict[str, Tensor]:
        """Return sums over a batch of validation rows for every head, whatever its strength.

        Label smoothing and tail are not used.
        """
        names = {head.name for head in self.heads if head.reads is None}
        features, outputs = self._encoded(batch.features, batch.n_source, names)
        meters: dict[str, Tensor] = {}
        passed = _ForwardPass(batch, features, outputs, meters)
        for head in self.heads:
            self._head_loss(head, passed)
        return meters

    def _head_loss(self, head: Head, passed: _ForwardPass) -> Tensor:
        """Return the weighted mean of a head's losses; its denominator is that of all workers."""
        layout, n, outputs = self.layouts[head.name], passed.batch.n_source, passed.outputs
        columns = layout.rows(passed.batch.columns, n)
        target, weight = columns[:, layout.columns], columns[:, layout.weight]
        read_output = layout.rows(outputs[head.reads], n) if head.reads else None
        if read_output is None and head.name in outputs:
            output, penalty = layout.rows(outputs[head.name], n), None
        else:
            output, penalty = self._output(head, layout.rows(passed.features, n), read_output)
        check_output(output, head)
        if head.entropy and head.reads and read_output is not None:
            weight = weight * certainty(class_probabilities(read_output.detach(), self.network.heads[head.reads].loss))
        if head.tail is not None and self.network.training:
            weight = weight * layout.rows(self._tail(head.tail, passed), n)
        smoothing = head.smoothing if self.network.training else 0.0
        below = total_weight(weight)
        loss = weighted_sum(head.loss, output, target, weight / below, smoothing)
        if passed.meters is not None:
            passed.meters[head.name] = self.meter(head, output, target, weight, loss * below)
        if penalty is None:
            return loss
        rows = loss.new_full((), float(len(columns)))  # the penalty is a mean over rows: over those of all workers
        return loss + penalty * (rows / all_reduce(rows))

    def _tail(self, tail: Tail, passed: _ForwardPass) -> Tensor:
        """Return the factors [n] of a tail for all rows of a batch, by the main head's logit."""
        batch, layout = passed.batch, self.layouts[self.network.main.name]
        n = batch.n_source
        score = passed.outputs[self.network.main.name][:, 0].detach().to(batch.columns.dtype)
        label, weight = batch.columns[:n, layout.columns.start], batch.columns[:n, layout.weight]
        source, signal = (gather(values, batch.rows[0]) for values in (score[:n], weight * (label > 0.5)))
        return tail.factors(score, source, signal)

    def _output(self, head: Head, features: Tensor, read_output: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return the raw output of a head and its gradient penalty."""
        read = self.network.head_input(head, features, read_output)
        module, penalty = self.network.head_modules[head.name], None
        if head.gradient_penalty > 0.0 and torch.is_grad_enabled():
            penalty = head.gradient_penalty * input_gradient_penalty(module, read)
        if head.reversal is not None:
            read = gradient_reversal(read, self.strength[head.name])
        return module(read), penalty

    @staticmethod
    @torch.no_grad()
    def meter(head: Head, output: Tensor, target: Tensor, weight: Tensor, above: Tensor) -> Tensor:
        """Return sums over rows: weighted losses, absolute weights, weights of correct predictions, weights."""
        correct_weight = above.new_zeros(())
        if LOSSES[head.loss].classes:
            correct_weight = torch.dot(weight, correct(output, target, head.loss))
        return torch.stack([above.detach(), weight.abs().sum(), correct_weight, weight.sum()])

    def _term_loss(self, term: Term, passed: _ForwardPass) -> Tensor:
        """Return this worker's part of the loss of a term."""
        batch, features, main = passed.batch, passed.features, self.network.main
        n, layout = batch.n_source, self.term_layouts[term.name]
        weight, device = batch.columns[:, layout.weight], features.device.type
        features, output = (value.to(weight.dtype) for value in (features, passed.outputs[main.name]))
        view = View(
            (features[:n], features[n:]),
            (output[:n], output[n:]),
            (weight[:n], weight[n:]),
            batch.columns[:n, self.layouts[main.name].columns],
            batch.columns[:n, self.layouts[main.name].weight],
            main.loss,
            (batch.features[:n], batch.features[n:]),
            self.network.encode,
            self.network.head_modules[main.name],
            self.network.normalization,
            batch.rows,
            batch.generator or torch.default_generator,
            batch.common or torch.default_generator,
            torch.is_autocast_enabled(device),
        )
        with torch.autocast(device, enabled=False):  # small differences of large sums
            loss: Tensor = term(view if term.per_rank else view.global_batch(), self.strength[term.name])
        loss = loss if term.per_rank else loss / world_size()
        if passed.meters is not None:
            share = torch.ones_like(loss) / world_size()
            passed.meters[term.name] = torch.stack([loss.detach(), share, torch.zeros_like(share), share])
        return loss


def total_weight(weight: Tensor) -> Tensor:
    """Return the sum of the absolute weights [n] of all workers' rows, the denominator of a batch's losses.

    For several columns [n, c] it returns the sums [c].
    """
    return all_reduce(weight.abs().sum(dim=0)).clamp_min(_TINY)


def certainty(probability: Tensor) -> Tensor:
    """Return 1 + exp(-H) of predictions [n, k]: rows with certain predictions count more (CDAN+E, Long et al. 2018)."""
    entropy = -(probability * probability.clamp_min(1e-12).log()).sum(dim=1)
    return 1.0 + torch.exp(-entropy)
