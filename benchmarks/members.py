"""CPU time of the trainings of an ensemble: one after the other, as one batched step, and with a compiled step.

    python benchmarks/members.py [--members 10] [--rows 2048] [--steps 40] [--repeats 5] [--no-compile] [--json FILE]

The network is `dann` of configs/tth.yaml: 34 inputs, an encoder of three layers of 64, a head of one logit, a domain
head of 64 and one logit behind a reversal; `rows` of the source and as many of the target in a step; weighted losses,
fused Adam. Rows are drawn at random and in memory, different ones for every member. Compared are, in turn in every
repeat and on one thread:

    in turn     one network after the other, nn.Linear: what a plain loop does
    batched     all members in one step: weights [members, in, out], products by baddbmm; the same numbers to rounding
    compiled    one network after the other, the loss compiled by torch.compile (needs a C++ compiler)

Printed are CPU milliseconds for each member and step (medians), ratios to `in turn` (medians of those within a repeat),
the largest difference between the weights of `in turn` and `batched` after five steps, and what compiling took.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor
from torch.nn import functional

from hepda.adversarial import gradient_reversal
from hepda.adversarial.memory import keep_freed_memory
from hepda.workflows.machine import processor

INPUTS, WIDTHS, DOMAIN = 34, (64, 64, 64), 64
IN_TURN, BATCHED, COMPILED = "in turn", "batched", "compiled"
Layers = list[tuple[Tensor, Tensor]]
"""Weights [m, in, out] and biases [m, 1, out] of every layer: the encoder's, the head's, two of the domain head."""


def layers_of(members: int, seed: int) -> Layers:
    """Return the weights of members, drawn with a seed."""
    random = torch.Generator().manual_seed(seed)
    shapes = [*zip((INPUTS, *WIDTHS), WIDTHS, strict=False), (WIDTHS[-1], 1), (WIDTHS[-1], DOMAIN), (DOMAIN, 1)]
    weights = [torch.randn(members, a, b, generator=random) * a**-0.5 for a, b in shapes]
    return [(weight.requires_grad_(), torch.zeros(members, 1, weight.shape[2]).requires_grad_()) for weight in weights]


def member_of(layers: Layers, number: int) -> Layers:
    """Return one member, as copies [1, in, out]."""
    return [tuple(t[number : number + 1].detach().clone().requires_grad_() for t in pair) for pair in layers]  # type: ignore[misc]


def loss(layers: Layers, x: Tensor, label: Tensor, domain: Tensor, share: Tensor, strength: Tensor) -> Tensor:
    """Return the sum of the losses of members: rows [m, n, inputs], the first half of them source."""
    *encoder, head, first, last = layers
    single = x.shape[0] == 1
    for weight, bias in encoder:
        x = _linear(x, weight, bias, single).relu()
    half = x.shape[1] // 2
    logit = _linear(x[:, :half], *head, single)[..., 0]
    read = _linear(gradient_reversal(x, strength), *first, single).relu()
    opinion = _linear(read, *last, single)[..., 0]
    return functional.binary_cross_entropy_with_logits(
        logit, label[:, :half], 2.0 * share[:, :half], reduction="sum"
    ) + functional.binary_cross_entropy_with_logits(opinion, domain, share, reduction="sum")


def _linear(x: Tensor, weight: Tensor, bias: Tensor, single: bool) -> Tensor:
    if single:  # what nn.Linear does
        return torch.addmm(bias[0, 0], x[0], weight[0])[None]
    return torch.baddbmm(bias, x, weight)


def training(layers: Layers, of: Callable[..., Tensor] = loss) -> Callable[..., None]:
    """Return a function that takes a step with rows, labels, domains and shares."""
    parameters = [tensor for pair in layers for tensor in pair]
    adam = torch.optim.AdamW(parameters, lr=1e-3, fused=True)
    strength = torch.ones(())

    def step(*rows: Tensor) -> None:
        adam.zero_grad(set_to_none=True)
        of(layers, *rows, strength).backward()
        adam.step()

    return step


def rows_of(members: int, rows: int) -> tuple[Tensor, ...]:
    """Return features, labels, domains and shares of the weight of members."""
    random = torch.Generator().manual_seed(1)
    label = torch.rand(members, 2 * rows, generator=random).round()
    domain = (torch.arange(2 * rows) >= rows).float().expand(members, -1).contiguous()
    x = torch.randn(members, 2 * rows, INPUTS, generator=random) + 0.3 * label[..., None] + 0.1 * domain[..., None]
    return x, label, domain, torch.full((members, 2 * rows), 0.5 / rows)


def cpu_ms(act: Callable[[], None], count: int) -> float:
    """Return CPU milliseconds of this process, divided by a count."""
    begin = time.process_time()
    act()
    return 1e3 * (time.process_time() - begin) / count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("members", 10), ("rows", 2048), ("steps", 40), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as hepda train does: batched steps have larger tensors
    members, steps = options.members, options.steps
    together = layers_of(members, 1)
    single = [member_of(together, number) for number in range(members)]
    data = rows_of(members, options.rows)
    own = [tuple(part[number : number + 1].contiguous() for part in data) for number in range(members)]

    def in_turn(trainings: list[Callable[..., None]], number: int) -> None:
        for step, rows in zip(trainings, own, strict=True):
            for _ in range(number):
                step(*rows)

    batched, plain = training(together), [training(layers) for layers in single]
    for _ in range(5):
        batched(*data)
    in_turn(plain, 5)
    apart = max(
        float((a.detach()[n] - b.detach()[0]).abs().max())
        for n, layers in enumerate(single)
        for pairs in zip(together, layers, strict=True)
        for a, b in zip(*pairs, strict=True)
    )
    acts = {
        IN_TURN: lambda: in_turn(plain, steps),
        BATCHED: lambda: [batched(*data) for _ in range(steps)],
    }
    compiling = None
    if not options.no_compile:
        compiled = torch.compile(loss)
        fast = [training(layers, compiled) for layers in single]
        compiling = cpu_ms(lambda: in_turn(fast, 2), 1000)  # in s
        acts[COMPILED] = lambda: in_turn(fast, steps)
    times: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(options.repeats):
        for name, act in acts.items():
            times[name].append(cpu_ms(act, members * steps))
    machine = processor()
    print(f"{machine['name']}, {machine['instructions']}, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")
    print(f"{members} members, {options.rows} + {options.rows} rows; weights differ by {apart:.1e} after 5 steps")
    for name, values in times.items():
        ratio = statistics.median(a / b for a, b in zip(values, times[IN_TURN], strict=True))
        print(f"{name:10s} {statistics.median(values):6.2f} ms a member and step, {ratio:.2f} of `{IN_TURN}`")
    if compiling is not None:
        print(f"compiling took {compiling:.1f} s of this process, and more of its children")
    if options.json:
        result = {"ms": times, "differ": apart, "compiling": compiling, "processor": machine}
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
