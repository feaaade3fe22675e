"""Figures of the inputs: simulation compared with data."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from hepda.evaluation.inputs import weighted_correlations
from hepda.events.results.figure_data import Array, FigureData, axis, short_label
from hepda.plotting.base.panels import common_bounds
from hepda.plotting.base.plot import Plot
from hepda.plotting.scores import features, overview
from hepda.plotting.scores.correlations import correlations_figure
from hepda.report.drawing import Drawing


class FilledInputs:
    """The histograms of the features, each filled when it is first requested, from a column read for it alone."""

    def __init__(self, run: FigureData) -> None:
        self._run = run
        self._filled: dict[int, features.FilledFeature] = {}

    def __getitem__(self, number: int) -> features.FilledFeature:
        if number not in self._filled:
            self._filled[number] = self._fill(number)
        return self._filled[number]

    def all(self) -> list[features.FilledFeature]:
        """Return all features, in the order of the table."""
        return [self[number] for number in range(len(self._run.table.names))]

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """The range of the ratio panels of all features."""
        return common_bounds(features.ratios_of(filled, filled.total) for filled in self.all())

    def _fill(self, number: int) -> features.FilledFeature:
        run, name = self._run, self._run.table.names[number]
        text, edges = axis(name, run.appearance.plots.get(name))
        values = np.asarray(run.table.features[:, number])
        feature = features.Feature(
            name,
            text,
            run.stack(values),
            data=None if run.spec.domains.hidden else run.data(values),
            others=run.others(values),
            edges=edges,
            missing=run.appearance.missing,
        )
        return features.fill(feature)


def _correlations(run: FigureData) -> dict[str, Array]:
    """Return the correlations of the inputs for signal and background of the source."""
    matrices = {}
    for name, label in (("signal", 1), ("background", 0)):
        rows = np.flatnonzero(run.table.of_domain(run.source) & (run.table.label == label))
        values, weight = run.table.features[rows], run.table.weight[rows]
        matrices[name] = weighted_correlations(values, weight, run.appearance.missing)
    return matrices


def _names(run: FigureData) -> list[str]:
    return [short_label(name, run.appearance.plots.get(name)) for name in run.table.names]


def input_drawings(run: FigureData) -> Iterator[Drawing]:
    """Yield simulation compared with data for every feature, and all features on one page."""
    hidden = run.spec.domains.hidden
    filled = FilledInputs(run)
    note = "data blinded" if hidden else ""
    label = run.label(note, data=not hidden)
    yield Drawing(
        "inputs", "features_overview", "All inputs",
        f"{run.contents(data=not hidden)}; lower panels: ratios to the simulation.",
        lambda: Plot.of(overview.overview_figure, filled.all(), label=label),
        first=True,
    )  # fmt: skip
    separations = {entry.name: entry.separation for entry in run.numbers.separations}
    if separations:
        yield Drawing(
            "inputs", "input_separations", "Signal and background of all inputs",
            f"Shapes in {run.source}, each normalised to unit area, and the separation ⟨S²⟩ as in the table.",
            lambda: Plot.of(
                overview.separations_figure, filled.all(),
                {axis(name, run.appearance.plots.get(name))[0]: value for name, value in separations.items()},
                label=run.label(),
            ),
        )  # fmt: skip
    if len(run.table.names) > 1:
        yield Drawing(
            "inputs", "input_correlations", "Correlations of the inputs",
            f"Linear correlations in {run.source}, signed weights, without missing values; grey: an input is constant.",
            lambda: Plot.of(correlations_figure, _correlations(run), _names(run), label=run.label()),
        )  # fmt: skip
    for number, name in enumerate(run.table.names):
        plot = run.appearance.plots.get(name)
        text, log = axis(name, plot)[0], plot is not None and plot.log
        yield Drawing(
            "inputs", f"feature_{name}",
            name if "$" in text else text,  # the page cannot show mathematics, the axis can
            f"{run.contents(data=not hidden)}.",
            lambda number=number, log=log: Plot.of(  # type: ignore[misc]
                features.feature_figure, filled[number], label=label, log=log, bounds=filled.bounds
            ),
        )  # fmt: skip
