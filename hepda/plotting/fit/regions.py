"""Data and expectation in the regions of a fit, before and after it: a figure for each region, and one for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hepda.errors import DataError
from hepda.plotting.base.histogram import Floats, Histogram, ratio
from hepda.plotting.base.panels import (
    draw_band,
    draw_line,
    draw_points,
    draw_stack,
    finish_ratio,
    hide_region,
    ratio_bounds,
)
from hepda.plotting.base.style import Label, log_axis, raise_limit, sample_colours, scale_counts, styled
from hepda.plotting.fit.bins import BinAxis, axis_of_edges, axis_of_names, events_label
from hepda.plotting.fit.stages import StageFigure, lowest_text, stage_figure, write_corner
from hepda.results.fit_file import ContentsEntry, RegionEntry

ROLES = {"signal": "signal region", "control": "control region", "validation": "validation region, not fitted"}
"""What figures write of the role of a region."""
_DASHES = (0, (3, 1.5))
_LOG, _LOG_REGIONS = (
    20.0,
    5.0,
)  # y is logarithmic where the fullest bin (region) has so often the events of the emptiest


@dataclass(frozen=True, slots=True)
class SampleLook:
    """How samples are drawn: labels and colours by name, where these are given; which are signal; order of the stack.

    order: the lowest first; samples that are not in it are lowest, the smallest first; signal is always on top.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    colours: Mapping[str, str] = field(default_factory=dict)
    signal: Sequence[str] = ()
    order: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class RegionTexts:
    """The texts of a figure of regions.

    title: name of the region; variable: label of x; unit: of the variable; data: label of the data; before, after: what
    is written in the panels of the two stages, lines below each other.
    """

    title: str = ""
    variable: str = ""
    unit: str = ""
    data: str = "Data"
    before: Sequence[str] = ("Pre-fit",)
    after: Sequence[str] = ("Post-fit",)


@dataclass(frozen=True, slots=True, eq=False)
class _Contents:
    """Expected contents [b] of each sample and of all together with the error of all parameters."""

    samples: Mapping[str, Floats]
    total: Floats
    error: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Bins:
    """What one figure shows: expectations before and after the fit, data [b] (NaN: no data), which bins are hidden."""

    axis: BinAxis
    before: _Contents
    after: _Contents | None
    observed: Floats
    hidden: NDArray[np.bool_]

    @property
    def stages(self) -> list[_Contents]:
        return [self.before] if self.after is None else [self.before, self.after]


@styled
def region_figure(
    region: RegionEntry, texts: RegionTexts, *, look: SampleLook | None = None, label: Label | None = None
) -> Figure:
    """Draw data and the stack of the samples with the band of all errors, before the fit and, beside it, after it.

    Below are the ratios of the data to the expectation. Bins with given edges are drawn to scale; automatic bins are
    drawn equally wide with their edges below. Where data are blinded, bins are hatched and have no points. In the panel
    after the fit the dashed line is the expectation before it. A sample with negative contents cannot be stacked and is
    excluded from the fills, but not from the total.

    Args:
        region: bins, expectations and data.
        texts: the texts.
        look: labels and colours of the samples.
        label: label over the axes.

    """
    edges = np.array(region.edges, dtype=np.float64)
    axis = axis_of_edges(edges, to_scale=not region.automatic)
    hidden, observed = _data(region)
    bins = _Bins(
        axis,
        _contents(region.prefit),
        None if region.postfit is None else _contents(region.postfit),
        observed,
        hidden,
    )
    title = f"{texts.title}, {ROLES[region.role]}" if texts.title else ROLES[region.role].capitalize()
    quantity = f"{texts.variable} [{texts.unit}]" if texts.unit else texts.variable
    ylabel = events_label(edges, texts.unit, to_scale=axis.ticks is None)
    return _draw(bins, texts, (title, quantity, ylabel), look or SampleLook(), label)


