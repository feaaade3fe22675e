"""Figures of several classes: confusion matrices, distributions of the outputs, ROC curves of one against the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from hepda.errors import DataError
from hepda.plotting.base.histogram import Histogram, choose_edges, histogram
from hepda.plotting.base.style import (
    COLUMN,
    DASHES,
    PAGE,
    Canvas,
    Label,
    axes_label,
    figure,
    log_axis,
    raise_limit,
    sample_colours,
    styled,
)
from hepda.results.entries.classes import ConfusionMatrix
from hepda.results.evaluation import FloatArray, Interval, RocBand

SHARES = {"efficiency": "of the true class [%]", "purity": "of the predicted class [%]"}
OUTPUT_BINS = 25
MOST_WITH_ERRORS = 6
"""Largest number of classes for which the cells of a confusion matrix have errors."""
LOWEST_EFFICIENCY = 0.05
"""Points of a ROC curve below it are excluded, because very few events determine the rejection there."""

Scores = tuple[ArrayLike, ArrayLike]
"""Scores [n] and signed weights [n]."""


@dataclass(frozen=True, slots=True)
class ClassLook:
    """How a class is drawn: its name in texts, and its colour."""

    text: str
    colour: str


def class_looks(names: Sequence[str], signal: Sequence[str], colours: Mapping[str, str | None]) -> dict[str, ClassLook]:
    """Return the look of each class: the given colour, or one of the palette of stacks.

    Args:
        names: names of the classes.
        signal: those of signal.
        colours: colour of a class; None for any.

    """
    free = sample_colours(names, signal)
    return {name: ClassLook(name, colours.get(name) or free[name]) for name in names}


@styled
def confusion_figure(
    domains: Mapping[str, ConfusionMatrix], *, model: str, looks: Mapping[str, ClassLook], label: Label | None = None
) -> Figure:
    """Draw confusion matrices in per cent, a row of panels for each domain: by true class left, by prediction right.

    Cells of a row or column without a positive sum of weights are empty.

    Args:
        domains: domain -> its matrix.
        model: name of the model.
        looks: how the classes are written.
        label: label over the axes.

    Raises:
        DataError: there is no matrix.

    """
    if not domains:
        raise DataError(f"no domain has a confusion matrix of {model}; there is nothing to draw")
    names = next(iter(domains.values())).names
    texts = [looks[name].text for name in names]
    left, right, gap, top, bottom, between = 0.3 + 0.06 * max(map(len, names)), 0.1, 0.32, 0.42, 0.5, 0.34
    inner, high = (PAGE - left - right - gap) / 2, 0.34 * len(names)
    height = top + bottom + len(domains) * high + (len(domains) - 1) * between
    drawn = Figure(figsize=(PAGE, height))
    Canvas(drawn)
    for row, (domain, matrix) in enumerate(domains.items()):
        lower = height - top - (row + 1) * high - row * between
        for column, (share, text) in enumerate(SHARES.items()):
            box = (left + column * (inner + gap)) / PAGE, lower / height, inner / PAGE, high / height
            axes = drawn.add_axes(box)
            _matrix(axes, getattr(matrix, share), getattr(matrix, f"{share}_error"))
            axes.set_title(f"{domain}: share {text}", loc="left", fontsize=7.5, pad=2.5)
            axes.set_yticks(range(len(names)), texts if column == 0 else [""] * len(names))
            axes.set_xticks(range(len(names)), texts if row == len(domains) - 1 else [""] * len(names))
            if column == 0:
                axes.set_ylabel("True class", loc="center", fontsize=8)
            if row == len(domains) - 1:
                axes.set_xlabel(f"Class predicted by {model}")
    if label is not None:
        drawn.text(0.05 / PAGE, 1 - 0.05 / height, label.status, weight="bold", va="top", gid="label")
        words = ", ".join(word for word in (label.right, label.note) if word)
        drawn.text(1 - right / PAGE, 1 - 0.05 / height, words, ha="right", va="top", gid="label")
    return drawn


def _matrix(axes: Axes, share: FloatArray, error: FloatArray) -> None:
    """Draw one matrix: a colour and a number for each cell."""
    axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest")
    axes.minorticks_off()
    axes.tick_params(which="both", length=0)
    with_errors = len(share) <= MOST_WITH_ERRORS
    for (row, column), value in np.ndenumerate(share):
        if not np.isfinite(value):
            continue
        places = 1 if 100 * error[row, column] >= 0.05 or not with_errors else 2
        text = f"{100 * value:.{places}f}"
        if with_errors:
            text += f" ± {100 * error[row, column]:.{places}f}"
        dark = 0.0 if value < 0.55 else 1.0
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=str(dark))
    for border in range(1, len(share)):
        axes.axhline(border - 0.5, color="white", linewidth=0.8)
        axes.axvline(border - 0.5, color="white", linewidth=0.8)


def fill_outputs(by_class: Mapping[str, Mapping[str, Scores]]) -> dict[str, dict[str, Histogram]]:
    """Return the histograms of one output by true class and domain, all with the same edges.

    Args:
        by_class: true class -> domain -> scores and weights.

    """
    arrays = [np.asarray(score) for of in by_class.values() for score, _ in of.values()]
    low, high = min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)
    inside = low >= 0 and high <= 1
    edges = np.linspace(0.0, max(np.ceil(10 * high), 1.0) / 10, OUTPUT_BINS + 1) if inside else choose_edges(arrays)
    return {
        name: {domain: histogram(score, weight, edges) for domain, (score, weight) in of.items()}
        for name, of in by_class.items()
    }


@styled
def outputs_figure(
    outputs: Mapping[str, Mapping[str, Mapping[str, Histogram]]],
    *,
    model: str,
    looks: Mapping[str, ClassLook],
    label: Label | None = None,
) -> Figure:
    """Draw the distribution of each output by true class, normalised to unit area: a panel for each output.

    The first domain is a line with error bars, sqrt(sumw2); the others have other dashes.

    Args:
        outputs: output or discriminant -> result of `fill_outputs`, with positive sums of weights.
        model: name of the model.
        looks: how the classes are drawn.
        label: label over the axes.

    Raises:
        DataError: there is no output.

    """
    if not outputs:
        raise DataError(f"{model} has no outputs of classes; there is nothing to draw")
    domains = list(dict.fromkeys(d for by_class in outputs.values() for of in by_class.values() for d in of))
    classes = list(dict.fromkeys(c for by_class in outputs.values() for c in by_class))
    columns = 2 if len(outputs) > 1 else 1
    rows = -(-len(outputs) // columns)
    several = len(domains) > 1
    left, right, bottom, gap, high = 0.54, 0.16, 0.4, 0.56, 1.75
    top = 0.5 if several else 0.36
    width = PAGE if columns == 2 else COLUMN
    height = top + rows * high + (rows - 1) * 0.5 + bottom
    inner = (width - left - right - gap * (columns - 1)) / columns
    drawn = Figure(figsize=(width, height))
    Canvas(drawn)
    for number, (name, by_class) in enumerate(outputs.items()):
        row, column = divmod(number, columns)
        lower = height - top - (row + 1) * high - row * 0.5
        axes = drawn.add_axes(((left + column * (inner + gap)) / width, lower / height, inner / width, high / height))
        _output(axes, by_class, domains, looks)
        axes.set_xlabel(f"{name} of {model}")
    if label is not None:
        drawn.text(left / width, 1 - 0.05 / height, label.status, weight="bold", va="top", gid="label")
        words = ", ".join(word for word in (label.right, label.note) if word)
        drawn.text(1 - right / width, 1 - 0.05 / height, words, ha="right", va="top", gid="label")
    lines: list[Artist] = [Patch(color=looks[name].colour) for name in classes]
    keys = [(lines, [looks[name].text for name in classes])]
    if several:
        dashed = [Line2D([], [], color="black", linestyle=DASHES[i % len(DASHES)]) for i in range(len(domains))]
        keys.append((list(dashed), domains))
    for row, (handles, texts) in enumerate(keys):
        place = (left / width, 1 - (0.2 + 0.14 * row) / height)
        drawn.legend(handles, texts, loc="upper left", bbox_to_anchor=place, ncols=len(texts), borderaxespad=0.0)
    return drawn


def _output(
    axes: Axes, by_class: Mapping[str, Mapping[str, Histogram]], domains: Sequence[str], looks: Mapping[str, ClassLook]
) -> None:
    edges = next(filled.edges for of in by_class.values() for filled in of.values())
    top = 0.0
    for name, of in by_class.items():
        for domain, filled in of.items():
            shape = filled.unit_area()
            dashes, first = DASHES[domains.index(domain) % len(DASHES)], domain == domains[0]
            axes.stairs(
                shape.sumw, edges, color=looks[name].colour, linestyle=dashes, linewidth=1.2 if first else 0.8,
                alpha=1.0 if first else 0.75, baseline=None,
            )  # fmt: skip
            if first:
                axes.errorbar(
                    shape.centres, shape.sumw, yerr=shape.error, fmt="none", color=looks[name].colour, linewidth=0.7
                )
            top = max(top, float(np.max(shape.sumw + (shape.error if first else 0.0))))
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0.0, 1.06 * top)
    axes.set_ylabel(f"Fraction of events / {edges[1] - edges[0]:.3g}")


@styled
def against_rest_figure(
    curves: Mapping[str, Mapping[str, tuple[RocBand, Interval]]],
    *,
    model: str,
    looks: Mapping[str, ClassLook],
    label: Label | None = None,
) -> Figure:
    """Draw the rejection of all other classes against the efficiency of each class, by its output.

    The first domain has a line and its bootstrap band, the others have other dashes. The AUC in the legend is that of
    the first domain.

    Args:
        curves: class -> domain -> band and AUC.
        model: name of the model.
        looks: how the classes are drawn.
        label: label over the axes.

    Raises:
        DataError: there is no curve.

    """
    if not any(curves.values()):
        raise DataError(f"no class has a ROC curve by {model}; there is nothing to draw")
    domains = list(dict.fromkeys(domain for of in curves.values() for domain in of))
    drawn, axes = figure(height=COLUMN * 0.95)
    top = bottom = np.nan
    for name, of in curves.items():
        look = looks[name]
        for domain, (band, auc) in of.items():
            keep = band.signal_efficiency >= LOWEST_EFFICIENCY
            x = band.signal_efficiency[keep]
            centre, low, high = (
                1.0 / np.where(values[keep] > 0, values[keep], np.nan)
                for values in (band.background_efficiency, band.high, band.low)
            )
            dashes = DASHES[domains.index(domain) % len(DASHES)]
            first = domain == domains[0]
            text = f"{look.text} (AUC {auc.value:.3f} ± {auc.error:.3f})" if first else None
            axes.plot(x, centre, color=look.colour, linestyle=dashes, linewidth=1.2 if first else 0.9, label=text)
            if first:
                axes.fill_between(x, low, high, color=look.colour, alpha=0.22, linewidth=0)
            top, bottom = np.fmax(top, np.nanmax(centre)), np.fmin(bottom, np.nanmin(centre))
    if len(domains) > 1:
        for number, domain in enumerate(domains):
            axes.plot([], [], color="black", linestyle=DASHES[number % len(DASHES)], label=domain)
    axes.set_xlim(0.0, 1.0)
    log_axis(axes, max(float(bottom), 0.8) * 0.9, float(top) * 1.15)
    axes.set_xlabel("Efficiency of the class")
    axes.set_ylabel("Rejection of all other classes")
    axes_label(axes, label)
    notes = [label.note if label else "", f"one class against the rest, {model}"]
    _legend_beside(axes, "\n".join(note for note in notes if note))
    return drawn


def _legend_beside(axes: Axes, note: str) -> None:
    """Put the legend at the upper right, where curves that fall have room, and raise the limit if they have not."""
    legend = axes.legend(loc="upper right", title=note, alignment="left", title_fontsize=7.0, borderaxespad=0.8)
    box = legend.get_window_extent().transformed(axes.transAxes.inverted())
    heights = [0.0]
    for line in axes.get_lines():
        points = axes.transLimits.transform(axes.transScale.transform(np.column_stack(line.get_data())))
        inside = points[(points[:, 0] >= box.x0 - 0.02) & np.isfinite(points[:, 1])]
        heights += inside[:, 1].tolist()
    room = (box.y0 - 0.03) / max(max(heights), 1e-9)
    if room < 1:
        raise_limit(axes, room)
