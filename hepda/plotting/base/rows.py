"""A figure with one row per model and, within it, one line per domain: for quantities that are one number each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from hepda.plotting.base.host import figure_of, panels_of_host
from hepda.plotting.base.style import COLUMN, Label, axes_label, domain_colours, figure, legend_bottom

NARROW = 2.0
"""Width of axes (inches) below which both parts of the label do not fit over them."""


@dataclass(frozen=True, slots=True, eq=False)
class RowsFigure:
    """The figure, and the positions of models and domains in it; `height` is that of a line, models are 1 apart.

    hosted: whether the panels are axes of a caller, in whose figure the legend has no place of its own.
    """

    figure: Figure
    panels: Sequence[Axes]
    models: Sequence[str]
    domains: Sequence[str]
    colours: Mapping[str, str]
    height: float
    hosted: bool = False

    @property
    def axes(self) -> Axes:
        """The first panel."""
        return self.panels[0]

    def position(self, model: str, domain: str) -> float:
        """Return the y of a model's line for a domain."""
        return self.models.index(model) + (self.domains.index(domain) - 0.5 * (len(self.domains) - 1)) * self.height

    def legend(self, handles: Sequence[Artist], names: Sequence[str], columns: int = 2) -> None:
        """Put the legend below the axes, where there are no rows; into axes of a caller."""
        if self.hosted:
            legend = self.axes.legend(list(handles), list(names), ncols=columns, loc="upper left")
            bottom, top = self.axes.get_ylim()
            self.axes.set_ylim(bottom, bottom + (top - bottom) / max(legend_bottom(legend) - 0.02, 0.3))
            return
        self.figure.legend(
            list(handles),
            list(names),
            loc="lower left",
            bbox_to_anchor=(0.01, 0.01),
            ncols=columns,
            borderaxespad=0.0,
        )


def model_rows(
    models: Sequence[str],
    domains: Sequence[str],
    label: Label | None,
    *,
    entries: int = 1,
    panels: int = 1,
    width: float = COLUMN,
    columns: int = 2,
    names: Mapping[str, str] | None = None,
) -> RowsFigure:
    """Make axes with the models at the left, the first on top; the legend has `entries` in addition to the domains.

    Args:
        models: names of the models.
        domains: names of the domains.
        label: label over the axes.
        entries: number of legend entries besides the domains.
        panels: number of axes next to each other.
        width: width of the figure in inches.
        columns: number of columns of the legend.
        names: what is written instead of the names of the models, where it has one.

    """
    texts = [(names or {}).get(model, model) for model in models]
    hosted = panels_of_host(panels)
    if hosted is not None:
        for index, axes in enumerate(hosted):
            axes.tick_params(axis="y", which="both", length=0, labelleft=index == 0)
            _name_rows(axes, texts)
        axes_label(hosted[0], label)
        drawn = figure_of(hosted[0])
        return RowsFigure(drawn, hosted, models, domains, domain_colours(domains), 0.8 / len(domains), hosted=True)
    legend_rows = -(-(len(domains) + entries) // columns)
    left, bottom = 0.2 + 0.057 * max(map(letters, texts)), 0.42 + 0.15 * legend_rows
    high = bottom + 0.22 + (0.12 + 0.13 * len(domains)) * len(models)
    drawn, first = figure(width, high, left=left, bottom=bottom)
    gap, right = 0.1, 0.16
    inner = (width - left - right - gap * (panels - 1)) / panels
    all_axes = [first]
    box = first.get_position()
    for index in range(panels):
        if index:
            all_axes.append(drawn.add_axes((0.0, 0.0, 0.5, 0.5), sharey=first))
        axes = all_axes[index]
        axes.set_position(((left + index * (inner + gap)) / width, box.y0, inner / width, box.height))
        axes.tick_params(axis="y", which="both", length=0, labelleft=index == 0)
    _name_rows(first, texts)
    # Where the axes are narrow, the label begins at the edge of the figure.
    axes_label(first, label if panels == 1 else None, left=0.0 if inner > NARROW else -(left - 0.05) / inner)
    if panels > 1 and label is not None:
        drawn.text(0.05 / width, 1 - 0.06 / high, label.status, weight="bold", va="top", gid="label")
        drawn.text(1 - right / width, 1 - 0.06 / high, label.right, ha="right", va="top", gid="label")
    return RowsFigure(drawn, all_axes, models, domains, domain_colours(domains), 0.8 / len(domains))


def _name_rows(axes: Axes, texts: Sequence[str]) -> None:
    """Put the names of the models at their rows."""
    axes.set_yticks(range(len(texts)), texts)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(len(texts) - 0.45, -0.55)


def letters(text: str) -> int:
    """Return about how many letters wide a text is; the commands of a formula are not drawn."""
    return len(re.sub(r"\\[a-zA-Z]+|[${}_^\\]", "", text))
