"""Figure of the inputs that the models use to separate the classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from hepda.errors import DataError
from hepda.plotting.base.rows import letters
from hepda.plotting.base.style import COLUMN, Label, axes_label, figure, legend_above, model_styles, styled
from hepda.results.evaluation import FeatureImportance

MOST = 12
"""Largest number of inputs that are drawn."""
WIDTH = 2.6
"""Smallest width of the axes with their right margin (inches), in which label and legend have room."""


@styled
def class_importance_figure(
    importance: Mapping[str, FeatureImportance],
    *,
    source: str,
    names: Mapping[str, str] | None = None,
    label: Label | None = None,
    models: Iterable[str] | None = None,
) -> Figure:
    """Draw by how much the AUC of each model falls if one input is shuffled, with errors.

    The inputs that matter most to any model are drawn, a row for each, the most important on top.

    Args:
        importance: model -> result.
        source: name of the domain of the events.
        names: labels of inputs; one without a label is called by its name.
        label: label over the axes.
        models: all models of the run, so that colours agree between figures.

    Raises:
        DataError: there are no results.

    """
    if not any(len(result.names) for result in importance.values()):
        raise DataError("no model was asked with shuffled inputs; there is no importance to draw")
    values = {
        model: dict(zip(r.names, zip(r.drop.tolist(), r.error.tolist(), strict=True), strict=True))
        for model, r in importance.items()
    }
    inputs = list(dict.fromkeys(name for of in values.values() for name in of))
    inputs.sort(key=lambda name: -max(of[name][0] for of in values.values() if name in of))
    shown = inputs[:MOST]
    texts = [(names or {}).get(name, name) for name in shown]
    styles = model_styles(models or importance)
    row = 0.13 + 0.045 * len(values)  # inches
    left = 0.2 + 0.057 * max(map(letters, texts))
    drawn, axes = figure(max(COLUMN, left + WIDTH), 1.0 + 0.08 * len(values) + row * len(shown), left=left)
    reach = [0.0]
    for index, (model, of) in enumerate(values.items()):
        style, offset = styles[model], 0.7 * (0.5 - (index + 0.5) / len(values))
        for number, name in enumerate(name for name in shown if name in of):
            drop, error = of[name]
            reach += [drop - error, drop + error]
            axes.errorbar(
                drop, len(shown) - 1 - shown.index(name) + offset, xerr=error, fmt=style.marker, color=style.colour,
                markersize=3.0, linewidth=0.8, label=None if number else model,
            )  # fmt: skip
    axes.plot([0.0, 0.0], [-0.6, len(shown) - 0.4], color="black", linewidth=0.6, zorder=1)  # not through the legend
    for line in range(1, len(shown)):
        axes.axhline(line - 0.5, color="#dddddd", linewidth=0.5, zorder=0)
    axes.set_yticks(range(len(shown)), texts[::-1])
    axes.tick_params(axis="y", which="both", length=0)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(-0.6, len(shown) - 0.4)
    pad = 0.05 * (max(reach) - min(reach)) or 0.01
    axes.set_xlim(min(reach) - pad, max(reach) + pad)
    axes.set_xlabel("Decrease of the AUC if the input is shuffled")
    axes_label(axes, label)
    counts = sorted({result.events for result in importance.values() if result.events is not None})
    events = " to ".join(f"{count:,}".replace(",", " ") for count in dict.fromkeys(counts[:1] + counts[-1:]))
    notes = [label.note if label else "", f"{events} events of {source}" if events else source]
    legend_above(axes, note="\n".join(note for note in notes if note))
    return drawn
