"""Figures of a fit: templates after the fit, pulls, impacts, correlations. The bias of mu is in `closure`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullLocator

from hepda.errors import DataError
from hepda.plotting.base.histogram import Floats, Histogram, hidden_bins, ratio
from hepda.plotting.base.panels import draw_band, draw_line, draw_points, draw_stack, finish_ratio, hide_region
from hepda.plotting.base.style import (
    COLUMN,
    PALETTE,
    Label,
    axes_label,
    figure,
    legend_above,
    legend_bottom,
    log_axis,
    ratio_figure,
    sample_colours,
    styled,
)
from hepda.plotting.scores.closure import closure_bias_figure
from hepda.results.fits import FitResult, Impact, Parameter

__all__ = ["closure_bias_figure", "correlation_figure", "impacts_figure", "postfit_figure", "pulls_figure"]

BANDS = ((2.0, "#f0f0f0"), (1.0, "#dcdcdc"))  # of pulls, in standard deviations
UP, DOWN = PALETTE[0], PALETTE[2]
_LINE = 0.165  # inches: the height of a row of names


@styled
def postfit_figure(
    result: FitResult,
    *,
    model: str,
    labels: Mapping[str, str] | None = None,
    colours: Mapping[str, str] | None = None,
    data: str = "Data",
    blind: tuple[float, float] | None = None,
    label: Label | None = None,
) -> Figure:
    """Draw the fitted templates as a stack with the band of all fitted errors, data, and their ratio.

    Bins are drawn equally wide, with their edges in the score written below. The dashed line is the expectation
    before the fit, at mu = 1. A sample fitted to negative contents cannot be stacked and is excluded from the
    fills, but not from the total.

    Args:
        result: the fit.
        model: name of the model.
        labels: labels of the samples.
        colours: colours of the samples.
        data: label of the data.
        blind: range of the score where data are hidden, in complete bins.
        label: label over the axes.

    Raises:
        DataError: the fit has no minimum.

    """
    if result.mu is None:
        raise DataError(f"the fit of {model} has no minimum; it cannot be drawn")
    edges = np.arange(len(result.observed) + 1.0)
    drawn, main, below = ratio_figure(height=COLUMN)
    total = Histogram(edges, result.fitted, result.fitted_error**2)
    _draw_fitted(main, result, total, labels or {}, colours or {})
    prefit = Histogram(edges, result.prefit, np.zeros_like(result.prefit))
    draw_line(main, prefit, colour="black", dashes=(0, (3, 1.5)), label="Before the fit")
    hidden = hidden_bins(result.edges, blind)
    are_counts = bool(np.all(result.observed == np.round(result.observed)))  # Poisson intervals are for counts
    observed = Histogram(edges, result.observed, result.observed * (1.0 if are_counts else 1 + 1e-9))
    down, up = observed.interval()
    draw_points(main, observed, hidden=hidden, label=data)
    draw_band(below, total, relative=True)
    compared = ratio(Histogram(edges, np.where(hidden, np.nan, observed.sumw), observed.sumw2), total)
    draw_points(below, compared, hidden=hidden, bars=(down / total.sumw, up / total.sumw))
    xlabel = f"Score of {model}, bins of the fit"
    finish_ratio(below, [compared], colours=["black"], label=f"{data} / fit", xlabel=xlabel)
    _edge_labels(below, result.edges)
    main.set_xlim(edges[0], edges[-1])
    heights = (np.where(hidden, 0.0, observed.sumw + up), total.sumw + total.error, prefit.sumw)
    log_axis(main, max(0.3 * float(np.min(result.fitted)), 1e-3), 1.5 * float(np.max(heights)))
    main.set_ylabel("Events / bin")
    axes_label(main, label)
    notes = (_fit_note(result), label.note if label else "")
    legend = legend_above(main, note="\n".join(note for note in notes if note))
    if hidden.any():
        first, last = np.flatnonzero(hidden)[[0, -1]]
        hide_region(main, (float(first), float(last + 1)), text_top=legend_bottom(legend) - 0.04)
        hide_region(below, (float(first), float(last + 1)))
    return drawn


@styled
def pulls_figure(
    parameters: Sequence[Parameter],
    *,
    labels: Mapping[str, str] | None = None,
    most: int = 40,
    label: Label | None = None,
) -> Figure:
    """Draw the fitted value of each nuisance parameter relative to its prior, in prior errors, with its error.

    Grey bands are one and two standard deviations of the prior. Parameters without a prior (mu) are excluded.

    Args:
        parameters: the fitted parameters.
        labels: labels of the parameters.
        most: largest number of parameters; of more, those with the largest pulls or the tightest constraints are drawn,
            and the figure states how many are not.
        label: label over the axes.

    Raises:
        DataError: there is no parameter to draw.

    """
    constrained = [p for p in parameters if p.pull is not None and p.constraint is not None]
    if not constrained:
        raise DataError("the fit has no nuisance parameter; there is no pull to draw")
    ranked = sorted(constrained, key=lambda p: -max(abs(p.pull or 0.0), abs(1 - (p.constraint or 1.0))))
    shown = [p for p in constrained if p in ranked[:most]]
    names = [_nice(p.name, p.kind, labels) for p in shown]
    drawn, [axes], left = _named_rows(names, label, [1.0], COLUMN, bottom=0.38)
    _draw_pulls(axes, [p.pull or 0.0 for p in shown], [p.constraint or 0.0 for p in shown])
    axes.set_xlabel(r"Pull, $(\hat{\theta} - \theta_0) / \Delta\theta$")
    _say_left_out(drawn, len(constrained) - len(shown), left)
    return drawn


@styled
def impacts_figure(
    impacts: Sequence[Impact],
    *,
    mu: float,
    error: float,
    labels: Mapping[str, str] | None = None,
    most: int = 20,
    label: Label | None = None,
) -> Figure:
    """Draw the usual ranking: pulls and constraints on the left, shifts of mu on the right, the largest on top.

    Args:
        impacts: the impacts, largest first.
        mu: the fitted strength.
        error: the error of mu.
        labels: labels of the parameters.
        most: largest number of impacts that are drawn; the figure states how many are not.
        label: label over the axes.

    Raises:
        DataError: there is no impact.

    """
    if not impacts:
        raise DataError("the fit has no nuisance parameter; there is no impact to draw")
    shown = impacts[:most]
    names = [_nice(i.name, i.kind, labels) for i in shown]
    drawn, [left_axes, right_axes], left = _named_rows(names, label, [1.0, 1.0], COLUMN, bottom=0.58)
    _draw_pulls(left_axes, [i.pull or 0.0 for i in shown], [i.constraint or 0.0 for i in shown])
    left_axes.set_xlabel(r"$(\hat{\theta} - \theta_0) / \Delta\theta$")
    for row, impact in enumerate(shown):
        for shift, colour, filled in ((impact.mu_up, UP, True), (impact.mu_down, DOWN, False)):
            if shift is not None:
                right_axes.barh(
                    row, shift, height=0.62, facecolor=colour if filled else "none", edgecolor=colour, linewidth=0.8
                )
    reach = 1.12 * max(abs(s) for i in shown for s in (i.mu_up, i.mu_down, 1e-12) if s is not None)
    right_axes.set_xlim(-reach, reach)
    right_axes.axvline(0.0, color="black", linewidth=0.6)
    right_axes.xaxis.set_major_locator(MaxNLocator(4, symmetric=True))
    right_axes.set_xlabel(r"Impact $\Delta\hat{\mu}$")
    handles = [Patch(facecolor=UP, edgecolor=UP), Patch(facecolor="none", edgecolor=DOWN)]
    drawn.legend(
        handles,
        [r"$\theta$ up by one post-fit error", "down"],
        loc="lower left",
        bbox_to_anchor=(0.01, 0.005),
        ncols=2,
        borderaxespad=0.0,
    )
    drawn.text(0.985, 0.012, rf"$\hat{{\mu}}$ = {mu:.2f} ± {error:.2f}", ha="right", va="bottom", fontsize=7.5)
    _say_left_out(drawn, len(impacts) - len(shown), left, bottom=0.16)
    return drawn


@styled
def correlation_figure(
    result: FitResult, *, labels: Mapping[str, str] | None = None, most: int = 15, label: Label | None = None
) -> Figure:
    """Draw the correlations after the fit of mu, the systematics, and the largest among the simulation's statistics.

    Args:
        result: the fit.
        labels: labels of the parameters.
        most: largest number of parameters.
        label: label over the axes.

    Raises:
        DataError: the fit has no minimum.

    """
    if not len(result.correlation):
        raise DataError("the fit has no minimum; there is no correlation to draw")
    matrix = result.correlation
    kinds = [p.kind for p in result.parameters]
    rank = sorted(range(len(kinds)), key=lambda i: (kinds[i] == "statistics", -abs(matrix[0, i])))
    chosen = sorted(rank[:most])
    names = [_nice(result.parameters[i].name, kinds[i], labels) for i in chosen]
    part = matrix[np.ix_(chosen, chosen)]
    left = 0.1 + 0.052 * max(len(name) for name in names)
    side = min(max(0.26 * len(chosen), 1.2), COLUMN - left - 0.16)
    size = 5.5 if side / len(chosen) > 0.2 else 4.0
    drawn, axes = figure(left + side + 0.16, side + left + 0.22, left=left, bottom=left)
    axes.imshow(part, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    for row, column in np.ndindex(*part.shape):
        value = part[row, column]
        colour = "white" if abs(value) > 0.6 else "black"
        axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=size, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_tick_params(which="both", length=0)
    axes.tick_params(labelsize=6.5)
    axes_label(axes, label, left=-(left - 0.05) / side)
    axes.set_title("correlation [%]", loc="right", fontsize=7) if label is None else None
    return drawn


def _draw_fitted(
    main: Axes, result: FitResult, total: Histogram, labels: Mapping[str, str], colours: Mapping[str, str]
) -> None:
    """Draw the stack, the smallest background lowest and signal on top; a negative sample cannot be part of it."""
    palette = sample_colours(list(result.samples), result.signal) | dict(colours)
    names = sorted(result.samples, key=lambda name: (name in result.signal, result.samples[name].sum()))
    names = [name for name in names if np.all(result.samples[name] >= 0)]
    parts = [Histogram(total.edges, result.samples[name], np.zeros_like(total.sumw)) for name in names]
    if parts:  # the band of the fit replaces that of the stack
        parts[0] = Histogram(total.edges, parts[0].sumw, total.sumw2)
        draw_stack(main, parts, [labels.get(name, name) for name in names], [palette[n] for n in names], "Fit unc.")


def _fit_note(result: FitResult) -> str:
    note = rf"$\hat{{\mu}}$ = {result.mu:.2f} ± {result.error or 0.0:.2f}"
    if result.p_value is None:
        return note
    return note + (f", p = {result.p_value:.2f}" if result.p_value >= 0.005 else f", p = {result.p_value:.0e}")


def _edge_labels(axes: Axes, edges: Floats) -> None:
    """Write the edges of the score under bins that are drawn equally wide; every other one where there are many."""
    step = 1 + len(edges) // 10
    places = range(0, len(edges), step)
    axes.set_xticks(list(places), [f"{edges[i]:.2f}" if np.isfinite(edges[i]) else "" for i in places])
    axes.xaxis.set_minor_locator(NullLocator())


def _nice(name: str, kind: str, labels: Mapping[str, str] | None) -> str:
    """Return a readable name; the simulation's statistics are identified by their bin, counted from 1."""
    if labels and name in labels:
        return labels[name]
    if kind == "poi":
        return r"$\mu$"
    if kind == "statistics" and name.endswith("]"):
        return f"MC stat., bin {int(name[name.rindex('[') + 1 : -1]) + 1}"
    return name.replace("_", " ")


