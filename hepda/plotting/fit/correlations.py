"""The correlations of the parameters of a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from hepda.errors import DataError
from hepda.plotting.base.histogram import Floats
from hepda.plotting.base.style import COLUMN, PAGE, Label, axes_label, figure, styled
from hepda.plotting.fit.rows import nice, say_left_out, widest
from hepda.results.fit_file import CorrelationEntry, ParameterEntry

_CELL = 0.245  # inches: a cell with a number of two digits
THRESHOLDS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def correlated(matrix: Floats, kept: Sequence[bool], most: int) -> tuple[NDArray[np.intp], float]:
    """Return the parameters to show, and the threshold: the smallest of THRESHOLDS that leaves at most `most`.

    A parameter is shown if its correlation with any other has at least that absolute value. Of a matrix that exceeds
    `most` even with the largest threshold, the parameters with the largest correlations remain.

    Args:
        matrix: correlations [q, q].
        kept: parameters that are always shown [q].
        most: largest number of parameters.

    """
    others = np.abs(matrix - np.diag(np.diag(matrix)))
    largest = np.where(kept, np.inf, others.max(axis=1, initial=0.0))
    for threshold in THRESHOLDS:
        chosen = np.flatnonzero(largest >= threshold)
        if len(chosen) <= most:
            return chosen, threshold
    chosen = np.sort(np.argsort(-largest, kind="stable")[:most])
    return chosen, float(largest[chosen].min())


@styled
def correlation_figure(
    correlation: CorrelationEntry,
    parameters: Sequence[ParameterEntry],
    *,
    labels: Mapping[str, str] | None = None,
    most: int = 20,
    label: Label | None = None,
) -> Figure:
    """Draw the correlations after the fit, in per cent: of all parameters, or of those that are strongly correlated.

    Args:
        correlation: the matrix with the names of the parameters.
        parameters: the fitted parameters, for their kinds.
        labels: labels of the parameters.
        most: largest number of parameters. Of more, only those with a correlation above a threshold are drawn, which
            the figure states; strengths and free rates are always drawn.
        label: label over the axes.

    Raises:
        DataError: the fit has no correlations.

    """
    matrix = np.array(correlation.matrix, dtype=np.float64)
    if not matrix.size:
        raise DataError("the fit has no minimum; there is no correlation to draw")
    kinds = {p.name: p.kind for p in parameters}
    free = [kinds.get(name) in ("poi", "free") for name in correlation.names]
    chosen, threshold = correlated(matrix, free, most)
    names = [nice(correlation.names[i], kinds.get(correlation.names[i], "systematic"), labels) for i in chosen]
    part = matrix[np.ix_(chosen, chosen)]
    left = 0.16 + widest(names, 6.5)
    width = COLUMN if left + _CELL * len(chosen) + 0.16 <= COLUMN else PAGE
    side = min(max(_CELL * len(chosen), 1.9), width - left - 0.16)
    left_out = len(matrix) - len(chosen)
    bottom = left + 0.14
    drawn, axes = figure(left + side + 0.16, side + bottom + 0.22, left=left, bottom=bottom)
    axes.imshow(part, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    size = 6.0 if side / len(chosen) > 0.2 else 4.5
    for row, column in np.ndindex(*part.shape):
        value = part[row, column]
        colour = "white" if abs(value) > 0.6 else "black"
        text = f"{100 * value:.0f}".replace("-0", "0").replace("-", "−")
        axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_tick_params(which="both", length=0)
    axes.tick_params(labelsize=6.5)
    axes_label(axes, label, left=-(left - 0.05) / side)
    said = "Correlations in per cent"
    if left_out:
        said += f"; {left_out} parameters without one of {100 * threshold:.0f} or more are not shown"
    say_left_out(drawn, said)
    return drawn
