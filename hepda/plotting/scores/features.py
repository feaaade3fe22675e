"""Figures of the inputs: stacked simulation against data, one figure per feature.

The stacked figure of a score (`shapes.stacked_score`) is the same drawing with a blinded range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from hepda.errors import DataError
from hepda.plotting.base.histogram import Floats, Histogram, choose_edges, hidden_bins, histogram, ratio
from hepda.plotting.base.panels import draw_band, draw_line, draw_points, draw_stack, finish_ratio, hide_region
from hepda.plotting.base.style import (
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
        scale: factor that is in the weights, relative to the prediction; the legend states it.

    """

    name: str
    values: ArrayLike
    weights: ArrayLike | None = None
    signal: bool = False
    colour: str | None = None
    scale: float = 1.0


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
class FilledSample:
    """The histogram of a sample, and how it is drawn; scale: as in `FeatureSample`."""

    name: str
    histogram: Histogram
    colour: str = "black"
    signal: bool = False
    scale: float = 1.0

    def text(self, factor: float = 1.0) -> str:
        """Return the entry of the legend if the histogram is drawn times a factor: "ttH × 30"."""
        total = self.scale * factor
        return self.name if total == 1 else f"{self.name} × {total:g}"


@dataclass(frozen=True, slots=True, eq=False)
class FilledFeature:
    """The histograms of a feature, from which its figure and its panel of the overview are drawn.

    Attributes:
        label: its label, with the unit in brackets.
        stack: the stack, lowest first, with the signal on top.
        others: alternative totals.
        data: the data, with nothing in hidden bins.
        hidden: bins [b] whose data must not be seen.
        blinded: whether there are data, a part of which is hidden.
        overflow: whether events beyond the ends are in the end bins.
        missing: share of events without a value, as text; "" if there are none.

    """

    label: str
    stack: Sequence[FilledSample]
    others: Sequence[FilledSample]
    data: FilledSample | None
    hidden: NDArray[np.bool_]
    blinded: bool
    overflow: bool
    missing: str

    @property
    def edges(self) -> Floats:
        """Return the edges [b+1]."""
        return self.stack[0].histogram.edges

    @property
    def total(self) -> Histogram:
        """Return the sum of the stack."""
        total = self.stack[0].histogram
        for part in self.stack[1:]:
            total = total + part.histogram
        return total

    @property
    def without_data(self) -> NDArray[np.bool_]:
        """Return the bins [b] without a point: hidden ones, and those with neither simulation nor data."""
        if self.data is None:
            return self.hidden
        nothing: NDArray[np.bool_] = (self.total.sumw2 == 0) & (self.data.histogram.sumw == 0)
        return self.hidden | nothing

    @property
    def top(self) -> float:
        """Return the highest value that is drawn; hidden data do not count, because the axis would reveal them."""
        heights = [self.total.sumw + self.total.error, *(part.histogram.sumw for part in self.others)]
        if self.data is not None:
            data = self.data.histogram
            heights.append(np.where(self.hidden, 0.0, data.sumw + data.interval()[1]))
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
def feature_figure(
    feature: Feature | FilledFeature,
    *,
    label: Label | None = None,
    log: bool = False,
    bounds: tuple[float, float] | None = None,
) -> Figure:
    """Draw stack, statistical band, scaled signal, alternatives and data, with a panel of ratios to the stack's total.

    Bins of data that touch `feature.blind` are drawn neither in the main panel nor in the ratio; the region is hatched
    grey. Without data and alternatives the ratio panel shows only the statistical band.

    Args:
        feature: the quantity and its samples, or their histograms.
        label: label over the axes.
        log: whether y is logarithmic.
        bounds: range of the ratio panel, that of all figures of a set (`common_bounds`); None: that of this one.

    Raises:
        DataError: there is no stack.

    """
    filled = feature if isinstance(feature, FilledFeature) else fill(feature)
    total = filled.total
    drawn, main, below = ratio_figure()
    draw_main(main, filled, total, log=log)
    compared, colours = draw_ratio(below, filled, total)
    ratio_label = "Data / sim." if filled.data is not None and not filled.others else "Ratio to sim."
    finish_ratio(below, compared, colours=colours, label=ratio_label, xlabel=filled.label, bounds=bounds)
    scale_counts(main, _count_label(filled.edges, filled.label))
    axes_label(main, label)
    first = (label.note if label else "", "end bins with overflow" if filled.overflow else "")
    notes = (", ".join(note for note in first if note), filled.missing)
    legend = legend_above(main, note="\n".join(note for note in notes if note))
    if filled.blinded:
        hide_region(main, _hidden_range(filled), text_top=legend_bottom(legend) - 0.04)
        hide_region(below, _hidden_range(filled))
    return drawn


