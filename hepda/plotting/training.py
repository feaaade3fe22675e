"""Figures of a training: losses, the adversary compared with its limits without information, gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hepda.errors import DataError
from hepda.plotting.base.style import (
    COLUMN,
    DASHES,
    PAGE,
    PALETTE,
    Canvas,
    Label,
    LineStyle,
    axes_label,
    legend_above,
    styled,
)
from hepda.results.evaluation import FloatArray

LN2 = float(np.log(2.0))
MOST_DOMAINS = 20
"""A blind head of fewer domains is known by its loss, ln k for k of them."""
MANY, PALE = 4, 0.35
"""From more trainings on, the single lines are pale, and a line for their median is drawn over them."""
CENTRAL = 0.1
"""Share of the values at either end that do not determine the range of a panel with a level."""


Epochs = Sequence[float | None]  # one value per epoch; None or NaN where nothing was measured
Panels = Mapping[str, Mapping[str, Sequence[Epochs]]]  # y label -> name of the series -> one Epochs per fold
Levels = Mapping[str, tuple[float, str]]  # y label -> the reference line of the quantity, and its name


@styled
def training_figure(
    panels: Panels,
    *,
    model: str,
    levels: Levels | None = None,
    best_epochs: Sequence[int] = (),
    label: Label | None = None,
) -> Figure:
    """Draw the history of one model: a panel per quantity against the epoch, a colour per series, a line per fold.

    Of many trainings the lines are pale, with their median over them. A panel without a single finite value is not
    drawn.

    Args:
        panels: result of `history_panels`.
        model: name of the model.
        levels: result of `history_panels`: lines such as ln 2 for the domain loss and 0.5 for its accuracy.
        best_epochs: the epochs that were kept, counted from 1, marked on the axis.
        label: label over the axes.

    Raises:
        DataError: no panel is left.

    """
    levels = levels or {}
    filled: dict[str, dict[str, list[FloatArray]]] = {}
    for name, series in panels.items():
        for key, folds in series.items():
            measured = [values for values in map(_array, folds) if np.isfinite(values).any()]
            if measured:
                filled.setdefault(name, {})[key] = measured
    if not filled:
        raise DataError(f"the history of {model} holds no finite value; there is nothing to draw")
    drawn, axes = _grid(len(filled))
    for panel, (name, series_of) in zip(axes, filled.items(), strict=True):
        _panel(panel, name, series_of, levels.get(name), best_epochs)
    axes_label(axes[0], label)
    last = axes[min(3, len(axes)) - 1]
    last.text(1.0, 1.015, model, ha="right", va="bottom", weight="bold", transform=last.transAxes)
    return drawn


def history_panels(*histories: Mapping[str, Epochs]) -> tuple[Panels, Levels]:
    """Return panels and levels of `training_figure` from the columns of a training's history, one history per fold.

    For each head there is its loss in training and validation. For each reversed head (one with a strength) there is
    the loss of a blind head (`<head>_chance`: ln k for k domains, times sum w / sum |w| where weights are negative)
    and its accuracy with the line at 1 / k. Then follow the strengths, the gradients in the encoder, and the cosine
    between them, and the learning rate.
    """
    panels: dict[str, dict[str, list[Epochs]]] = {}
    levels: dict[str, tuple[float, str]] = {}

    def add(columns: Mapping[str, Epochs], panel: str, name: str, column: str) -> None:
        if column in columns:
            panels.setdefault(panel, {}).setdefault(name, []).append(columns[column])

    for columns in histories:
        heads = [c.removesuffix("_loss") for c in columns if c.endswith("_loss") and not c.startswith("validation_")]
        for head in heads:
            title = head.replace("_", " ").capitalize()
            add(columns, f"{title} loss", "training", f"{head}_loss")
            add(columns, f"{title} loss", "validation", f"validation_{head}_loss")
            if f"{head}_chance" in columns:
                add(columns, f"{title} accuracy", "training", f"{head}_accuracy")
                add(columns, f"{title} accuracy", "validation", f"validation_{head}_accuracy")
                levels |= _head_levels(title, columns[f"{head}_chance"])
        norm = "Gradient norm in encoder" if "task_gradient" in columns else "Gradient norm"  # of the players of a game
        for head in heads:
            add(columns, "Strength λ", head, f"{head}_strength")
            add(columns, norm, head, f"{head}_gradient")
        add(columns, norm, "task", "task_gradient")
        add(columns, "Cosine of gradients", "task · adversary", "gradient_cosine")
        add(columns, "Learning rate", "schedule", "learning_rate")
    return panels, levels


def _head_levels(title: str, chance: Epochs) -> Levels:
    measured = _array(chance)[np.isfinite(_array(chance))]
    blind = float(np.median(measured)) if measured.size else LN2
    domains = next((k for k in range(2, MOST_DOMAINS) if abs(blind - np.log(k)) < 1e-3), None)
    text = f"ln {domains}" if domains else f"blind head ({blind / LN2:.2f} ln 2)"
    guess = 1.0 / (domains or 2)
    return {f"{title} loss": (blind, text), f"{title} accuracy": (guess, f"{guess:.2g}")}


def _panel(
    axes: Axes,
    name: str,
    series: Mapping[str, Sequence[FloatArray]],
    level: tuple[float, str] | None,
    best: Sequence[int],
) -> None:
    values = np.concatenate([fold[np.isfinite(fold)] for folds in series.values() for fold in folds])
    low, high = float(values.min()), float(values.max())
    if level is not None:
        low, high = _around_level(np.concatenate([f for folds in series.values() for f in folds]), low, high, level[0])
    pad = 0.08 * (high - low) or 0.1 * max(abs(high), 0.1)
    length = 1
    for index, (key, folds) in enumerate(series.items()):
        style = LineStyle(PALETTE[index % len(PALETTE)], DASHES[index % len(DASHES)], "o")
        for number, fold in enumerate(folds):
            # Gradients are not measured in every epoch: the measured values are joined.
            measured = np.isfinite(fold)
            axes.plot(
                np.arange(1, len(fold) + 1)[measured],
                fold[measured],
                color=style.colour,
                linestyle=style.dashes,
                label=key if number == 0 else None,
                linewidth=1.2 if number == 0 else 0.7,
                alpha=PALE if len(folds) > MANY else 1.0,
                marker=style.marker if measured.sum() == 1 else None,
            )
            length = max(length, len(fold))
        if len(folds) > MANY:
            epochs, middle = _median(folds)
            axes.plot(epochs, middle, color=style.colour, linestyle=style.dashes, linewidth=1.8, gid="median")
    if level is not None:
        axes.axhline(level[0], color="black", linewidth=0.8, linestyle=(0, (2, 1.5)), label=level[1], gid="level")
    for number, epoch in enumerate(best):
        axes.plot(
            [epoch],
            [0.0],
            marker="^",
            color="black",
            markersize=4.5,
            linestyle="none",
            clip_on=False,
            zorder=6,
            transform=axes.get_xaxis_transform(),
            label=None if number else "epoch kept",
            gid="best",
        )
    axes.set_ylim(low - pad, high + pad)
    axes.set_xlim(0.5, length + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.xaxis.minorticks_off()
    axes.set_xlabel("Epoch")
    axes.set_ylabel(name)
    legend = legend_above(axes)
    if level is not None:  # the first epochs may be beyond the axis, behind the legend
        legend.set_frame_on(True)
        legend.get_frame().set(facecolor="white", edgecolor="none", alpha=0.85)


def _median(folds: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Return the epochs in which at least half of the trainings have a value, and the median of the values."""
    length = max(map(len, folds))
    table = np.array([np.append(fold, np.full(length - len(fold), np.nan)) for fold in folds])
    enough = np.isfinite(table).sum(axis=0) * 2 >= len(folds)
    return np.arange(1, length + 1)[enough].astype(np.float64), np.nanmedian(table[:, enough], axis=0)


