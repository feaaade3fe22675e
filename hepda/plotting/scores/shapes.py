"""Figures of the score: shapes in several domains with ratios, and simulation against data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from hepda.errors import DataError
from hepda.plotting.base.histogram import Histogram, histogram, ratio
from hepda.plotting.base.panels import draw_band, draw_line, finish_ratio
from hepda.plotting.base.style import (
    DASHES,
    USUAL_TEXTS,
    AxisTexts,
    Label,
    axes_label,
    domain_colours,
    legend_above,
    log_axis,
    ratio_figure,
    styled,
)
from hepda.plotting.scores.features import Feature, FeatureSample, FilledFeature, fill

SCORE_EDGES = np.linspace(0.0, 1.0, 21)  # in steps of 0.05: the usual thresholds of blinding are edges

Scores = Mapping[str, Histogram]
"""By domain, the histogram of a score."""


def score_histogram(score: ArrayLike, weight: ArrayLike | None = None, edges: ArrayLike = SCORE_EDGES) -> Histogram:
    """Return the histogram of a score [n] with signed weights [n], in steps of 0.05 unless `edges` are given."""
    return histogram(score, weight, edges)


@styled
def shape_figure(
    scores: Scores,
    *,
    reference: str,
    model: str,
    context: Scores | None = None,
    class_name: str = "",
    label: Label | None = None,
    log: bool = False,
    texts: AxisTexts = USUAL_TEXTS,
) -> Figure:
    """Draw distributions of one model's score, one class in several domains, each normalised to unit area.

    Error bars are sqrt(sumw2); those of the reference are drawn as a band about 1. Do not pass data while they are
    blinded: see `stacked_score`.

    Args:
        scores: domain -> histogram, as `score_histogram` makes it; all have the same edges.
        reference: the domain that is the denominator of the ratio.
        model: name of the model.
        class_name: the class, written before the domains in the legend; "" for none.
        context: further curves that are drawn thin and without a ratio, such as the signal.
        label: label over the axes.
        log: whether y is logarithmic.
        texts: labels of the axes.

    Raises:
        DataError: `reference` is missing or a sum of weights is not positive.

    """
    if reference not in scores:
        raise DataError(f"the reference domain {reference!r} has no scores of {model}; there are {sorted(scores)}")
    if len(scores) < 2:
        raise DataError(f"only one domain ({reference!r}) has scores of {model}; there is nothing to compare it with")
    drawn, main, below = ratio_figure()
    bins = scores[reference].edges
    colours = domain_colours(scores)
    shapes = {name: score.unit_area() for name, score in scores.items()}
    context_shapes = {name: score.unit_area() for name, score in (context or {}).items()}
    for name, shape in context_shapes.items():
        main.stairs(shape.sumw, bins, color="#94a4a2", linewidth=0.9, linestyle=(0, (2, 1)), label=name)
    compared, lines = [], []
    for index, (name, shape) in enumerate(shapes.items()):
        dashes = "solid" if name == reference else DASHES[index % len(DASHES)]
        text = f"{class_name}, {name}" if class_name else name
        draw_line(main, shape, colour=colours[name], label=text, dashes=dashes, errors=True)
        if name != reference:
            compared.append(ratio(shape, shapes[reference]))
            lines.append(colours[name])
            draw_line(below, compared[-1], colour=colours[name], dashes=dashes, errors=True)
    draw_band(below, shapes[reference], relative=True)
    short = {"simulation": "sim.", "alternative": "alt."}.get(reference, reference)
    ratio_label = texts.ratio or f"Ratio to {short}"
    finish_ratio(below, compared, colours=lines, label=ratio_label, xlabel=texts.x or f"Score of {model}")
    _shape_limits(main, [*shapes.values(), *context_shapes.values()], log=log)
    main.set_ylabel(texts.y or f"Fraction of events / {bins[1] - bins[0]:.3g}")
    axes_label(main, label)
    legend_above(main, note=label.note if label else "")
    return drawn


def stacked_score(
    stack: Sequence[FeatureSample],
    *,
    model: str,
    data: FeatureSample | None = None,
    others: Sequence[FeatureSample] = (),
    blind: tuple[float, float] | None = None,
    edges: ArrayLike = SCORE_EDGES,
) -> FilledFeature:
    """Return the score of stacked simulation against data, as `feature_figure` draws it.

    Args:
        stack: simulated samples, lowest first.
        model: name of the model.
        data: sample that is drawn as points.
        others: alternative totals, drawn as lines and in the ratio.
        blind: the range (low, high) of the score where data are hidden, in the points and in the ratio alike; a
            bin that overlaps it is hidden completely, and neither limits nor labels depend on what is hidden.
        edges: edges of the bins.

    """
    score = Feature(
        name=f"{model} score",
        label=f"Score of {model}",
        stack=stack,
        data=data,
        others=others,
        edges=edges,
        blind=blind,
    )
    return fill(score)


def _shape_limits(main: Axes, shapes: Sequence[Histogram], *, log: bool) -> None:
    top = max(float(np.max(shape.sumw + shape.error)) for shape in shapes)
    main.set_xlim(shapes[0].edges[0], shapes[0].edges[-1])
    if log:
        smallest = min(float(shape.sumw[shape.sumw > 0].min()) for shape in shapes)
        log_axis(main, max(0.3 * smallest, 1e-7), 1.5 * top)
    else:
        main.set_ylim(0.0, 1.06 * top)
