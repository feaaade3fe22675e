"""A figure of one or two stages of a fit beside each other, each with a ratio panel below; one legend above all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.patches import StepPatch

from hepda.plotting.base.style import COLUMN, PAGE, Canvas, Label

_LEFT, _RIGHT, _TOP, _BETWEEN, _GAP = 0.54, 0.16, 0.24, 0.36, 0.1  # inches
_MAIN, _RATIO = 1.9, 0.72
_LINE = 0.135  # between lines of text in a corner


@dataclass(frozen=True, slots=True, eq=False)
class StageFigure:
    """The figure, its main panels from left to right, and the ratio panels below them."""

    figure: Figure
    mains: Sequence[Axes]
    ratios: Sequence[Axes]

    def finished(self, label: Label | None) -> Figure:
        """Write the legend and the label above the panels and give the figure the height that everything needs."""
        for axes in (*self.mains[1:], *self.ratios[1:]):
            axes.set_ylabel("")
        legend = self._legend()
        dots = self.figure.dpi
        above = _TOP + legend.get_window_extent().height / dots + 0.09
        numbers = self.ratios[0].xaxis.get_tightbbox()
        below = 0.1 + (self.ratios[0].get_window_extent().y0 - numbers.y0) / dots if numbers is not None else 0.38
        _place(self, above, below)
        width, height = self.figure.get_size_inches()
        legend.set_bbox_to_anchor(((_LEFT - 0.03) / width, 1 - _TOP / height), transform=self.figure.transFigure)
        if label is not None:
            _write_label(self.figure, label)
        return self.figure

    def _legend(self) -> Legend:
        """Make the legend: data first, then the stack from its top, then band and lines, in rows that fit."""
        entries: dict[str, Artist] = {}
        for main in self.mains:
            entries |= dict(zip(*reversed(main.get_legend_handles_labels()), strict=True))
        ordered = sorted(entries, key=lambda name: _rank(entries[name]))
        width = (self.figure.get_size_inches()[0] - _LEFT - 0.05) * self.figure.dpi
        columns = len(ordered)
        while True:
            names = [name for column in range(columns) for name in ordered[column::columns]]  # rows are filled
            legend: Legend = self.figure.legend(
                [entries[name] for name in names], names, loc="upper left", ncols=columns, borderaxespad=0.0
            )
            if columns == 1 or legend.get_window_extent().width <= width:
                return legend
            legend.remove()
            columns -= 1


def stage_figure(count: int) -> StageFigure:
    """Make the panels of `count` stages: one has the width of a column, several that of a page.

    The main panels share y.
    """
    drawn = Figure(figsize=(PAGE if count > 1 else COLUMN, 3.5))
    Canvas(drawn)
    mains: list[Axes] = []
    ratios: list[Axes] = []
    for index in range(count):
        mains.append(drawn.add_axes((0.0, 0.5, 0.1, 0.1), sharey=mains[0] if mains else None))
        ratios.append(drawn.add_axes((0.0, 0.1, 0.1, 0.1), sharex=mains[-1]))
        mains[-1].tick_params(axis="x", which="both", labelbottom=False)
        mains[-1].tick_params(axis="y", labelleft=index == 0)
    made = StageFigure(drawn, mains, ratios)
    _place(made, 0.5, 0.4)
    return made


def write_corner(main: Axes, lines: Sequence[str]) -> None:
    """Write lines below each other in the upper left corner; the first is bold, empty ones are left out."""
    for number, line in enumerate(line for line in lines if line):
        main.text(
            0.03, 1 - (0.07 + _LINE * number) / _MAIN, line, transform=main.transAxes, va="top", gid="stage",
            fontsize=7.5 if number == 0 else 7.0, weight="bold" if number == 0 else "normal", zorder=7,
        )  # fmt: skip


def lowest_text(mains: Sequence[Axes]) -> float:
    """Return the lower end of the texts of `write_corner`, in fractions of the height of the panels."""
    return min(
        float(text.get_window_extent().transformed(main.transAxes.inverted()).y0)
        for main in mains
        for text in main.texts
        if text.get_gid() == "stage"
    )


def _place(drawn: StageFigure, above: float, below: float) -> None:
    """Set the height of the figure and place the panels: `above` and `below` them is so much room (inches)."""
    count, (width, _) = len(drawn.mains), drawn.figure.get_size_inches()
    height = above + _MAIN + _GAP + _RATIO + below
    drawn.figure.set_size_inches(width, height)
    inner = (width - _LEFT - _RIGHT - _BETWEEN * (count - 1)) / count
    for index, (main, ratio) in enumerate(zip(drawn.mains, drawn.ratios, strict=True)):
        left = (_LEFT + index * (inner + _BETWEEN)) / width
        main.set_position((left, (below + _RATIO + _GAP) / height, inner / width, _MAIN / height))
        ratio.set_position((left, below / height, inner / width, _RATIO / height))


def _write_label(drawn: Figure, label: Label) -> None:
    width, height = drawn.get_size_inches()
    at = 1 - 0.06 / height
    status = drawn.text(_LEFT / width, at, label.status, weight="bold", va="top", gid="label")
    drawn.text(1 - _RIGHT / width, at, label.right, ha="right", va="top", gid="label")
    if label.note:
        end = status.get_window_extent().x1 / drawn.dpi
        drawn.text((end + 0.1) / width, at, label.note, va="top", fontsize=7.0, gid="label")


def _rank(handle: object) -> int:
    if isinstance(handle, ErrorbarContainer):
        return 0
    if isinstance(handle, StepPatch):
        return 2 if handle.get_gid() == "band" else 1 if handle.get_fill() else 3
    return 4
