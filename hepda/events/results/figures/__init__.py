"""The figures of events that `hepda train` draws from the numbers. A new figure is a module and a line of FIGURES."""

from __future__ import annotations

from hepda.events.results.figure_data import FigureData
from hepda.report.drawing import Drawing
from hepda.report.registry import drawings_of

FIGURES = {
    "inputs": "hepda.events.results.figures.inputs:input_drawings",
    "separation": "hepda.events.results.figures.separation:separation_drawings",
    "classes": "hepda.events.results.figures.classes:class_drawings",
    "regression": "hepda.events.results.figures.regression:regression_drawings",
    "bias": "hepda.events.results.figures.bias:bias_drawings",
    "few labels": "hepda.events.results.figures.few_labels:few_labels_drawings",
    "decomposition": "hepda.events.results.figures.decomposition:decomposition_drawings",
    "scores": "hepda.events.results.figures.scores:score_drawings",
    "significance": "hepda.events.results.figures.significance:significance_drawings",
    "overtraining": "hepda.events.results.figures.training:overtraining_drawings",
    "training": "hepda.events.results.figures.training:training_drawings",
}
"""Groups of figures, `module:function`, in the order of the report; a function yields drawings of a FigureData."""


def drawings(run: FigureData) -> list[Drawing]:
    """Return everything that is drawn of a run."""
    return drawings_of(FIGURES, run)
