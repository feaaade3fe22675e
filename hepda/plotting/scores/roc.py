"""Figures of separation: background rejection and purity against signal efficiency, AUC against labelled events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepda.errors import DataError
from hepda.plotting.base.style import (
    COLUMN,
    PALETTE,
    USUAL_TEXTS,
    AxisTexts,
    Label,
    LineStyle,
    axes_label,
    figure,
    height_for,
    legend_above,
    legend_beside,
    log_axis,
    model_styles,
    ratio_figure,
    styled,
)
from hepda.results.evaluation import FewLabels, FloatArray, Interval, PurityBand, RocBand

_MARKERS = ("o", "s", "^")
_SHOWN = 0.013
"""Difference of the AUC up to which the lower panel shows it; a bad layer of few labels is in the upper panel alone."""


@styled
def roc_figure(
    bands: Mapping[str, RocBand],
    *,
    reference: str,
    auc: Mapping[str, Interval] | None = None,
    label: Label | None = None,
    models: Iterable[str] | None = None,
    lowest_efficiency: float = 0.05,
    texts: AxisTexts = USUAL_TEXTS,
) -> Figure:
    """Draw the background rejection (logarithmic) of every model in one domain, and its ratio to that of the reference.

    The band of the ratio is the model's own; that of the reference is drawn about 1.

    Args:
        bands: model -> background efficiency at signal efficiencies, with an interval that is drawn as a band.
        reference: name of the reference model.
        auc: model -> interval that is written in the legend.
        label: label over the axes.
        models: all models of the run, so that colours agree between figures.
        lowest_efficiency: points below it are excluded, because very few events determine the rejection there.
        texts: labels of the axes.

    Raises:
        DataError: `reference` is not among the bands.

    """
    if reference not in bands:
        raise DataError(f"the reference model {reference!r} of the ROC figure has no curve; there are {sorted(bands)}")
    styles = model_styles(models or bands)
    drawn, main, below = ratio_figure(height=height_for(len(bands), COLUMN * 1.05, columns=1 if auc else 2))
    top = bottom = np.nan
    for model, band in bands.items():
        x, centre, low, high = _rejection(band, lowest_efficiency)
        name = model if auc is None or model not in auc else f"{model} ({_auc_text(auc[model])})"
        _line(main, x, (centre, low, high), styles[model], name)
        base_x, base, _, _ = _rejection(bands[reference], lowest_efficiency)
        under = np.interp(x, base_x, base)
        _line(below, x, (centre / under, low / under, high / under), styles[model], None)
        top, bottom = np.fmax(top, np.nanmax(high)), np.fmin(bottom, np.nanmin(low))
    main.set_xlim(0.0, 1.0)
    log_axis(main, max(float(bottom), 0.8) * 0.9, float(top) * 1.15)
    main.set_ylabel(texts.y or r"Background rejection $1/\varepsilon_b$")
    below.set_xlabel(texts.x or r"Signal efficiency $\varepsilon_s$")
    below.set_ylabel(f"Ratio to {reference}" if len(reference) <= 10 else "Ratio to ref.", loc="center", fontsize=7.5)
    _ratio_limits(below)
    axes_label(main, label)
    notes = [label.note if label else "", f"reference: {reference}" if len(reference) > 10 else ""]
    text = "\n".join(n for n in notes if n)
    if auc is None:
        legend_above(main, note=text)
    else:
        legend_beside(main, note=text)
    return drawn


@styled
def purity_curves_figure(
    bands: Mapping[str, PurityBand],
    *,
    label: Label | None = None,
    models: Iterable[str] | None = None,
    lowest_efficiency: float = 0.05,
) -> Figure:
    """Draw the share of signal above a cut (precision) against its signal efficiency (recall), all models.

    The line is the share without a cut.

    Args:
        bands: model -> purity at signal efficiencies, with an interval that is drawn as a band.
        label: label over the axes.
        models: all models of the run, so that colours agree between figures.
        lowest_efficiency: points below it are excluded, because very few events determine the purity there.

    Raises:
        DataError: there are no bands.

    """
    if not bands:
        raise DataError("no model has a purity; there is nothing to draw")
    styles = model_styles(models or bands)
    drawn, axes = figure(height=height_for(len(bands), COLUMN * 0.85))
    share = next(iter(bands.values())).signal_share
    top = share
    for model, band in bands.items():
        keep = band.signal_efficiency >= lowest_efficiency
        central, low, high = (of[keep] for of in (band.purity, band.low, band.high))
        _line(axes, band.signal_efficiency[keep], (central, low, high), styles[model], model)
        top = max(top, float(np.nanmax(high)))
    axes.axhline(share, color="black", linewidth=0.7, linestyle=(0, (2, 1.5)), label="no cut")
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.0, min(1.05 * top, 1.02))
    axes.set_xlabel(r"Signal efficiency $\varepsilon_s$ (recall)")
    axes.set_ylabel("Purity s / (s + b) (precision)")
    axes_label(axes, label)
    legend_above(axes, note=label.note if label else "")
    return drawn


@styled
def few_labels_figure(result: FewLabels, *, model: str, domain: str, label: Label | None = None) -> Figure:
    """Draw the AUC after each way to fit the last layer against the number of labelled events (logarithmic).

    The line is the model as it was trained; bars are 68 % of the draws. The lower panel has the difference.

    Args:
        result: the AUCs.
        model: name of the model.
        domain: name of the domain of the labelled events.
        label: label over the axes.

    Raises:
        DataError: there are no AUCs.

    """
    if not result.events:
        raise DataError(f"no last layer of {model} was fitted to labelled events of {domain}; there is nothing to draw")
    drawn, axes, below = ratio_figure()
    events = np.asarray(result.events, dtype=np.float64)
    shifts = np.geomspace(0.94, 1.06, len(result.methods)) if len(result.methods) > 1 else np.ones(1)
    for (name, method), marker, colour, shift in zip(result.methods.items(), _MARKERS, PALETTE, shifts, strict=False):
        bars = np.stack([method.auc - method.low, method.high - method.auc])
        for panel, values in ((axes, method.auc), (below, method.auc - result.trained)):
            panel.errorbar(
                shift * events, values, yerr=bars, fmt=marker, color=colour, linestyle="-", linewidth=0.9,
                markersize=3.5, label=name if panel is axes else None,
            )  # fmt: skip
    dashes: dict[str, Any] = {"color": "black", "linewidth": 0.8, "linestyle": (0, (4, 2)), "zorder": 1}
    axes.axhline(result.trained, label="as trained", **dashes)
    below.axhline(0.0, **dashes)
    below.set_ylim(-_SHOWN, _SHOWN)
    axes.set_xscale("log")
    axes.set_xlim(0.75 * events[0], 1.35 * events[-1])
    below.set_xlabel(f"Labelled events of each class, {domain}")
    below.set_ylabel("Difference", loc="center", fontsize=7.5)
    axes.set_ylabel(f"AUC, {domain}")
    axes_label(axes, label)
    notes = [label.note if label else "", f"last layer of {model}"]
    legend_above(axes, note="\n".join(note for note in notes if note))
    return drawn


def _ratio_limits(below: Axes) -> None:
    """Set the limits to contain every central line; the bands, wide where few events are left, may exceed the panel."""
    heights = np.concatenate([np.asarray(line.get_ydata(), dtype=np.float64) for line in below.get_lines()])
    low, high = float(np.nanmin(heights)), float(np.nanmax(heights))
    pad = max(0.35 * (high - low), 0.04)
    below.set_ylim(low - pad, high + pad)


def _rejection(band: RocBand, lowest: float) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return signal efficiency, 1 / background efficiency and its ends; NaN where that is not positive."""
    keep = band.signal_efficiency >= lowest

    def inverse(efficiency: FloatArray) -> FloatArray:
        return 1.0 / np.where(efficiency[keep] > 0, efficiency[keep], np.nan)

    return (
        band.signal_efficiency[keep],
        inverse(band.background_efficiency),
        inverse(band.high),
        inverse(band.low),
    )


def _line(
    axes: Axes, x: FloatArray, curve: tuple[FloatArray, FloatArray, FloatArray], style: LineStyle, name: str | None
) -> None:
    centre, low, high = curve
    axes.fill_between(x, low, high, color=style.colour, alpha=0.22, linewidth=0)
    axes.plot(x, centre, color=style.colour, linestyle=style.dashes, label=name)


def _auc_text(auc: Interval) -> str:
    half = 0.5 * (auc.high - auc.low)
    digits = 4 if half < 0.001 else 3
    return f"AUC {auc.value:.{digits}f} ± {half:.{digits}f}"
