"""Figures of the inputs: stacked simulation against data, one figure per feature and one for all.

The stacked figure of a score (`scores.stack_figure`) is the same drawing with a blinded range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from hepda.errors import DataError
from hepda.plotting.base.histogram import Floats, Histogram, choose_edges, hidden_bins, histogram, ratio
from hepda.plotting.base.panels import draw_band, draw_line, draw_points, draw_stack, finish_ratio, hide_region
from hepda.plotting.base.style import (
    DPI,
    PAGE,
    Label,
    axes_label,
    domain_colours,
    legend_above,
    legend_bottom,
    log_axis,
    ratio_figure,
    sample_colours,
    scale_counts,
    styled,
)


@dataclass(frozen=True, slots=True, eq=False)
class FeatureSample:
    """One sample of a figure.

    Attributes:
        name: name of the sample.
        values: values [n] of the quantity that is drawn.
        weights: signed weights [n]; None for data, which count 1 each.
        signal: whether it is drawn in red on top of the stack and again as a scaled line.
        colour: None takes the colour of the palette.

    """

    name: str
    values: ArrayLike
    weights: ArrayLike | None = None
    signal: bool = False
    colour: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """One quantity to draw, the samples of its stack, and the samples with which the stack is compared.

    Attributes:
        name: name of the quantity.
        label: its label, with the unit in brackets.
        stack: simulated samples, lowest first.
        data: sample that is drawn as points.
        others: alternative totals (such as another generator's tt + jets plus the same signal), drawn as lines and in
            the ratio.
        edges: edges of the bins; None chooses round ones from the simulation.
        missing: the value that means "there is none"; such events are excluded from the histogram, and their
            share is stated.
        blind: the range (low, high) of the quantity where data must not be seen.

    """

    name: str
    label: str
    stack: Sequence[FeatureSample]
    data: FeatureSample | None = None
    others: Sequence[FeatureSample] = ()
    edges: ArrayLike | None = None
    missing: float | None = None
    blind: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Filled:
    """The histograms of one figure, made once for both of its panels."""

    stack: list[Histogram]
    stack_samples: list[FeatureSample]
    colours: list[str]
    others: list[Histogram]
    other_colours: list[str]
    data: Histogram | None
    hidden: NDArray[np.bool_]
    overflow: bool
    total: Histogram = field(init=False)

    def __post_init__(self) -> None:
        total = self.stack[0]
        for part in self.stack[1:]:
            total = total + part
        object.__setattr__(self, "total", total)

    @property
    def without_data(self) -> NDArray[np.bool_]:
        """Return the bins [b] without a point: hidden ones, and those with neither simulation nor data."""
        if self.data is None:
            return self.hidden
        nothing: NDArray[np.bool_] = (self.total.sumw2 == 0) & (self.data.sumw == 0)
        return self.hidden | nothing

    @property
    def top(self) -> float:
        """Return the highest value that is drawn; hidden data do not count, because the axis would reveal them."""
        heights = [self.total.sumw + self.total.error, *(part.sumw for part in self.others)]
        if self.data is not None:
            heights.append(np.where(self.hidden, 0.0, self.data.sumw + self.data.interval()[1]))
        return float(max(np.max(h) for h in heights))


def guess_label(name: str) -> str:
    """Return an axis label for a feature without one in the config: its name, with GeV where the name implies it.

    The guess takes usual abbreviations (pt, ht, met, m, mass, energy) as GeV; quantities without a unit (counts,
    angles, eta) get none.
    """
    words = set(name.lower().replace("-", "_").split("_"))
    energy = {"pt", "ht", "st", "met", "mass", "m", "mbb", "mjj", "mjjj", "mtw", "mt", "energy", "e"}
    unit = " [GeV]" if words & energy and not words & {"phi", "eta", "n"} else ""
    return name.replace("_", " ") + unit


@styled
def feature_figure(feature: Feature, *, label: Label | None = None, log: bool = False) -> Figure:
    """Draw stack, statistical band, scaled signal, alternatives and data, with a panel of ratios to the stack's total.

    Bins of data that touch `feature.blind` are drawn neither in the main panel nor in the ratio; the region is hatched
    grey. Without data and alternatives the ratio panel shows only the statistical band.

    Args:
        feature: the quantity and its samples.
        label: label over the axes.
        log: whether y is logarithmic.

    Raises:
        DataError: there is no stack.

    """
    filled = _fill(feature)
    drawn, main, below = ratio_figure()
    _draw_main(main, feature, filled, log=log)
    compared, colours = _draw_ratio(below, filled)
    ratio_label = "Data / sim." if feature.data is not None and not feature.others else "Ratio to sim."
    finish_ratio(below, compared, colours=colours, label=ratio_label, xlabel=feature.label)
    scale_counts(main, _count_label(filled.total.edges, feature.label))
    axes_label(main, label)
    first = (label.note if label else "", "end bins with overflow" if filled.overflow else "")
    notes = (", ".join(note for note in first if note), _missing_note(feature))
    legend = legend_above(main, note="\n".join(note for note in notes if note))
    if feature.blind is not None and feature.data is not None:
        hide_region(main, _hidden_range(filled), text_top=legend_bottom(legend) - 0.04)
        hide_region(below, _hidden_range(filled))
    return drawn


@styled
def overview_figure(features: Sequence[Feature], *, label: Label | None = None, columns: int = 5) -> Figure:
    """Draw all features on one page: a small panel and a small ratio each, one legend for all, no empty panel.

    Args:
        features: the quantities and their samples.
        label: label over the axes.
        columns: number of columns.

    Raises:
        DataError: there are no features.

    """
    if not features:
        raise DataError("an overview needs at least one feature; name some")
    columns = min(columns, len(features))
    rows = -(-len(features) // columns)
    width, cell, head = PAGE * columns / 5 if columns < 5 else PAGE, 1.42, 0.44
    width = max(width, PAGE / 2)
    height = rows * cell + head + 0.05
    drawn = Figure(figsize=(width, height))
    FigureCanvasAgg(drawn)
    entries: dict[str, Artist] = {}
    for index, feature in enumerate(features):
        main, below = _small_panels(drawn, *divmod(index, columns), columns, (width, height, cell, head))
        filled = _fill(feature)
        _draw_main(main, feature, filled, log=False, scaled_signal=False)
        compared, colours = _draw_ratio(below, filled)
        first = index % columns == 0
        finish_ratio(below, compared, colours=colours, label="", xlabel="")
        if first:
            main.set_ylabel("Events / bin", fontsize=6, labelpad=1)
            below.set_ylabel("Ratio", fontsize=6, labelpad=0, loc="center")
            below.yaxis.set_label_coords(-0.2 / (below.get_position().width * width), 0.5)
        below.set_xlabel(feature.label, fontsize=6, labelpad=1, loc="right")
        _fit_label(below, (width - 0.05) / columns - 0.08)
        main.tick_params(labelleft=False, labelbottom=False)
        below.tick_params(labelsize=5.5, pad=1.5)
        handles, labels = main.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    drawn.legend(
        list(entries.values()),
        list(entries),
        loc="upper center",
        ncols=min(len(entries), 7),
        bbox_to_anchor=(0.5, 1 - 0.2 / height),
        fontsize=7,
    )
    if label is not None:
        drawn.text(0.2 / width, 1 - 0.05 / height, label.status, weight="bold", va="top")
        drawn.text(1 - 0.1 / width, 1 - 0.05 / height, label.right, ha="right", va="top")
    return drawn


def _fit_label(axes: Axes, width: float) -> None:
    """Shrink the label of x until it is no wider than `width` (inches), so that neighbouring labels do not overlap."""
    text = axes.xaxis.label
    wide = text.get_window_extent().width / DPI
    if wide > width:
        text.set_fontsize(float(text.get_fontsize()) * width / wide)


def _small_panels(
    drawn: Figure, row: int, column: int, columns: int, sizes: tuple[float, float, float, float]
) -> tuple[Axes, Axes]:
    width, height, cell, head = sizes
    wide = (width - 0.05) / columns
    left = (0.05 + column * wide + 0.26) / width
    bottom = height - head - (row + 1) * cell + 0.32
    box_width = (wide - 0.42) / width  # room on the right for half of a number at the end of the axis
    inner = cell - 0.38
    below = drawn.add_axes((left, bottom / height, box_width, 0.3 * inner / height))
    main = drawn.add_axes((left, (bottom + 0.33 * inner) / height, box_width, 0.67 * inner / height), sharex=below)
    return main, below


def _present(sample: FeatureSample, missing: float | None) -> tuple[Floats, Floats | None]:
    values = np.asarray(sample.values, dtype=np.float64)
    weights = None if sample.weights is None else np.asarray(sample.weights, dtype=np.float64)
    if missing is None:
        return values, weights
    is_present = ~np.isnan(values) if np.isnan(missing) else values != missing
    return values[is_present], None if weights is None else weights[is_present]


def _fill(feature: Feature) -> _Filled:
    if not feature.stack:
        raise DataError(f"the figure of {feature.name!r} has no simulated sample to stack")
    stack = sorted(feature.stack, key=lambda sample: sample.signal)  # signal on top
    # Edges come only from simulation: the range of the data may be blinded, and must not determine the bins.
    edges = choose_edges([_present(sample, feature.missing)[0] for sample in (*stack, *feature.others)])
    if feature.edges is not None:
        edges = np.asarray(feature.edges, dtype=np.float64)

    def fill(sample: FeatureSample) -> Histogram:
        return histogram(*_present(sample, feature.missing), edges)

    for_overflow = [*stack, *feature.others]  # samples for the overflow note; it must not reveal hidden data
    if feature.data is not None and feature.blind is None:
        for_overflow.append(feature.data)
    colours = sample_colours([s.name for s in stack], [s.name for s in stack if s.signal])
    lines = domain_colours([s.name for s in feature.others])
    return _Filled(
        stack=[fill(sample) for sample in stack],
        stack_samples=stack,
        colours=[sample.colour or colours[sample.name] for sample in stack],
        others=[fill(sample) for sample in feature.others],
        other_colours=[sample.colour or lines[sample.name] for sample in feature.others],
        data=None if feature.data is None else fill(feature.data),
        hidden=hidden_bins(edges, feature.blind),
        overflow=any(_reaches_beyond(_present(sample, feature.missing)[0], edges) for sample in for_overflow),
    )


def _reaches_beyond(values: Floats, edges: Floats) -> bool:
    return bool(values.size) and bool(values.min() < edges[0] or values.max() > edges[-1])


def _draw_main(main: Axes, feature: Feature, filled: _Filled, *, log: bool, scaled_signal: bool = True) -> None:
    draw_stack(main, filled.stack, [s.name for s in filled.stack_samples], filled.colours)
    top = filled.top
    for sample, part, colour in zip(filled.stack_samples, filled.stack, filled.colours, strict=True):
        factor = _signal_factor(part, filled.total)
        if sample.signal and scaled_signal and factor > 1 and not log:
            name = f"{sample.name} × {factor:g}"
            draw_line(main, part.scaled(factor), colour=colour, dashes=(0, (4, 1.2)), label=name)
            top = max(top, factor * float(part.sumw.max()))
    for sample, part, colour in zip(feature.others, filled.others, filled.other_colours, strict=True):
        draw_line(main, part, colour=colour, label=sample.name)
    if feature.data is not None and filled.data is not None:
        draw_points(main, filled.data, hidden=filled.without_data, label=feature.data.name)
    edges = filled.total.edges
    main.set_xlim(edges[0], edges[-1])
    if log:
        positive = filled.total.sumw[filled.total.sumw > 0]
        log_axis(main, 0.3 * float(positive.min()) if positive.size else 0.1, 1.5 * top)
    else:
        main.set_ylim(0.0, 1.08 * top)


def _draw_ratio(below: Axes, filled: _Filled) -> tuple[list[Histogram], list[str]]:
    """Draw what is compared with the total, and return it with its colours.

    If nothing is compared, the total itself is returned, so that its band sets the range.
    """
    draw_band(below, filled.total, relative=True)
    if filled.data is None and not filled.others:
        return [ratio(filled.total, filled.total)], ["black"]
    compared = []
    for part, colour in zip(filled.others, filled.other_colours, strict=True):
        compared.append(ratio(part, filled.total))
        draw_line(below, compared[-1], colour=colour)
    if filled.data is None:
        return compared, filled.other_colours
    visible = Histogram(filled.data.edges, np.where(filled.hidden, np.nan, filled.data.sumw), filled.data.sumw2)
    compared.append(ratio(visible, filled.total))
    scale = np.where(filled.total.sumw > 0, filled.total.sumw, np.nan)
    down, up = filled.data.interval()
    draw_points(below, compared[-1], hidden=filled.hidden, bars=(down / scale, up / scale))
    return compared, [*filled.other_colours, "black"]


def _hidden_range(filled: _Filled) -> tuple[float, float]:
    edges = filled.total.edges
    if not filled.hidden.any():
        return float(edges[0]), float(edges[0])
    first, last = np.flatnonzero(filled.hidden)[[0, -1]]
    return float(edges[first]), float(edges[last + 1])


def _signal_factor(signal: Histogram, total: Histogram) -> float:
    """Return the factor 1, 2 or 5 times a power of ten that raises the signal's peak to at most half the total's."""
    peak = float(signal.sumw.max())
    if peak <= 0:
        return 1.0
    largest = 0.5 * float(total.sumw.max()) / peak
    return max((m * 10.0**k for k in range(7) for m in (1, 2, 5) if m * 10.0**k <= largest), default=1.0)


def _count_label(edges: Floats, label: str) -> str:
    widths = np.diff(edges)
    if not np.allclose(widths, widths[0], rtol=1e-6):
        return "Events / bin"
    unit = label[label.rfind("[") + 1 : -1] if label.endswith("]") and "[" in label else ""
    if not unit and np.isclose(widths[0], 1.0):
        return "Events"
    return f"Events / {widths[0]:.3g} {unit}".rstrip()


def _missing_note(feature: Feature) -> str:
    if feature.missing is None:
        return ""

    def share(samples: Sequence[FeatureSample]) -> float:
        """Return the share of the sum of weights that has no value."""
        present = total = 0.0
        for sample in samples:
            values, weights = _present(sample, feature.missing)
            present += float(values.size if weights is None else weights.sum())
            total += float(np.size(sample.values) if sample.weights is None else np.sum(sample.weights))
        return 1 - present / total if total else 0.0

    lost = {"simulation": share(feature.stack)}
    # With a blinded range the share among data would be information about the signal region.
    if feature.data is not None and feature.blind is None:
        lost["data"] = share([feature.data])
    if not any(lost.values()):
        return ""
    return "no value: " + ", ".join(f"{100 * part:.1f} % of {what}" for what, part in lost.items())