@dataclass(frozen=True, slots=True, eq=False)
class _Present:
    """The events of a sample that have a value."""

    sample: FeatureSample
    values: Floats
    weights: Floats | None

    @classmethod
    def of(cls, sample: FeatureSample, missing: float | None) -> _Present:
        values = np.asarray(sample.values, dtype=np.float64)
        weights = None if sample.weights is None else np.asarray(sample.weights, dtype=np.float64)
        if missing is None:
            return cls(sample, values, weights)
        is_present = ~np.isnan(values) if np.isnan(missing) else values != missing
        if is_present.all():
            return cls(sample, values, weights)
        return cls(sample, values[is_present], None if weights is None else weights[is_present])

    @property
    def sum(self) -> float:
        """Return the sum of weights."""
        return float(self.values.size if self.weights is None else self.weights.sum())

    @property
    def sum_with_missing(self) -> float:
        """Return the sum of weights of all events."""
        return float(np.size(self.sample.values) if self.sample.weights is None else np.sum(self.sample.weights))

    def reaches_beyond(self, edges: Floats) -> bool:
        """Return whether any value is outside of the edges."""
        return bool(self.values.size) and bool(self.values.min() < edges[0] or self.values.max() > edges[-1])


def fill(feature: Feature) -> FilledFeature:
    """Fill the histograms of a feature; what is blinded is not kept.

    Raises:
        DataError: there is no stack, or a value is not finite.

    """
    if not feature.stack:
        raise DataError(f"the figure of {feature.name!r} has no simulated sample to stack")
    stack = [_Present.of(s, feature.missing) for s in sorted(feature.stack, key=lambda s: s.signal)]  # signal on top
    others = [_Present.of(sample, feature.missing) for sample in feature.others]
    data = None if feature.data is None else _Present.of(feature.data, feature.missing)
    if feature.edges is not None:
        edges = np.asarray(feature.edges, dtype=np.float64)
    else:
        # Edges come only from simulation: the range of the data may be blinded, and must not determine the bins.
        edges = choose_edges([part.values for part in (*stack, *others)])
    colours = sample_colours([s.sample.name for s in stack], [s.sample.name for s in stack if s.sample.signal])
    colours |= domain_colours([s.sample.name for s in others])

    def filled(part: _Present, colour: str) -> FilledSample:
        counts = histogram(part.values, part.weights, edges)
        return FilledSample(part.sample.name, counts, colour, signal=part.sample.signal, scale=part.sample.scale)

    open_data = [data] if data is not None and feature.blind is None else []  # notes must not reveal hidden data
    hidden = hidden_bins(edges, feature.blind)
    return FilledFeature(
        feature.label,
        stack=[filled(part, part.sample.colour or colours[part.sample.name]) for part in stack],
        others=[filled(part, part.sample.colour or colours[part.sample.name]) for part in others],
        data=None if data is None else _without(filled(data, "black"), hidden),
        hidden=hidden,
        blinded=feature.blind is not None and data is not None,
        overflow=any(part.reaches_beyond(edges) for part in (*stack, *others, *open_data)),
        missing="" if feature.missing is None else _missing_note(stack, open_data),
    )


