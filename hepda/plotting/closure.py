"""Does a fit to pseudo-data find what was put in? Bias in mu and expected error, side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hepda.errors import DataError
from hepda.plotting.numbers import ClosureLike
from hepda.plotting.rows import model_rows
from hepda.plotting.style import MARKERS, Label, styled


@styled
def closure_figure(
    fits: Mapping[str, Mapping[str, ClosureLike]], *, source: str, label: Label | None = None
) -> Figure:
    """Fitted signal strength of every model, templates from `source`, with the domain that plays data by
    colour.

    fits: domain -> model -> fit. Thin bars: the error of the fit; thick bars: what the finite simulation that
    plays data adds to it (where known). The dashed lines stand at the truths. A fit without mu (None) is left
    out; its reason belongs to the report. Raises DataError if no fit has one.
    """
    known = {
        domain: {model: fit for model, fit in results.items() if fit.mu is not None}
        for domain, results in fits.items()
    }
    known = {domain: results for domain, results in known.items() if results}
    models = list(dict.fromkeys(model for results in fits.values() for model in results))
    if not known:
        raise DataError("no fit to pseudo-data has a signal strength; there is nothing to draw")
    rows = model_rows(models, list(known), label)
    truths = sorted({fit.truth for results in known.values() for fit in results.values()})
    for truth in truths:
        rows.axes.axvline(truth, color="black", linewidth=0.8, linestyle=(0, (3, 1.5)), zorder=1, gid="truth")
    for index, (domain, results) in enumerate(known.items()):
        for model, fit in results.items():
            y, colour, mu = (
                rows.position(model, domain),
                rows.colours[domain],
                np.array([fit.mu], dtype=float),
            )
            rows.axes.errorbar(
                mu, [y], xerr=[fit.error or 0.0], fmt=MARKERS[index], color=colour, linewidth=0.9
            )
            if fit.sample_error:
                rows.axes.errorbar(mu, [y], xerr=[fit.sample_error], fmt="none", color=colour, linewidth=2.4)
    rows.axes.set_xlabel(rf"Signal strength $\mu$, templates from {source}")
    handles: list[Artist] = [
        Line2D([], [], color=rows.colours[domain], marker=MARKERS[index])
        for index, domain in enumerate(known)
    ]
    handles.append(Line2D([], [], color="black", linewidth=0.8, linestyle=(0, (3, 1.5))))
    rows.legend(handles, [*(f"data from {domain}" for domain in known), "truth"])
    return rows.figure
