"""Speed of trainings on a GPU: a ladder from the plain eager step to `Trainer.fit`, in bfloat16 and with shared GPUs.

    python benchmarks/gpu.py [--device cuda] [--minutes 10] [--json FILE]
    python benchmarks/gpu.py --device cpu --small        # the same ladder where there is no GPU

The rungs are, for 34 float features, encoder 64-64-64, class head 64-1, domain head 64-64-1 and fused AdamW, in batches
of 4096 + 4096 and of 16384 + 16384 rows:

    floor                   forward, backward and optimizer on one fixed batch, plain eager torch
    floor, CUDA graph       the same step captured once and replayed
    floor, bfloat16         the same under autocast
    floor, ten networks     the same of ten networks as one step, by torch.func (stacked weights)
    fit                     `Trainer.fit` on tables that stay on the device
    fit, pinned memory      the same on tables that do not: a copy from pinned memory in each step
    fit, bfloat16           the same in bfloat16
    fit, 2 and 4 at once    as many processes on one device, each with a training; a step of all of them

Times are by the clock, in milliseconds a step, medians over rounds in which all rungs take turns; the device is waited
for before and after each. On a GPU the numbers of `fit` are also compared with those of the CPU (losses of two epochs),
and two trainings with one seed with each other. What cannot be measured is said, and why. All rungs together end after
`--minutes`, so that a machine that is lent for a quarter of an hour is enough.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from hepda.adversarial import DomainRows, Head, Network, Reversal, Trainer, devices, gradient_reversal, mlp, seeded
from hepda.adversarial.training.state import TrainingState
from hepda.errors import HepdaError

COLUMNS, WIDTH, MEMBERS = 34, 64, 10
Run = Callable[[int], None]
"""Takes a number of steps."""


@dataclass(frozen=True)
class Size:
    """How much is measured: rows of a table, source rows of a step, steps of a round."""

    rows: int
    batches: tuple[int, ...]
    steps: int


LARGE, SMALL = Size(400_000, (4096, 16384), 100), Size(512, (128,), 4)


@dataclass
class Report:
    """The results.

    Attributes:
        ms: milliseconds a step of every rung, by batch and name; one number a round.
        missing: what could not be measured, and why.
        checks: comparisons of numbers.

    """

    ms: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    checks: dict[str, Any] = field(default_factory=dict)


def wait(device: torch.device) -> None:
    """Wait until the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


# ---- the floor ----


class PlainStep(nn.Module):
    """The three parts of the network, and the loss of a batch: source rows first, as many target rows after them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = mlp(COLUMNS, [WIDTH] * 3)
        self.class_head, self.domain_head = nn.Linear(WIDTH, 1), mlp(WIDTH, [WIDTH, WIDTH], 1)

    def forward(self, x: Tensor, label: Tensor, domain: Tensor, strength: Tensor) -> Tensor:
        """Return the loss."""
        bce, features = nn.functional.binary_cross_entropy_with_logits, self.encoder(x)
        task = bce(self.class_head(features[: len(label)])[:, 0], label)
        return task + bce(self.domain_head(gradient_reversal(features, strength))[:, 0], domain)


def fixed_batch(batch: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return rows, labels, domains and the strength of a reversal, on the device."""
    x = torch.randn(2 * batch, COLUMNS, device=device)
    domain = torch.cat([torch.zeros(batch, device=device), torch.ones(batch, device=device)])
    return x, (x[:batch, 0] > 0).float(), domain, torch.full((), 0.5, device=device)


