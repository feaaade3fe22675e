"""Speed of a training of images, compared with the same network stepped in plain eager torch on one fixed batch.

    python benchmarks/images.py [--repeats 7] [--steps 50] [--json FILE]

DANN with 128 + 128 random images for each step (64 + 64 for the paper's network), bytes in memory. `fit` is everything
between the first epoch and the return of the call, for each step: the draw of rows, bytes to floats, augmentation,
losses, schedules, meters. The floor is the same network, made by the same function, with torch's own losses and fused
Adam on one batch of floats that is in memory already. One thread, CPU time, interleaved; ratios are medians of the
ratios within a repeat. The goal is at most 1.08 without augmentation. In addition: how many images are augmented in a
second, and how many digits are blended into photographs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn

from hepda.adversarial import DomainRows, Network, Trainer, gradient_reversal, seeded
from hepda.adversarial.networks.domains import tell
from hepda.adversarial.training.state import TrainingState
from hepda.config.images import ImageModelConfig
from hepda.images.augmentation import CHANGES, augmentation
from hepda.images.sources.blending import blended
from hepda.images.training import empty_network

CLASSES = 10


@dataclass(frozen=True, slots=True)
class Case:
    """A network and the images that it sees."""

    name: str
    encoder: str
    size: int
    channels: int
    rows: int
    precision: str = "float32"
    augment: tuple[str, ...] = ()

    def network(self) -> Network:
        """Return the network, with a domain head."""
        told = {"encoder": self.encoder, "normalise": "image", "domain": {"method": "dann"}}
        with seeded(1):
            return empty_network(ImageModelConfig.model_validate(told), self.channels, self.size, CLASSES)


CASES = (
    Case("small, 28 x 28 x 3", "small", 28, 3, 128),
    Case("small, 28 x 28 x 3, bfloat16", "small", 28, 3, 128, "bfloat16"),
    Case("small, 28 x 28 x 3, bfloat16, shift and invert", "small", 28, 3, 128, "bfloat16", ("shift", "invert")),
    Case("small, 16 x 16", "small", 16, 1, 128),
    Case("small, 16 x 16, bfloat16", "small", 16, 1, 128, "bfloat16"),
    Case("small, 16 x 16, bfloat16, affine", "small", 16, 1, 128, "bfloat16", ("affine",)),
    Case("paper's, 28 x 28 x 3", "paper-mnist", 28, 3, 64),
    Case("paper's, 28 x 28 x 3, bfloat16", "paper-mnist", 28, 3, 64, "bfloat16"),
)


def floor(case: Case) -> Callable[[int], float]:
    """Return a function that gives the CPU seconds of some steps on one fixed batch."""
    network = case.network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    encoder, heads = network.encoder, network.head_modules
    adam = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    n, half = case.rows, torch.tensor(0.5)
    x = 255.0 * torch.rand(2 * n, case.channels, case.size, case.size)
    x = x.contiguous(memory_format=torch.channels_last)
    label = torch.randint(CLASSES, (n,))
    domain = torch.cat([torch.zeros(n), torch.ones(n)])
    tell(encoder, n)

    def run(steps: int) -> float:
        begin = time.process_time()
        for _ in range(steps):
            adam.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=case.precision == "bfloat16"):
                features = encoder(x)
                said, side = heads["class"](features[:n]), heads["domain"](gradient_reversal(features, half))
            task = nn.functional.cross_entropy(said.float(), label)
            against = nn.functional.binary_cross_entropy_with_logits(side[:, 0].float(), domain)
            (task + against).backward()
            adam.step()
        return time.process_time() - begin

    run(5)
    return run


def fit(case: Case, steps: int) -> float:
    """Return the CPU seconds of a fit after its first epoch, which has the same number of steps."""
    rng, change = np.random.default_rng(1), augmentation(case.augment)
    # in memory, in the form in which an analysis of images keeps them
    pixels = rng.integers(0, 256, (2, steps * case.rows, case.size, case.size, case.channels), dtype=np.uint8)
    pixels = pixels.transpose(0, 1, 4, 2, 3)
    label = rng.integers(0, CLASSES, steps * case.rows)
    ends: list[float] = []
    epoch = TrainingState.epoch

    def timed(state: TrainingState) -> None:
        epoch(state)
        ends.append(time.process_time())

    trainer = Trainer(
        epochs=2, batch_size=case.rows, optimizer="adam", precision=case.precision, device="cpu", kernels="plain",
        channels_last=True,
    )  # fmt: skip
    source, target = DomainRows(pixels[0], {"class": label}, transform=change), DomainRows(pixels[1], transform=change)
    with mock.patch.object(TrainingState, "epoch", timed):
        trainer.fit(case.network(), source, target)
        return time.process_time() - ends[0]


def rates(repeats: int) -> dict[str, float]:
    """Return the images per second of each augmentation (256 of 28 x 28 x 3 at a time), and of blending digits."""
    x = 255.0 * torch.rand(256, 3, 28, 28)
    x = x.contiguous(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(1)
    rng = np.random.default_rng(1)
    digits = rng.integers(0, 256, (8192, 28, 28), dtype=np.uint8)
    photos = [rng.integers(0, 256, (321, 481, 3), dtype=np.uint8) for _ in range(20)]
    works: dict[str, tuple[int, Callable[[], object]]] = {
        name: (len(x), lambda change=change: change(x, generator))  # type: ignore[misc]
        for name, change in CHANGES.items()
    }
    works["blended"] = len(digits), lambda: blended(digits, photos, seed=1)
    found = {}
    for name, (count, work) in works.items():
        times = []
        for _ in range(repeats):
            begin = time.process_time()
            work()
            times.append(time.process_time() - begin)
        found[name] = count / statistics.median(times)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, dict[str, float]] = {}
    for case in CASES:
        plain = floor(case)
        fit(case, 5)
        times = [(plain(arguments.steps), fit(case, arguments.steps)) for _ in range(arguments.repeats)]
        floors, fits = (1e3 * statistics.median(column) / arguments.steps for column in zip(*times, strict=True))
        ratio = statistics.median(b / a for a, b in times)
        result[case.name] = {"floor_ms": floors, "fit_ms": fits, "ratio": ratio}
        print(f"{case.name:48} floor {floors:6.2f} ms, fit {fits:6.2f} ms: {ratio:.3f} of the floor", flush=True)
    result["images_per_second"] = rates(arguments.repeats)
    for name, rate in result["images_per_second"].items():
        print(f"{name:10} {rate:10,.0f} images a second")
    if arguments.json:
        arguments.json.write_text(json.dumps({**result, "torch": torch.__version__}, indent=1))


if __name__ == "__main__":
    sys.exit(main())
