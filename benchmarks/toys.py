"""Toys per second of a fit with one region, with three regions of the same number of bins, and with free rates.

    python benchmarks/toys.py [--toys 5000] [--repeats 5]

Counts and auxiliary measurements fluctuate, and every toy gets its minimum, its error and its interval (`toy_fits`).
Times are processor time on one thread, medians over interleaved repeats, and ratios to the case of one region within a
repeat. The bins of the one region are dealt to three channels, in which each sample has a rate of its own for every
systematic, as shape systematics make it.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from hepda.evaluation.fits.channels import Channel, SampleTemplate
from hepda.evaluation.fits.templates import Templates
from hepda.evaluation.fits.toys import toy_fits

BINS = 24
NAMES = ("signal", "ttb", "ttc", "ttlight", "other")


def sample(name: str, part: slice, *, free: bool) -> SampleTemplate:
    """Return the template of a sample in some of the bins, with three shapes and two rates as systematics."""
    x = np.linspace(0, 1, BINS)
    contents = {
        "signal": 60 * (0.2 + x**2),
        "ttb": 400 * np.exp(-1.5 * x),
        "ttc": 500 * np.exp(-2.5 * x),
        "ttlight": 2000 * np.exp(-4 * x) + 10,
        "other": 100 * np.exp(-x),
    }[name][part]
    shapes = {
        f"shape{k}": (contents * (1 + 0.03 * np.sin(k + 3 * x[part])), contents * (1 - 0.02 * np.sin(k + 3 * x[part])))
        for k in range(3)
    }
    rate = name if free and name == "ttb" else None
    norms = {"lumi": (1.02, 0.98)} | ({} if rate or name == "signal" else {f"rate_{name}": (1.3, 0.77)})
    return SampleTemplate(name, name == "signal", contents, 0.05 * contents, shapes, norms, rate)


def templates(parts: dict[str, slice], *, free: bool = False) -> Templates:
    """Return templates with a channel for each part of the bins."""
    return Templates(
        tuple(
            Channel(name, np.arange(part.stop - part.start + 1.0), tuple(sample(n, part, free=free) for n in NAMES))
            for name, part in parts.items()
        )
    )


def main() -> None:
    """Print toys per second and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toys", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    third = BINS // 3
    one = {"all": slice(0, BINS)}
    three = {f"r{k}": slice(k * third, (k + 1) * third) for k in range(3)}
    cases = {
        "one region": templates(one),
        "three regions": templates(three),
        "one region, ttb free": templates(one, free=True),
        "three regions, ttb free": templates(three, free=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(options.repeats):
        for name, case in cases.items():
            start = time.process_time()
            result = toy_fits(case, case.total(), 1.0, toys=options.toys, seed=1)
            seconds[name].append(time.process_time() - start)
            if result.failed:
                raise SystemExit(f"{result.failed} toys of {name} have no minimum")
    base = np.array(seconds["one region"])
    print(f"{'':28s} toys/s   time / one region (least to largest)")
    for name, taken in seconds.items():
        ratio = np.array(taken) / base
        speed = options.toys / np.median(taken)
        print(f"{name:28s} {speed:7.0f}   {np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})")


if __name__ == "__main__":
    main()
