"""Figures of speech enhancement: measures of quality against the ratio to the noise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from hepda.errors import DataError
from hepda.plotting.base.style import COLUMN, DPI, PAGE, model_styles, styled
from hepda.plotting.speech import ErrorCurve


@styled
def quality_figure(panels: Mapping[str, Mapping[str, ErrorCurve]]) -> Figure:
    """Draw measures of quality against the ratio of speech to noise; a panel for each measure, a curve for each model.

    Args:
        panels: label of the measure, with its unit -> model -> curve, with ratios in dB.

    Raises:
        DataError: there is no curve.

    """
    if not any(panels.values()):
        raise DataError("no measure of quality has a value; there is nothing to draw")
    names = list(dict.fromkeys(model for panel in panels.values() for model in panel))
    styles = model_styles(names)
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    width = COLUMN if columns == 1 else PAGE
    drawn = Figure(figsize=(width, 2.2 * rows + 0.25 * -(-len(names) // 4)), layout="constrained", dpi=DPI)
    axes = drawn.subplots(rows, columns, squeeze=False)
    for panel in axes.flat[len(panels) :]:
        panel.set_visible(False)
    for panel, (label, of) in zip(axes.flat, panels.items(), strict=False):
        for index, (model, curve) in enumerate(of.items()):
            style = styles[model]
            step = np.min(np.diff(np.sort(curve.x))) if len(curve.x) > 1 else 1.0
            x = curve.x + 0.04 * step * (index - 0.5 * (len(of) - 1))
            error = np.stack([curve.value - curve.low, curve.high - curve.value]).clip(0.0)
            panel.errorbar(
                x, curve.value, yerr=error, marker=style.marker, color=style.colour, linestyle=style.dashes,
                elinewidth=0.6, label=model,
            )  # fmt: skip
        panel.set_ylabel(label)
        panel.set_xlabel("Speech over noise [dB]")
        panel.set_xticks(sorted({x for curve in of.values() for x in curve.x.tolist()}))
        panel.minorticks_off()
    handles, texts = axes[0, 0].get_legend_handles_labels()
    drawn.legend(handles, texts, loc="outside upper center", ncols=min(4, len(texts)))
    return drawn
