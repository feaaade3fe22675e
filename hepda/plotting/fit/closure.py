"""Figures of fits to pseudo-data with known truth: bias in mu, expected error and coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from hepda.errors import DataError
from hepda.plotting.base.histogram import ONE_SIGMA
from hepda.plotting.base.rows import RowsFigure, model_rows
from hepda.plotting.base.style import COLUMN, MARKERS, PAGE, Label, styled
from hepda.results.fit_file import ClosedEntry

Fits = Mapping[str, Mapping[str, Sequence[ClosedEntry]]]
"""Fits of different injected strengths, by domain used as data and model."""


@styled
def closure_bias_figure(fits: Fits, *, source: str, label: Label | None = None) -> Figure:
    """Draw the bias of the fitted signal strength and its expected error for all models, a panel for each truth.

    Points are mu minus truth; thin bars are the error of the fit; thick bars are the contribution of the finite
    simulation of the domain. Fits without mu are excluded. With toys a last panel has the share of toys whose 68.27 %
    interval contains the truth (of the truth nearest to 1), in per cent with its binomial error.

    Args:
        fits: the fits.
        source: name of the source.
        label: label over the axes.

    Raises:
        DataError: no fit has a mu.

    """
    fitted = _with_mu(fits)
    models = list(dict.fromkeys(model for results in fits.values() for model in results))
    truths = sorted(
        {fit.truth for results in fitted.values() for fits_of_model in results.values() for fit in fits_of_model}
    )
    nearest = min(truths, key=lambda truth: abs(truth - 1))
    covered = any(
        _covered(f, nearest) for by_model in fitted.values() for of_model in by_model.values() for f in of_model
    )
    wide = len(truths) + covered > 1
    rows = model_rows(
        models,
        list(fitted),
        label,
        panels=len(truths) + covered,
        width=PAGE if wide else COLUMN,
        columns=4 if wide else 2,
        entries=3,
    )
    low, high = _draw_biases(rows, fitted, truths)
    for axes, truth in zip(rows.panels, truths, strict=False):
        axes.set_xlim(low, high)
        axes.axvline(0.0, color="black", linewidth=0.8, linestyle=(0, (3, 1.5)), zorder=1, gid="truth")
        axes.xaxis.set_major_locator(MaxNLocator(5 if wide else 7))
        axes.set_xlabel(rf"$\hat{{\mu}} - \mu$ for $\mu$ = {truth:g}")
    if covered:
        _draw_coverage(rows, fitted, nearest)
    for axes in rows.panels:
        for row in range(1, len(models), 2):
            axes.axhspan(row - 0.5, row + 0.5, facecolor="#f3f3f3", edgecolor="none", zorder=0)
    handles: list[Artist] = [
        Line2D([], [], color=rows.colours[domain], marker=MARKERS[index]) for index, domain in enumerate(fitted)
    ]
    dashed = {"linewidth": 0.8, "linestyle": (0, (3, 1.5))}
    handles += [
        Line2D([], [], color="black", **options) for options in (dashed, {"linewidth": 0.9}, {"linewidth": 2.4})
    ]
    notes = [f"no bias (templates: {source})", "error of the fit", "of the finite pseudo-data"]
    rows.legend(handles, [*map(_data_label, fitted), *notes], columns=4 if wide else 2)
    return rows.figure


def _data_label(domain: str) -> str:
    return "data" if domain == "data" else f"data from {domain}"


def _with_mu(fits: Fits) -> dict[str, dict[str, list[ClosedEntry]]]:
    """Return the fits that have a signal strength, of the domains that have one; raise DataError if none has."""
    fitted = {
        domain: {
            model: [fit for fit in fits_of_model if fit.mu is not None] for model, fits_of_model in results.items()
        }
        for domain, results in fits.items()
    }
    fitted = {domain: results for domain, results in fitted.items() if any(results.values())}
    if not fitted:
        raise DataError("no fit to pseudo-data has a signal strength; there is no bias to draw")
    return fitted


def _draw_biases(rows: RowsFigure, fitted: Fits, truths: Sequence[float]) -> tuple[float, float]:
    """Draw one panel per truth; return the limits that enclose all points with their errors, and zero bias."""
    reach = [0.0]
    for index, (domain, results) in enumerate(fitted.items()):
        for model, fits_of_model in results.items():
            for fit in fits_of_model:
                axes, bias, error = rows.panels[truths.index(fit.truth)], (fit.mu or 0.0) - fit.truth, fit.error or 0.0
                y, colour = rows.position(model, domain), rows.colours[domain]
                axes.errorbar([bias], [y], xerr=[error], fmt=MARKERS[index], color=colour, linewidth=0.9)
                if fit.sample_error:
                    axes.errorbar([bias], [y], xerr=[fit.sample_error], fmt="none", color=colour, linewidth=2.4)
                reach += [bias - error, bias + error]
    pad = 0.05 * (max(reach) - min(reach))
    return min(reach) - pad, max(reach) + pad


def _covered(fit: ClosedEntry, truth: float) -> bool:
    return fit.truth == truth and fit.toys.coverage is not None


def _draw_coverage(rows: RowsFigure, fitted: Fits, truth: float) -> None:
    """Draw the last panel, of the toys of one truth."""
    axes = rows.panels[-1]
    for index, (domain, results) in enumerate(fitted.items()):
        for model, fits_of_model in results.items():
            for fit in (fit for fit in fits_of_model if _covered(fit, truth)):
                share, error = 100 * (fit.toys.coverage or 0.0), 100 * (fit.toys.coverage_error or 0.0)
                y, colour = rows.position(model, domain), rows.colours[domain]
                axes.errorbar([share], [y], xerr=[error], fmt=MARKERS[index], color=colour, linewidth=0.9)
    axes.axvline(100 * ONE_SIGMA, color="black", linewidth=0.8, linestyle=(0, (3, 1.5)), zorder=1, gid="nominal")
    axes.set_xlim(-3, 103)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel(rf"Coverage for $\mu$ = {truth:g} [%]")
