"""Recipe or architecture: variance components of a run whose models are `<encoder>-<recipe>`, each with several seeds.

    python analyses/grid.py runs/digits_grid [condition]

condition: of images, source or target (the default); of speech, such as `clean` (the default) or `unseen 0 dB`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import hepda
from hepda.errors import ConfigError
from hepda.evaluation.variance import variance_components


def seeds_of(run: hepda.Run, condition: str | None) -> dict[str, Sequence[float]]:
    """Return the result of each seed of each model, in per cent: errors of images and of words."""
    models: Any = run.metrics.models
    if run.kind == "images":
        return {n: [100.0 * (1.0 - s) for s in m.accuracy[condition or "target"].seeds] for n, m in models.items()}
    if run.kind == "speech":
        return {n: [100.0 * s for s in m.seeds[condition or "clean"]] for n, m in models.items()}
    raise ConfigError(f"{run.path}: is a run of {run.kind}; a grid is one of images or of speech.")


def grid_of(results: dict[str, Sequence[float]]) -> tuple[list[str], list[str], np.ndarray]:
    """Return encoders, recipes and results [encoders, recipes, seeds] of models named `<encoder>-<recipe>`."""
    pairs = [name.partition("-")[::2] for name in results]
    encoders, recipes = (list(dict.fromkeys(part)) for part in zip(*pairs, strict=True))
    missing = [f"{e}-{r}" for e in encoders for r in recipes if f"{e}-{r}" not in results]
    if missing:
        raise ConfigError(f"the grid of {', '.join(encoders)} times {', '.join(recipes)} lacks {', '.join(missing)}.")
    return encoders, recipes, np.array([[results[f"{e}-{r}"] for r in recipes] for e in encoders])


def main(path: str, condition: str | None = None) -> None:
    """Print the table of means and the components."""
    encoders, recipes, values = grid_of(seeds_of(hepda.load(path), condition))
    print(f"| errors [%] | {' | '.join(recipes)} |\n|---|{'---|' * len(recipes)}")
    for name, row in zip(encoders, values.mean(axis=2), strict=True):
        print(f"| {name} | {' | '.join(f'{value:.1f}' for value in row)} |")
    found = variance_components(values)
    print("\n| component | variance (68 %) [points^2] |\n|---|---|")
    words = {"first": "encoder", "second": "recipe", "interaction": "both together", "seed": "seed",
             "difference": "recipe minus encoder"}  # fmt: skip
    for name, title in words.items():
        part = getattr(found, name)
        print(f"| {title} | {part.value:.2f} ({part.low:.2f} to {part.high:.2f}) |")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ConfigError as error:
        sys.exit(str(error))
