"""Figures on the axes of a caller: what draws asks here for its panels, and gets the caller's if there are any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hepda.errors import DataError


@dataclass(slots=True, eq=False)
class Host:
    """The axes of a caller, and the panels of the figure: the caller's, then those that are drawn and not kept."""

    axes: Sequence[Axes]
    panels: list[Axes] = field(default_factory=list)


_HOST: ContextVar[Host | None] = ContextVar("_HOST", default=None)


def is_hosted() -> bool:
    """Return whether the figure that is being drawn is drawn on axes of a caller."""
    return _HOST.get() is not None


@contextmanager
def drawing_on(axes: Sequence[Axes]) -> Iterator[Host]:
    """Draw the figure of the block on the given axes, in their order.

    The panels beyond the given axes are left out; the last one that is kept gets the label of the x axis.

    Args:
        axes: the axes of the caller: as many as the figure has panels, or one for the first panel alone.

    Raises:
        DataError: the figure has another number of panels, or lays out its panels itself.

    """
    host = Host(tuple(axes))
    token = _HOST.set(host)
    try:
        yield host
    finally:
        _HOST.reset(token)
    if not host.panels:
        raise DataError(
            "this figure lays out its panels itself, so it cannot be drawn on axes of yours: draw it without `ax`, "
            "which returns the figure"
        )
    last = host.axes[-1]
    for panel in host.panels[len(host.axes) :]:
        if not last.get_xlabel():
            last.set_xlabel(panel.get_xlabel(), loc="right")
        if last.get_autoscalex_on() and not panel.get_autoscalex_on():
            last.set_xlim(panel.get_xlim())


def panels_of_host(count: int) -> list[Axes] | None:
    """Return `count` panels of the caller, the missing ones on a figure that nobody sees; None if there is no caller.

    Raises:
        DataError: the caller gives neither one of its axes nor as many as there are panels.

    """
    host = _HOST.get()
    if host is None:
        return None
    if len(host.axes) not in (1, count):
        panels = "one panel" if count == 1 else f"{count} panels; give one of your axes for the first of them, or"
        raise DataError(f"the figure has {panels}{'' if count == 1 else f' {count}'}: `ax` has {len(host.axes)} axes")
    unseen = Figure()
    FigureCanvasAgg(unseen)
    host.panels = [*host.axes, *(unseen.add_subplot() for _ in range(count - len(host.axes)))]
    return host.panels


def figure_of(axes: Axes) -> Figure:
    """Return the figure that axes are in."""
    figure = axes.get_figure(root=True)
    if figure is None:
        raise DataError("`ax` was removed from its figure")
    return figure
