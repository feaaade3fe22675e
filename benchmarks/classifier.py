"""Speed of `DANNClassifier.fit`, compared with the same network stepped in plain eager torch on one fixed batch.

    python benchmarks/classifier.py [--repeats 7] [--compile] [--json FILE]

30 float features, encoder 128-128-64, class head 64-1, domain head 64-64-1, BCE, Adam, float32, 1024 + 1024
rows in each step, 200k + 200k rows in memory. Everything runs in one process on one thread, interleaved; times are
CPU time of the process, medians over the repeats, and ratios are medians of the ratios within a repeat. `fit` is
everything from the end of the first pass over the rows to the return of the call, for each step; the floor is the same
number of forward, backward and optimizer steps on one batch. `set-up` is everything from the call to the first step,
including the choice of the kernels. In addition: the growth of the peak memory in a fit, and the time for twice
the rows over twice the time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn

from hepda.adversarial import DANNClassifier, gradient_reversal
from hepda.adversarial.estimator import STEADY
from hepda.adversarial.networks import kernels
from hepda.adversarial.training.state import TrainingState

ROWS, COLUMNS, BATCH, PASSES = 200_000, 30, 1024, 2
STEPS = round(ROWS / BATCH)
ADAM = replace(STEADY, optimizer="adam")
FITS: dict[str, dict[str, object]] = {
    "fit, plain kernels": {"training": replace(ADAM, kernels="plain")},
    "fit, kernels of this machine": {},
    "fit, bfloat16": {"training": replace(ADAM, precision="bfloat16")},
    "fit, the class's own tanh and AdamW": {"activation": "tanh", "training": STEADY},
}

Data = tuple[np.ndarray, np.ndarray, np.ndarray]


def floor(optimizer: str = "plain", *, compiled: bool = False) -> Callable[[int], None]:
    """Return a function that takes steps on one fixed batch."""
    encoder = nn.Sequential(
        nn.Linear(COLUMNS, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU()
    )
    class_head = nn.Linear(64, 1)
    domain_head = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    parameters = [p for m in (encoder, class_head, domain_head) for p in m.parameters()]
    adam = torch.optim.Adam(parameters, lr=1e-3, fused=optimizer == "fused")
    x = torch.randn(2 * BATCH, COLUMNS)
    label = (torch.rand(BATCH) > 0.5).float()
    domain = torch.cat([torch.zeros(BATCH), torch.ones(BATCH)])
    strength, bce = torch.tensor(0.5), nn.functional.binary_cross_entropy_with_logits

    def loss() -> torch.Tensor:
        features = encoder(x)
        task = bce(class_head(features[:BATCH])[:, 0], label)
        return task + bce(domain_head(gradient_reversal(features, strength))[:, 0], domain)

    step_loss = torch.compile(loss) if compiled else loss

    def run(steps: int) -> None:
        for _ in range(steps):
            adam.zero_grad(set_to_none=True)
            step_loss().backward()
            adam.step()

    run(5)
    return run


def rows(count: int, seed: int = 0) -> Data:
    """Return source features and labels, and target features, float32."""
    rng = np.random.default_rng(seed)
    source, target = (rng.standard_normal((count, COLUMNS), dtype=np.float32) for _ in range(2))
    target[:, 1] += 0.5
    return source, (source[:, 0] > 0).astype(np.int64), target


@contextmanager
def marks() -> Iterator[list[float]]:
    """Provide the CPU time at the beginning of each pass over the rows, and at its end."""
    found: list[float] = []
    epoch = TrainingState.epoch

    def timed(run: TrainingState) -> None:
        found.append(time.process_time())
        epoch(run)
        found.append(time.process_time())

    with mock.patch.object(TrainingState, "epoch", timed):
        yield found


def fit(data: Data, passes: int, **settings: object) -> tuple[float, float, float]:
    """Return the CPU seconds of a fit: before the first step, after the first pass, and in all."""
    x, y, other = data
    said = {"activation": "relu", "training": ADAM, "random_state": 0, "device": "cpu", **settings}
    with marks() as times:
        model = DANNClassifier(epochs=passes, **said)
        begin = time.process_time()
        model.fit(x, y, X_target=other)
        end = time.process_time()
    return times[0] - begin, end - times[1], end - begin


def peak() -> float:
    """Return the largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def steps_of(data: Data, repeats: int, *, compiled: bool) -> dict[str, list[float]]:
    """Return the CPU milliseconds of a step of each variant, interleaved."""
    floors = {"floor (Adam)": floor(), "floor, fused Adam": floor("fused")}
    if compiled:
        floors["floor, fused Adam, compiled"] = floor("fused", compiled=True)
    found: dict[str, list[float]] = {name: [] for name in (*floors, *FITS)}
    for _ in range(repeats):
        for name, run in floors.items():
            begin = time.process_time()
            run(STEPS)
            found[name].append(1e3 * (time.process_time() - begin) / STEPS)
        for name, settings in FITS.items():
            _, after, _ = fit(data, 1 + PASSES, **settings)
            found[name].append(1e3 * after / (PASSES * STEPS))
    return found


def set_up(data: Data, repeats: int) -> float:
    """Return the median seconds before the first step, in a process that has not chosen its kernels yet."""
    times = []
    for _ in range(repeats):
        kernels.worthwhile.cache_clear()
        times.append(fit(data, 1)[0])
    return statistics.median(times)


def doubling(data: Data, repeats: int) -> float:
    """Return the time of a fit on twice the rows, over twice the time of one."""
    twice = tuple(np.concatenate([part, part]) for part in data)
    return statistics.median(fit(twice, 1)[2] / (2 * fit(data, 1)[2]) for _ in range(repeats))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.empty(28 * 2**18).fill_(1.0)  # glibc keeps freed memory from now on: no page faults, nor in the floor
    fit(rows(20_000), 1)
    data = rows(ROWS)
    before = peak()
    fit(data, 1)
    memory = peak() - before
    begin = os.getloadavg()
    times = steps_of(data, arguments.repeats, compiled=arguments.compile)
    result = {
        "ms": {name: statistics.median(values) for name, values in times.items()},
        "ratio": {
            name: statistics.median(a / b for a, b in zip(values, times["floor (Adam)"], strict=True))
            for name, values in times.items()
        },
        "kernels": "onednn" if kernels.worthwhile() else "plain",
        "gain": kernels.gain(),
        "set_up_s": set_up(data, arguments.repeats),
        "memory_mb": memory,
        "doubling": doubling(data, arguments.repeats),
        "load": [begin[0], os.getloadavg()[0]],
        "torch": torch.__version__,
    }
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, 1 thread")
    print(f"load {begin[0]:.1f} at the beginning, {result['load'][1]:.1f} at the end; {arguments.repeats} repeats")
    for name, value in result["ms"].items():
        print(f"{name:34s} {value:7.3f} ms {result['ratio'][name]:6.2f} of the floor")
    print(f"kernels of this machine: {result['kernels']}; oneDNN computes a layer {result['gain']:.2f} times as fast")
    print(f"set-up before the first step {result['set_up_s']:.3f} s")
    print(f"memory +{memory:.0f} MB; the table in memory has {2 * ROWS * COLUMNS * 4 / 2**20:.0f} MB")
    print(f"twice the rows: {result['doubling']:.3f} of twice the time")
    if arguments.json:
        arguments.json.write_text(json.dumps({**result, "all_ms": times}, indent=1))


if __name__ == "__main__":
    sys.exit(main())
