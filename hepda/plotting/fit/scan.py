"""The likelihood as a function of the signal strength."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hepda.errors import DataError
from hepda.plotting.base.histogram import Floats
from hepda.plotting.base.style import COLUMN, Label, axes_label, figure, legend_above, styled
from hepda.plotting.fit.rows import nice
from hepda.results.fit_file import ScanEntry

LEVELS = ((1.0, r"1$\sigma$"), (4.0, r"2$\sigma$"))
"""Rises of -2 ln L that are one and two standard deviations of one parameter."""
_HIGHEST = 9.0  # three standard deviations: a longer scan is cut there


@styled
def scan_figure(
    scan: ScanEntry, *, interval: tuple[float | None, float | None] = (None, None), label: Label | None = None
) -> Figure:
    """Draw the profile of -2 ln L with lines at one and two standard deviations.

    With it are its quadratic approximation (the error from the curvature) and the likelihood with all other parameters
    fixed at their best values, which has the error of the counts alone.

    Args:
        scan: the scan.
        interval: ends of the 68 % interval; None where it has none.
        label: label over the axes.

    Raises:
        DataError: the scan has no two points with a minimum.

    """
    values, rise, fixed = _floats(scan.values), _floats(scan.twice_delta_nll), _floats(scan.fixed)
    if scan.best is None or np.isfinite(rise).sum() < 2:
        raise DataError("the likelihood scan has no two points with a minimum; there is nothing to draw")
    drawn, axes = figure(COLUMN, 0.85 * COLUMN)
    low, high = float(values.min()), float(values.max())
    top = min(max(1.05 * float(np.nanmax(rise)), 4.8), _HIGHEST)
    shown = rise <= top
    axes.plot(values[shown], rise[shown], color="black", label="profile likelihood", gid="profile", zorder=3)
    if scan.error:
        fine = np.linspace(low, high, 201)
        parabola = ((fine - scan.best) / scan.error) ** 2
        shown = parabola <= top
        dashed: dict[str, Any] = {"color": "#e76300", "linestyle": (0, (5, 1.5)), "linewidth": 1.0}
        axes.plot(fine[shown], parabola[shown], label="quadratic approximation", gid="parabola", **dashed)
    if np.isfinite(fixed).sum() > 1:
        shown = fixed <= top
        dotted: dict[str, Any] = {"color": "#3f90da", "linestyle": (0, (1.5, 1)), "linewidth": 1.2}
        axes.plot(values[shown], fixed[shown], label="other parameters fixed", gid="fixed", **dotted)
    for level, name in LEVELS:
        axes.axhline(level, color="#717581", linewidth=0.7, linestyle=(0, (3, 1.5)), zorder=1, gid="level")
        axes.text(high, level + 0.06, f"{name} ", ha="right", va="bottom", fontsize=7.5)
    for end in interval:
        if end is not None:
            axes.plot([end, end], [0.0, 1.0], color="black", linewidth=0.7, linestyle=(0, (3, 1.5)), gid="interval")
    axes.set_xlim(low, high)
    axes.set_ylim(0.0, top)
    name = nice(scan.parameter, "poi" if scan.parameter == "mu" else "free")
    axes.set_xlabel(f"Signal strength {name}" if scan.parameter == "mu" else name)
    axes.set_ylabel(r"$-2\,\Delta\ln L$")
    axes_label(axes, label)
    legend_above(axes, columns=2, note=_note(scan.best, interval))
    return drawn


def _floats(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _note(best: float, interval: tuple[float | None, float | None]) -> str:
    low, high = interval
    number = f"{best:.2f}".replace("-", "−")
    if low is None or high is None:
        return rf"$\hat{{\mu}}$ = {number}"
    return rf"$\hat{{\mu}}$ = {number}$\,^{{+{high - best:.2f}}}_{{-{best - low:.2f}}}$"
