"""Figures of ratios of shifts, one panel per domain: whether the bias decreased, or only the apparent difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from hepda.errors import DataError
from hepda.plotting.base.panels import column_of_panels
from hepda.plotting.base.style import (
    COLUMN,
    PAGE,
    Label,
    LineStyle,
    axes_label,
    height_for,
    legend_above,
    model_styles,
    raise_limit,
    styled,
)
from hepda.results.evaluation import ShiftRatio

HIGHEST = 2.5  # a ratio above it is drawn as an arrow
MANY = 10  # number of models above which the figure is as wide as the page


@styled
def ratio_figure(
    ratios: Mapping[str, Mapping[str, Sequence[ShiftRatio]]],
    *,
    baseline: str,
    source: str,
    held_out: Iterable[str] = (),
    label: Label | None = None,
    models: Iterable[str] | None = None,
) -> Figure:
    """Draw |shift| of each adapted model over that of the baseline at each signal efficiency; one panel per domain.

    A point below the line at one means that the difference to this domain decreased. Open points are not resolved: the
    shift of the baseline is within two errors of zero.

    Args:
        ratios: other domain -> model -> its points.
        baseline: name of the baseline.
        source: name of the source.
        held_out: domains that no training used.
        label: label over the axes.
        models: all models of the run, so that colours agree between figures.

    Raises:
        DataError: no point has a ratio.

    """
    measured = {
        other: {m: [p for p in points if p.ratio is not None] for m, points in of.items()}
        for other, of in ratios.items()
    }
    measured = {other: of for other, of in measured.items() if any(of.values())}
    if not measured:
        raise DataError(f"no shift of {baseline} has a ratio to another model's; there is nothing to draw")
    names = list(dict.fromkeys(m for of in measured.values() for m in of))
    styles = model_styles(models or names)
    efficiencies = sorted(
        {p.signal_efficiency for of in measured.values() for ps in of.values() for p in ps}, reverse=True
    )
    columns, width = (5, PAGE) if len(names) > MANY else (2, COLUMN)
    first = height_for(len(names), 1.75, columns=columns)
    drawn, axes = column_of_panels(len(measured), first=first, others=1.35, width=width)
    held_out = set(held_out)
    for panel, (other, of) in zip(axes, measured.items(), strict=True):
        top = 1.25
        for index, (model, points) in enumerate(of.items()):
            step = 0.7 * ((index + 0.5) / len(of) - 0.5)
            x = np.array([efficiencies.index(p.signal_efficiency) + step for p in points])
            top = max(top, _draw(panel, x, points, styles[model], model))
        panel.axhline(1.0, color="black", linewidth=0.7, zorder=1)
        panel.set_ylim(0.0, 1.05 * top)
        panel.set_xlim(-0.5, len(efficiencies) - 0.5)
        panel.set_xticks(range(len(efficiencies)), [f"{100 * e:g} %" for e in efficiencies])
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_ylabel("Shift ratio", fontsize=8)
        if panel is not axes[0]:
            panel.text(
                0.98, 0.95, _about(source, other, held_out), transform=panel.transAxes, ha="right", va="top", fontsize=7
            )
            raise_limit(panel, 0.84)
    axes[-1].set_xlabel(f"Signal efficiency of the cut in {source}")
    axes_label(axes[0], label)
    notes = [
        label.note if label else "",
        f"|shift| / |shift of {baseline}|",
        _about(source, next(iter(measured)), held_out),
    ]
    legend_above(axes[0], note="\n".join(note for note in notes if note), columns=5 if len(names) > MANY else None)
    return drawn


def _about(source: str, other: str, held_out: set[str]) -> str:
    return f"{source} to {other}" + (", held out from training" if other in held_out else "")


def _draw(axes: Axes, x: np.ndarray, points: Sequence[ShiftRatio], style: LineStyle, name: str) -> float:
    """Draw points with bars, unresolved ones open, those above the range as arrows; return the highest value."""
    value, low, high = (np.array([getattr(p.ratio, key) for p in points]) for key in ("value", "low", "high"))
    shown = np.minimum(value, HIGHEST)
    axes.errorbar(
        x, shown, yerr=[np.maximum(shown - low, 0), np.maximum(np.minimum(high, HIGHEST) - shown, 0)], fmt="none",
        ecolor=style.colour, linewidth=0.9,
    )  # fmt: skip
    axes.plot([], [], style.marker, color=style.colour, label=name)
    for at, y, beyond, point in zip(x, shown, value > HIGHEST, points, strict=True):
        marker = "^" if beyond else style.marker
        face = style.colour if point.resolved else "white"
        axes.plot(at, y, marker, color=style.colour, markerfacecolor=face, markersize=3.6, zorder=3)
    return float(np.max(np.minimum(high, HIGHEST), initial=0.0))
