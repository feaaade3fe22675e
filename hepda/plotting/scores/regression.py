"""Figures of a predicted number: response against the target, and its resolution and bias by domain."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepda.errors import DataError
from hepda.plotting.base.panels import column_of_panels
from hepda.plotting.base.style import (
    COLUMN,
    DASHES,
    MARKERS,
    Label,
    axes_label,
    domain_colours,
    figure,
    height_for,
    legend_above,
    raise_limit,
    styled,
)
from hepda.results.entries.regression import ResponseCurve
from hepda.results.evaluation import FloatArray

Curves = Mapping[str, ResponseCurve]
"""By domain, the nominal one first; all have the same edges."""


@styled
def response_figure(curves: Curves, *, model: str, xlabel: str, ylabel: str, label: Label | None = None) -> Figure:
    """Draw the median prediction in bins of the target, by domain, with the central 68 % of the events.

    The nominal domain is a line with a band, the others are points with bars; on the diagonal, a prediction is right.

    Args:
        curves: by domain, the nominal one first.
        model: name of the model.
        xlabel: label of the target, with its unit.
        ylabel: label of the prediction, with its unit.
        label: label over the axes.

    Raises:
        DataError: no bin of any domain has enough events.

    """
    _check(curves, model)
    drawn, axes = figure(height=height_for(len(curves) + 2, COLUMN * 0.9))
    colours = domain_colours(curves)
    ends: list[FloatArray] = []
    for index, (domain, curve) in enumerate(curves.items()):
        known = np.isfinite(curve.median)
        if not known.any():
            continue
        x, y, low, high = (values[known] for values in (curve.target, curve.median, curve.low, curve.high))
        ends += [x, low, high]
        if index == 0:
            axes.fill_between(
                x, low, high, color=colours[domain], alpha=0.22, linewidth=0, gid="band",
                label=f"Central 68 %, {domain}",
            )  # fmt: skip
            axes.plot(x, y, color=colours[domain], marker="o", markersize=2.6, label=f"Median, {domain}")
        else:
            step = 0.012 * index * (curve.edges[-1] - curve.edges[0])
            axes.errorbar(
                x + step, y, yerr=np.stack([y - low, high - y]), fmt=MARKERS[index % len(MARKERS)],
                color=colours[domain], elinewidth=0.7, markersize=2.8, label=domain,
            )  # fmt: skip
    least, most = float(min(map(np.min, ends))), float(max(map(np.max, ends)))
    pad = 0.04 * (most - least)
    axes.plot([least - pad, most + pad], [least - pad, most + pad], color="#555555", linestyle=DASHES[1], linewidth=0.8,
              zorder=1, label="Prediction = target")  # fmt: skip
    axes.set_ylim(least - pad, most + pad)
    axes.set_xlim(float(min(map(np.min, ends[::3]))) - pad, float(max(map(np.max, ends[::3]))) + 2 * pad)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    _finish(axes, model, label)
    return drawn


@styled
def resolution_figure(curves: Curves, *, model: str, xlabel: str, unit: str = "", label: Label | None = None) -> Figure:
    """Draw the resolution and the bias of a prediction in bins of the target, by domain, with bootstrap intervals.

    A horizontal bar is the bin, in which the domains stand next to each other.

    Args:
        curves: by domain, the nominal one first.
        model: name of the model.
        xlabel: label of the target, with its unit.
        unit: of the target; "" for none.
        label: label over the axes.

    Raises:
        DataError: no bin of any domain has enough events.

    """
    _check(curves, model)
    drawn, (above, below) = column_of_panels(2, first=height_for(len(curves), 1.9), others=1.35)
    colours, ending = domain_colours(curves), f" [{unit}]" if unit else ""
    for panel, name in ((above, "resolution"), (below, "bias")):
        reach = [0.0]
        for index, (domain, curve) in enumerate(curves.items()):
            values, low, high = (getattr(curve, f"{name}{end}") for end in ("", "_low", "_high"))
            known, width = np.isfinite(values), np.diff(curve.edges)
            x = curve.edges[:-1] + width * (0.2 + 0.6 * (index + 0.5) / len(curves))
            ends = np.stack([x - curve.edges[:-1], curve.edges[1:] - x])[:, known]
            marker = MARKERS[index % len(MARKERS)]
            panel.errorbar(x[known], values[known], xerr=ends, fmt="none", ecolor=colours[domain], elinewidth=0.4)
            panel.errorbar(
                x[known], values[known], yerr=np.stack([values - low, high - values]).clip(min=0)[:, known],
                fmt=marker, color=colours[domain], markersize=2.8, linewidth=0.9, label=domain,
            )  # fmt: skip
            reach += [*low[known].tolist(), *high[known].tolist()]
        pad = 0.08 * (max(reach) - min(reach)) or 1.0
        panel.set_ylim(0.0 if name == "resolution" else min(reach) - pad, max(reach) + pad)
    edges = next(iter(curves.values())).edges
    above.set_xlim(edges[0], edges[-1])
    above.set_ylabel(f"Resolution{ending}")
    below.set_ylabel(f"Bias{ending}")
    below.axhline(0.0, color="black", linewidth=0.6, zorder=1)
    raise_limit(below, 0.95)
    below.set_xlabel(xlabel)
    _finish(above, model, label)
    return drawn


def _check(curves: Curves, model: str) -> None:
    if not any(np.isfinite(curve.bias).any() for curve in curves.values()):
        raise DataError(f"no bin of the target of {model} has enough events; there is nothing to draw")


def _finish(axes: Axes, model: str, label: Label | None) -> None:
    axes_label(axes, label)
    notes = [label.note if label else "", model]
    legend_above(axes, note="\n".join(note for note in notes if note))
