"""The fitted signal strength and free rates of all models."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from hepda.errors import DataError
from hepda.plotting.base.rows import model_rows
from hepda.plotting.base.style import COLUMN, PAGE, Label, styled
from hepda.plotting.fit.rows import nice
from hepda.results.fit_file import FitEntry, FittedModel, ParameterEntry

_MOST = 4  # panels
_STYLES = {"expected": ("o", "#717581"), "observed": ("s", "black")}


@styled
def strengths_figure(
    models: Mapping[str, FittedModel],
    *,
    data: str = "data",
    labels: Mapping[str, str] | None = None,
    label: Label | None = None,
) -> Figure:
    """Draw the fitted mu of each model with its interval, and in further panels the free rates.

    Grey points are the fit to Asimov data, black ones the fit to data, where it was made. Thin bars are the 68 %
    interval of mu and the errors of the rates; the thick bar of the expected mu is the statistical error of the counts
    alone.

    Args:
        models: the fits by model.
        data: label of the data.
        labels: labels of the free rates.
        label: label over the axes.

    Raises:
        DataError: no model has a fit with a minimum.

    """
    fitted = {name: model for name, model in models.items() if _fits(model)}
    if not fitted:
        raise DataError("no model has a fit with a minimum; there is no signal strength to draw")
    series = list(dict.fromkeys(what for model in fitted.values() for what in _fits(model)))
    free = list(dict.fromkeys(p.name for model in fitted.values() for fit in _fits(model).values() for p in _free(fit)))
    panels = 1 + min(len(free), _MOST - 1)
    rows = model_rows(
        list(fitted), series, label, panels=panels, width=PAGE if panels > 1 else COLUMN, entries=2, columns=4
        if panels > 1 else 2,
    )  # fmt: skip
    for name, model in fitted.items():
        for what, fit in _fits(model).items():
            marker, colour = _STYLES[what]
            y = rows.position(name, what)
            mu, low, high = _interval(fit)
            _point(rows.axes, y, mu, (mu - low, high - mu), marker, colour)
            statistical = model.error_budget.data
            if what == "expected" and statistical is not None:
                rows.axes.errorbar([mu], [y], xerr=[statistical], fmt="none", color=colour, linewidth=2.4, gid="counts")
            for axes, rate in zip(rows.panels[1:], free, strict=False):
                for parameter in (p for p in _free(fit) if p.name == rate):
                    error = parameter.error or 0.0
                    _point(axes, y, parameter.value, (error, error), marker, colour)
    names = [r"Signal strength $\mu$", *(nice(rate, "free", labels) for rate in free)]
    for axes, text in zip(rows.panels, names, strict=False):
        axes.axvline(1.0, color="black", linewidth=0.8, linestyle=(0, (3, 1.5)), zorder=1, gid="prediction")
        axes.xaxis.set_major_locator(MaxNLocator(5 if panels > 1 else 7))
        axes.set_xlabel(text)
        for row in range(1, len(fitted), 2):
            axes.axhspan(row - 0.5, row + 0.5, facecolor="#f3f3f3", edgecolor="none", zorder=0)
    texts = {"expected": "expected (Asimov)", "observed": f"fit to {data}"}
    handles: list[Artist] = [Line2D([], [], color=_STYLES[what][1], marker=_STYLES[what][0]) for what in series]
    handles.append(Line2D([], [], color="#717581", linewidth=2.4))
    handles.append(Line2D([], [], color="black", linewidth=0.8, linestyle=(0, (3, 1.5))))
    rows.legend(
        handles,
        [*(texts[what] for what in series), "error of the counts", "prediction"],
        columns=4 if panels > 1 else 2,
    )
    return rows.figure


def _fits(model: FittedModel) -> dict[str, FitEntry]:
    fits = {"expected": model.expected, "observed": model.observed}
    return {name: fit for name, fit in fits.items() if fit.mu is not None}


def _free(fit: FitEntry) -> list[ParameterEntry]:
    return [p for p in fit.parameters or () if p.kind == "free"]


def _interval(fit: FitEntry) -> tuple[float, float, float]:
    """Return mu and the ends of its interval, from its error where there are none."""
    mu, error = fit.mu or 0.0, fit.error or 0.0
    low, high = (mu - error if fit.low is None else fit.low), (mu + error if fit.high is None else fit.high)
    return mu, min(low, mu), max(high, mu)


def _point(axes: Axes, y: float, value: float, errors: tuple[float, float], marker: str, colour: str) -> None:
    axes.errorbar([value], [y], xerr=np.array(errors)[:, None], fmt=marker, color=colour, linewidth=0.9)
