"""The figures of generative models. A new figure is a function, in any module, and a line of FIGURES."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.generators.images import GeneratorImages
from hepda.generators.jobs import read_images
from hepda.generators.numbers import COLUMNS
from hepda.plotting import images as plots
from hepda.plotting.base.plot import Plot
from hepda.report.drawing import Drawing
from hepda.report.registry import drawings_of
from hepda.report.training import history_drawings

if TYPE_CHECKING:
    from hepda.config import GeneratorConfig

Array = NDArray[Any]
Pixels = NDArray[np.uint8]

FIGURES = {
    "samples": "hepda.generators.figures:samples",
    "nearest": "hepda.generators.figures:nearest_examples",
    "trainings": "hepda.generators.figures:trainings",
}
"""Groups of figures, `module:function`, in the order of the report; a function yields drawings of
GeneratorFigureData."""
ROWS, COLUMNS_SHOWN = 10, 6
"""Rows of a grid, one for each class where there are as many, and images of a row."""
PAIRS = 3
"""Pairs of a generated image and its nearest training image in a row."""


@dataclass(frozen=True, slots=True)
class GeneratorFigureData:
    """The data of the figures; `scores` are [trainings, images, COLUMNS]."""

    config: GeneratorConfig
    images: GeneratorImages
    scores: Mapping[str, Array]
    histories: Mapping[str, Sequence[Mapping[str, Sequence[float | None]]]]
    run: Path

    def title(self, model: str) -> str:
        """Return the name of a model in figures."""
        return self.config.models[model].title or model

    def column(self, model: str, name: str) -> Array:
        """Return a column of the scores of the first training of a model [images]."""
        column: Array = self.scores[model][0][:, COLUMNS.index(name)]
        return column


def drawings(data: GeneratorFigureData) -> list[Drawing]:
    """Return all figures of a run."""
    return drawings_of(FIGURES, data)


def samples(data: GeneratorFigureData) -> Iterator[Drawing]:
    """Yield images of the first training of each model, and test images, in rows of a class where it is known."""
    test = data.images.test
    shown = {"test images": test.pixels[by_class(test.label)]}
    for model in data.config.models:
        asked = data.column(model, "condition").astype(int)
        shown[data.title(model)] = read_images(data.run, model, 0)[by_class(asked if asked[0] >= 0 else None)]
    yield Drawing(
        "inputs", "generated", "Generated images",
        "The first images of the first training, not chosen. Where the class is known, a row has images of one class.",
        lambda: Plot.of(plots.grid_figure, shown, rows=ROWS, columns=COLUMNS_SHOWN),
        first=True,
    )  # fmt: skip


def by_class(label: Array | None) -> NDArray[np.intp]:
    """Return the numbers of the images of a grid: the first of each class in a row, or the first of all without
    classes. A class with fewer images than a row repeats them.
    """
    if label is None:
        return np.arange(ROWS * COLUMNS_SHOWN)
    rows = [np.flatnonzero(label == number) for number in np.unique(label)[:ROWS]]
    return np.concatenate([np.resize(row, COLUMNS_SHOWN) for row in rows])


def nearest_examples(data: GeneratorFigureData) -> Iterator[Drawing]:
    """Yield the generated images that are nearest to a training image, beside this image."""
    shown = {}
    for model in data.config.models:
        order = np.argsort(data.column(model, "distance"))[: PAIRS * ROWS]
        generated = read_images(data.run, model, 0)[order]
        examples = data.images.train.pixels[data.column(model, "nearest").astype(int)[order]]
        gap = np.full_like(generated, 255)  # white, between pairs
        shown[data.title(model)] = np.stack([generated, examples, gap], axis=1).reshape(-1, *generated.shape[1:])
    yield Drawing(
        "separation", "nearest", "Generated images that are nearest to a training image",
        "Pairs: a generated image, and right of it the training image that is nearest to it; the nearest pairs of the "
        "first training.",
        lambda: Plot.of(plots.grid_figure, shown, rows=ROWS, columns=3 * PAIRS),
    )  # fmt: skip


def trainings(data: GeneratorFigureData) -> Iterator[Drawing]:
    """Yield the history of each model that is trained in epochs."""
    trained = {
        model: histories
        for model, histories in data.histories.items()
        if any(name.endswith("loss") for name in histories[0])
    }
    yield from history_drawings(trained, data.title, "One line per training.")
