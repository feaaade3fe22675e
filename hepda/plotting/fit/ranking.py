"""The ranking of nuisance parameters and free rates by their impact on the signal strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from hepda.errors import DataError
from hepda.plotting.base.style import Label, styled
from hepda.plotting.fit.rows import draw_pulls, nice, row_panels, say_left_out
from hepda.results.fit_file import ImpactEntry

UP, DOWN = ("#3f90da", "#1d5c96"), ("#9edfe0", "#3b9396")
"""Fill of the post-fit impact and outline of the pre-fit one, parameter up and down."""


@styled
def ranking_figure(
    impacts: Sequence[ImpactEntry],
    *,
    mu: float,
    error: float,
    labels: Mapping[str, str] | None = None,
    most: int = 20,
    label: Label | None = None,
) -> Figure:
    """Draw the usual ranking: pulls and constraints on the left, shifts of mu on the right, the largest on top.

    Filled bars are the shifts of mu with the parameter one post-fit error up or down, outlines those with one pre-fit
    error. A free rate has no prior: instead of a pull its value is written, and it has no pre-fit impact.

    Args:
        impacts: the impacts, largest first.
        mu: the fitted strength.
        error: the error of mu.
        labels: labels of the parameters, and of the regions.
        most: largest number of impacts that are drawn; the figure states how many are not.
        label: label over the axes.

    Raises:
        DataError: there is no impact.

    """
    if not impacts:
        raise DataError("the fit has no nuisance parameter; there is no impact to draw")
    shown = impacts[:most]
    names = [nice(i.name, i.kind, labels) for i in shown]
    drawn, [[left, right]] = row_panels([names], label, beside=(1.0, 1.15), room=0.5)
    pulled = [(row, i) for row, i in enumerate(shown) if i.pull is not None and i.constraint is not None]
    draw_pulls(
        left,
        [row for row, _ in pulled],
        [float(i.pull or 0.0) for _, i in pulled],
        [float(i.constraint or 0.0) for _, i in pulled],
    )
    for row, impact in enumerate(shown):
        if impact.pull is None and impact.value is not None and impact.error is not None:
            text = f"{impact.value:.2f} ± {impact.error:.2f}".replace("-", "−")
            left.text(0.0, row, text, ha="center", va="center", fontsize=7)
    left.set_xlabel(r"$(\hat{\theta} - \theta_0) / \Delta\theta$")
    _draw_impacts(right, shown)
    _legend(drawn, mu, error)
    if len(shown) < len(impacts):
        say_left_out(drawn, f"{len(impacts) - len(shown)} smaller not shown")
    return drawn


def _draw_impacts(axes: Axes, shown: Sequence[ImpactEntry]) -> None:
    """Draw outlines of the pre-fit impacts around bars of the post-fit ones."""
    reach = 1e-12
    for row, impact in enumerate(shown):
        for shifts, (fill, line) in (
            ((impact.mu_up, impact.prefit_up), UP),
            ((impact.mu_down, impact.prefit_down), DOWN),
        ):
            after, before = shifts
            if after is not None:
                axes.barh(row, after, height=0.5, facecolor=fill, edgecolor="none", zorder=2, gid="post-fit")
            if before is not None:
                axes.barh(
                    row, before, height=0.78, facecolor="none", edgecolor=line, linewidth=0.7, zorder=3, gid="pre-fit"
                )
            reach = max([reach, *(abs(shift) for shift in shifts if shift is not None)])
    axes.set_xlim(-1.12 * reach, 1.12 * reach)
    axes.axvline(0.0, color="black", linewidth=0.6, zorder=4)
    axes.xaxis.set_major_locator(MaxNLocator(4, symmetric=True))
    axes.set_xlabel(r"Impact $\Delta\hat{\mu}$")


def _legend(drawn: Figure, mu: float, error: float) -> None:
    width, height = drawn.get_size_inches()
    handles = [
        *(Patch(facecolor=fill, edgecolor="none") for fill, _ in (UP, DOWN)),
        *(Patch(facecolor="none", edgecolor=line, linewidth=0.7) for _, line in (UP, DOWN)),
    ]
    drawn.legend(
        [handles[i] for i in (0, 2, 1, 3)],
        [r"$\theta$ up, post-fit error", "up, pre-fit", r"$\theta$ down, post-fit error", "down, pre-fit"],
        loc="lower left",
        bbox_to_anchor=(0.05 / width, 0.18 / height),
        ncols=2,
        borderaxespad=0.0,
    )
    text = rf"$\hat{{\mu}}$ = {mu:.2f} ± {error:.2f}".replace("-", "−")
    drawn.text(1 - 0.14 / width, 0.2 / height, text, ha="right", va="bottom", fontsize=7.5, gid="mu")
