"""Parts that several figures share: stacks, bands, points, ratio panels, blinded regions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from numpy.typing import NDArray

from hepda.plotting.base.histogram import Floats, Histogram
from hepda.plotting.base.host import figure_of, panels_of_host
from hepda.plotting.base.style import COLUMN, Canvas

BAND: dict[str, Any] = {"facecolor": "none", "edgecolor": "#555555", "hatch": "////////", "linewidth": 0.0}
# Usual ranges of a ratio, and their ticks: none at the ends, where those of the main panel are.
RATIO_RANGES = {
    (0.94, 1.06): (0.97, 1.0, 1.03),
    (0.88, 1.12): (0.95, 1.0, 1.05),
    (0.75, 1.25): (0.8, 1.0, 1.2),
    (0.5, 1.5): (0.75, 1.0, 1.25),
    (0.0, 2.0): (0.5, 1.0, 1.5),
}


def draw_stack(
    axes: Axes,
    histograms: Sequence[Histogram],
    labels: Sequence[str],
    colours: Sequence[str],
    band: str = "MC stat. unc.",
) -> Histogram:
    """Draw filled histograms, the first one lowest, with the band of their total; return the total.

    The upper ones are drawn first, so that the legend has them in the order of the picture.
    """
    totals = [histograms[0]]
    for part in histograms[1:]:
        totals.append(totals[-1] + part)
    bottoms: list[Floats | float] = [0.0, *(total.sumw for total in totals)]
    for total, bottom, label, colour in reversed(list(zip(totals, bottoms, labels, colours, strict=False))):
        add_steps(
            axes, total.sumw, total.edges, baseline=bottom, fill=True, label=label, facecolor=colour,
            edgecolor="white", linewidth=0.25,
        )  # fmt: skip
    draw_band(axes, totals[-1], label=band)
    return totals[-1]


def add_steps(
    axes: Axes, values: Floats, edges: Floats, *, baseline: Floats | float | None, fill: bool = False, **look: Any
) -> StepPatch:
    """Add an outline of bins, as `Axes.stairs` does; whoever draws sets the limits of the axes.

    To search every corner of the outline for the limits would take most of the time of adding it.
    """
    below: Any = baseline  # the stubs of matplotlib allow only a number
    steps = StepPatch(values, edges, baseline=below, orientation="vertical", fill=fill, **look)
    axes.add_artist(steps)
    return steps


def draw_band(axes: Axes, total: Histogram, *, label: str | None = None, relative: bool = False) -> None:
    """Draw a hatched band of one standard error around the total, or around 1 when relative."""
    centre, error = total.sumw, total.error
    if relative:
        below = np.where(centre > 0, centre, np.nan)
        centre, error = np.ones_like(below), error / below
    add_steps(axes, centre + error, total.edges, baseline=centre - error, fill=True, label=label, gid="band", **BAND)


def draw_points(
    axes: Axes,
    values: Histogram,
    *,
    hidden: NDArray[np.bool_] | None = None,
    bars: tuple[Floats, Floats] | None = None,
    label: str | None = None,
    colour: str = "black",
    marker: float = 2.6,
) -> ErrorbarContainer:
    """Draw points with vertical error bars at the bin centres; hidden bins are not drawn at all."""
    down, up = values.interval() if bars is None else bars
    shown = np.isfinite(values.sumw)
    if hidden is not None:
        shown &= ~hidden
    drawn: ErrorbarContainer = axes.errorbar(
        values.centres[shown],
        values.sumw[shown],
        yerr=np.stack([down, up])[:, shown],
        fmt="o",
        color=colour,
        label=label,
        linewidth=0.8,
        markersize=marker,
        zorder=5,
    )
    return drawn


def draw_line(
    axes: Axes,
    values: Histogram,
    *,
    colour: str,
    label: str | None = None,
    dashes: Any = "solid",
    errors: bool = False,
) -> None:
    """Draw an outline of the histogram, with error bars of sqrt(sumw2) at the bin centres on request."""
    add_steps(
        axes, values.sumw, values.edges, baseline=None, edgecolor=colour, label=label, linestyle=dashes, linewidth=1.2
    )
    if errors:
        shown = np.isfinite(values.sumw)
        axes.errorbar(
            values.centres[shown],
            values.sumw[shown],
            yerr=values.error[shown],
            fmt="none",
            color=colour,
            linewidth=0.7,
        )


def hide_region(axes: Axes, blind: tuple[float, float], *, text_top: float | None = None) -> None:
    """Hatch the blinded range and label it, so that missing points are not mistaken for missing data.

    Args:
        axes: the axes to draw on.
        blind: the blinded range (low, high).
        text_top: height of the upper end of the text, in fractions of the axes; None writes no text.

    """
    low, high = axes.get_xlim()
    left, right = max(blind[0], low), min(blind[1], high)
    if right <= left:
        return
    axes.axvspan(
        left, right, facecolor="#ececec", edgecolor="#c4c4c4", hatch="\\\\\\", linewidth=0.0, zorder=0.1, gid="blinded"
    )
    for side in (left, right):
        if low < side < high:
            axes.axvline(side, color="#8c8c8c", linestyle=(0, (2, 1.5)), linewidth=0.7, zorder=0.2)
    if text_top is not None:
        axes.text(
            0.5 * (left + right),
            text_top,
            "data blinded",
            rotation=90,
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="top",
            fontsize=7,
            zorder=6,
            gid="blinded text",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0},
        )


def finish_ratio(
    axes: Axes,
    values: Sequence[Histogram],
    *,
    colours: Sequence[str],
    label: str,
    xlabel: str,
    bounds: tuple[float, float] | None = None,
) -> None:
    """Draw the limits, the line at 1 and the labels of a ratio panel.

    Points beyond the range get an arrow at the edge, so that a distant point is always indicated.

    Args:
        axes: the panel.
        values: the ratios in it.
        colours: their colours.
        label: label of y.
        xlabel: label of x.
        bounds: a range of RATIO_RANGES; None: `ratio_bounds` of the values.

    """
    low, high = ratio_bounds(values) if bounds is None else bounds
    axes.set_ylim(low, high)
    axes.set_yticks(RATIO_RANGES[low, high])
    axes.axhline(1.0, color="black", linewidth=0.6, zorder=1)
    for v, colour in zip(values, colours, strict=True):
        for side, marker, beyond in ((low, "v", v.sumw < low), (high, "^", v.sumw > high)):
            if beyond.any():
                inset = side + (0.07 if side == low else -0.07) * (high - low)
                axes.plot(
                    v.centres[beyond],
                    np.full(beyond.sum(), inset),
                    marker,
                    color=colour,
                    markersize=2.6,
                    linestyle="none",
                    gid="beyond",
                )
    axes.set_ylabel(label, loc="center", fontsize=7.5)
    axes.set_xlabel(xlabel)


def ratio_bounds(values: Sequence[Histogram]) -> tuple[float, float]:
    """Return the narrowest of the usual ranges that contains every ratio known to better than half its value.

    It is the widest where no ratio is known so well. The inputs of an analysis, which are read as one set, have one
    range instead (`common_bounds`). The scores of models do not: adaptation makes a ratio smaller by an order of
    magnitude, and in the range of the plain model the panel of the adapted one would be a line; the axis of each says
    what its range is. Fits and overtraining compare other quantities in each figure.
    """
    any_measured = any(_known(v).any() for v in values)
    ranges = (bounds for bounds in RATIO_RANGES if any_measured and all(_inside(v, bounds) for v in values))
    return next(ranges, (0.0, 2.0))


def common_bounds(panels: Iterable[Sequence[Histogram]], share: float = 0.95) -> tuple[float, float]:
    """Return one range for the ratio panels of a set of figures, so that what looks alike is alike.

    It is the narrowest of the usual ranges with nearly all ratios that are known to better than half their value: one
    bin of a sparse tail, which gets an arrow, must not flatten all panels.

    Args:
        panels: the ratios of each panel.
        share: the share of the ratios, with their errors, that the range has to contain.

    """
    reach = [(v.sumw[known], v.error[known]) for values in panels for v in values if (known := _known(v)).any()]
    if not reach:
        return 0.0, 2.0
    centre, error = (np.concatenate(parts) for parts in zip(*reach, strict=True))
    for low, high in RATIO_RANGES:
        if np.mean((centre - error >= low) & (centre + error <= high)) >= share:
            return low, high
    return 0.0, 2.0


def _known(values: Histogram) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(values.sumw) & (values.error < 0.5 * np.abs(values.sumw)))


def _inside(values: Histogram, bounds: tuple[float, float]) -> bool:
    known = _known(values)
    reach = values.sumw[known], values.error[known]
    return bool(np.all((reach[0] - reach[1] >= bounds[0]) & (reach[0] + reach[1] <= bounds[1])))


def column_of_panels(
    count: int, *, first: float, others: float = 1.15, width: float = COLUMN
) -> tuple[Figure, list[Axes]]:
    """Make panels below each other on one x axis (inches high); the first is taller, because it contains the legend."""
    hosted = panels_of_host(count)
    if hosted is not None:
        return figure_of(hosted[0]), hosted
    left, right, bottom, top, gap = 0.54, 0.16, 0.38, 0.22, 0.08
    heights = [first] + [others] * (count - 1)
    total = sum(heights) + gap * (count - 1) + bottom + top
    drawn = Figure(figsize=(width, total))
    Canvas(drawn)
    panels: list[Axes] = []
    upper = total - top
    for index, height in enumerate(heights):
        box = (left / width, (upper - height) / total, 1 - (left + right) / width, height / total)
        panels.append(drawn.add_axes(box, sharex=panels[0] if panels else None))
        if index < count - 1:
            panels[-1].tick_params(axis="x", labelbottom=False)
        upper -= height + gap
    return drawn, panels
