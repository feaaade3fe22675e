"""Comparison of several runs: one number per model and run, with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from hepda.errors import DataError
from hepda.plotting.base.style import COLUMN, MARKERS, PAGE, PALETTE, Canvas, Label, axes_label, styled

COLUMNS = 3


@dataclass(frozen=True, slots=True)
class Measurement:
    """A value with the ends of its interval, None where it has none; null: the 95 % quantile without a difference."""

    value: float
    low: float | None = None
    high: float | None = None
    null: float | None = None


@dataclass(frozen=True, slots=True)
class ComparisonPanel:
    """One number of all models and runs: its name on the axis, values by (model, run), and a line to compare with."""

    name: str
    values: Mapping[tuple[str, str], Measurement] = field(default_factory=dict)
    line: float | None = None


@styled
def comparison_figure(
    panels: Sequence[Sequence[ComparisonPanel]],
    models: Sequence[str],
    runs: Sequence[str],
    *,
    label: Label | None = None,
) -> Figure:
    """Draw rows of panels, three in a row at most; models are listed downwards, with one marker per run.

    A grey bar before a marker is the null distribution of that run, up to 95 %: a value within it shows no difference.
    A model that is missing in a run has no marker there.

    Args:
        panels: rows of panels.
        models: names of the models.
        runs: names of the runs.
        label: label over the axes.

    Raises:
        DataError: no panel has a value.

    """
    filled = [[panel for panel in row if panel.values] for row in panels]
    lines = [row[i : i + COLUMNS] for row in filled for i in range(0, len(row), COLUMNS)]
    if not lines:
        raise DataError("the runs share no number that could be drawn")
    drawn, grid = _grid(lines, models, runs)
    step = 0.74 / len(runs)
    for line, axes_line in zip(lines, grid, strict=True):
        for panel, axes in zip(line, axes_line, strict=True):
            _fill(axes, panel, models, runs, step)
    for axes_line in grid:
        axes_line[0].set_yticks(range(len(models)), models)
        for axes in axes_line[1:]:
            axes.set_yticks(range(len(models)), [])
    axes_label(grid[0][0], label)
    handles = [
        Line2D([], [], color=PALETTE[i % len(PALETTE)], marker=MARKERS[i % len(MARKERS)], linestyle="none", label=run)
        for i, run in enumerate(runs)
    ]
    if any(m.null is not None for line in lines for panel in line for m in panel.values.values()):
        handles.append(Line2D([], [], color="#d0d0d0", linewidth=4.0, label="no difference (95 %)"))
    drawn.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.01, 0.005), ncols=_legend_columns(runs))
    return drawn


def _fill(axes: Axes, panel: ComparisonPanel, models: Sequence[str], runs: Sequence[str], step: float) -> None:
    for (model, run), point in panel.values.items():
        i = runs.index(run)
        y = models.index(model) + (i - 0.5 * (len(runs) - 1)) * step
        if point.null is not None:
            axes.plot(
                [0.0, point.null], [y, y], color="#d0d0d0", linewidth=4.0, solid_capstyle="butt", zorder=1, gid="null"
            )
        bars = None
        if point.low is not None and point.high is not None:
            bars = [[max(point.value - point.low, 0.0)], [max(point.high - point.value, 0.0)]]
        axes.errorbar([point.value], [y], xerr=bars, fmt=MARKERS[i % len(MARKERS)], color=PALETTE[i % len(PALETTE)],
                      markersize=3.4, linewidth=0.9, zorder=3)  # fmt: skip
    for between in range(len(models) - 1):
        axes.axhline(between + 0.5, color="#e4e4e4", linewidth=0.5, zorder=0)
    if panel.line is not None:
        axes.axvline(panel.line, color="black", linewidth=0.5, zorder=1)
    if any(point.null is not None for point in panel.values.values()):
        axes.set_xlim(left=0.0)
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="y", which="both", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel(panel.name)


def _grid(
    lines: Sequence[Sequence[ComparisonPanel]], models: Sequence[str], runs: Sequence[str]
) -> tuple[Figure, list[list[Axes]]]:
    """Make axes for each panel, with the names of the models at the left of each row and room for the legend below."""
    columns = max(len(line) for line in lines)
    width = COLUMN if columns == 1 else PAGE
    left, right, top, bottom, gap = 0.2 + 0.062 * max(len(model) for model in models), 0.14, 0.24, 0.40, 0.26
    below = 0.08 + 0.16 * -(-(len(runs) + 1) // _legend_columns(runs))
    high = max(0.55, (0.10 + 0.11 * len(runs)) * len(models))
    inner = (width - left - right - (columns - 1) * gap) / columns
    total = top + len(lines) * (high + bottom) + below
    drawn = Figure(figsize=(width, total))
    Canvas(drawn)
    grid = []
    for row, line in enumerate(lines):
        low = total - top - high - row * (high + bottom)
        boxes = [
            ((left + column * (inner + gap)) / width, low / total, inner / width, high / total)
            for column in range(len(line))
        ]
        grid.append([drawn.add_axes(box) for box in boxes])
    return drawn, grid


def _legend_columns(runs: Sequence[str]) -> int:
    longest = max(len(run) for run in runs)
    return max(1, min(4, int(90 / (longest + 8))))