def floor(batch: int, device: torch.device, *, half: bool = False) -> Run:
    """Return plain eager steps on one fixed batch."""
    network, data = PlainStep().to(device), fixed_batch(batch, device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)

    def run(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                loss = network(*data)
            loss.backward()
            optimizer.step()

    return run


def graph(batch: int, device: torch.device) -> Run:
    """Return the same step as a CUDA graph, captured after three eager ones."""
    network, data = PlainStep().to(device), fixed_batch(batch, device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True, capturable=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        network(*data).backward()
        optimizer.step()

    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream(device).wait_stream(side)
    captured = torch.cuda.CUDAGraph()
    optimizer.zero_grad(set_to_none=True)
    with torch.cuda.graph(captured):
        step()

    def run(steps: int) -> None:
        for _ in range(steps):
            captured.replay()

    return run


def ensemble(batch: int, device: torch.device) -> Run:
    """Return steps of ten networks at once, each on the same batch, with one optimizer of the stacked weights."""
    with torch.random.fork_rng(devices=[]):
        members = [PlainStep().to(device) for _ in range(MEMBERS)]
    weights, buffers = torch.func.stack_module_state(members)  # type: ignore[arg-type]
    data, skeleton = fixed_batch(batch, device), PlainStep().to("meta")
    optimizer = torch.optim.AdamW(list(weights.values()), lr=1e-3, fused=True)

    def loss(own: dict[str, Tensor], other: dict[str, Tensor]) -> Tensor:
        value: Tensor = torch.func.functional_call(skeleton, (own, other), data)
        return value

    losses = torch.func.vmap(loss)

    def run(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            losses(weights, buffers).sum().backward()
            optimizer.step()

    return run


# ---- the trainer ----


def tables(rows: int, seed: int = 0) -> tuple[DomainRows, DomainRows]:
    """Return source rows with labels, and target rows, float32."""
    rng = np.random.default_rng(seed)
    source, target = (rng.standard_normal((rows, COLUMNS), dtype=np.float32) for _ in range(2))
    target[:, 1] += 0.5
    return DomainRows(source, {"class": source[:, 0] > 0}), DomainRows(target)


def network() -> Network:
    """Return the network of the floor as one of hepda."""
    with seeded(1):
        heads = [
            Head("class", mlp(WIDTH, [], 1)),
            Head("domain", mlp(WIDTH, [WIDTH, WIDTH], 1), rows="both", reversal=Reversal(0.5, "constant")),
        ]
        return Network(mlp(COLUMNS, [WIDTH] * 3), heads)


@contextmanager
def epoch_times(device: torch.device) -> Iterator[list[float]]:
    """Provide the seconds of each epoch of the trainings within the block."""
    seconds: list[float] = []
    epoch = TrainingState.epoch

    def timed(run: TrainingState) -> None:
        wait(device)
        begin = time.perf_counter()
        epoch(run)
        wait(device)
        seconds.append(time.perf_counter() - begin)

    with mock.patch.object(TrainingState, "epoch", timed):
        yield seconds


def fit_ms(batch: int, device: torch.device, size: Size, *, stays: bool = True, precision: str = "float32") -> float:
    """Return the milliseconds of a step of `Trainer.fit`, without its first epoch."""
    rows = min(size.rows, batch * size.steps)
    trainer = Trainer(epochs=2, batch_size=batch, precision=precision, device=str(device), kernels="plain")
    with epoch_times(device) as seconds, mock.patch.object(devices, "fits", lambda *_: stays):
        trainer.fit(network(), *tables(rows))
    return 1e3 * seconds[-1] / max(1, round(rows / batch))


def _worker(device: str, batch: int, size: Size, start: Any, results: Any) -> None:
    torch.set_num_threads(1)
    fit_ms(batch, torch.device(device), SMALL)  # imports, context and kernels are ready
    start.wait()
    results.put(fit_ms(batch, torch.device(device), size))


def at_once(number: int, batch: int, device: torch.device, size: Size) -> float:
    """Return the milliseconds in which each of so many processes takes a step, over their number."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(number), context.Queue()
    arguments = str(device), batch, size, start, results
    workers = [context.Process(target=_worker, args=arguments, daemon=True) for _ in range(number)]
    for worker in workers:
        worker.start()
    times = [results.get(timeout=240) for _ in workers]
    for worker in workers:
        worker.join()
    return statistics.median(times) / number


# ---- the ladder ----


def prepared(batch: int, device: torch.device, report: Report) -> dict[str, Run]:
    """Return the rungs of the floor that this device has, warmed up."""
    rungs: dict[str, Callable[[], Run]] = {
        "floor": lambda: floor(batch, device),
        "floor, CUDA graph": lambda: graph(batch, device),
        "floor, bfloat16": lambda: floor(batch, device, half=True),
        f"floor, {MEMBERS} networks": lambda: ensemble(batch, device),
    }
    runs = {}
    for name, make in rungs.items():
        if device.type != "cuda" and name == "floor, CUDA graph":
            report.missing[name] = "only a CUDA device has graphs"
            continue
        try:
            runs[name] = make()
            runs[name](3)
        except (RuntimeError, HepdaError) as error:
            report.missing[f"{name}, {batch} rows"] = str(error).splitlines()[0]
    return runs


def measure(device: torch.device, size: Size, end: float, report: Report) -> None:
    """Measure all rungs in turn until the time is over, at least once."""
    for number, batch in enumerate(size.batches):
        runs = prepared(batch, device, report)
        fits: dict[str, dict[str, Any]] = {"fit": {}, "fit, bfloat16": {"precision": "bfloat16"}}
        if device.type == "cuda":
            fits["fit, pinned memory"] = {"stays": False}
        else:
            report.missing["fit, pinned memory"] = "rows are copied to a CUDA device only"
        until = time.monotonic() + (end - time.monotonic()) / (len(size.batches) - number)
        rounds = 0
        while rounds < 1 or (rounds < 9 and time.monotonic() < until):
            rounds += 1
            for name, run in runs.items():
                wait(device)
                begin = time.perf_counter()
                run(size.steps)
                wait(device)
                _add(report, name, batch, 1e3 * (time.perf_counter() - begin) / size.steps)
            for name, settings in fits.items():
                try:
                    _add(report, name, batch, fit_ms(batch, device, size, **settings))
                except HepdaError as error:
                    report.missing[f"{name}, {batch} rows"] = str(error)


def _add(report: Report, name: str, batch: int, value: float) -> None:
    report.ms.setdefault(f"{name}, {batch} rows", []).append(value)


def measure_at_once(device: torch.device, size: Size, end: float, report: Report) -> None:
    """Measure trainings that share a device, if there is time."""
    for number in (2, 4):
        name = f"fit, {number} at once"
        if device.type != "cuda":
            report.missing[name] = "they share a CUDA device"
        elif time.monotonic() > end:
            report.missing[name] = "the time was over; give more --minutes"
        else:
            _add(report, name, size.batches[0], at_once(number, size.batches[0], device, size))


def compare(device: torch.device, size: Size, report: Report) -> None:
    """Compare losses on the device with those of the CPU, and of two trainings with the same seed."""

    def losses(where: str) -> list[float]:
        trainer = Trainer(epochs=2, batch_size=size.batches[0], device=where, kernels="plain", seed=7)
        history = trainer.fit(network(), *tables(min(size.rows, 10 * size.batches[0])))
        return [*history["class_loss"], *history["domain_loss"]]

    first, second = losses(str(device)), losses(str(device))
    report.checks["two trainings with one seed are equal"] = first == second
    if device.type == "cpu":
        report.missing["losses of the device and of the CPU"] = "the device is the CPU"
        return
    differences = [abs(a - b) / abs(b) for a, b in zip(first, losses("cpu"), strict=True)]
    report.checks["largest relative difference of a loss from the CPU's"] = max(differences)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--small", action="store_true", help="few rows and steps: whether it runs, not how fast")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    begin, size, report = time.monotonic(), SMALL if arguments.small else LARGE, Report()
    try:
        device = devices.find(arguments.device)
    except HepdaError as error:
        sys.exit(f"{error}")
    torch.set_num_threads(1)
    end = begin + 60 * arguments.minutes
    compare(device, size, report)
    measure_at_once(device, size, begin + 60 * arguments.minutes / 2, report)
    measure(device, size, end - 30, report)
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {devices.describe(device)}")
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, 1 thread a process")
    for name, values in report.ms.items():
        bottom = report.ms.get(f"floor, {name.rsplit(', ', 1)[1]}", values)
        ratio = statistics.median(values) / statistics.median(bottom)
        print(f"{name:36s} {statistics.median(values):9.3f} ms a step {ratio:7.2f} of the floor, {len(values)} rounds")
    for name, value in report.checks.items():
        print(f"{name}: {value}")
    for name, why in report.missing.items():
        print(f"not measured: {name}: {why}")
    print(f"{time.monotonic() - begin:.0f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps(vars(report) | {"device": devices.describe(device)}, indent=1))


if __name__ == "__main__":
    main()
