"""Did the training do what it should? Losses, the adversary against its blind limits, gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hepda.errors import DataError
from hepda.plotting.numbers import Floats
from hepda.plotting.style import COLUMN, PAGE, PALETTE, Label, axes_label, legend_above, styled

LN2 = float(np.log(2.0))


@styled
def training_figure(
    panels: Mapping[str, Mapping[str, Sequence[float | None]]],
    *,
    model: str,
    levels: Mapping[str, tuple[float, str]] | None = None,
    best_epoch: int | None = None,
    label: Label | None = None,
) -> Figure:
    """The history of one model: a panel a quantity against the epoch, one line a series.

    panels: y label -> {name of the series -> one value an epoch (None or NaN where there was none)}. levels:
    y label -> (value, text) of a line that the quantity is judged by, such as ln 2 for the domain loss and
    0.5 for its accuracy; `usual_panels` makes both from a history. best_epoch: the epoch that was kept,
    counted from 1. A panel without a single finite value is not drawn; DataError is raised if none is left.
    """
    levels = levels or {}
    filled = {name: {k: _array(v) for k, v in series.items()} for name, series in panels.items()}
    filled = {
        name: {k: v for k, v in series.items() if np.isfinite(v).any()} for name, series in filled.items()
    }
    filled = {name: series for name, series in filled.items() if series}
    if not filled:
        raise DataError(f"the history of {model} holds no finite value; there is nothing to draw")
    drawn, axes = _grid(len(filled))
    for panel, (name, series) in zip(axes, filled.items(), strict=True):
        _panel(panel, name, series, levels.get(name), best_epoch)
    axes_label(axes[0], label)
    last = axes[min(3, len(axes)) - 1]
    last.text(1.0, 1.015, model, ha="right", va="bottom", weight="bold", transform=last.transAxes)
    return drawn


def domain_levels(names: Sequence[str]) -> dict[str, tuple[float, str]]:
    """The lines that a two-domain head is judged by, for those of the panels `names` that show its loss or
    accuracy.

    A head that cannot tell two domains apart has a cross entropy of ln 2 and an accuracy of one half.
    """
    levels = {}
    for name in names:
        if "domain" in name.lower() and "loss" in name.lower():
            levels[name] = (LN2, "ln 2")
        elif "domain" in name.lower() and ("accuracy" in name.lower() or "auc" in name.lower()):
            levels[name] = (0.5, "0.5")
    return levels


def _panel(
    axes: Axes, name: str, series: Mapping[str, Floats], level: tuple[float, str] | None, best: int | None
) -> None:
    values = [v[np.isfinite(v)] for v in series.values()]
    low, high = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
    if level is not None:
        low, high = min(low, level[0]), max(high, level[0])
    pad = 0.08 * (high - low) or 0.1 * max(abs(high), 0.1)
    dashes = ("solid", (0, (4, 1.3)), (0, (1.5, 1)), (0, (6, 1.5, 1, 1.5)))
    for index, (key, v) in enumerate(series.items()):
        axes.plot(
            np.arange(1, len(v) + 1),
            v,
            color=PALETTE[index % len(PALETTE)],
            linestyle=dashes[index % 4],
            label=key,
            marker="o" if len(v) == 1 else None,
        )
    if level is not None:
        axes.axhline(
            level[0], color="black", linewidth=0.8, linestyle=(0, (2, 1.5)), label=level[1], gid="level"
        )
    if best is not None:
        axes.plot(
            [best],
            [0.0],
            marker="^",
            color="black",
            markersize=4.5,
            linestyle="none",
            clip_on=False,
            zorder=6,
            transform=axes.get_xaxis_transform(),
            label="epoch kept",
            gid="best",
        )
    axes.set_ylim(low - pad, high + pad)
    length = max(len(v) for v in series.values())
    axes.set_xlim(0.5, length + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.xaxis.minorticks_off()
    axes.set_xlabel("Epoch")
    axes.set_ylabel(name)
    legend_above(axes)


def _grid(count: int) -> tuple[Figure, list[Axes]]:
    """Three panels a row, fewer if there are fewer; no axes for what is not there."""
    columns = min(count, 3)
    rows = -(-count // columns)
    width = {1: COLUMN, 2: PAGE * 0.72, 3: PAGE}[columns]
    cell, left, right, bottom = 1.75, 0.5, 0.08, 0.36
    height = rows * cell + 0.24
    drawn = Figure(figsize=(width, height))
    FigureCanvasAgg(drawn)
    wide = (width - 0.04) / columns
    axes = []
    for index in range(count):
        row, column = divmod(index, columns)
        y = height - 0.24 - (row + 1) * cell + bottom
        box = (
            (column * wide + left) / width,
            y / height,
            (wide - left - right) / width,
            (cell - bottom - 0.06) / height,
        )
        axes.append(drawn.add_axes(box))
    return drawn, axes


def _array(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
