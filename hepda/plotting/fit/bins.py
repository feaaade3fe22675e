"""The x axis of a region: to scale for given edges, equally wide bins with their edges below for automatic ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from hepda.plotting.base.histogram import Floats

CROWDED = 9  # edges of equally wide bins up to which numbers are written horizontally
MOST_NUMBERS = 32  # of edges; of more, every second, third, ... is written
UNEQUAL = 12.0  # the widest over the narrowest bin beyond which bins are not drawn to scale


@dataclass(frozen=True, slots=True)
class BinAxis:
    """Positions of the edges [b + 1], and the numbers or names below (None: matplotlib's own ticks)."""

    edges: Floats
    ticks: Sequence[float] | None = None
    names: Sequence[str] = ()
    turned: bool = False

    def draw(self, axes: Axes) -> None:
        """Set the limits and the ticks of x."""
        axes.set_xlim(self.edges[0], self.edges[-1])
        if self.ticks is None:
            return
        if self.turned:
            axes.set_xticks(list(self.ticks), self.names, rotation=90, fontsize=6.0)
        else:
            axes.set_xticks(list(self.ticks), self.names)
        axes.xaxis.set_minor_locator(NullLocator())


def axis_of_edges(edges: Floats, *, to_scale: bool) -> BinAxis:
    """Return the axis of a histogram.

    Args:
        edges: edges of the bins [b + 1].
        to_scale: whether bins are drawn as wide as they are; bins of very different or of infinite width are drawn
            equally wide all the same.

    """
    widths = np.diff(edges)
    if to_scale and np.all(np.isfinite(edges)) and widths.max() <= UNEQUAL * widths.min():
        return BinAxis(edges)
    places = np.arange(len(edges), dtype=np.float64)
    names = edge_names(edges)
    step = -(-len(edges) // MOST_NUMBERS)
    longest = max(len(name) for name in names)
    return BinAxis(places, places[::step].tolist(), names[::step], len(names[::step]) * longest > 4 * CROWDED)


def axis_of_names(names: Sequence[str]) -> BinAxis:
    """Return the axis of a histogram with one named bin each."""
    places = np.arange(len(names) + 1.0)
    longest = max(len(name) for name in names)
    return BinAxis(places, (places[:-1] + 0.5).tolist(), names, len(names) * (longest + 2) > 40)


def edge_names(edges: Floats) -> list[str]:
    """Return the edges as short numbers that all differ, with the same number of decimal places."""
    finite = [float(edge) for edge in edges if np.isfinite(edge)]
    for places in range(7):
        texts = {f"{edge:.{places}f}" for edge in finite}
        exact = all(abs(round(edge, places) - edge) < 1e-9 * max(1.0, abs(edge)) for edge in finite)
        if len(texts) == len(finite) and (exact or places >= 2):
            break
    return [_number(float(edge), places) for edge in edges]


def _number(edge: float, places: int) -> str:
    if not np.isfinite(edge):
        return "∞" if edge > 0 else "−∞"
    text = f"{edge:.{places}f}".replace("-", "−")
    return f"{text[:-1]}{text[-1]}" if float(edge) else f"{0:.{places}f}"


def events_label(edges: Floats, unit: str, *, to_scale: bool) -> str:
    """Return the label of y: "Events / 50 GeV" for bins of one width, else "Events / bin"."""
    widths = np.diff(edges)
    if not to_scale or not np.all(np.isfinite(edges)) or np.ptp(widths) > 1e-6 * widths.max():
        return "Events / bin"
    if not unit and len(widths) == 1:
        return "Events"
    return f"Events / {widths[0]:g} {unit}".rstrip()
