"""Figures of the inputs: simulation compared with data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from hepda.events.results.figure_data import FigureData, axis
from hepda.plotting.scores import features
from hepda.report.page import Drawing


class DrawnFeatures(Sequence[features.Feature]):
    """The features in the form in which they are drawn.

    Each is read from the table only when it is requested, because together they are as large as the table.
    """

    def __init__(self, run: FigureData) -> None:
        self._run = run

    def __len__(self) -> int:
        return len(self._run.table.names)

    @overload
    def __getitem__(self, number: int) -> features.Feature: ...
    @overload
    def __getitem__(self, number: slice) -> list[features.Feature]: ...
    def __getitem__(self, number: int | slice) -> features.Feature | list[features.Feature]:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        run, name = self._run, self._run.table.names[number]
        text, edges = axis(name, run.appearance.plots.get(name))
        values = np.asarray(run.table.features[:, number])
        return features.Feature(
            name,
            text,
            run.stack(values),
            data=None if run.spec.domains.hidden else run.data(values),
            others=run.others(values),
            edges=edges,
            missing=run.appearance.missing,
        )


def input_drawings(run: FigureData) -> Iterator[Drawing]:
    """Yield simulation compared with data for every feature, and all features on one page."""
    hidden = run.spec.domains.hidden
    drawn = DrawnFeatures(run)
    note = "data blinded" if hidden else ""
    label = run.label(note, data=not hidden)
    yield Drawing(
        "inputs", "features_overview", "All inputs",
        f"{run.contents(data=not hidden)}; lower panels: ratios to the simulation.",
        lambda: features.overview_figure(drawn, label=label),
    )  # fmt: skip
    for number, name in enumerate(run.table.names):
        plot = run.appearance.plots.get(name)
        text, log = axis(name, plot)[0], plot is not None and plot.log
        yield Drawing(
            "inputs", f"feature_{name}",
            name if "$" in text else text,  # the page cannot show mathematics, the axis can
            f"{run.contents(data=not hidden)}.",
            lambda number=number, log=log: features.feature_figure(drawn[number], label=label, log=log),  # type: ignore[misc]
        )  # fmt: skip
