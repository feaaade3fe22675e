"""Recipe or architecture: variance components of a run whose models are `<encoder>-<recipe>`, each with several seeds.

    python analyses/grid.py runs/digits_grid [condition]

condition: of images, source or target (the default); of speech, such as `clean` (the default) or `unseen 0 dB`.
The figure of it is written beside the report of the run: RUN/grid.png and RUN/grid.pdf.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import hepda
from hepda.errors import ConfigError
from hepda.evaluation.variance import VarianceComponents, variance_components
from hepda.plotting.base.style import DPI, PAGE, model_styles, save, styled

COMPONENTS = {"first": "encoder", "second": "recipe", "interaction": "both together", "seed": "seed",
              "difference": "recipe minus encoder"}  # fmt: skip


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


@styled
def grid_figure(
    encoders: Sequence[str], recipes: Sequence[str], values: np.ndarray, found: VarianceComponents
) -> Figure:
    """Draw the errors [encoders, recipes, seeds] of every cell, seeds small and means large, beside the components."""
    drawn = Figure(figsize=(PAGE, 2.7), layout="constrained", dpi=DPI)
    cells, parts = drawn.subplots(1, 2, width_ratios=(1.35, 1.0))
    positions, styles = np.arange(len(recipes)), model_styles(encoders)
    for index, name in enumerate(encoders):
        style, x = styles[name], positions + 0.2 * (index - 0.5 * (len(encoders) - 1))
        mean = values[index].mean(axis=1)
        cells.plot(x, mean, marker=style.marker, color=style.colour, linestyle="none", markersize=5.0, label=name)
        for column, of_seeds in zip(x, values[index], strict=True):
            cells.plot([column] * len(of_seeds), of_seeds, marker="_", color=style.colour, linestyle="none")
    cells.set_xticks(positions, recipes)
    cells.tick_params(axis="x", which="both", length=0)
    cells.set(xlim=(-0.6, len(recipes) - 0.4), ylim=(0.0, 1.25 * float(values.max())), xlabel="Recipe")
    cells.set_ylabel("Error [%]")
    cells.legend(loc="upper right", ncols=len(encoders), title="Encoder (bars: seeds, markers: their mean)")
    for row, name in enumerate(COMPONENTS):
        part = getattr(found, name)
        parts.plot([part.low, part.high], [row, row], color="black", linewidth=1.0)
        parts.plot([part.value], [row], marker="o", color="black", linestyle="none", markersize=4.0)
    parts.axvline(0.0, color="#717581", linestyle="dotted", linewidth=0.8)
    parts.set_yticks(range(len(COMPONENTS)), [title.capitalize() for title in COMPONENTS.values()])
    parts.tick_params(axis="y", which="both", length=0)
    parts.set(ylim=(len(COMPONENTS) - 0.5, -0.5), xlabel="Variance, 68 % interval [points²]")
    return drawn


def main(path: str, condition: str | None = None) -> None:
    """Print the table of means and the components, and write their figure into the run."""
    run = hepda.load(path)
    encoders, recipes, values = grid_of(seeds_of(run, condition))
    print(f"| errors [%] | {' | '.join(recipes)} |\n|---|{'---|' * len(recipes)}")
    for name, row in zip(encoders, values.mean(axis=2), strict=True):
        print(f"| {name} | {' | '.join(f'{value:.1f}' for value in row)} |")
    found = variance_components(values)
    print("\n| component | variance (68 %) [points^2] |\n|---|---|")
    for name, title in COMPONENTS.items():
        part = getattr(found, name)
        print(f"| {title} | {part.value:.2f} ({part.low:.2f} to {part.high:.2f}) |")
    png, _ = save(grid_figure(encoders, recipes, values, found), run.path, "grid")
    print(f"\nfigure: {png}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ConfigError as error:
        sys.exit(str(error))
