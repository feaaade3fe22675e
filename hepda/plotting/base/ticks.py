"""Ticks that cost little: one line of marks on each side of the axes instead of objects for each tick.

matplotlib makes five artists for each tick, also for one without a label, and half of the time of a small figure goes
into them. The positions are still those of the locators of the axis, and the marks look the same.
"""

from __future__ import annotations

from typing import Any, Literal

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.backend_bases import RendererBase
from matplotlib.lines import Line2D
from matplotlib.markers import TICKDOWN, TICKLEFT, TICKRIGHT, TICKUP

_MARKS: dict[tuple[str, str], tuple[Any, Any]] = {
    ("x", "in"): (TICKUP, TICKDOWN), ("x", "out"): (TICKDOWN, TICKUP),
    ("y", "in"): (TICKRIGHT, TICKLEFT), ("y", "out"): (TICKLEFT, TICKRIGHT),
}  # fmt: skip
"""Markers of the ticks at the lower and at the upper side."""


class TickMarks(Artist):
    """The ticks of one axis that have no labels: `which` is minor or major."""

    def __init__(self, axis: Axis, which: Literal["major", "minor"]) -> None:
        super().__init__()
        self._axis = axis
        self._which: Literal["major", "minor"] = which
        settings: Any = mpl.rcParams
        self._name = "x" if isinstance(axis, XAxis) else "y"
        prefix = f"{self._name}tick"
        sides = ("bottom", "top") if self._name == "x" else ("left", "right")
        self._usual: dict[str, Any] = {
            **{side: settings[f"{prefix}.{which}.{side}"] and settings[f"{prefix}.{side}"] for side in sides},
            "length": settings[f"{prefix}.{which}.size"],
            "width": settings[f"{prefix}.{which}.width"],
            "color": settings[f"{prefix}.color"],
            "direction": settings[f"{prefix}.direction"],
        }
        self._sides = sides
        self.set_in_layout(False)
        self.set_zorder(axis.get_zorder())

    def draw(self, renderer: RendererBase) -> None:
        """Draw the marks where the axis has ticks now."""
        axes = self._axis.axes
        options = self._usual | self._axis.get_tick_params(which=self._which)
        if not (axes.axison and self._axis.get_visible() and options["length"]):
            return
        low, high = sorted(self._axis.get_view_interval())
        hair = 1e-10 * (high - low)
        locations = self._axis.get_minorticklocs() if self._which == "minor" else self._axis.get_majorticklocs()
        positions = [at for at in locations if low - hair <= at <= high + hair]
        if not positions:
            return
        transform = axes.get_xaxis_transform("tick1") if self._name == "x" else axes.get_yaxis_transform("tick1")
        for at, side, mark in zip((0.0, 1.0), self._sides, _MARKS[self._name, options["direction"]], strict=True):
            if not options[side]:
                continue
            ends = positions, [at] * len(positions)
            line = Line2D(
                *(ends if self._name == "x" else reversed(ends)),
                linestyle="none",
                marker=mark,
                markersize=options["length"],
                markeredgewidth=options["width"],
                color=options["color"],
                transform=transform,
            )
            line.axes = axes
            line.draw(renderer)


def lighten(axes: Axes) -> None:
    """Draw the ticks of both axes by TickMarks, the minor ones, and the major ones too if they have no labels."""
    for axis, sides in ((axes.xaxis, ("bottom", "top")), (axes.yaxis, ("left", "right"))):
        if axis.get_minor_ticks is not _no_ticks:
            axis.get_minor_ticks = _no_ticks  # type: ignore[method-assign]
            axes.add_artist(TickMarks(axis, "minor"))
        shown = axis.get_tick_params(which="major")
        if axis.get_major_ticks is not _no_ticks and not any(shown.get(f"label{side}", True) for side in sides):
            axis.get_major_ticks = _no_ticks  # type: ignore[method-assign]
            axes.add_artist(TickMarks(axis, "major"))


def _no_ticks(numticks: int | None = None) -> list[Any]:
    return []