@styled
def summary_figure(
    regions: Mapping[str, RegionEntry],
    texts: RegionTexts,
    *,
    names: Mapping[str, str] | None = None,
    look: SampleLook | None = None,
    label: Label | None = None,
) -> Figure:
    """Draw the events in every region, before and after the fit: as `region_figure`, with a bin for each region.

    A region with blinded data is hatched. A dashed line separates regions that are not fitted, which are last.

    Args:
        regions: the regions by name.
        texts: the texts; `title` and `unit` are not used.
        names: what figures call the regions.
        look: labels and colours of the samples.
        label: label over the axes.

    Raises:
        DataError: there is no region.

    """
    if not regions:
        raise DataError("the fit has no region to draw")
    ordered = sorted(regions, key=lambda name: regions[name].role == "validation")
    entries = [regions[name] for name in ordered]
    ends = ["" if region.role != "validation" else " (not fitted)" for region in entries]
    observed = np.array([np.nan if r.observed is None else float(np.sum(r.observed)) for r in entries])
    afters = [r.postfit for r in entries if r.postfit is not None]
    bins = _Bins(
        axis_of_names([f"{(names or {}).get(name, name)}{end}" for name, end in zip(ordered, ends, strict=True)]),
        _yields([r.prefit for r in entries]),
        _yields(afters) if len(afters) == len(entries) else None,
        observed,
        np.array([_data(r)[0].any() for r in entries]),
    )
    fitted = sum(r.role != "validation" for r in entries)
    return _draw(
        bins, texts, ("", texts.variable, "Events"), look or SampleLook(), label,
        fitted if 0 < fitted < len(entries) else None,
    )  # fmt: skip


def _data(region: RegionEntry) -> tuple[NDArray[np.bool_], Floats]:
    """Return which bins are hidden, and the data (NaN without)."""
    count = len(region.edges) - 1
    if region.observed is None:
        return np.full(count, bool(region.blinded)), np.full(count, np.nan)
    return np.zeros(count, dtype=np.bool_), np.array(region.observed, dtype=np.float64)


def _contents(entry: ContentsEntry) -> _Contents:
    samples = {name: np.array(values, dtype=np.float64) for name, values in entry.samples.items()}
    return _Contents(samples, np.array(entry.total, dtype=np.float64), np.array(entry.error, dtype=np.float64))


def _yields(entries: Sequence[ContentsEntry]) -> _Contents:
    """Return the yields of regions as contents, a bin for each region; a sample that a region has not gives nothing."""
    names = dict.fromkeys(name for entry in entries for name in entry.yields)
    samples = {
        name: np.array([entry.yields[name].value if name in entry.yields else 0.0 for entry in entries])
        for name in names
    }
    totals = [entry.total_yield for entry in entries]
    return _Contents(
        samples, np.array([t.value for t in totals], dtype=np.float64), np.array([t.error or 0.0 for t in totals])
    )


def _draw(
    bins: _Bins,
    texts: RegionTexts,
    names: tuple[str, str, str],
    look: SampleLook,
    label: Label | None,
    fitted: int | None = None,
) -> Figure:
    """Draw the stages beside each other on common axes; names: of the region, of x, of y."""
    title, xlabel, ylabel = names
    drawn = stage_figure(len(bins.stages))
    data = _histogram(bins)
    bars = data.interval()
    logarithmic = _logarithmic(bins, _LOG if title else _LOG_REGIONS)
    for main, contents, lines in zip(drawn.mains, bins.stages, (texts.before, texts.after), strict=False):
        _draw_main(main, bins, contents, look, logarithmic=logarithmic)
        if np.isfinite(data.sumw).any():
            draw_points(main, data, hidden=bins.hidden, bars=bars, label=texts.data)
        write_corner(main, [*lines[:1], title, *lines[1:], "Data blinded" if bins.hidden.all() else ""])
    _limits(drawn, bins, bars[1], logarithmic=logarithmic)
    drawn.mains[0].set_ylabel(ylabel) if logarithmic else scale_counts(drawn.mains[0], ylabel)
    totals = [Histogram(bins.axis.edges, c.total, c.error**2) for c in bins.stages]
    shown = Histogram(bins.axis.edges, np.where(bins.hidden, np.nan, data.sumw), data.sumw2)
    ratios = [ratio(shown, total) for total in totals]
    for below, total, compared in zip(drawn.ratios, totals, ratios, strict=True):
        bounds = ratio_bounds([compared, _relative(total)])
        draw_band(below, total, relative=True)
        draw_points(below, compared, bars=(bars[0] / total.sumw, bars[1] / total.sumw))
        finish_ratio(below, [compared], colours=["black"], label=f"{texts.data} / exp.", xlabel=xlabel, bounds=bounds)
        bins.axis.draw(below)
    text_top = lowest_text(drawn.mains) - 0.03
    written = None if bins.hidden.all() else text_top  # in the corner, where no data are shown at all
    for axes in (*drawn.mains, *drawn.ratios):
        is_main = axes in drawn.mains
        _hide(axes, bins, written if is_main else None)
        if fitted is not None:
            axes.axvline(
                bins.axis.edges[fitted], ymax=text_top if is_main else 1.0, color="black", linewidth=0.8,
                linestyle=_DASHES, gid="not fitted",
            )  # fmt: skip
    return drawn.finished(label)


