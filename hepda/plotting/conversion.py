"""Figures of environment conversion: what is judged as wanted, from each effect to each other one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hepda.plotting.base.style import DPI, PAGE, styled


@styled
def effects_figure(panels: Mapping[str, NDArray[Any]], names: Sequence[str]) -> Figure:
    """Draw shares [effects, effects] of conversions from the effect of the row to that of the column, a panel a model.

    Args:
        panels: shares by title; NaN is left blank.
        names: of the effects.

    """
    width = min(PAGE, 1.4 + 1.9 * len(panels))
    drawn = Figure(figsize=(width, 2.6), layout="constrained", dpi=DPI)
    axes = drawn.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    image = None
    for panel, (title, shares) in zip(axes, panels.items(), strict=True):
        image = panel.imshow(100.0 * shares, vmin=0.0, vmax=100.0, cmap="Blues", aspect="equal")
        for row, column in np.argwhere(np.isfinite(shares)):
            share = 100.0 * shares[row, column]
            panel.text(
                column, row, f"{share:.0f}", ha="center", va="center", fontsize=6.0,
                color="white" if share > 55.0 else "black",
            )  # fmt: skip
        panel.set_xticks(range(len(names)), names, rotation=90)
        panel.set_yticks(range(len(names)), names)
        panel.tick_params(length=0, which="both")
        panel.minorticks_off()
        panel.set_title(title)
        panel.set_xlabel("Wanted effect")
    axes[0].set_ylabel("Effect of the source")
    if image is not None:
        drawn.colorbar(image, ax=list(axes), label="Judged as wanted [%]", shrink=0.8)
    return drawn
