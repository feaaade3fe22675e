"""Figures of the expected significance of a cut, without and with uncertainties."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
from matplotlib.figure import Figure

from hepda.errors import DataError
from hepda.plotting.base.panels import column_of_panels
from hepda.plotting.base.style import (
    Label,
    axes_label,
    height_for,
    legend_above,
    model_styles,
    raise_limit,
    styled,
)
from hepda.results.evaluation import FloatArray, SignificanceScan

PANELS = (
    ("asimov", "best", "Statistical only"),
    ("asimov_with_uncertainty", "best_with_uncertainty", "+ background and MC unc."),
    ("asimov_with_bias", "best_with_bias", "+ bias between domains"),
)
FLOOR = 25.0  # effective background events above a cut, below which a curve is dominated by noise


@styled
def significance_figure(
    scans: Mapping[str, SignificanceScan],
    *,
    x: Literal["efficiency", "cut"] = "efficiency",
    bias_from: str = "",
    label: Label | None = None,
    models: Iterable[str] | None = None,
) -> Figure:
    """Draw the median expected discovery significance against the cut; one panel for each set of uncertainties.

    The panels share the x axis, and their y axes differ: the decrease of the second and third relative to the first is
    the effect of the uncertainties. Bands: bootstrap replicas of the events, where there are any. A marker is drawn at
    the cut that was chosen as the best one, at the significance that is quoted for it: on other events than those on
    which it was chosen. Curves end where fewer than 25 effective background events are left. Panels for which no model
    has numbers are not drawn.

    Args:
        scans: model -> significance at each cut.
        x: "efficiency" uses the signal efficiency of the cut as the x axis, which makes models comparable whose scores
            have different meanings; "cut" uses the score.
        bias_from: the domain whose difference is the bias of the last panel; "" does not name it.
        label: label over the axes.
        models: all models of the run, so that colours agree between figures.

    Raises:
        DataError: there is no panel to draw.

    """
    panels = [panel for panel in PANELS if any(_finite(_values(scan, panel[0])) for scan in scans.values())]
    if not panels:
        raise DataError("no model has a significance at any cut; there is nothing to draw")
    styles = model_styles(models or scans)
    drawn, axes = column_of_panels(len(panels), first=height_for(len(scans), 1.75))
    for panel, (name, quoted, text) in zip(axes, panels, strict=True):
        top = 0.0
        for model, scan in scans.items():
            values, best = _values(scan, name), getattr(scan, quoted)
            if values is None or not _finite(values):
                continue
            position = scan.cut if x == "cut" else scan.signal / np.nanmax(scan.signal)
            style = styles[model]
            panel.plot(position, values, color=style.colour, linestyle=style.dashes, label=model)
            top = max(top, float(np.nanmax(values)))
            if name in scan.bands:
                low, high = (np.where(np.isfinite(values), ends, np.nan) for ends in scan.bands[name])
                panel.fill_between(position, low, high, color=style.colour, alpha=0.18, linewidth=0)
                top = max(top, float(np.nanmax(np.append(high, top))))
            if best is not None and best.value is not None:
                at = np.interp(best.cut, scan.cut, position)
                panel.plot(at, best.value, style.marker, color=style.colour, markersize=3.8)
                top = max(top, best.value)
        panel.set_ylim(0.0, 1.12 * top)
        panel.set_xlim(0.0, 1.0) if x == "efficiency" else panel.margins(x=0.0)
        if panel is not axes[0]:
            text = f"+ difference to {bias_from}" if bias_from and name == PANELS[2][0] else text
            panel.text(0.98, 0.95, text, transform=panel.transAxes, ha="right", va="top", fontsize=7, gid="panel")
            raise_limit(panel, 0.85)
        panel.set_ylabel(r"Asimov $Z$ [$\sigma$]", fontsize=8)
    axes[-1].set_xlabel("Cut on the score" if x == "cut" else "Signal efficiency of the cut")
    axes_label(axes[0], label)
    notes = [label.note if label else "", panels[0][2]]
    legend_above(axes[0], note="\n".join(note for note in notes if note))
    return drawn


def _values(scan: SignificanceScan, name: str) -> FloatArray | None:
    """Return a curve [m], NaN where too little background is left for a reliable value."""
    values = getattr(scan, name)
    return None if values is None else np.where(scan.background_n_eff >= FLOOR, values, np.nan)


def _finite(values: FloatArray | None) -> bool:
    return values is not None and bool(np.isfinite(values).any())
