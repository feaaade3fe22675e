"""Figures of where a shift comes from: rates of processes and shapes within them, by model, by process and in bins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from hepda.errors import DataError
from hepda.plotting.base.panels import column_of_panels
from hepda.plotting.base.style import (
    COLUMN,
    PAGE,
    Canvas,
    Label,
    axes_label,
    height_for,
    legend_above,
    model_styles,
    raise_limit,
    styled,
)
from hepda.results.entries.decomposition import BinnedDecomposition, Contribution, Decomposition

PARTS = {"whole": "whole", "rates": "rates of processes", "shapes": "shapes within processes"}
PART_COLOURS = {"whole": "black", "rates": "#e76300", "shapes": "#3f90da"}
PART_DASHES = {"whole": "solid", "rates": (0, (5, 1.5)), "shapes": (0, (1.5, 1))}


@styled
def decomposition_figure(
    models: Mapping[str, Sequence[Decomposition]],
    *,
    source: str,
    other: str,
    class_name: str = "background",
    label: Label | None = None,
    names: Iterable[str] | None = None,
) -> Figure:
    """Draw the relative shift of the efficiency and its two parts: one panel each, all models, all working points.

    Args:
        models: model -> its working points.
        source: name of the source.
        other: name of the other domain.
        class_name: name of the class.
        label: label over the axes.
        names: all models of the run, so that colours agree between figures.

    Raises:
        DataError: no working point has a decomposition.

    """
    known = {m: [p for p in points if p.whole is not None] for m, points in models.items()}
    if not any(known.values()):
        raise DataError(f"no shift between {source} and {other} could be decomposed; there is nothing to draw")
    styles = model_styles(names or models)
    efficiencies = sorted(
        {float(p.signal_efficiency or 0.0) for points in known.values() for p in points}, reverse=True
    )
    drawn, axes = column_of_panels(3, first=height_for(len(models), 1.55), others=1.2)
    reach = [0.0]
    for panel, part in zip(axes, PARTS, strict=True):
        for index, (model, points) in enumerate(known.items()):
            step = 0.7 * ((index + 0.5) / len(known) - 0.5)
            x = [efficiencies.index(float(p.signal_efficiency or 0.0)) + step for p in points]
            value, error = _columns([getattr(p, part) for p in points])
            panel.errorbar(
                x, value, yerr=error, fmt=styles[model].marker, color=styles[model].colour, linewidth=0.9, label=model
            )
            reach += [*(value - error), *(value + error)]
        panel.axhline(0.0, color="black", linewidth=0.6, zorder=1)
        panel.set_xlim(-0.5, len(efficiencies) - 0.5)
        panel.set_xticks(range(len(efficiencies)), [f"{100 * e:g} %" for e in efficiencies])
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_ylabel("Shift [%]", fontsize=8)
    for panel, text in zip(axes, PARTS.values(), strict=True):  # one scale, so that the parts add up by eye
        _limits(panel, reach)
        if panel is not axes[0]:
            panel.text(0.98, 0.95, f"{text} only", transform=panel.transAxes, ha="right", va="top", fontsize=7)
            raise_limit(panel, 0.84)
    axes[-1].set_xlabel(f"Signal efficiency of the cut in {source}")
    axes_label(axes[0], label)
    notes = [label.note if label else "", f"whole shift, {class_name}, {other} / {source} − 1"]
    legend_above(axes[0], note="\n".join(note for note in notes if note))
    return drawn


@styled
def process_figure(
    models: Mapping[str, Decomposition],
    *,
    source: str,
    other: str,
    cut: str,
    label: Label | None = None,
    names: Iterable[str] | None = None,
) -> Figure:
    """Draw the two parts of each process at one cut, one row per process, all models: rates left, shapes right.

    Args:
        models: model -> its decomposition.
        source: name of the source.
        other: name of the other domain.
        cut: text that describes the cut.
        label: label over the axes.
        names: all models of the run, so that colours agree between figures.

    Raises:
        DataError: no model has a decomposition at this cut.

    """
    known = {model: parts for model, parts in models.items() if parts.whole is not None}
    if not known:
        raise DataError(f"no shift between {source} and {other} could be decomposed at the {cut}")
    styles = model_styles(names or models)
    processes = list(dict.fromkeys(p for parts in known.values() for p in parts.processes))
    rows = [*processes, "sum"]
    left, gap, right, top = 0.24 + 0.062 * max(len(row) for row in rows), 0.1, 0.16, 0.4
    legend_rows = -(-len(known) // 4)
    bottom = 0.40 + 0.15 * legend_rows
    height = top + bottom + (0.14 + 0.115 * len(known)) * len(rows)
    drawn = Figure(figsize=(PAGE, height))
    Canvas(drawn)
    inner = (PAGE - left - gap - right) / 2
    panels: list[Axes] = []
    for column, part in enumerate(("rates", "shapes")):
        box = (
            (left + column * (inner + gap)) / PAGE,
            bottom / height,
            inner / PAGE,
            1 - (bottom + top) / height,
        )
        axes = drawn.add_axes(box, sharey=panels[0] if panels else None)
        panels.append(axes)
        _process_panel(axes, known, rows, part, styles)
        axes.set_title(PARTS[part], loc="left", fontsize=7.5, pad=3.0)
        axes.tick_params(axis="y", which="both", length=0, labelleft=column == 0)
        axes.xaxis.set_major_locator(MaxNLocator(6))
    low, high = (extreme(limit for axes in panels for limit in axes.get_xlim()) for extreme in (min, max))
    for axes in panels:
        axes.set_xlim(low, high)
    panels[0].set_yticks(range(len(rows)), rows)
    panels[0].yaxis.set_minor_locator(NullLocator())
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    panels[1].set_xlabel(f"Part of the shift {source} to {other}, {cut} [%]")
    if label is not None:
        drawn.text(0.05 / PAGE, 1 - 0.05 / height, label.status, weight="bold", va="top", gid="label")
        words = ", ".join(word for word in (label.right, label.note) if word)
        drawn.text(1 - right / PAGE, 1 - 0.05 / height, words, ha="right", va="top", gid="label")
    handles, texts = panels[0].get_legend_handles_labels()
    drawn.legend(handles, texts, loc="lower left", bbox_to_anchor=(0.01, 0.01), ncols=4, borderaxespad=0.0)
    return drawn


def _process_panel(
    axes: Axes, models: Mapping[str, Decomposition], rows: Sequence[str], part: str, styles: Mapping[str, object]
) -> None:
    """Draw the points of one part: a row for each process, and the last for their sum."""
    for index, (model, parts) in enumerate(models.items()):
        of_process = [getattr(parts.processes[row], part) for row in rows[:-1]]
        value, error = _columns([*of_process, getattr(parts, part)])
        y = np.arange(len(rows)) + 0.7 * ((index + 0.5) / len(models) - 0.5)
        style = styles[model]
        axes.errorbar(value, y, xerr=error, fmt=style.marker, color=style.colour, linewidth=0.9, label=model)  # type: ignore[attr-defined]
    axes.axvline(0.0, color="black", linewidth=0.6, zorder=1)
    for border in range(len(rows) - 1):
        last = border == len(rows) - 2
        axes.axhline(border + 0.5, color="black" if last else "#dddddd", linewidth=0.5, zorder=0)


@styled
def bins_figure(
    domains: Mapping[str, BinnedDecomposition],
    *,
    source: str,
    model: str,
    class_name: str = "background",
    label: Label | None = None,
) -> Figure:
    """Draw the relative shift in bins of the score and its two parts, with bands: one panel per other domain.

    Args:
        domains: other domain -> its decomposition.
        source: name of the source.
        model: name of the model.
        class_name: name of the class.
        label: label over the axes.

    Raises:
        DataError: no bin has a decomposition.

    """
    if not any(np.isfinite(bins.whole).any() for bins in domains.values()):
        raise DataError(f"no bin of the score of {model} has a decomposed shift; there is nothing to draw")
    drawn, axes = column_of_panels(len(domains), first=2.0, others=1.5, width=COLUMN)
    for panel, (other, bins) in zip(axes, domains.items(), strict=True):
        reach = [0.0]
        for part, text in PARTS.items():
            value, error = 100 * getattr(bins, part), 100 * getattr(bins, f"{part}_error")
            panel.stairs(
                value, bins.edges, baseline=None, linestyle=PART_DASHES[part], linewidth=1.2,
                color=PART_COLOURS[part], label=text,
            )  # fmt: skip
            panel.stairs(
                value + error, bins.edges, baseline=value - error, fill=True, alpha=0.18, linewidth=0,
                color=PART_COLOURS[part],
            )  # fmt: skip
            defined = np.isfinite(value) & (error < 100)
            reach += [*(value - error)[defined], *(value + error)[defined]]
        panel.axhline(0.0, color="black", linewidth=0.6, zorder=1)
        _limits(panel, reach)
        panel.set_xlim(bins.edges[0], bins.edges[-1])
        panel.set_ylabel("Shift [%]", fontsize=8)
        if panel is not axes[0]:
            panel.text(
                0.04, 0.95, f"{other} / {source} − 1", transform=panel.transAxes, ha="left", va="top", fontsize=7
            )
            raise_limit(panel, 0.84)
    axes[-1].set_xlabel(f"Score of {model}")
    axes_label(axes[0], label)
    first = next(iter(domains))
    notes = [label.note if label else "", f"{class_name}, share of events: {first} / {source} − 1"]
    legend_above(axes[0], note="\n".join(note for note in notes if note))
    return drawn


def _columns(parts: Sequence[Contribution]) -> tuple[np.ndarray, np.ndarray]:
    """Return values and errors in per cent."""
    return 100 * np.array([p.value for p in parts]), 100 * np.array([p.error for p in parts])


def _limits(axes: Axes, reach: Sequence[float]) -> None:
    pad = 0.06 * (max(reach) - min(reach)) or 1.0
    axes.set_ylim(min(reach) - pad, max(reach) + pad)