def _named_rows(
    names: Sequence[str], label: Label | None, shares: Sequence[float], width: float, *, bottom: float
) -> tuple[Figure, list[Axes], float]:
    """Make axes that share the names at their left, first on top; return also where the first begins (inches)."""
    left, right, top, gap = 0.12 + 0.056 * max(len(name) for name in names), 0.12, 0.22, 0.08
    height = bottom + top + _LINE * len(names) + 0.05
    drawn = Figure(figsize=(width, height))
    FigureCanvasAgg(drawn)
    inner = width - left - right - gap * (len(shares) - 1)
    all_axes: list[Axes] = []
    start = left
    for share in shares:
        wide = inner * share / sum(shares)
        box = (start / width, bottom / height, wide / width, 1 - (bottom + top) / height)
        all_axes.append(drawn.add_axes(box, sharey=all_axes[0] if all_axes else None))
        all_axes[-1].tick_params(axis="y", which="both", length=0, labelleft=len(all_axes) == 1, labelsize=7)
        start += wide + gap
    all_axes[0].set_yticks(range(len(names)), names)
    all_axes[0].yaxis.set_minor_locator(NullLocator())
    all_axes[0].set_ylim(len(names) - 0.4, -0.6)
    if label is not None:
        drawn.text(0.05 / width, 1 - 0.05 / height, label.status, weight="bold", va="top", gid="label")
        drawn.text(1 - right / width, 1 - 0.05 / height, label.right, ha="right", va="top", gid="label")
    return drawn, all_axes, left


def _draw_pulls(axes: Axes, pulls: Sequence[float], constraints: Sequence[float]) -> None:
    for width, colour in BANDS:
        axes.axvspan(-width, width, facecolor=colour, edgecolor="none", zorder=0, gid="band")
    axes.axvline(0.0, color="black", linewidth=0.6, linestyle=(0, (3, 1.5)), zorder=1)
    rows = np.arange(len(pulls))
    axes.errorbar(pulls, rows, xerr=constraints, fmt="o", color="black", linewidth=0.9, markersize=2.6, zorder=3)
    reach = max(2.3, 1.08 * max(abs(p) + c for p, c in zip(pulls, constraints, strict=True)))
    axes.set_xlim(-reach, reach)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, symmetric=True))


def _say_left_out(drawn: Figure, count: int, left: float, *, bottom: float = 0.05) -> None:
    """Write how many parameters are not drawn."""
    if count:
        width, height = drawn.get_size_inches()
        drawn.text(0.05 / width, bottom / height, f"{count} smaller not shown", fontsize=6.5, va="bottom")