def _around_level(values: FloatArray, low: float, high: float, level: float) -> tuple[float, float]:
    """Return limits that contain the level and, of the values, those that are not far from the others.

    The first epochs of a domain loss are far from its level; the range in which the training ends would be a line.
    """
    measured = values[np.isfinite(values)]
    first, last = np.quantile(measured, [CENTRAL, 1 - CENTRAL])
    margin = 2.0 * max(last - first, abs(level - first), abs(level - last), 1e-6)
    return max(min(low, level), min(first, level) - margin), min(max(high, level), max(last, level) + margin)


def _grid(count: int) -> tuple[Figure, list[Axes]]:
    """Make three panels per row, or fewer if there are fewer; unused positions get no axes."""
    columns = min(count, 3)
    rows = -(-count // columns)
    width = {1: COLUMN, 2: PAGE * 0.72, 3: PAGE}[columns]
    cell, left, right, bottom = 1.75, 0.5, 0.08, 0.36
    height = rows * cell + 0.24
    drawn = Figure(figsize=(width, height))
    Canvas(drawn)
    wide = (width - 0.04) / columns
    axes = []
    for index in range(count):
        row, column = divmod(index, columns)
        y = height - 0.24 - (row + 1) * cell + bottom
        box = (
            (column * wide + left) / width,
            y / height,
            (wide - left - right) / width,
            (cell - bottom - 0.06) / height,
        )
        axes.append(drawn.add_axes(box))
    return drawn, axes


def _array(values: Sequence[float | None]) -> FloatArray:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
