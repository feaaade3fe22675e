"""Two moons turned by 35 degrees: accuracy on the target of every method, ten seeds.

    python benchmarks/moons.py [--seeds 10] [--methods dann,cdan+e] [--json FILE]

1000 points a domain, noise 0.08, centred; the target is another draw, turned. `DANNClassifier` with its defaults but
for widths and epochs. No label of the target is looked at before the last epoch; no epoch is chosen.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import make_moons

from hepda.adversarial import DANNClassifier
from hepda.adversarial.registry import METHODS

Moons = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]
WIDTHS: dict[str, Any] = {"encoder": (64, 64), "domain_head": (64, 64), "epochs": 1500}


def moons(seed: int, degrees: float = 35.0, points: int = 1000, noise: float = 0.08) -> Moons:
    """Source points and labels, target points and labels."""
    x, y = make_moons(points, noise=noise, random_state=seed)
    other, there = make_moons(points, noise=noise, random_state=seed + 1000)
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    other = (other - other.mean(axis=0)) @ turn.T
    return (x - x.mean(axis=0)).astype(np.float32), y, other.astype(np.float32), there


def accuracy(seed: int, **settings: Any) -> float:
    """Accuracy on the target after training with these settings."""
    x, y, other, there = moons(seed)
    model = DANNClassifier(**{**WIDTHS, "device": "cpu", "random_state": seed, **settings})
    return float(model.fit(x, y, X_target=other).score(other, there))


def main() -> None:
    """Measure and print a line a method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--methods", default=",".join(m for m in METHODS if m not in ("conditional", "contrast")))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[float]] = {}
    for method in arguments.methods.split(","):
        begin = time.process_time()
        found[method] = [accuracy(seed, method=method.replace("/", ",")) for seed in range(arguments.seeds)]
        values = np.array(found[method])
        line = f"{method:14s} mean {values.mean():.3f}  lowest {values.min():.3f}  highest {values.max():.3f}"
        print(f"{line}  {time.process_time() - begin:6.0f} s  {np.round(values, 2).tolist()}", flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    sys.exit(main())
