"""Losses and gradients of a batch, a block of rows at a time: for networks that are stacks of linear layers.

Where the encoder and every head are stacks (kernels.py), and every head reads the features and has a loss whose slope
is written out (losses.py), the gradient of a batch is a sum over its rows. A block of rows goes through the whole
network forward and backward while it is in the processor's cache, and autograd is not asked: a step takes four fifths
of the time (benchmarks/training.py), and its numbers are the same but for the order of sums. Anything else (terms,
heads that read a prediction, dropout, gradients that are measured or projected) goes through autograd, as does all of
it on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hepda.adversarial.data.batches import Batch
from hepda.adversarial.networks.kernels import Stack
from hepda.adversarial.networks.layers import MLP
from hepda.adversarial.networks.losses import LOSSES, Slope, weighted_sum
from hepda.adversarial.networks.network import Head
from hepda.adversarial.training.objective import Objective, total_weight
from hepda.adversarial.training.plan import Lane

BYTES = 8192  # of a column of a block: fewer rows stay in the cache, more share the work around the products


def stack_of(module: nn.Module) -> Stack | None:
    """The module as one stack whose parameters are all trained, or None."""
    if not isinstance(module, MLP) or module.parts is None or len(module.parts) != 1:
        return None
    (stack,) = module.parts
    if not isinstance(stack, Stack) or not all(p.requires_grad for p in stack.parameters):
        return None
    return stack


def add_to_bias(total: Tensor, gradient: Tensor, ones: Tensor, first: bool) -> None:
    """Add the sum of rows [n, o] to the gradient of a bias [o]."""
    if total.dtype == gradient.dtype:
        total.addmv_(gradient.t(), ones[: len(gradient)], beta=0.0 if first else 1.0)
    else:
        value = gradient.sum(dim=0)
        total.copy_(value) if first else total.add_(value)


class Chain:
    """A stack with room for the gradients of its parameters, which the blocks of a batch add up."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.parameters = stack, stack.parameters
        self.products = stack.products
        self.sums = [torch.zeros_like(p) for p in self.parameters]
        self.own = [p.detach() for p in self.parameters]  # the same memory, which optimizers write to
        dtype = self.products.dtype
        self.computed = self.own if dtype is None else [p.to(dtype) for p in self.own]
        self.first = True
        self.ones = self.computed[0].new_ones(BYTES)

    def begin(self) -> None:
        """Before the blocks of a batch."""
        self.first = True
        if self.computed is not self.own:
            torch._foreach_copy_(self.computed, self.own)

    def forward(self, x: Tensor) -> list[Tensor]:
        """As `Stack.forward`."""
        return self.stack.forward(x, self.computed)

    def backward(self, gradient: Tensor, passed: list[Tensor], to_input: bool, factor: float = 1.0) -> Tensor:
        """Add to the gradients of the parameters; returns that of the input times a factor (that of the first layer's
        output, if the input's is not wanted). The gradient that is given is written over.
        """
        found = gradient
        steps = self.stack.backward(gradient, passed, self.computed, to_input, own=True, factor=factor)
        for i, found, inputs in steps:
            if i >= 0:
                self.products.add_to_weight(self.sums[2 * i], found, inputs, self.first)
                add_to_bias(self.sums[2 * i + 1], found, self.ones, self.first)
        self.first = False
        return found

    def end(self) -> None:
        """After the blocks of a batch: the gradients are those of the parameters."""
        for parameter, total in zip(self.parameters, self.sums, strict=True):
            parameter.grad = total


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows of a batch: inputs, targets and weights, what their losses count, and how many of them are source."""

    x: Tensor
    columns: Tensor
    factors: Tensor
    n_source: int


@dataclass(frozen=True, slots=True)
class _Head:
    """A head, its chain, and the derivative of its loss."""

    head: Head
    lane: Lane
    chain: Chain
    slope: Slope

    @property
    def everywhere(self) -> bool:
        """Whether it reads all rows of a batch."""
        return self.lane.source and self.lane.target

    def rows(self, block: _Block) -> slice:
        """The rows of a block that it reads."""
        source = min(max(block.n_source, 0), len(block.x))
        return slice(0 if self.lane.source else source, len(block.x) if self.lane.target else source)


class Blocks:
    """Computes the gradients of batches for one objective; `of` says whether it can."""

    def __init__(self, objective: Objective, encoder: Stack, heads: dict[str, Stack]) -> None:
        self.objective, self.network, self.encoder = objective, objective.network, Chain(encoder)
        self.heads = {
            h.name: _Head(h, objective.lanes[h.name], Chain(heads[h.name]), slope)
            for h in objective.heads
            if (slope := LOSSES[h.loss].slope) is not None
        }
        self.rows = BYTES // self.encoder.computed[0].element_size()
        self._scales: dict[tuple[str, ...], Tensor] = {}  # of the columns, by the heads that are active

    @classmethod
    def of(cls, objective: Objective) -> Blocks | None:
        """The blocks of an objective, or None where autograd is needed."""
        encoder = stack_of(objective.network.encoder)
        simple = all(
            h.reads is None and not h.gradient_penalty and h.tail is None and LOSSES[h.loss].slope is not None
            for h in objective.heads
        )
        stacks = {h.name: stack_of(h.module) for h in objective.heads}
        found = {name: stack for name, stack in stacks.items() if stack is not None}
        if encoder is None or objective.terms or not simple or len(found) < len(stacks):
            return None
        return cls(objective, encoder, found)

    @torch.no_grad()
    def __call__(self, batch: Batch, measure: bool) -> dict[str, Tensor]:
        """Set the gradients of what takes part in a batch; returns the meters of `Objective`, if they are wanted."""
        # those that read every row come first: to theirs the gradients of the others are added
        heads = sorted((self.heads[h.name] for h in self.objective.active), key=lambda h: not h.everywhere)
        chains = [self.encoder, *(head.chain for head in heads)]
        for chain in chains:
            chain.begin()
        end = len(batch.features) if any(head.lane.target for head in heads) else batch.n_source
        x, factors = self._inputs(batch.features), self._factors(batch.columns, heads)
        said: dict[str, list[Tensor]] = {head.head.name: [] for head in heads}
        for begin in range(0, end, self.rows):
            rows = slice(begin, min(begin + self.rows, end))
            block = _Block(x[rows], batch.columns[rows], factors[rows], batch.n_source - begin)
            self._block(block, heads, said)
        for chain in chains:
            chain.end()
        return {h.head.name: self._meter(h, said[h.head.name], batch) for h in heads} if measure else {}

    def _inputs(self, features: Tensor) -> Tensor:
        """Rows [n, k] as the encoder wants them."""
        x = features if features.dim() == 2 else features.flatten(1)
        x = x if self.network.normalization is None else self.network.normalization(x)
        return x.to(self.encoder.computed[0].dtype)

    def _factors(self, columns: Tensor, heads: list[_Head]) -> Tensor:
        """In the columns of weights: what a row's loss counts in that of the batch. A row that a head does not read
        has weight 0 there (plan.py).
        """
        names = tuple(head.head.name for head in heads)
        if names not in self._scales:
            self._scales[names] = columns.new_zeros(columns.shape[1])
            for head in heads:
                self._scales[names][head.lane.weight] = head.head.scale
        return columns * (self._scales[names] / total_weight(columns))

    def _block(self, block: _Block, heads: list[_Head], said: dict[str, list[Tensor]]) -> None:
        """Forward and backward of a block of rows; what the heads say is added to `said`."""
        passed = self.encoder.forward(block.x)
        total: Tensor | None = None
        for part in heads:
            rows = part.rows(block)
            if rows.start == rows.stop:
                continue
            through = part.chain.forward(passed[-1][rows])
            output = through[-1].to(block.factors.dtype)
            said[part.head.name].append(output)
            gradient = part.slope(output, block.columns[rows, part.lane.columns], part.head.smoothing)
            gradient.mul_(block.factors[rows, part.lane.weight, None])
            reverse = 1.0 if part.head.reversal is None else -self.objective.value[part.head.name]
            gradient = part.chain.backward(gradient.to(block.x.dtype), through, to_input=True, factor=reverse)
            if total is None and len(gradient) == len(block.x):
                total = gradient
                continue
            total = torch.zeros_like(passed[-1]) if total is None else total
            total[rows].add_(gradient)
        if total is not None:
            self.encoder.backward(total, passed, to_input=False)

    def _meter(self, part: _Head, outputs: list[Tensor], batch: Batch) -> Tensor:
        output, columns = torch.cat(outputs), part.lane.rows(batch.columns, batch.n_source)
        target, weight = columns[:, part.lane.columns], columns[:, part.lane.weight]
        above = weighted_sum(part.head.loss, output, target, weight, part.head.smoothing)
        return self.objective.meter(part.head, output, target, weight, above)
