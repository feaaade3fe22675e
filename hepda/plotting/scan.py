"""Figures of a scan: separation against bias along the strength, and the selection criterion; one curve per method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import offset_copy

from hepda.errors import DataError
from hepda.plotting.base.style import COLUMN, PAGE, Canvas, Label, LineStyle, axes_label, model_styles, styled

BAND = "#e4e4e4"
NULL: Mapping[str, Any] = {"facecolor": BAND, "edgecolor": "none", "zorder": 0}
EXPECTED: Mapping[str, Any] = {
    "marker": "s", "markersize": 4.2, "markerfacecolor": "white", "markeredgewidth": 0.9, "color": "black",
    "linestyle": "none", "zorder": 6, "gid": "corrected",
}  # fmt: skip
CROSS: Mapping[str, Any] = {
    "marker": "x", "markersize": 6.5, "markeredgewidth": 0.9, "color": "black", "linestyle": "none", "zorder": 4,
    "gid": "failed",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean over seeds and their standard deviation, None for one seed."""

    mean: float
    std: float | None = None


@dataclass(frozen=True, slots=True)
class Corrected:
    """What to expect of a chosen point: its number corrected for the choice, with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ScanPoint:
    """One point of a scan.

    Attributes:
        at: the value of the key along which the scan goes.
        text: text at the point.
        numbers: the numbers of the point by name, as far as they are available.
        chosen: whether the point was chosen.
        failed: whether a training of it failed.
        corrected: of a chosen point, what to expect of it, by the same names.

    """

    at: float
    text: str
    numbers: Mapping[str, Spread] = field(default_factory=dict)
    chosen: bool = False
    failed: bool = False
    corrected: Mapping[str, Corrected] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Panel:
    """One axes: the names of its numbers, their labels and factors, and the shaded range.

    band: limits of the null distribution of one generator on x (trade-off), or of the values that may be chosen on y
    (criterion).
    """

    y: str
    y_label: str
    x: str = ""
    x_label: str = ""
    x_factor: float = 1.0
    band: tuple[float, float] | None = None


Curves = Mapping[str, Sequence[ScanPoint]]


@styled
def scan_tradeoff_figure(
    curves: Curves,
    panels: Sequence[Sequence[Panel]],
    *,
    connected: bool = True,
    label: Label | None = None,
) -> Figure:
    """Draw AUC against bias, one panel for each pair of names in `panels` and one curve for each name in `curves`.

    Points have means and standard deviations over seeds; along a curve they are in the order given and are
    labelled by `text` where there is room. A chosen point has a ring, and a square where it is expected to be
    when its luck is taken away; a point with a failed training has a cross.

    Args:
        curves: name of the curve -> its points.
        panels: rows of columns of panels.
        connected: whether lines join the points.
        label: label over the axes.

    Raises:
        DataError: no point has both numbers of any panel.

    """
    if not any(
        _known(point, p.x, p.y) for points in curves.values() for point in points for row in panels for p in row
    ):
        raise DataError("no point of the scan has both an AUC and a bias; there is no trade-off to draw")
    banded = any(panel.band is not None for row in panels for panel in row)
    drawn, grid = _grid(len(panels), max(len(row) for row in panels), 0.66 * COLUMN, entries=_entries(curves, banded))
    styles = model_styles(curves)
    for axes_row, row in zip(grid, panels, strict=True):
        for axes, panel in zip(axes_row, row, strict=True):
            if panel.band is not None:
                axes.axvspan(*(panel.x_factor * end for end in panel.band), gid="null", **NULL)
            for name, points in curves.items():
                shown = [p for p in points if _known(p, panel.x, panel.y)]
                where = [p.numbers[panel.x] for p in shown]
                _curve(axes, styles[name], shown, where, panel, connected=connected)
            if panel.band is not None and panel.band[0] == 0.0:
                axes.set_xlim(left=0.0)
            elif panel.band is not None:
                axes.axvline(0.0, color="black", linewidth=0.5, zorder=1)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.set_xlabel(panel.x_label)
            axes.set_ylabel(panel.y_label)
    axes_label(grid[0][0], label)
    _legend(drawn, styles, curves, "no difference (95 %)" if banded else "", connected=connected)
    return drawn


@styled
def scan_criterion_figure(
    curves: Curves,
    panels: Sequence[Panel],
    *,
    key: str,
    connected: bool = True,
    band_text: str = "",
    words: bool = False,
    label: Label | None = None,
) -> Figure:
    """Draw the selection criterion against the value of `key`, panels above one another, one curve for each name.

    The axis is logarithmic where the values span more than a factor of 30; a value of 0 is then drawn separately at the
    left.

    Args:
        curves: name of the curve -> its points.
        panels: the panels, from top to bottom.
        key: the key along which the scan goes.
        connected: whether lines join the points.
        band_text: meaning of the shaded range of a panel.
        words: values are positions in a list, and the points' texts are written there.
        label: label over the axes.

    Raises:
        DataError: there are no points.

    """
    shown = [point for points in curves.values() for point in points]
    if not any(_known(point, panel.y) for point in shown for panel in panels):
        raise DataError("no point of the scan has a value of the criterion; there is nothing to draw")
    place, ticks = _axis([point.at for point in shown])
    drawn, grid = _grid(len(panels), 1, 0.5 * COLUMN, shared=True, entries=_entries(curves, bool(band_text)))
    styles = model_styles(curves)
    for (axes,), panel in zip(grid, panels, strict=True):
        if panel.band is not None:
            axes.axhspan(*panel.band, gid="allowed", **NULL)
        for name, points in curves.items():
            measured = [point for point in points if _known(point, panel.y)]
            where = [Spread(place(point.at)) for point in measured]
            _curve(axes, styles[name], measured, where, panel, texts=False, connected=connected)
        # Where every seed failed there is no number: the cross is at the lower end of the axes.
        for point in [point for point in shown if point.failed and not _known(point, panel.y)]:
            axes.plot(place(point.at), 0.06, transform=axes.get_xaxis_transform(), **CROSS)
        axes.set_ylabel(panel.y_label)
        axes.yaxis.set_major_locator(MaxNLocator(5))
    if words:
        named = {point.at: point.text for point in shown}
        grid[-1][0].set_xticks(list(named), [text if len(text) < 13 else f"{text[:11]}…" for text in named.values()])
    else:
        ticks(grid[-1][0])
    grid[-1][0].set_xlabel(key)
    axes_label(grid[0][0], label)
    _legend(drawn, styles, curves, band_text, connected=connected)
    return drawn


def _known(point: ScanPoint, *names: str) -> bool:
    return all(name in point.numbers for name in names)


def _curve(
    axes: Axes,
    style: LineStyle,
    points: Sequence[ScanPoint],
    where: Sequence[Spread],
    panel: Panel,
    *,
    texts: bool = True,
    connected: bool,
) -> None:
    """Draw points with bars of a standard deviation, the line along them, rings and texts."""
    if not points:
        return
    x, x_error = (panel.x_factor * np.array(values) for values in _columns(where))
    y, y_error = (np.array(values) for values in _columns([point.numbers[panel.y] for point in points]))
    axes.errorbar(x, y, xerr=x_error, yerr=y_error, fmt=style.marker, color=style.colour, markersize=3.2, linewidth=0.7,
                  zorder=3)  # fmt: skip
    if connected:
        axes.plot(x, y, color=style.colour, linestyle=style.dashes, linewidth=0.9, zorder=2)
    for i, point in enumerate(points):
        if point.chosen:
            axes.plot(x[i], y[i], "o", markersize=8.5, markerfacecolor="none", markeredgecolor="black",
                      markeredgewidth=0.9, zorder=4, gid="chosen")  # fmt: skip
            _expected(axes, point, panel, (x[i], y[i]))
        if point.failed:
            axes.plot(x[i], y[i], **CROSS)
        if texts and connected:
            axes.annotate(point.text, (x[i], y[i]), xytext=(4, -8), textcoords="offset points", fontsize=6,
                          color=style.colour, gid="value")  # fmt: skip


def _expected(axes: Axes, point: ScanPoint, panel: Panel, measured: tuple[float, float]) -> None:
    """Draw where a chosen point is expected to be, with its intervals, and a line to where it was measured."""
    along = point.corrected.get(panel.x) if panel.x else Corrected(measured[0], measured[0], measured[0])
    upwards = point.corrected.get(panel.y)
    if along is None or upwards is None:
        return
    factor = panel.x_factor if panel.x else 1.0
    x, y = factor * along.value, upwards.value
    beside = axes.transData
    if not panel.x:  # both are at the same x
        beside = offset_copy(beside, cast(Figure, axes.figure), x=5.0, units="points")
    across = [[abs(factor) * (along.value - along.low)], [abs(factor) * (along.high - along.value)]]
    if panel.x:
        axes.plot([measured[0], x], [measured[1], y], color="black", linewidth=0.5, zorder=4)
    axes.errorbar(
        x, y, xerr=across if panel.x else None, yerr=[[y - upwards.low], [upwards.high - y]], fmt="none",
        ecolor="black", elinewidth=0.7, zorder=5, transform=beside,
    )  # fmt: skip
    axes.plot(x, y, transform=beside, **EXPECTED)


def _columns(spreads: Sequence[Spread]) -> tuple[list[float], list[float]]:
    return [s.mean for s in spreads], [0.0 if s.std is None else s.std for s in spreads]


def _axis(values: Sequence[float]) -> tuple[Callable[[float], float], Callable[[Axes], None]]:
    """Return the position of a value on the axis, and the function that makes the ticks of the axis."""
    positive = [value for value in values if value > 0]
    if not positive or min(values) < 0 or max(positive) < 30 * min(positive):
        return (lambda value: value), (lambda axes: axes.xaxis.set_major_locator(MaxNLocator(6)))
    left = min(positive) / 10**0.5  # position of 0

    def ticks(axes: Axes) -> None:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_locator(LogLocator(numticks=8))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        if min(values) == 0:
            # The decades on the axis, and the label of 0 at its left end.
            low, high = left / 1.3, max(positive) * 1.3
            decades = [10.0**k for k in range(-12, 13) if min(positive) <= 10.0**k <= high]
            axes.set_xticks([left, *decades], ["0", *(f"{d:g}" for d in decades)])
            axes.set_xlim(low, high)

    return (lambda value: value if value > 0 else left), ticks


def _grid(
    rows: int, columns: int, height: float, *, entries: int, shared: bool = False
) -> tuple[Figure, list[list[Axes]]]:
    """Make axes in rows of columns at stated margins, with room below for `entries` of the legend.

    With `shared`, all rows have one x axis at the bottom.
    """
    width = COLUMN if columns == 1 else PAGE
    left, right, top, bottom = 0.58, 0.1, 0.24, 0.40
    below = 0.08 + 0.16 * -(-entries // _legend_columns(width))
    gap = 0.09 if shared else bottom + 0.16
    total = top + rows * height + (rows - 1) * gap + bottom + below
    drawn = Figure(figsize=(width, total))
    Canvas(drawn)
    inner = (width - columns * (left + right)) / columns
    grid: list[list[Axes]] = []
    for row in range(rows):
        low = total - top - height - row * (height + gap)
        line = []
        for column in range(columns):
            box = ((left + column * (inner + left + right)) / width, low / total, inner / width, height / total)
            line.append(drawn.add_axes(box, sharex=grid[0][column] if shared and row else None))
        grid.append(line)
    if shared:
        for line in grid[:-1]:
            for axes in line:
                axes.tick_params(axis="x", which="both", labelbottom=False)
    return drawn, grid


def _legend(drawn: Figure, styles: Mapping[str, LineStyle], curves: Curves, band: str, *, connected: bool) -> None:
    """Draw one legend below all axes: curves, the ring, the cross, the band."""
    handles: list[Any] = []
    for name in curves:
        style = styles[name]
        dashes: Any = style.dashes if connected else "none"
        handles.append(
            Line2D([], [], color=style.colour, linestyle=dashes, marker=style.marker, markersize=3.2, label=name)
        )
    if any(point.chosen for points in curves.values() for point in points):
        ring = Line2D([], [], color="black", linestyle="none", marker="o", markersize=8.5, label="chosen")
        ring.set_markerfacecolor("none")
        handles.append(ring)
    if any(point.chosen and point.corrected for points in curves.values() for point in points):
        square = Line2D([], [], color="black", linestyle="none", marker="s", markersize=4.2, label="chosen, corrected")
        square.set_markerfacecolor("white")
        handles.append(square)
    if any(point.failed for points in curves.values() for point in points):
        handles.append(Line2D([], [], label="training failed", **CROSS))
    if band:
        handles.append(Patch(facecolor=BAND, edgecolor="#b0b0b0", linewidth=0.4, label=band))
    columns = _legend_columns(drawn.get_size_inches()[0])
    drawn.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.01, 0.005), ncols=columns)


def _entries(curves: Curves, banded: bool) -> int:
    """Return the number of entries that `_legend` draws."""
    points = [point for of_curve in curves.values() for point in of_curve]
    marks = (
        any(p.chosen for p in points),
        any(p.chosen and p.corrected for p in points),
        any(p.failed for p in points),
    )
    return len(curves) + sum(marks) + banded


def _legend_columns(width: float) -> int:
    return 5 if width > COLUMN * 1.2 else 2
