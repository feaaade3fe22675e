"""Figures of a dial between two simulations: numbers along s, and where it extrapolates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from hepda.errors import DataError
from hepda.plotting.base.style import COLUMN, Label, axes_label, figure, height_for, legend_above, model_styles, styled
from hepda.plotting.speech import ErrorCurve

_ENDS = (0.0, 1.0)


@styled
def dial_figure(
    curves: Mapping[str, ErrorCurve],
    *,
    ylabel: str,
    level: float,
    level_text: str = "",
    real: Mapping[str, ErrorCurve] | None = None,
    real_text: str = "",
    label: Label | None = None,
) -> Figure:
    """Draw numbers with intervals against s; outside 0 to 1 the figure is shaded and says that it is extrapolated.

    Args:
        curves: by name.
        ylabel: label of the y axis.
        level: of a dotted line, such as that of no difference.
        level_text: its name; empty for none.
        real: the same numbers of real samples, by the names of curves, drawn as open markers.
        real_text: what these are.
        label: label over the axes.

    Raises:
        DataError: there is no curve.

    """
    if not curves:
        raise DataError(f"{ylabel}: there is no number along s; there is nothing to draw")
    styles, real = model_styles(curves), real or {}
    drawn, axes = figure(height=height_for(len(curves) + bool(real) + bool(level_text), COLUMN))
    x = np.concatenate([curve.x for curve in curves.values()])
    left, right = float(x.min()), float(x.max())
    pad = 0.04 * (right - left)
    axes.set_xlim(left - pad, right + pad)
    for begin, end in ((left - pad, _ENDS[0]), (_ENDS[1], right + pad)):
        if end - begin > 2.0 * pad:
            axes.axvspan(begin, end, facecolor="#ececec", linewidth=0.0, zorder=0, gid="extrapolation")
            axes.text(0.5 * (begin + end), 0.02, "extrapolation", transform=axes.get_xaxis_transform(), ha="center",
                      va="bottom", color="#5f636b", fontsize=7)  # fmt: skip
    axes.axhline(level, color="#717581", linestyle=":", linewidth=0.8, zorder=1, label=level_text or None)
    width = 0.012 * (right - left)
    ends = [level]
    for number, (name, curve) in enumerate(curves.items()):
        shift = width * (number - 0.5 * (len(curves) - 1))
        for points, filled in ((curve, True), (real.get(name), False)):
            if points is None:
                continue
            error = np.stack([points.value - points.low, points.high - points.value]).clip(0.0)
            axes.errorbar(
                points.x + shift, points.value, yerr=error, marker=styles[name].marker, color=styles[name].colour,
                linestyle=styles[name].dashes if filled else "none", elinewidth=0.6, linewidth=0.9,
                markersize=3.5 if filled else 6.5, markerfacecolor=None if filled else "none",
                label=name if filled else None, zorder=3 if filled else 4,
            )  # fmt: skip
            ends += [*points.low.tolist(), *points.high.tolist()]
    if real:
        axes.plot([], [], marker="o", markersize=6.5, markerfacecolor="none", color="#333333", linestyle="none",
                  label=real_text)  # fmt: skip
    low, high = min(ends), max(ends)
    room = 0.08 * (high - low) or 0.01
    axes.set_ylim(low - 2.0 * room, high + room)
    axes.set_xlabel("Guidance s (0: generator A, 1: generator B)")
    axes.set_ylabel(ylabel)
    axes_label(axes, label)
    legend_above(axes, columns=2, note=label.note if label else "")
    return drawn
