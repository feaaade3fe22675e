"""Figures for images: grids, embeddings of two domains, confusion of classes, accuracy by epoch and by few labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hepda.errors import DataError
from hepda.plotting.base.style import (
    COLUMN,
    PAGE,
    PALETTE,
    Canvas,
    domain_colours,
    figure,
    legend_above,
    model_styles,
    styled,
)
from hepda.results.few_shot import TITLES, FewShot

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]


@styled
def grid_figure(domains: Mapping[str, Pixels], *, rows: int = 6, columns: int = 10) -> Figure:
    """Draw images of every domain next to each other: uint8 [n, channels, h, w], the first rows x columns of each."""
    names = list(domains)
    width = PAGE if len(names) > 1 else COLUMN
    gap, top = 0.12, 0.22
    side = (width - gap * (len(names) - 1)) / len(names)
    height = side * rows / columns + top
    drawn = Figure(figsize=(width, height))
    Canvas(drawn)
    for number, name in enumerate(names):
        box = (number * (side + gap) / width, 0.0, side / width, (height - top) / height)
        axes = drawn.add_axes(box)
        joined = mosaic(domains[name], rows, columns)
        axes.imshow(joined, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        axes.set_title(name, loc="left", weight="bold", pad=3.0)
    return drawn


@styled
def columns_figure(columns: Mapping[str, Pixels], *, wrap: int = 13) -> Figure:
    """Draw a column of images below each name: uint8 [rows, 1 or 3, h, w], as many in each.

    Args:
        columns: the images of each name.
        wrap: characters of a name in a line.

    """
    names = [fill(name, wrap, break_long_words=False) for name in columns]
    gap, line = 0.04, 0.12
    top = line * max(name.count("\n") + 1 for name in names) + 0.06
    side = (PAGE - gap * (len(names) - 1)) / len(names)
    joined = [mosaic(pixels, len(pixels), 1) for pixels in columns.values()]
    height = side * joined[0].shape[0] / joined[0].shape[1] + top
    drawn = Figure(figsize=(PAGE, height))
    Canvas(drawn)
    for number, (name, picture) in enumerate(zip(names, joined, strict=True)):
        axes = drawn.add_axes((number * (side + gap) / PAGE, 0.0, side / PAGE, (height - top) / height))
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        axes.set_title(name, loc="center", fontsize=7.0, pad=3.0)
    return drawn


def mosaic(pixels: Pixels, rows: int, columns: int) -> Pixels:
    """Join the first rows x columns images [n, c, h, w], separated by a white line: [.., .., 3] or grey."""
    _, channels, height, width = pixels.shape
    joined = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, channels), 255, np.uint8)
    for number, image in enumerate(pixels[: rows * columns]):
        down, right = divmod(number, columns)
        top, left = down * (height + 1), right * (width + 1)
        joined[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return joined[:, :, 0] if channels == 1 else joined


@dataclass(frozen=True, slots=True)
class Embedded:
    """Embedding by one encoder of images of both domains: plane [n, 2], domain and class [n] as numbers."""

    plane: Floats
    domain: NDArray[np.int64]
    label: NDArray[np.int64]


@styled
def embedding_figure(
    models: Mapping[str, Embedded], *, domains: Sequence[str], classes: Sequence[str], axis: str
) -> Figure:
    """Draw one column per model: the same points coloured by domain above and by class below.

    Args:
        models: the embedding of each model.
        domains: names of the domains.
        classes: names of the classes.
        axis: `t-SNE` or `Component`.

    """
    count = len(models)
    width = COLUMN if count == 1 else PAGE
    side = (width - 0.06) / count
    height = 2 * side * 0.8 + 0.5
    drawn = Figure(figsize=(width, height))
    Canvas(drawn)
    hues = domain_colours(domains)
    palette = [PALETTE[i % len(PALETTE)] for i in range(len(classes))]
    for column, (name, embedded) in enumerate(models.items()):
        for row, (codes, colours) in enumerate(
            ((embedded.domain, [hues[d] for d in domains]), (embedded.label, palette))
        ):
            box = (
                (0.03 + column * side + 0.02) / width,
                (height - 0.22 - (row + 1) * (side * 0.8 + 0.12) + 0.1) / height,
                (side - 0.08) / width,
                side * 0.8 / height,
            )
            axes = drawn.add_axes(box)
            order = np.random.default_rng(0).permutation(len(codes))  # so that neither domain is drawn over the other
            axes.scatter(
                embedded.plane[order, 0], embedded.plane[order, 1], s=2.2, linewidths=0,
                c=[colours[code] for code in codes[order]], rasterized=True,
            )  # fmt: skip
            axes.set_xticks([])
            axes.set_yticks([])
            axes.minorticks_off()
            if row == 0:
                axes.set_title(name, loc="left", weight="bold", pad=3.0)
            if column == 0:
                _key(axes, list(domains) if row == 0 else list(classes), colours)
    drawn.text(1.0 - 0.06 / width, 0.015 / height, axis, ha="right", va="bottom", fontsize=7.0)
    return drawn


def _key(axes: Axes, names: Sequence[str], colours: Sequence[str]) -> None:
    if len(names) > 12:
        return
    handles: list[Any] = [
        Line2D([], [], marker="o", linestyle="none", markersize=3, color=colours[i], label=name)
        for i, name in enumerate(names)
    ]
    axes.legend(
        handles=handles, loc="lower left", ncols=2 if len(names) > 4 else 1, fontsize=6.0, handletextpad=0.1,
        columnspacing=0.4, labelspacing=0.2, frameon=True, framealpha=0.8, edgecolor="none",
    )  # fmt: skip


_CHARACTER = 0.062
"""Width of a character of a tick label (inches)."""
_NAMES = 2.4
"""Room for the names of all classes below a confusion matrix (inches)."""


@styled
def confusion_figure(counts: NDArray[np.int64], *, classes: Sequence[str], title: str) -> Figure:
    """Draw counts [true, predicted] as shares of the true class in per cent; small matrices show the numbers."""
    share = 100.0 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    small = len(classes) <= 12
    longest = _CHARACTER * max(map(len, classes)) if small else 0.0
    steep = longest * len(classes) > _NAMES  # names side by side would overlap
    drawn, axes = figure(
        COLUMN,
        COLUMN * 0.92 + (longest if steep else 0.0),
        left=0.36 + longest if small else 0.5,
        bottom=0.38 + (longest if steep else 0.0),
    )
    axes.imshow(share, cmap="Blues", vmin=0.0, vmax=100.0, interpolation="nearest", aspect="auto")
    axes.minorticks_off()
    axes.tick_params(length=0, top=False, right=False)
    if small:
        axes.set_xticks(range(len(classes)), classes, rotation=90 if steep else 0)
        axes.set_yticks(range(len(classes)), classes)
        for (row, column), value in np.ndenumerate(share):
            if value >= 0.05:
                text = f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"
                ink = "white" if value > 55 else "black"
                axes.text(column, row, text, ha="center", va="center", fontsize=6.0, color=ink)
    axes.set_xlabel("Predicted class")
    axes.set_ylabel("True class")
    axes.text(0.0, 1.015, title, transform=axes.transAxes, ha="left", va="bottom", weight="bold")
    axes.text(1.0, 1.015, "% of the true class", transform=axes.transAxes, ha="right", va="bottom")
    return drawn


@styled
def accuracy_figure(curves: Mapping[str, Sequence[Sequence[float | None]]], *, images: int, target: str) -> Figure:
    """Draw accuracy on target images against the epoch: a line per model (mean over trainings) and their range."""
    drawn, axes = figure(PAGE * 0.72, COLUMN * 0.95)
    styles = model_styles(curves)
    longest, bottom = 1, 1.0
    for name, seeds in curves.items():
        measured = [
            np.array([np.nan if v is None else v for v in accuracies]) for accuracies in seeds if len(accuracies)
        ]
        if not measured:
            continue
        length = max(len(accuracies) for accuracies in measured)
        table = np.full((len(measured), length), np.nan)
        for row, accuracies in zip(table, measured, strict=True):
            row[: len(accuracies)] = accuracies
        epochs = np.arange(1, length + 1)
        has_value = np.isfinite(table).any(axis=0)
        if not has_value.any():
            continue
        style = styles[name]
        mean = np.nanmean(table[:, has_value], axis=0)
        axes.plot(
            epochs[has_value], mean, color=style.colour, linestyle=style.dashes, label=name,
            marker=style.marker if has_value.sum() < 3 else None,
        )  # fmt: skip
        low, high = np.nanmin(table[:, has_value], axis=0), np.nanmax(table[:, has_value], axis=0)
        axes.fill_between(epochs[has_value], low, high, color=style.colour, alpha=0.15, linewidth=0)
        longest, bottom = max(longest, length), min(bottom, float(low.min()))
    axes.set_xlim(0.5, longest + 0.5)
    axes.set_ylim(max(0.0, bottom - 0.05), 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.set_xlabel("Epoch")
    axes.set_ylabel(f"Accuracy, {images} images of {target}")
    legend_above(axes)
    low, high = axes.get_ylim()
    ticks = axes.get_yticks()
    axes.set_yticks(ticks[(ticks >= low) & (ticks < 1.0 + 1e-9)])  # no ticks next to the legend
    axes.minorticks_off()
    axes.set_ylim(low, high)
    return drawn


@styled
def few_shot_figure(results: Sequence[FewShot], *, model: str, domain: str) -> Figure:
    """Draw the accuracy of each way to classify new classes, a panel for each number of labelled examples.

    Full markers are the classes as they are, open ones those that were dealt at random; the line is chance.

    Args:
        results: the accuracies, for each number of labelled examples of each class.
        model: name of the network.
        domain: name of the domain.

    Raises:
        DataError: there are no results.

    """
    if not results:
        raise DataError(f"no few-shot accuracy of {model} in {domain}; there is nothing to draw")
    names = list(results[0].methods)
    height = np.arange(len(names))[::-1]
    left, right, gap, below, above = 1.72, 0.12, 0.14, 0.42, 0.44
    width, tall = PAGE if len(results) > 1 else PAGE * 0.72, 0.24 * len(names) + 0.2
    drawn = Figure(figsize=(width, tall + below + above))
    Canvas(drawn)
    side = (width - left - right - gap * (len(results) - 1)) / len(results)
    for number, result in enumerate(results):
        axes = drawn.add_axes(
            ((left + number * (side + gap)) / width, below / (tall + below + above), side / width,
             tall / (tall + below + above))
        )  # fmt: skip
        axes.axvline(1.0 / result.ways, color="black", linewidth=0.8, linestyle=(0, (4, 2)), zorder=1, label="chance")
        for shift, methods, label, marker, face in (
            (0.13, result.methods, "classes as they are", "o", PALETTE[0]),
            (-0.13, result.dealt, "classes dealt at random", "s", "white"),
        ):
            value = np.array([methods[name].accuracy.value for name in names])
            error = np.array([methods[name].accuracy.error for name in names])
            axes.errorbar(
                value, height + shift, xerr=error, fmt=marker, markersize=3.6, linewidth=0.9, label=label,
                color=PALETTE[0 if marker == "o" else 1], markerfacecolor=face,
            )  # fmt: skip
        axes.set_xlim(0.0, 1.04)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_yticks(height, [TITLES.get(name, name) for name in names] if number == 0 else [""] * len(names))
        axes.minorticks_off()
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"Accuracy, {result.ways} classes, {result.shots} labelled of each", loc="right")
        if number == 0:
            handles, labels = axes.get_legend_handles_labels()
    drawn.legend(
        handles, labels, loc="upper right", bbox_to_anchor=(1.0 - right / width, 1.0), ncols=3, frameon=False,
        borderaxespad=0.1,
    )  # fmt: skip
    drawn.text(
        0.04 / width, 1.0 - 0.06 / (tall + below + above), f"{model}\n{domain}", ha="left", va="top", weight="bold"
    )
    return drawn
