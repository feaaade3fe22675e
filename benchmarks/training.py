"""How fast `DANNClassifier.fit` is, against the same network stepped in plain eager torch on one fixed batch.

    python benchmarks/training.py [--repeats 7] [--json FILE]

30 float features, encoder 128-128-64, class head 64-1, domain head 64-64-1, BCE, Adam, float32, 1024 + 1024
rows a step, 200k + 200k rows in memory. Everything runs in one process on one thread, interleaved; times are
CPU time of the process, medians over the repeats. `fit` is everything from the call to its return, for
several passes over the rows, less the first pass; the floor is the same number of forward, backward and
optimizer steps on one batch.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from hepda.adversarial import DANNClassifier, gradient_reversal

ROWS, COLUMNS, BATCH, PASSES = 200_000, 30, 1024, 3


def floor(optimizer: str = "plain", *, compiled: bool = False) -> Callable[[int], None]:
    """A function that takes steps on one fixed batch."""
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


def rows(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Source features and labels, and target features, float32."""
    rng = np.random.default_rng(seed)
    source, target = (rng.standard_normal((count, COLUMNS), dtype=np.float32) for _ in range(2))
    target[:, 1] += 0.5
    return source, (source[:, 0] > 0).astype(np.int64), target


def fit_seconds(data: tuple[np.ndarray, np.ndarray, np.ndarray], passes: int, **settings: object) -> float:
    """CPU time of a whole fit of that many passes."""
    x, y, other = data
    same = {"activation": "relu", "optimizer": "adam", "random_state": 0, "device": "cpu"}
    model = DANNClassifier(epochs=passes, **same, **settings)
    begin = time.process_time()
    model.fit(x, y, X_target=other)
    return time.process_time() - begin


def measure(repeats: int, *, compiled: bool) -> dict[str, float]:
    """Median CPU milliseconds a step of each variant, interleaved."""
    data = rows(ROWS)
    steps = round(ROWS / BATCH)
    floors = {"floor (Adam)": floor(), "floor, fused Adam": floor("fused")}
    if compiled:
        floors["floor, fused Adam, compiled"] = floor("fused", compiled=True)
    fits: dict[str, dict[str, object]] = {"fit": {}, "fit, bfloat16": {"precision": "bfloat16"}}
    found: dict[str, list[float]] = {name: [] for name in (*floors, *fits, "set-up and first pass")}
    fit_seconds(rows(20_000), 1)
    for _ in range(repeats):
        for name, run in floors.items():
            begin = time.process_time()
            run(steps)
            found[name].append(1e3 * (time.process_time() - begin) / steps)
        for name, settings in fits.items():
            one = fit_seconds(data, 1, **settings)
            many = fit_seconds(data, 1 + PASSES, **settings)
            found[name].append(1e3 * (many - one) / (PASSES * steps))
            if name == "fit":
                found["set-up and first pass"].append(1e3 * one)
    return {name: statistics.median(times) for name, times in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    times = measure(arguments.repeats, compiled=arguments.compile)
    base = times["floor (Adam)"]
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, 1 thread")
    for name, value in times.items():
        ratio = "" if name.startswith("set-up") else f"{value / base:6.2f} of the floor"
        print(f"{name:32s} {value:9.3f} ms {ratio}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MB; the table is {2 * ROWS * COLUMNS * 4 / 2**20:.0f} MB")
    if arguments.json:
        arguments.json.write_text(json.dumps({"ms": times, "peak_mb": peak, "torch": torch.__version__}, indent=1))


if __name__ == "__main__":
    sys.exit(main())
