"""Figures of the bias: efficiency shifts at each working point, and KS with its null distribution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hepda.errors import DataError
from hepda.plotting.base.rows import model_rows
from hepda.plotting.base.style import (
    COLUMN,
    Label,
    axes_label,
    figure,
    height_for,
    legend_above,
    model_styles,
    styled,
)
from hepda.results.evaluation import BiasResult, EfficiencyShift, Interval

_ARROW = 8.0  # per cent: the length of the arrow of a limit
MANY_POINTS = 8  # from this number on a curve with a band is more readable than points with bars


@styled
def shift_figure(
    shifts: Mapping[str, Sequence[EfficiencyShift]],
    *,
    source: str,
    other: str,
    class_name: str = "background",
    label: Label | None = None,
    models: Iterable[str] | None = None,
) -> Figure:
    """Draw the relative shift of the efficiency from `source` to `other` against the signal efficiency of the cut.

    Few points are drawn with error bars, next to each other; many as a curve with a band. Where there is only a limit,
    because no event passes, an arrow points down from it. Working points without either are excluded. The grey band has
    the shifts between two samples of one generator, of the model for which they are largest.

    Args:
        shifts: model -> its working points.
        source: name of the source.
        other: name of the other domain.
        class_name: name of the class.
        label: label over the axes.
        models: all models of the run, so that colours agree between figures.

    Raises:
        DataError: no working point is left.

    """
    styles = model_styles(models or shifts)
    drawn, axes = figure(height=height_for(len(shifts), COLUMN * 0.85))
    count, reach = 0, [0.0]
    for index, (model, points) in enumerate(shifts.items()):
        measured = [(p.signal_efficiency, p.shift, p.error or 0.0) for p in points if p.shift is not None]
        limits = [(p.signal_efficiency, 100 * p.upper) for p in points if p.shift is None and p.upper is not None]
        for x, limit in limits:
            axes.errorbar(
                x, limit, yerr=_ARROW, uplims=True, color=styles[model].colour, linewidth=0.9, capsize=2.0,
                label=None if measured else model, gid="limit",
            )  # fmt: skip
            reach += [limit, limit - 1.5 * _ARROW]
        count += len(limits)
        if not measured:
            continue
        count += len(measured)
        x, shift, error = np.array(sorted(measured)).T * np.array([[1.0], [100.0], [100.0]])
        style = styles[model]
        if len(measured) >= MANY_POINTS:
            axes.fill_between(x, shift - error, shift + error, color=style.colour, alpha=0.22, linewidth=0)
            axes.plot(x, shift, color=style.colour, linestyle=style.dashes, label=model)
        else:
            step = 0.012 * (index - 0.5 * (len(shifts) - 1))
            axes.errorbar(x + step, shift, yerr=error, fmt=style.marker, color=style.colour, label=model, linewidth=0.9)
        reach += [float(np.min(shift - error)), float(np.max(shift + error))]
    level = _null_band(axes, shifts.values(), reach) if count else None
    if not count:
        raise DataError(f"no model has an efficiency shift between {source} and {other}; there is nothing to draw")
    axes.axhline(0.0, color="black", linewidth=0.6, zorder=1)
    pad = 0.06 * (max(reach) - min(reach)) or 1.0
    axes.set_ylim(min(reach) - pad, max(reach) + pad)
    axes.set_xlim(0.0, 1.0)
    axes.set_xlabel(rf"Signal efficiency of the cut in {source}")
    axes.set_ylabel(rf"Shift of {class_name} efficiency [%]")
    axes_label(axes, label)
    null = "" if level is None else f"grey: {100 * level:.0f} % of the shifts within one generator"
    notes = [f"{other} / {source} − 1", null, label.note if label else ""]
    legend_above(axes, note="\n".join(note for note in notes if note))
    return drawn


def _null_band(axes: Axes, curves: Iterable[Sequence[EfficiencyShift]], reach: list[float]) -> float | None:
    """Draw the widest null intervals of the models at each working point, and return their level.

    Where few events are left the band is wide, and may exceed the panel.

    Args:
        axes: where they are drawn.
        curves: the working points of each model.
        reach: lowest and highest numbers of the figure, to which the usual ends of the band are added.

    """
    widest: dict[float, Interval] = {}
    for point in (point for points in curves for point in points if point.null is not None):
        before = widest.get(point.signal_efficiency)
        if point.null is not None and (before is None or point.null.error > before.error):
            widest[point.signal_efficiency] = point.null
    if len(widest) < 2:  # a band needs two ends
        return None
    x = sorted(widest)
    low, high = (np.array([100 * getattr(widest[e], end) for e in x]) for end in ("low", "high"))
    fill, edge = (0.55, 0.55, 0.55, 0.28), (0.3, 0.3, 0.3, 0.9)  # the edge tells it from the band of a grey model
    axes.fill_between(
        x, low, high, facecolor=fill, edgecolor=edge, linewidth=0.5, linestyle=":", zorder=0.5, gid="null"
    )
    reach += [float(np.median(low)), float(np.median(high))]
    return next(iter(widest.values())).level


@styled
def ks_figure(
    bias: Mapping[str, Mapping[str, BiasResult]],
    *,
    source: str,
    class_name: str = "background",
    label: Label | None = None,
) -> Figure:
    """Draw the KS distance of the score between `source` and each other domain, one bar per model, with the null.

    Error bars are statistical (`BiasResult.ks_error`). The black mark on a bar is the value that two halves of the same
    generator reach (the quantile of the null distribution): a bar that ends left of it shows no difference.

    Args:
        bias: other domain -> model -> result.
        source: name of the source.
        class_name: name of the class.
        label: label over the axes.

    Raises:
        DataError: there are no results.

    """
    models = list(dict.fromkeys(model for results in bias.values() for model in results))
    if not models:
        raise DataError(f"no model has a KS distance between {source} and another domain; there is nothing to draw")
    rows = model_rows(models, list(bias), label)
    level, reach = None, 0.0
    for other, results in bias.items():
        for model, result in results.items():
            y = rows.position(model, other)
            error = getattr(result, "ks_error", None)
            rows.axes.barh(
                y, result.ks, xerr=error, height=0.86 * rows.height, color=rows.colours[other], alpha=0.85,
                error_kw={"linewidth": 0.7},
            )  # fmt: skip
            reach = max(reach, result.ks + (error or 0.0))
            if result.null is not None:
                level, reach = result.null.level, max(reach, result.null.quantile)
                rows.axes.plot(
                    [result.null.quantile] * 2,
                    [y - 0.46 * rows.height, y + 0.46 * rows.height],
                    color="black",
                    linewidth=1.6,
                    solid_capstyle="butt",
                    gid="null",
                )
    rows.axes.set_xlim(0.0, 1.08 * reach)
    rows.axes.set_xlabel(f"KS distance of the {class_name} score to {source}")
    handles: list[Artist] = [Patch(color=rows.colours[other], alpha=0.85) for other in bias]
    names = list(bias)
    if level is not None:
        handles.append(Line2D([], [], color="black", marker="|", linestyle="none", markersize=7, markeredgewidth=1.6))
        names.append(f"same-generator null, {100 * level:.0f} % quantile")
    rows.legend(handles, names)
    return rows.figure