def _draw_main(main: Axes, bins: _Bins, contents: _Contents, look: SampleLook, *, logarithmic: bool) -> None:
    """Draw the stack with its band, and the signal by itself where the axis is logarithmic: areas mean nothing there.

    The order of the stack is that of `look`, or the smallest lowest, and the signal on top, before and after the fit.
    """
    edges, signal = bins.axis.edges, [name for name in contents.samples if name in look.signal]
    colours = sample_colours(sorted(contents.samples), signal) | dict(look.colours)
    place = {name: number for number, name in enumerate(look.order)}
    sums = {name: float(values.sum()) for name, values in bins.before.samples.items()}
    names = sorted(contents.samples, key=lambda n: (n in signal, place.get(n, -1), sums.get(n, 0.0)))
    names = [name for name in names if np.all(contents.samples[name] >= 0)]
    parts = [Histogram(edges, contents.samples[name], np.zeros_like(contents.total)) for name in names]
    if parts:  # the band of all errors replaces that of the stack
        parts[0] = Histogram(edges, parts[0].sumw, contents.error**2)
        draw_stack(main, parts, [look.labels.get(n, n) for n in names], [colours[n] for n in names], "Uncertainty")
    for name in names if logarithmic else ():
        if name in signal:
            values = np.where(contents.samples[name] > 0, contents.samples[name], np.nan)
            alone = Histogram(edges, values, np.zeros_like(values))
            text = f"{look.labels.get(name, name)} alone"
            draw_line(main, alone, colour=colours[name], dashes=(0, (1.5, 1)), label=text)
    if contents is not bins.before:
        before = Histogram(edges, bins.before.total, np.zeros_like(contents.total))
        draw_line(main, before, colour="black", dashes=_DASHES, label="Pre-fit total")


def _histogram(bins: _Bins) -> Histogram:
    """Return data as a histogram: Poisson intervals are for counts, weighted pseudo-data have the error of as many."""
    counts = bins.observed
    are_counts = bool(np.all(counts[np.isfinite(counts)] == np.round(counts[np.isfinite(counts)])))
    known = np.nan_to_num(counts)
    histogram = Histogram(bins.axis.edges, known, known if are_counts else known * (1 + 1e-9))
    return Histogram(histogram.edges, np.where(np.isfinite(counts), histogram.sumw, np.nan), histogram.sumw2)


def _relative(total: Histogram) -> Histogram:
    below = np.where(total.sumw > 0, total.sumw, np.nan)
    return Histogram(total.edges, np.ones_like(total.sumw), total.sumw2 / below**2)


def _logarithmic(bins: _Bins, least: float) -> bool:
    totals = np.concatenate([contents.total for contents in bins.stages])
    return bool(totals.max() > least * max(float(totals.min()), 1e-9))


def _limits(drawn: StageFigure, bins: _Bins, up: Floats, *, logarithmic: bool) -> None:
    """Set common limits of y that leave room for the texts above everything drawn."""
    main = drawn.mains[0]
    highest = max(float(np.max(c.total + c.error)) for c in bins.stages)
    reached = np.where(bins.hidden, np.nan, bins.observed + up)
    highest = max(highest, float(np.nanmax(reached, initial=0.0)))
    if logarithmic:
        parts = np.concatenate([values for c in bins.stages for values in (0.5 * c.total, *c.samples.values())])
        seen = parts[parts > 1e-4 * highest]
        log_axis(main, 0.6 * float(np.min(seen, initial=0.5 * highest)), 1.3 * highest)
    else:
        main.set_ylim(0.0, 1.05 * highest)
    raise_limit(main, lowest_text(drawn.mains) - 0.03)


def _hide(axes: Axes, bins: _Bins, text_top: float | None) -> None:
    """Hatch each range of hidden bins that are next to each other."""
    edges = bins.axis.edges
    padded = np.concatenate([[False], bins.hidden, [False]]).astype(np.int8)
    for first, last in zip(np.flatnonzero(np.diff(padded) == 1), np.flatnonzero(np.diff(padded) == -1), strict=True):
        hide_region(axes, (float(edges[first]), float(edges[last])), text_top=text_top)
