"""Figures for speech: word error rates by noise, probes of embeddings, confusions of words, spectra, alignments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hepda.errors import DataError
from hepda.plotting.base.style import COLUMN, DPI, PAGE, model_styles, styled

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class ErrorCurve:
    """A number and its interval at positions on an axis, all [n]."""

    x: Array
    value: Array
    low: Array
    high: Array


@styled
def error_figure(panels: Mapping[str, Mapping[str, ErrorCurve]], *, xlabel: str) -> Figure:
    """Draw word error rates (in percent) against `xlabel`; one panel per condition, one curve per model, interval bars.

    Args:
        panels: condition -> model -> curve.
        xlabel: label of the x axis.

    Raises:
        DataError: there is no curve.

    """
    curves = [curve for panel in panels.values() for curve in panel.values()]
    if not curves:
        raise DataError(f"no word error rate against {xlabel}; there is nothing to draw")
    names = list(dict.fromkeys(model for panel in panels.values() for model in panel))
    styles = model_styles(names)
    width = COLUMN if len(panels) == 1 else PAGE
    drawn = Figure(
        figsize=(width, 2.9 + 0.12 * len(names) / (1 if len(panels) == 1 else 2)), layout="constrained", dpi=DPI
    )
    axes = drawn.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for panel, (title, of) in zip(axes, panels.items(), strict=True):
        for index, (model, curve) in enumerate(of.items()):
            style = styles[model]
            step = np.min(np.diff(np.sort(curve.x))) if len(curve.x) > 1 else 1.0
            x = curve.x + 0.05 * step * (index - 0.5 * (len(of) - 1))
            error = 100.0 * np.stack([curve.value - curve.low, curve.high - curve.value]).clip(0.0)
            panel.errorbar(
                x, 100.0 * curve.value, yerr=error, marker=style.marker, color=style.colour, linestyle=style.dashes,
                elinewidth=0.6, label=model,
            )  # fmt: skip
        panel.set_title(title)
        panel.set_xlabel(xlabel)
        panel.set_xticks(sorted({x for curve in of.values() for x in curve.x.tolist()}))
        panel.minorticks_off()
    axes[0].set_ylim(0.0, 108.0 * max(float(curve.high.max()) for curve in curves))
    axes[0].set_ylabel("Word error rate [%]")
    handles, texts = axes[0].get_legend_handles_labels()
    drawn.legend(handles, texts, loc="outside upper center", ncols=min(4, len(texts)))
    return drawn


@styled
def probe_figure(
    probe: Mapping[str, ErrorCurve], head: Mapping[str, ErrorCurve], chance: Mapping[str, float]
) -> Figure:
    """Draw accuracies against alpha of new probes on the embedding, and of the heads that were trained with it.

    Args:
        probe: accuracies of the probes, by the quantity that they predict (noise, pair).
        head: accuracies of the heads, by the same quantities.
        chance: accuracies without information, by the same quantities; drawn as dotted lines.

    Raises:
        DataError: there is no probe.

    """
    if not probe:
        raise DataError("no embedding was probed; there is no accuracy to draw")
    drawn = Figure(figsize=(COLUMN * max(1.0, 0.85 * len(probe)), 2.7), layout="constrained", dpi=DPI)
    axes = drawn.subplots(1, len(probe), squeeze=False)[0]
    styles = model_styles(["fresh probe", "trained head"])
    for panel, (what, curve) in zip(axes, probe.items(), strict=True):
        for name, accuracy in (("fresh probe", curve), ("trained head", head.get(what))):
            if accuracy is None:
                continue
            error = 100.0 * np.stack([accuracy.value - accuracy.low, accuracy.high - accuracy.value]).clip(0.0)
            panel.errorbar(
                accuracy.x, 100.0 * accuracy.value, yerr=error, marker=styles[name].marker, color=styles[name].colour,
                linestyle=styles[name].dashes, elinewidth=0.6, label=name,
            )  # fmt: skip
        panel.axhline(100.0 * chance[what], color="black", linestyle="dotted", linewidth=0.7)
        panel.set_title({"noise": "Type of noise", "pair": "Noise or none", "room": "Room"}.get(what, what))
        panel.set_xlabel("Strength α of the reversal")
        panel.set_ylim(0.0, 105.0)
    axes[0].set_ylabel("Accuracy [%]")
    axes[0].legend(loc="best")
    return drawn


@styled
def confusion_figure(
    panels: Mapping[str, Array],
    words: Sequence[str],
    *,
    columns: str = "Recognised",
    rows: str = "Spoken",
    shares_of: str = "Fraction of the spoken word [%]",
) -> Figure:
    """Draw the shares of the recognised words (columns) for each spoken word (rows), one panel per condition.

    Args:
        panels: shares [words, words] by title; NaN is left blank.
        words: names of rows and columns.
        columns: what the columns are.
        rows: what the rows are.
        shares_of: what the shares are, with the unit.

    """
    size = min(PAGE, 3.2 * len(panels) + 0.4), 3.5 if len(panels) < 3 else 2.7
    drawn = Figure(figsize=size, layout="constrained", dpi=DPI)
    axes = drawn.subplots(1, len(panels), squeeze=False)[0]
    image = None
    for panel, (title, shares) in zip(axes, panels.items(), strict=True):
        image = panel.imshow(100.0 * shares, vmin=0.0, vmax=100.0, cmap="Blues", aspect="equal")
        for row, column in np.argwhere(shares >= 0.005):
            share = 100.0 * shares[row, column]
            panel.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=5.5,
                       color="white" if share > 55.0 else "black")  # fmt: skip
        panel.set_xticks(range(len(words)), words, rotation=90)
        panel.set_yticks(range(len(words)), words)
        panel.tick_params(length=0, which="both")
        panel.minorticks_off()
        panel.set_title(title)
        panel.set_xlabel(columns)
    axes[0].set_ylabel(rows)
    if image is not None:
        drawn.colorbar(image, ax=list(axes), label=shares_of, shrink=0.8)
    return drawn


@styled
def spectrogram_figure(panels: Mapping[str, Array], *, hop: float) -> Figure:
    """Draw log energies [frames, bands] of the same utterance under several conditions, on one scale."""
    drawn = Figure(figsize=(PAGE, 2.3), layout="constrained", dpi=DPI)
    axes = drawn.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    decibels = {title: values.T * 10.0 / np.log(10.0) for title, values in panels.items()}
    top = max(float(values.max()) for values in decibels.values())
    image = None
    for panel, (title, values) in zip(axes, decibels.items(), strict=True):
        extent = (0.0, values.shape[1] * hop, 0.5, values.shape[0] + 0.5)
        image = panel.imshow(
            values, origin="lower", aspect="auto", extent=extent, vmin=top - 70.0, vmax=top, cmap="magma"
        )
        panel.set_title(title)
        panel.set_xlabel("Time [s]")
    axes[0].set_ylabel("Mel band")
    if image is not None:
        drawn.colorbar(image, ax=list(axes), label="Energy [dB]")
    return drawn


@styled
def alignment_figure(
    energies: Sequence[Array],
    states: Sequence[Array],
    titles: Sequence[str],
    *,
    hop: float,
    silence: int,
) -> Figure:
    """Draw log energies [frames, bands] of utterances with the state of each frame [frames] over them, numbers from 1.

    Args:
        energies: log energies of the utterances, [frames, bands] each.
        states: senone of each frame, [frames] each.
        titles: titles of the panels.
        hop: time between two frames.
        silence: the senone that is drawn as 0; the others are counted from the first state of their word.

    """
    drawn = Figure(figsize=(PAGE, 2.5), layout="constrained", dpi=DPI)
    axes = drawn.subplots(1, len(energies), squeeze=False)[0]
    for panel, values, state, title in zip(axes, energies, states, titles, strict=True):
        panel.imshow(
            values.T,
            origin="lower",
            aspect="auto",
            cmap="Greys",
            extent=(0.0, len(values) * hop, 0.5, values.shape[1] + 0.5),
        )
        over = panel.twinx()
        spoken = state[state != silence]
        first = int(spoken.min()) if len(spoken) else 0
        steps = np.where(state == silence, 0, state - first + 1)
        edges = np.arange(len(steps) + 1) * hop
        over.stairs(steps, edges, color="#bd1f01", linewidth=1.2, baseline=None)
        over.set_ylim(-0.5, steps.max() + 0.5)
        over.yaxis.get_major_locator().set_params(integer=True)
        over.minorticks_off()
        panel.set_title(title)
        panel.set_xlabel("Time [s]")
        if panel is axes[0]:
            panel.set_ylabel("Mel band")
        if panel is axes[-1]:
            over.set_ylabel("State (0: silence)")
    return drawn
