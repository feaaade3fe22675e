"""Figures of the trainings: histories, and training events compared with test events."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hepda.events.results.figure_data import FigureData
from hepda.plotting import training
from hepda.plotting.base import style
from hepda.plotting.base.plot import Plot
from hepda.plotting.scores import calibration
from hepda.report.drawing import Drawing


def training_drawings(run: FigureData) -> Iterator[Drawing]:
    """Yield the history of each network."""
    label = style.Label(run.appearance.experiment or "Training", energy=None)
    for model, columns in run.histories.items():
        panels, levels = training.history_panels(
            *({name: [np.nan if x is None else x for x in values] for name, values in c.items()} for c in columns)
        )
        best = run.best_epochs.get(model, ())
        yield Drawing(
            "training", f"history_{model}", f"Training of {model}",
            "One line per fold and ensemble member; of more than four, with their median. A domain loss at the dashed "
            "line (ln k for k domains, without negative weights) and an accuracy at its line (1 / k) mean that the "
            "head does not separate the domains; the fresh probes show whether a difference is left.",
            lambda panels=panels, levels=levels, model=model, best=best: Plot.of(  # type: ignore[misc]
                training.training_figure, panels, model=model, levels=levels, best_epochs=best, label=label
            ),
            first=run.spec.models[model].is_adapted,
        )  # fmt: skip


def overtraining_drawings(run: FigureData) -> Iterator[Drawing]:
    """Yield training events compared with events that no training saw."""
    for model, numbers in run.numbers.models.items():
        if isinstance(numbers.overtraining, str):
            continue
        yield Drawing(
            "guards", f"overtraining_{model}", f"Training against test events, {model}",
            "Score of the trainings of fold 0 on their training events and on the test events of fold 0; p-value "
            "from permutations.",
            lambda tests=numbers.overtraining, model=model: Plot.of(  # type: ignore[misc]
                calibration.overtraining_figure, tests, model=model, label=run.label()
            ),
        )  # fmt: skip
