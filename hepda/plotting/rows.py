"""A figure with a row a model and, within it, a line a domain: for what is one number each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from hepda.plotting.style import COLUMN, Label, axes_label, domain_colours, figure


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The figure, and where models and domains stand in it; `height` is of a line, models are 1 apart."""

    figure: Figure
    axes: Axes
    models: Sequence[str]
    domains: Sequence[str]
    colours: Mapping[str, str]
    height: float

    def position(self, model: str, domain: str) -> float:
        """The y of a model's line for a domain."""
        return (
            self.models.index(model)
            + (self.domains.index(domain) - 0.5 * (len(self.domains) - 1)) * self.height
        )

    def legend(self, handles: Sequence[Artist], names: Sequence[str]) -> None:
        """Put the legend below the axes, where no row is."""
        self.figure.legend(
            list(handles),
            list(names),
            loc="lower left",
            bbox_to_anchor=(0.01, 0.01),
            ncols=2,
            borderaxespad=0.0,
        )


def model_rows(
    models: Sequence[str], domains: Sequence[str], label: Label | None, *, entries: int = 1
) -> Rows:
    """Axes with the models at the left, first on top; `entries` of the legend join the domains."""
    legend_rows = (len(domains) + entries + 1) // 2
    left, bottom = 0.2 + 0.057 * max(len(model) for model in models), 0.42 + 0.15 * legend_rows
    high = bottom + 0.22 + (0.12 + 0.13 * len(domains)) * len(models)
    drawn, axes = figure(height=high, left=left, bottom=bottom)
    axes.set_yticks(range(len(models)), models)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="y", which="both", length=0)
    axes.set_ylim(len(models) - 0.45, -0.55)
    axes_label(axes, label, left=-(left - 0.05) / (COLUMN - left - 0.16))
    return Rows(drawn, axes, models, domains, domain_colours(domains), 0.8 / len(domains))
