"""Fitted parameters: pulls and constraints of nuisance parameters; strengths and free rates on an axis of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hepda.errors import DataError
from hepda.plotting.base.style import Label, styled
from hepda.plotting.fit.rows import draw_pulls, nice, row_panels, say_left_out
from hepda.results.fit_file import ParameterEntry


@styled
def parameters_figure(
    parameters: Sequence[ParameterEntry],
    *,
    labels: Mapping[str, str] | None = None,
    most: int = 40,
    label: Label | None = None,
) -> Figure:
    """Draw the fitted value of each nuisance parameter relative to its prior, in prior errors, with its error.

    Grey bands are one and two standard deviations of the prior. Parameters without a prior (signal strengths, free
    rates) are in a panel below, as factors on what the templates predict.

    Args:
        parameters: the fitted parameters.
        labels: labels of the parameters, and of the regions.
        most: largest number of nuisance parameters; of more, those with the largest pulls or the tightest constraints
            are drawn, and the figure states how many are not.
        label: label over the axes.

    Raises:
        DataError: there is no parameter to draw.

    """
    constrained = [p for p in parameters if p.pull is not None and p.constraint is not None]
    free = [p for p in parameters if p.pull is None and p.error is not None]
    if not constrained and not free:
        raise DataError("the fit has no parameter with an error; there is nothing to draw")
    ranked = sorted(constrained, key=lambda p: -max(abs(p.pull or 0.0), abs(1 - (p.constraint or 1.0))))
    shown = [p for p in constrained if p in ranked[:most]]
    groups = [group for group in (shown, free) if group]
    left_out = len(constrained) - len(shown)
    drawn, panels = row_panels(
        [[nice(p.name, p.kind, labels) for p in group] for group in groups], label, room=0.14 if left_out else 0.0
    )
    if shown:
        [axes] = panels[0]
        draw_pulls(axes, range(len(shown)), [p.pull or 0.0 for p in shown], [p.constraint or 0.0 for p in shown])
        axes.set_xlabel(r"Pull, $(\hat{\theta} - \theta_0) / \Delta\theta$")
    if free:
        _draw_factors(panels[-1][0], free)
    if left_out:
        say_left_out(drawn, f"{left_out} nuisance parameters with smaller pulls and constraints not shown")
    return drawn


def _draw_factors(axes: Axes, free: Sequence[ParameterEntry]) -> None:
    """Draw strengths and free rates with their errors, and their numbers at the right."""
    values, errors = [float(p.value) for p in free], [float(p.error or 0.0) for p in free]
    axes.axvline(1.0, color="black", linewidth=0.6, linestyle=(0, (3, 1.5)), zorder=1, gid="prediction")
    axes.errorbar(
        values, range(len(free)), xerr=errors, fmt="s", color="black", linewidth=0.9, markersize=2.6, zorder=3
    )
    low = min(0.0, *(v - 1.1 * e for v, e in zip(values, errors, strict=True)))
    high = max(1.2, *(v + 1.1 * e for v, e in zip(values, errors, strict=True)))
    axes.set_xlim(low, high + 0.55 * (high - low))  # room for the numbers
    axes.xaxis.set_major_locator(MaxNLocator(6))
    for row, (value, error) in enumerate(zip(values, errors, strict=True)):
        text = f"{value:.2f} ± {error:.2f}".replace("-", "−")
        axes.text(0.98, row, text, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=7)
    axes.set_xlabel("Factor on the prediction")
