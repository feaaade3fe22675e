"""Figures of the reliability of a score: calibration, and training events against test events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.figure import Figure

from hepda.errors import DataError
from hepda.number_format import p_text
from hepda.plotting.base.histogram import Histogram, ratio
from hepda.plotting.base.panels import draw_band, draw_points, finish_ratio
from hepda.plotting.base.style import (
    COLUMN,
    DOMAIN_COLOURS,
    PALETTE,
    USUAL_TEXTS,
    AxisTexts,
    Label,
    axes_label,
    height_for,
    legend_above,
    model_styles,
    ratio_figure,
    styled,
)
from hepda.results.evaluation import CalibrationCurve, OvertrainingTest

WELL_KNOWN = 0.2
"""Error of a signal fraction from which on it does not determine the range of the differences."""


@styled
def calibration_figure(
    curves: Mapping[str, CalibrationCurve],
    *,
    label: Label | None = None,
    models: Iterable[str] | None = None,
    texts: AxisTexts = USUAL_TEXTS,
) -> Figure:
    """Draw the signal fraction against the mean score of each bin, all models.

    A calibrated score is on the diagonal; the lower panel has the differences from it. Bins without a fraction (NaN)
    are excluded.

    Args:
        curves: model -> its calibration.
        label: label over the axes.
        models: all models of the run, so that colours agree between figures.
        texts: labels of the axes.

    Raises:
        DataError: no model has a fraction.

    """
    styles = model_styles(models or curves)
    drawn, axes, below = ratio_figure(height=height_for(len(curves), COLUMN))
    highest, count, reach = 1.0, 0, 0.05
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.7, linestyle=(0, (2, 1.5)), label="calibrated")
    for name, curve in curves.items():
        defined = np.isfinite(curve.fraction) & np.isfinite(curve.mean_score)
        count += int(defined.sum())
        if not defined.any():
            continue
        style = styles[name]
        axes.errorbar(
            curve.mean_score[defined],
            curve.fraction[defined],
            yerr=curve.error[defined],
            fmt=style.marker,
            color=style.colour,
            linestyle=style.dashes,
            linewidth=0.9,
            label=name,
        )
        highest = max(highest, float(np.nanmax(curve.fraction[defined] + curve.error[defined])))
        difference, error = curve.fraction[defined] - curve.mean_score[defined], curve.error[defined]
        below.errorbar(
            curve.mean_score[defined], difference, yerr=error, fmt=style.marker, color=style.colour,
            linestyle=style.dashes, linewidth=0.9,
        )  # fmt: skip
        reach = max(reach, float(np.max((np.abs(difference) + error)[error < WELL_KNOWN], initial=0.0)))
    if not count:
        raise DataError("no model has a signal fraction in any bin of its score; there is nothing to draw")
    axes.set_xlim(0.0, 1.0)
    # Where negative weights cancel, a fraction can have any error; it exceeds the axes so that 0 to 1 stays readable.
    axes.set_ylim(0.0, min(1.02 * highest, 1.4))
    axes.set_yticks(np.linspace(0.0, 1.0, 6))
    below.axhline(0.0, color="black", linewidth=0.7, linestyle=(0, (2, 1.5)), zorder=1)
    below.set_ylim(-1.1 * reach, 1.1 * reach)
    below.set_xlabel(texts.x or "Mean score in bin")
    below.set_ylabel("Difference", loc="center", fontsize=7.5)
    axes.set_ylabel(texts.y or "Signal fraction in bin")
    axes_label(axes, label)
    legend_above(axes, note=label.note if label else "")
    return drawn


@styled
def overtraining_figure(tests: Mapping[str, OvertrainingTest], *, model: str, label: Label | None = None) -> Figure:
    """Draw the score of training events (filled) and test events (points) of each class, with ratio and KS.

    Args:
        tests: class name -> result; "signal" and "background" have fixed colours.
        model: name of the model.
        label: label over the axes.

    Raises:
        DataError: there are no tests.

    """
    if not tests:
        raise DataError(f"{model} has no comparison of training with test events; there is nothing to draw")
    drawn, main, below = ratio_figure()
    compared, colours, top = [], [], 0.0
    fixed_colours = {"signal": PALETTE[1], "background": DOMAIN_COLOURS["simulation"]}
    for index, (name, test) in enumerate(tests.items()):
        colour = fixed_colours.get(name, PALETTE[(4 + index) % len(PALETTE)])
        trained = Histogram(test.edges, test.train, test.train_error**2)
        tested = Histogram(test.edges, test.test, test.test_error**2)
        main.stairs(trained.sumw, trained.edges, fill=True, color=colour, alpha=0.3, label=f"{name}, training")
        note = f"{name}, test (KS {test.ks:.3f}, p {p_text(test.p_value, test.p_is_limit)})"
        draw_points(main, tested, bars=(tested.error, tested.error), colour=colour, label=note)
        compared.append(ratio(tested, trained))
        colours.append(colour)
        draw_points(below, compared[-1], bars=(compared[-1].error, compared[-1].error), colour=colour)
        draw_band(below, trained, relative=True)
        top = max(top, float(np.nanmax(tested.sumw + tested.error)), float(np.nanmax(trained.sumw)))
    main.set_xlim(trained.edges[0], trained.edges[-1])
    main.set_ylim(0.0, 1.06 * top)
    main.set_ylabel("Density")
    finish_ratio(below, compared, colours=colours, label="Test / training", xlabel=f"Score of {model}")
    axes_label(main, label)
    legend_above(main, columns=1, note=label.note if label else "")
    return drawn
