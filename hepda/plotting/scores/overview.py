"""All inputs on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from hepda.errors import DataError
from hepda.plotting.base.histogram import Histogram
from hepda.plotting.base.panels import common_bounds, draw_line, finish_ratio
from hepda.plotting.base.style import DPI, FILLS, PAGE, PALETTE, Canvas, Label, styled
from hepda.plotting.scores.features import Feature, FilledFeature, draw_main, draw_ratio, fill, ratios_of

SMALL = 1.2
"""Size of the points of data, which would hide shapes in small panels."""


@styled
def overview_figure(
    features: Sequence[Feature | FilledFeature], *, label: Label | None = None, columns: int = 5
) -> Figure:
    """Draw all features on one page: a small panel and a small ratio each, one legend for all, no empty panel.

    All ratios have one range (`common_bounds`).

    Args:
        features: the quantities and their samples, or their histograms.
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
    Canvas(drawn)
    entries: dict[str, Artist] = {}
    overflow = False
    all_filled = [feature if isinstance(feature, FilledFeature) else fill(feature) for feature in features]
    bounds = common_bounds(ratios_of(filled, filled.total) for filled in all_filled)
    for index, filled in enumerate(all_filled):
        main, below = _small_panels(drawn, *divmod(index, columns), columns, (width, height, cell, head))
        total = filled.total
        draw_main(main, filled, total, log=False, scaled_signal=False, marker=SMALL)
        compared, colours = draw_ratio(below, filled, total, marker=SMALL)
        overflow = overflow or filled.overflow
        first = index % columns == 0
        finish_ratio(below, compared, colours=colours, label="", xlabel="", bounds=bounds)
        if first:
            main.set_ylabel("Events / bin", fontsize=6, labelpad=3.5)
            below.set_ylabel("Ratio", fontsize=6, labelpad=0, loc="center")
            below.yaxis.set_label_coords(-0.2 / (below.get_position().width * width), 0.5)
        below.set_xlabel(filled.label, fontsize=6, labelpad=1, loc="right")
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
        texts = (label.note, "end bins with overflow" if overflow else "", label.right)
        drawn.text(1 - 0.1 / width, 1 - 0.05 / height, ", ".join(t for t in texts if t), ha="right", va="top")
    return drawn


@styled
def separations_figure(
    features: Sequence[FilledFeature],
    separations: Mapping[str, float],
    *,
    label: Label | None = None,
    columns: int = 5,
) -> Figure:
    """Draw signal and background of every feature on one page, each normalised to unit area.

    Args:
        features: the histograms; the signals of a stack are drawn together, and so are its backgrounds.
        separations: by label of a feature, the separation that its panel states; panels without one state none.
        label: label over the axes.
        columns: number of columns.

    Raises:
        DataError: there are no features, or none has both signal and background.

    """
    sides = [_sides(feature) for feature in features]
    if not any(sides):
        raise DataError("no feature has both signal and background; there is no separation to draw")
    shown = [(feature, pair) for feature, pair in zip(features, sides, strict=True) if pair]
    columns = min(columns, len(shown))
    rows = -(-len(shown) // columns)
    width, cell, head = max(PAGE * columns / 5, PAGE / 2), 1.12, 0.42
    height = rows * cell + head
    drawn = Figure(figsize=(width, height))
    Canvas(drawn)
    wide = width / columns
    names: dict[str, Artist] = {}
    for index, (feature, pair) in enumerate(shown):
        row, column = divmod(index, columns)
        box = (column * wide + 0.12, height - head - (row + 1) * cell + 0.3, wide - 0.24, cell - 0.36)
        axes = drawn.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
        for (name, colour), shape in zip(_SIDES, pair, strict=True):
            draw_line(axes, shape, colour=colour, label=name, dashes="solid" if name == "signal" else (0, (4, 1.2)))
        axes.set_xlim(feature.edges[0], feature.edges[-1])
        axes.set_ylim(0.0, 1.3 * max(float(shape.sumw.max()) for shape in pair))
        axes.set_yticks([])
        axes.yaxis.set_minor_locator(NullLocator())
        axes.tick_params(labelsize=5.5, pad=1.5)
        axes.set_xlabel(feature.label, fontsize=6, labelpad=1, loc="right")
        _fit_label(axes, wide - 0.1)
        if feature.label in separations:
            text = rf"$\langle S^2\rangle$ = {separations[feature.label]:.3f}"
            axes.text(0.96, 0.95, text, transform=axes.transAxes, ha="right", va="top", fontsize=6, gid="separation")
        names |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    drawn.legend(
        list(names.values()), list(names), loc="upper center", ncols=2, fontsize=7,
        bbox_to_anchor=(0.5, 1 - 0.16 / height),
    )  # fmt: skip
    if label is not None:
        drawn.text(0.1 / width, 1 - 0.05 / height, label.status, weight="bold", va="top")
        drawn.text(1 - 0.1 / width, 1 - 0.05 / height, label.right, ha="right", va="top")
    return drawn


_SIDES = (("signal", PALETTE[1]), ("background", FILLS[0]))
"""Names and colours of the two sides."""


def _sides(feature: FilledFeature) -> tuple[Histogram, Histogram] | None:
    """Return signal and background with unit area; None if one of them has no positive sum of weights."""
    sides = []
    for is_signal in (True, False):
        parts = [part.histogram for part in feature.stack if part.signal == is_signal]
        total = sum(parts[1:], parts[0]) if parts else None
        if total is None or not total.sumw.sum() > 0:
            return None
        sides.append(total.unit_area())
    return sides[0], sides[1]


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
