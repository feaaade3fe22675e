"""The figures of frame prediction. A new figure is a function, in any module, and a line of FIGURES."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hepda.generators.frames.sequences import FrameSequences
from hepda.generators.jobs import read_images
from hepda.plotting import images as plots
from hepda.plotting.base.plot import Plot
from hepda.report.drawing import Drawing
from hepda.report.registry import drawings_of
from hepda.report.training import history_drawings

if TYPE_CHECKING:
    from hepda.config import FramePredictionConfig

FIGURES = {
    "frames": "hepda.generators.frames.figures:frames",
    "trainings": "hepda.generators.frames.figures:trainings",
}
"""Groups of figures, `module:function`, in the order of the report; a function yields drawings of FramesFigureData."""
ROWS = 8
"""Test sequences that are drawn."""


@dataclass(frozen=True, slots=True)
class FramesFigureData:
    """The data of the figures."""

    config: FramePredictionConfig
    sequences: FrameSequences
    histories: Mapping[str, Sequence[Mapping[str, Sequence[float | None]]]]
    run: Path

    def title(self, model: str) -> str:
        """Return the name of a model in figures."""
        return self.config.models[model].title or model


def drawings(data: FramesFigureData) -> list[Drawing]:
    """Return all figures of a run."""
    return drawings_of(FIGURES, data)


def frames(data: FramesFigureData) -> Iterator[Drawing]:
    """Yield the first test sequences: frames that are given, the true next one, and what each model predicts."""
    test = data.sequences.test[:ROWS]
    given = {f"frame {number + 1}": test[:, number, None] for number in range(test.shape[1] - 1)}
    predicted = {data.title(model): read_images(data.run, model, 0)[:ROWS] for model in data.config.models}
    yield Drawing(
        "inputs", "frames", "Predicted frames",
        "The first test sequences, not chosen, a row each: given frames, the true next frame, and what the "
        "first training of each model predicts.",
        lambda: Plot.of(plots.columns_figure, given | {"truth": test[:, -1, None]} | predicted),
        first=True,
    )  # fmt: skip


def trainings(data: FramesFigureData) -> Iterator[Drawing]:
    """Yield the history of each model that is trained."""
    trained = {model: histories for model, histories in data.histories.items() if model in data.config.networks}
    yield from history_drawings(trained, data.title, "One line per training.")
