"""What a referee would mark, asked of a figure's artists."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text

from hepda.plotting.base.style import look


def marked(axes: Axes, gid: str) -> list:
    """The artists of the axes that carry this mark."""
    return [artist for artist in axes.get_children() if artist.get_gid() == gid]


def points(axes: Axes) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """x, y and the lengths of the error bars (down, up) of each series of points."""
    result = []
    for container in axes.containers:
        if isinstance(container, ErrorbarContainer) and container.lines[0] is not None:
            line, _, (bars, *_) = container.lines
            ends = np.array([[s[0][1], s[1][1]] for s in bars.get_segments()]).reshape(-1, 2)
            y = np.asarray(line.get_ydata(), dtype=float)
            result.append((np.asarray(line.get_xdata(), dtype=float), y, np.stack([y - ends[:, 0], ends[:, 1] - y])))
    return result


def assert_legend_is_clear(figure: Figure) -> None:
    """Nothing drawn in an axes reaches into its legend, and the legend stays inside the axes."""
    for axes in figure.axes:
        legend = axes.get_legend()
        if legend is None:
            continue
        box = legend.get_window_extent().transformed(axes.transAxes.inverted())
        assert box.x1 <= 1.02
        assert box.y1 <= 1.02
        drawn = [line.get_xydata() for line in axes.get_lines() if line.get_transform() == axes.transData]
        drawn += [np.column_stack([x, y + bars[1]]) for x, y, bars in points(axes)]
        for xy in drawn:
            x, reached = axes.transAxes.inverted().transform(axes.transData.transform(xy)).T
            assert np.nanmax(reached[x >= box.x0], initial=-1.0) < box.y0


def assert_nothing_is_cut(figure: Figure) -> None:
    """Every text lies inside the page."""
    page = figure.bbox
    renderer = figure.canvas.get_renderer()
    with look():  # as `save` draws it
        figure.draw_without_rendering()
    for axes in figure.axes:
        for text in (axes.xaxis.label, axes.yaxis.label, *(t for t in axes.texts)):
            if text.get_text():
                box = text.get_window_extent(renderer)
                assert box.x0 >= page.x0 - 1 and box.x1 <= page.x1 + 1, text.get_text()
                assert box.y0 >= page.y0 - 1 and box.y1 <= page.y1 + 1, text.get_text()
        for label in numbers(axes):
            box = label.get_window_extent(renderer)
            assert box.x0 >= page.x0 - 1 and box.x1 <= page.x1 + 1, label.get_text()


def numbers(axes: Axes) -> list[Text]:
    """The numbers at the ticks of x and y that are in view."""
    result = []
    for axis, at in ((axes.xaxis, 0), (axes.yaxis, 1)):
        low, high = sorted(axis.get_view_interval())
        hair = 1e-9 * (high - low)
        result += [
            label
            for label in axis.get_ticklabels()
            if label.get_visible() and label.get_text() and low - hair <= label.get_position()[at] <= high + hair
        ]
    return result