def _without(sample: FilledSample, hidden: NDArray[np.bool_]) -> FilledSample:
    """Return a sample with nothing in the hidden bins."""
    full = sample.histogram
    seen = Histogram(full.edges, np.where(hidden, 0.0, full.sumw), np.where(hidden, 0.0, full.sumw2))
    return replace(sample, histogram=seen)


def draw_main(
    main: Axes, filled: FilledFeature, total: Histogram, *, log: bool, scaled_signal: bool = True, marker: float = 2.6
) -> None:
    """Draw the stack, the scaled signal, the alternatives and the data, and set the limits.

    Args:
        main: the axes.
        filled: the histograms.
        total: the sum of the stack.
        log: whether y is logarithmic.
        scaled_signal: whether the signal is drawn again, as a line at a visible scale.
        marker: size of the points of data.

    """
    stack = filled.stack
    draw_stack(main, [s.histogram for s in stack], [s.text() for s in stack], [s.colour for s in stack])
    top = filled.top
    for part in stack:
        factor = _signal_factor(part.histogram, total)
        if part.signal and scaled_signal and factor > 1 and not log:
            scaled, text = part.histogram.scaled(factor), part.text(factor)
            draw_line(main, scaled, colour=part.colour, dashes=(0, (4, 1.2)), label=text)
            top = max(top, factor * float(part.histogram.sumw.max()))
    for part in filled.others:
        draw_line(main, part.histogram, colour=part.colour, label=part.name)
    if filled.data is not None:
        draw_points(main, filled.data.histogram, hidden=filled.without_data, label=filled.data.name, marker=marker)
    main.set_xlim(filled.edges[0], filled.edges[-1])
    if log:
        positive = total.sumw[total.sumw > 0]
        log_axis(main, 0.3 * float(positive.min()) if positive.size else 0.1, 1.5 * top)
    else:
        main.set_ylim(0.0, 1.08 * top)


def ratios_of(filled: FilledFeature, total: Histogram) -> list[Histogram]:
    """Return what a ratio panel compares with the total: the alternatives, then the data, NaN where they are hidden."""
    compared = [ratio(part.histogram, total) for part in filled.others]
    if filled.data is not None:
        data = filled.data.histogram
        visible = Histogram(data.edges, np.where(filled.hidden, np.nan, data.sumw), data.sumw2)
        compared.append(ratio(visible, total))
    return compared


def draw_ratio(
    below: Axes, filled: FilledFeature, total: Histogram, *, marker: float = 2.6
) -> tuple[list[Histogram], list[str]]:
    """Draw what is compared with the total, and return it with its colours.

    If nothing is compared, the total itself is returned, so that its band sets the range.
    """
    draw_band(below, total, relative=True)
    compared = ratios_of(filled, total)
    if not compared:
        return [ratio(total, total)], ["black"]
    for part, values in zip(filled.others, compared, strict=False):  # the data, if there are any, are the last
        draw_line(below, values, colour=part.colour)
    colours = [part.colour for part in filled.others]
    if filled.data is None:
        return compared, colours
    scale = np.where(total.sumw > 0, total.sumw, np.nan)
    down, up = filled.data.histogram.interval()
    draw_points(below, compared[-1], hidden=filled.hidden, bars=(down / scale, up / scale), marker=marker)
    return compared, [*colours, "black"]


def _hidden_range(filled: FilledFeature) -> tuple[float, float]:
    edges = filled.edges
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


def _missing_note(simulation: Sequence[_Present], data: Sequence[_Present]) -> str:
    """Return the shares of the sum of weights that have no value, of simulation and of data that may be seen."""

    def share(parts: Sequence[_Present]) -> float:
        total = sum(part.sum_with_missing for part in parts)
        return 1 - sum(part.sum for part in parts) / total if total else 0.0

    lost = {"simulation": share(simulation)}
    if data:
        lost["data"] = share(data)
    if not any(lost.values()):
        return ""
    return "no value: " + ", ".join(f"{100 * part:.1f} % of {what}" for what, part in lost.items())
