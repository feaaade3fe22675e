"""Figures of the trade-off of an adaptation: separation against bias, all models and scans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepda.errors import DataError
from hepda.plotting.base.style import (
    COLUMN,
    Label,
    LineStyle,
    axes_label,
    figure,
    height_for,
    legend_above,
    model_styles,
    styled,
)


@dataclass(frozen=True, slots=True)
class TradeoffPoint:
    """One training: bias and AUC, the ends of their intervals if known, and a text next to the point."""

    bias: float
    auc: float
    bias_low: float | None = None
    bias_high: float | None = None
    auc_low: float | None = None
    auc_high: float | None = None
    text: str = ""


@styled
def tradeoff_figure(
    models: Mapping[str, TradeoffPoint | Sequence[TradeoffPoint]],
    *,
    null: float | None = None,
    null_text: str = "same-generator null (95 %)",
    bias_name: str = "Background KS distance, simulation to alternative",
    auc_name: str = "AUC (simulation)",
    label: Label | None = None,
    names: Iterable[str] | None = None,
) -> Figure:
    """Draw AUC against bias: one marker per model with error bars, a connected line where a model was scanned.

    The best corner is the upper left.

    Args:
        models: model -> one point, or the points of its scan in order of strength.
        null: the quantile of the bias between two samples of one generator; below it, in the shaded region, no bias
            can be resolved.
        null_text: legend text of the shaded region.
        bias_name: label of the x axis.
        auc_name: label of the y axis.
        label: label over the axes.
        names: all models of the run, so that colours agree between figures.

    Raises:
        DataError: there are no points.

    """
    curves = {name: [p] if isinstance(p, TradeoffPoint) else list(p) for name, p in models.items()}
    curves = {name: points for name, points in curves.items() if points}
    if not curves:
        raise DataError("no model has both an AUC and a bias; there is no trade-off to draw")
    styles = model_styles(names or curves)
    drawn, axes = figure(height=height_for(len(curves), COLUMN * 0.92))
    if null is not None:
        axes.axvspan(
            0.0,
            null,
            facecolor="#e4e4e4",
            edgecolor="#717581",
            linewidth=0.6,
            zorder=0,
            label=null_text,
            gid="null",
        )
    for name, points in curves.items():
        _curve(axes, name, points, styles[name])
    _limits(axes, [p for points in curves.values() for p in points], null)
    axes.set_xlabel(bias_name)
    axes.set_ylabel(auc_name)
    axes_label(axes, label)
    legend_above(axes, note=label.note if label else "")
    return drawn


def _curve(axes: Axes, name: str, points: Sequence[TradeoffPoint], style: LineStyle) -> None:
    """Draw one model: its points with error bars, joined if it was scanned, and the texts next to them."""
    x, y = [p.bias for p in points], [p.auc for p in points]
    axes.errorbar(
        x,
        y,
        xerr=_bars([(p.bias, p.bias_low, p.bias_high) for p in points]),
        yerr=_bars([(p.auc, p.auc_low, p.auc_high) for p in points]),
        fmt=style.marker,
        markersize=4.0,
        color=style.colour,
        linewidth=0.9,
        label=name,
        zorder=3,
    )
    if len(points) > 1:
        axes.plot(x, y, color=style.colour, linestyle=style.dashes, linewidth=0.8, zorder=2)
    for p in points:
        if p.text:
            axes.annotate(
                p.text,
                (p.bias, p.auc),
                xytext=(3, -7),
                textcoords="offset points",
                fontsize=6,
                color=style.colour,
            )


def _bars(ends: Sequence[tuple[float, float | None, float | None]]) -> list[list[float]]:
    down = [0.0 if low is None else max(value - low, 0.0) for value, low, _ in ends]
    up = [0.0 if high is None else max(high - value, 0.0) for value, _, high in ends]
    return [down, up]


def _limits(axes: Axes, points: Sequence[TradeoffPoint], null: float | None) -> None:
    lows = [p.auc if p.auc_low is None else p.auc_low for p in points]
    highs = [p.auc if p.auc_high is None else p.auc_high for p in points]
    pad = 0.12 * (max(highs) - min(lows)) or 0.01
    axes.set_ylim(min(lows) - pad, max(highs) + pad)
    right = max([p.bias if p.bias_high is None else p.bias_high for p in points] + ([null] if null else []))
    axes.set_xlim(0.0, 1.12 * right if right > 0 else 1.0)
