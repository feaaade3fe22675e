"""Figures of linear correlations: of the inputs, and of the scores of several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from hepda.errors import DataError
from hepda.plotting.base.rows import letters
from hepda.plotting.base.style import PAGE, Canvas, Label, styled
from hepda.results.evaluation import FloatArray

WITH_NUMBERS = 12
"""Largest number of rows whose cells have room for a number."""


@styled
def correlations_figure(
    matrices: Mapping[str, FloatArray], names: Sequence[str], *, label: Label | None = None
) -> Figure:
    """Draw correlation matrices next to each other, one for each group of events, with one colour scale.

    Cells without a correlation (NaN) are grey. Small matrices have their numbers in per cent.

    Args:
        matrices: group -> correlations [k, k].
        names: of rows and columns [k].
        label: label over the axes.

    Raises:
        DataError: there is no matrix, or fewer than two rows.

    """
    if not matrices or len(names) < 2:
        raise DataError("a figure of correlations needs two quantities at least; there is nothing to draw")
    count = len(names)
    size = 6.5 if count <= WITH_NUMBERS else max(3.4, 6.5 * (WITH_NUMBERS / count) ** 0.55)
    texts = max(map(letters, names)) * size / 72 * 0.5
    left, right, gap, top = 0.12 + texts, 0.55, 0.12, 0.42
    side = (PAGE - left - right - gap * (len(matrices) - 1)) / len(matrices)
    side = min(side, 0.45 * count + 0.3)
    width = left + right + side * len(matrices) + gap * (len(matrices) - 1)
    height = side + top + left
    drawn = Figure(figsize=(width, height))
    Canvas(drawn)
    images = []
    for number, (group, matrix) in enumerate(matrices.items()):
        axes = drawn.add_axes(((left + number * (side + gap)) / width, left / height, side / width, side / height))
        axes.set_facecolor("#d0d0d0")
        images.append(axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto"))
        axes.set_xticks(range(count), names, rotation=90)
        axes.set_yticks(range(count), names if number == 0 else [""] * count)
        axes.tick_params(labelsize=size, which="both", length=0)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_locator(NullLocator())
        axes.set_title(group, fontsize=8, pad=3)
        if count <= WITH_NUMBERS:
            for row, column in np.argwhere(np.isfinite(matrix)):
                value = matrix[row, column]
                text = f"{100 * value:.0f}".replace("-0", "0").replace("-", "−")
                axes.text(column, row, text, ha="center", va="center", fontsize=6.5,
                          color="white" if abs(value) > 0.6 else "black")  # fmt: skip
    bar = drawn.add_axes(((width - right + 0.08) / width, left / height, 0.1 / width, side / height))
    colours = drawn.colorbar(images[0], cax=bar, ticks=[-1, -0.5, 0, 0.5, 1])
    colours.ax.tick_params(labelsize=6.5, which="both", length=0)
    colours.ax.yaxis.set_minor_locator(NullLocator())
    if label is not None:
        drawn.text(0.05 / width, 1 - 0.05 / height, label.status, weight="bold", va="top", gid="label")
        origin = ", ".join(text for text in (label.note, label.right) if text)
        drawn.text(1 - 0.05 / width, 1 - 0.05 / height, origin, ha="right", va="top", gid="label")
    return drawn
