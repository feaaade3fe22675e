"""Figures of efficiency in bins of a variable that a cut may shape, and of the inputs that separate the domains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hepda.errors import DataError
from hepda.plotting.base.panels import column_of_panels
from hepda.plotting.base.rows import model_rows
from hepda.plotting.base.style import Label, axes_label, height_for, legend_above, model_styles, raise_limit, styled
from hepda.results.evaluation import EfficiencyCurve, FeatureImportance

MOST = 12  # largest number of inputs of an importance figure


@styled
def efficiency_figure(
    curves: Mapping[str, Mapping[str, EfficiencyCurve]],
    *,
    xlabel: str,
    cut: str,
    label: Label | None = None,
    models: Iterable[str] | None = None,
) -> Figure:
    """Draw the efficiency of each model's cut in bins of a variable: one panel per class, all models.

    A horizontal bar is the bin, in which the models stand next to each other. Bins without a positive sum of weights
    are excluded.

    Args:
        curves: class -> model -> curve; the curves of a class share their bins.
        xlabel: label of the variable.
        cut: text that describes how the cut is fixed.
        label: label over the axes.
        models: all models of the run, so that colours agree between figures.

    Raises:
        DataError: there is no bin.

    """
    if not any(np.isfinite(c.efficiency).any() for of in curves.values() for c in of.values()):
        raise DataError(f"no efficiency against {xlabel} is defined in any bin; there is nothing to draw")
    names = list(dict.fromkeys(model for of in curves.values() for model in of))
    styles = model_styles(models or names)
    drawn, axes = column_of_panels(len(curves), first=height_for(len(names), 1.75), others=1.35)
    for panel, (name, of) in zip(axes, curves.items(), strict=True):
        top = 0.0
        for index, (model, curve) in enumerate(of.items()):
            width = np.diff(curve.edges)
            defined, style = np.isfinite(curve.efficiency), styles[model]
            x = (curve.edges[:-1] + width * (0.2 + 0.6 * (index + 0.5) / len(of)))[defined]
            ends = x - curve.edges[:-1][defined], curve.edges[1:][defined] - x
            panel.errorbar(
                x, curve.efficiency[defined], xerr=ends, fmt="none", ecolor=style.colour, elinewidth=0.4, gid="bin"
            )
            panel.errorbar(
                x, curve.efficiency[defined], yerr=curve.error[defined], fmt=style.marker, color=style.colour,
                linewidth=0.9, label=model,
            )  # fmt: skip
            top = max(top, float(np.max((curve.efficiency + curve.error)[defined], initial=0.0)))
        for edge in curve.edges[1:-1]:
            panel.axvline(edge, color="#dddddd", linewidth=0.5, zorder=0)
        panel.set_xlim(curve.edges[0], curve.edges[-1])
        panel.set_ylim(0.0, 1.08 * top or 1.0)
        panel.set_ylabel(f"{name.capitalize()} eff.", fontsize=8)
        if panel is not axes[0]:
            raise_limit(panel, 0.95)
    axes[-1].set_xlabel(xlabel)
    axes_label(axes[0], label)
    notes = [label.note if label else "", cut]
    legend_above(axes[0], note="\n".join(note for note in notes if note))
    return drawn


@styled
def importance_figure(
    importance: Mapping[str, FeatureImportance],
    *,
    source: str,
    names: Mapping[str, str] | None = None,
    label: Label | None = None,
) -> Figure:
    """Draw the inputs by which a classifier separates each domain from `source`: the AUC lost if one is shuffled.

    The inputs that matter most in any domain are drawn, one bar per domain, with the spread over shuffles.

    Args:
        importance: other domain -> result.
        source: name of the source.
        names: labels of inputs and of domains; one without a label is called by its name.
        label: label over the axes.

    Raises:
        DataError: there are no results.

    """
    names = names or {}
    if not importance:
        raise DataError(f"no domain was probed against {source}; there is no importance to draw")
    drop = {d: dict(zip(i.names, i.drop.tolist(), strict=True)) for d, i in importance.items()}
    error = {d: dict(zip(i.names, i.error.tolist(), strict=True)) for d, i in importance.items()}
    features = list(dict.fromkeys(name for of in drop.values() for name in of))
    features.sort(key=lambda name: -max(of.get(name, 0.0) for of in drop.values()))
    shown = features[:MOST]
    rows = model_rows(shown, list(importance), label, entries=0, names=names)
    for domain in importance:
        for name in shown:
            rows.axes.barh(
                rows.position(name, domain), drop[domain][name], xerr=error[domain][name], height=0.86 * rows.height,
                color=rows.colours[domain], alpha=0.85, error_kw={"linewidth": 0.7},
            )  # fmt: skip
    rows.axes.axvline(0.0, color="black", linewidth=0.6)
    rows.axes.set_xlabel(f"Decrease of the domain AUC to {source}")
    handles: list[Artist] = [Patch(color=rows.colours[domain], alpha=0.85) for domain in importance]
    rows.legend(handles, [names.get(domain, domain) for domain in importance])
    return rows.figure
