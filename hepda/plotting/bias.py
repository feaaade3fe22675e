"""By how much do the domains differ? Efficiency shifts at each working point, and KS with its null."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hepda.errors import DataError
from hepda.plotting.numbers import BiasLike, ShiftLike
from hepda.plotting.style import (
    COLUMN,
    Label,
    axes_label,
    domain_colours,
    figure,
    height_for,
    legend_above,
    model_styles,
    styled,
)

MANY_POINTS = 8  # from here on a curve with a band reads better than points with bars


@styled
def shift_figure(
    shifts: Mapping[str, Sequence[ShiftLike]],
    *,
    source: str,
    other: str,
    class_name: str = "background",
    label: Label | None = None,
    models: Iterable[str] | None = None,
) -> Figure:
    """Relative shift of the efficiency from `source` to `other` against the signal efficiency of the cut, all
    models.

    shifts: model -> its working points. Few points are drawn with error bars, side by side; many as a curve
    with a band. Working points without a shift (None) are left out. Raises DataError if none is left.
    """
    styles = model_styles(models or shifts)
    drawn, axes = figure(height=height_for(len(shifts), COLUMN * 0.85))
    count, reach = 0, [0.0]
    for index, (model, points) in enumerate(shifts.items()):
        known = [(p.signal_efficiency, p.shift, p.error or 0.0) for p in points if p.shift is not None]
        if not known:
            continue
        count += len(known)
        x, shift, error = np.array(sorted(known)).T * np.array([[1.0], [100.0], [100.0]])
        style = styles[model]
        if len(known) >= MANY_POINTS:
            axes.fill_between(x, shift - error, shift + error, color=style.colour, alpha=0.22, linewidth=0)
            axes.plot(x, shift, color=style.colour, linestyle=style.dashes, label=model)
        else:
            step = 0.012 * (index - 0.5 * (len(shifts) - 1))
            axes.errorbar(
                x + step, shift, yerr=error, fmt=style.marker, color=style.colour, label=model, linewidth=0.9
            )
        reach += [float(np.min(shift - error)), float(np.max(shift + error))]
    if not count:
        raise DataError(
            f"no model has an efficiency shift between {source} and {other}; there is nothing to draw"
        )
    axes.axhline(0.0, color="black", linewidth=0.6, zorder=1)
    pad = 0.06 * (max(reach) - min(reach)) or 1.0
    axes.set_ylim(min(reach) - pad, max(reach) + pad)
    axes.set_xlim(0.0, 1.0)
    axes.set_xlabel(rf"Signal efficiency of the cut in {source}")
    axes.set_ylabel(rf"Shift of {class_name} efficiency [%]")
    axes_label(axes, label)
    notes = [f"{other} / {source} − 1", label.note if label else ""]
    legend_above(axes, note="\n".join(note for note in notes if note))
    return drawn


@styled
def ks_figure(
    bias: Mapping[str, Mapping[str, BiasLike]],
    *,
    source: str,
    class_name: str = "background",
    label: Label | None = None,
) -> Figure:
    """KS distance of the score between `source` and each other domain, a bar a model, with the null's
    quantile.

    bias: other domain -> model -> result. The black mark on a bar is what two halves of the same generator
    reach (the null's quantile): a bar that ends left of it shows no difference. Raises DataError without
    results.
    """
    models = list(dict.fromkeys(model for results in bias.values() for model in results))
    if not models:
        raise DataError(
            f"no model has a KS distance between {source} and another domain; there is nothing to draw"
        )
    colours = domain_colours(bias)
    legend_rows = (len(bias) + 2) // 2
    left, bottom = 0.2 + 0.062 * max(len(model) for model in models), 0.42 + 0.15 * legend_rows
    height = 0.8 / len(bias)  # of a bar, where the models are 1 apart
    drawn, axes = figure(
        height=bottom + 0.22 + (0.12 + 0.13 * len(bias)) * len(models), left=left, bottom=bottom
    )
    level = None
    reach = 0.0
    for row, (other, results) in enumerate(bias.items()):
        for model, result in results.items():
            y = models.index(model) + (row - 0.5 * (len(bias) - 1)) * height
            axes.barh(y, result.ks, height=0.86 * height, color=colours[other], alpha=0.85)
            reach = max(reach, result.ks)
            if result.null is not None:
                level, reach = result.null.level, max(reach, result.null.quantile)
                axes.plot(
                    [result.null.quantile] * 2,
                    [y - 0.46 * height, y + 0.46 * height],
                    color="black",
                    linewidth=1.6,
                    solid_capstyle="butt",
                    gid="null",
                )
    axes.set_yticks(range(len(models)), models)
    axes.minorticks_off()
    axes.tick_params(axis="y", which="both", length=0)
    axes.set_xlim(0.0, 1.08 * reach)
    axes.set_ylim(len(models) - 0.45, -0.55)  # the first model on top
    axes.set_xlabel(f"KS distance of the {class_name} score to {source}")
    axes_label(axes, label, left=-(left - 0.05) / (COLUMN - left - 0.16))
    handles: list[Artist] = [Patch(color=colours[other], alpha=0.85) for other in bias]
    names = list(bias)
    if level is not None:
        handles.append(
            Line2D([], [], color="black", marker="|", linestyle="none", markersize=7, markeredgewidth=1.6)
        )
        names.append(f"same-generator null, {100 * level:.0f} % quantile")
    drawn.legend(handles, names, loc="lower left", bbox_to_anchor=(0.01, 0.01), ncols=2, borderaxespad=0.0)
    return drawn
