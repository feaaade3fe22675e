"""The best of many: bias, error, regret and coverage of every estimator of `hepda.evaluation.best_of`, by simulation.

`python benchmarks/best_of.py` (about five minutes on one core; `--choices` sets how many choices the first table has).
Points have true values, every seed adds noise, the best mean is chosen, and the estimate is compared with the true
value of the chosen point. All numbers are in errors of a point's mean. `spread` is the standard deviation of the true
values. `regret` is how much the chosen point is worse than the best one. Curves of other shapes than the bootstrap
assumes are in the second table: points on a parabola, one point far below all others, one far above.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable

import numpy as np
from numpy.random import Generator

from hepda.evaluation.best_of import METHODS, best_of
from hepda.results.evaluation import FloatArray

DRAWS = 250
"""Simulated measurements of the bootstrap: fewer than in hepda, where a choice is made once."""
SPREADS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
SIZES = ((5, 3), (5, 5), (5, 10), (20, 3), (20, 10), (50, 3), (50, 5), (50, 10))
Truth = Callable[[Generator], FloatArray]


def scattered(points: int, spread: float) -> Truth:
    """Return true values that are normal about one centre."""
    return lambda generator: spread * generator.normal(size=points)


SHAPES: dict[str, Truth] = {
    "parabola, ends 5 below": lambda _: -5.0 * np.linspace(-1.0, 1.0, 20) ** 2,
    "parabola, ends 20 below": lambda _: -20.0 * np.linspace(-1.0, 1.0, 20) ** 2,
    "19 equal, one 20 below": lambda _: np.r_[-20.0, np.zeros(19)],
    "half of them 4 below": lambda _: np.r_[np.full(10, -4.0), np.zeros(10)],
    "19 equal, one 2 above": lambda _: np.r_[2.0, np.zeros(19)],
    "19 equal, one 4 above": lambda _: np.r_[4.0, np.zeros(19)],
}


def measure(truth: Truth, seeds: int, method: str, choices: int, common: float = 0.0) -> dict[str, float]:
    """Return the numbers of a method over many choices.

    Args:
        truth: draws true values, in errors of a mean.
        seeds: number of seeds.
        method: name of the estimator.
        choices: number of simulated choices.
        common: effect of a seed that all points have in common, in units of the noise of one seed.

    """
    generator = np.random.default_rng(20)
    off, regret, covered = np.zeros(choices), np.zeros(choices), np.zeros(choices, dtype=bool)
    for n in range(choices):
        true = truth(generator)
        noise = generator.normal(size=(len(true), seeds)) + common * generator.normal(size=seeds)
        best = best_of(true[:, None] + np.sqrt(seeds) * noise, method, draws=DRAWS, seed=n)  # type: ignore[arg-type]
        expected = true[best.point]
        off[n], regret[n] = best.value - expected, true.max() - expected
        covered[n] = best.low <= expected <= best.high
    return {
        "bias": off.mean(), "its error": off.std() / np.sqrt(choices), "rms": np.sqrt((off**2).mean()),
        "regret": regret.mean(), "coverage": 100.0 * covered.mean(),
    }  # fmt: skip


def cells(numbers: dict[str, float]) -> str:
    """Return the numbers of a method as cells of a table."""
    return (
        f"{numbers['bias']:+.2f} ± {numbers['its error']:.2f} | {numbers['rms']:.2f} | {numbers['regret']:.2f} | "
        f"{numbers['coverage']:.0f} %"
    )


def table(first: str, rows: Iterable[tuple[str, dict[str, float]]]) -> None:
    """Print a table."""
    print(f"\n| {first} | bias | rms error | regret | coverage |\n| --- | --- | --- | --- | --- |")
    for name, numbers in rows:
        print(f"| {name} | {cells(numbers)} |", flush=True)


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--choices", type=int, default=1500, help="of the bootstrap at 20 points and 5 seeds")
    choices = parser.parse_args().choices
    start = time.process_time()
    table("20 points, 5 seeds: method, spread", (
        (f"{method}, {spread:g}", measure(scattered(20, spread), 5, method, choices if method == "bootstrap" else
                                          choices // (8 if method == "double" else 2)))
        for method in METHODS for spread in (SPREADS if method == "bootstrap" else SPREADS[:1] + SPREADS[3::2])
    ))  # fmt: skip
    table("20 points, 5 seeds, bootstrap: shape", (
        (name, measure(truth, 5, "bootstrap", choices // 4)) for name, truth in SHAPES.items()
    ))  # fmt: skip
    table("20 points, 5 seeds, bootstrap, seeds have as much in common as apart: spread", (
        (f"{spread:g}", measure(scattered(20, spread), 5, "bootstrap", choices // 3, 1.0)) for spread in (0.0, 1.0, 4.0)
    ))  # fmt: skip
    table("bootstrap: points, seeds, spread", (
        (f"{points}, {seeds}, {spread:g}", measure(scattered(points, spread), seeds, "bootstrap", choices // 4))
        for points, seeds in SIZES for spread in (0.0, 1.0, 4.0)
    ))  # fmt: skip
    print(f"\n{time.process_time() - start:.0f} s of CPU")


if __name__ == "__main__":
    main()
