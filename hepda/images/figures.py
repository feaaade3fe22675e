"""All figures of an analysis of images, in the order of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hepda.config.images import ImagesConfig
from hepda.errors import DataError
from hepda.images.arrays import Images
from hepda.images.results import ImageModelNumbers, embedded_models, embedding, plane_of
from hepda.plotting import images, training
from hepda.report.page import Drawing, collected

Histories = Mapping[str, Any]


SHOWN = 60
"""Images of each side in the figure of images."""


@dataclass(frozen=True, slots=True)
class ImageFigureData:
    """Data of the figures; `trains` has the first SHOWN training images of each side."""

    config: ImagesConfig
    run: Path
    trains: Mapping[str, Images]
    tests: Mapping[str, Images]
    numbers: Mapping[str, ImageModelNumbers]
    histories: Histories
    best_epochs: Mapping[str, Any]

    def title(self, model: str) -> str:
        """Return the name of a model in figures."""
        return self.config.models[model].title or model

    @property
    def names(self) -> tuple[str, str]:
        """Names of source and target in figures."""
        source, target = self.config.source.title, self.config.target.title
        return (source, target) if source != target else (f"{source} (source)", f"{target} (target)")


def drawings(scene: ImageFigureData) -> list[Drawing]:
    """Return all figures."""
    parts = (_grids, _accuracies, _confusions, _embeddings, _trainings)
    return collected(parts, scene)


def _grids(scene: ImageFigureData) -> Iterator[Drawing]:
    shown = dict(zip(scene.names, (scene.trains[side].pixels for side in ("source", "target")), strict=True))
    caption = "The first training images of each domain, as the networks see them; labels of the target are never used."
    yield Drawing("inputs", "images", "Source and target", caption, lambda: images.grid_figure(shown))


def _accuracies(scene: ImageFigureData) -> Iterator[Drawing]:
    curves = {
        scene.title(model): [columns["target_accuracy"] for columns in found if "target_accuracy" in columns]
        for model, found in scene.histories.items()
    }
    curves = {name: seeds for name, seeds in curves.items() if seeds}
    if curves:
        count = min(scene.config.evaluation.track or 0, len(scene.tests["target"]))
        caption = (
            f"On {count} images of the target's test set, mean and range over the trainings. Drawn only: no epoch and "
            "no model was chosen by it."
        )
        yield Drawing(
            "separation", "accuracy", "Target accuracy against the epoch", caption,
            lambda: images.accuracy_figure(curves, images=count, target=scene.names[1]),
        )  # fmt: skip


def _confusions(scene: ImageFigureData) -> Iterator[Drawing]:
    for model in scene.config.evaluation.confusion or scene.config.models:
        counts = scene.numbers[model].confusion
        yield Drawing(
            "separation", f"confusion_{model}", f"Confusion on the target, {scene.title(model)}",
            "Of all test images of the target, over all trainings of the model.",
            lambda counts=counts, model=model: images.confusion_figure(  # type: ignore[misc]
                counts, classes=scene.tests["target"].classes, title=scene.title(model)
            ),
        )  # fmt: skip


def _embeddings(scene: ImageFigureData) -> Iterator[Drawing]:
    settings = scene.config.evaluation.embedding
    words = {"pca": "two principal components", "tsne": "t-SNE of thirty principal components"}[settings.method]

    def draw() -> Figure:
        chosen = {side: _some(images_, settings.images, scene.config.seed) for side, images_ in scene.tests.items()}
        domain = np.repeat([0, 1], [len(chosen["source"]), len(chosen["target"])])
        label = np.concatenate([chosen[side].label for side in ("source", "target")])
        found = {}
        for model in embedded_models(scene.config):
            features = embedding(scene.config, scene.run, model, chosen)
            plane = plane_of(features, settings.method, scene.config.seed)
            found[scene.title(model)] = images.Embedded(plane, domain, label)
        classes = scene.tests["target"].classes
        return images.embedding_figure(found, domains=scene.names, classes=classes, axis=words)

    yield Drawing(
        "domains", "embedding", "What encoders make of the domains",
        f"Test images of both domains in the encoder's output, {words}; above by domain, below by class.", draw,
    )  # fmt: skip


def _some(found: Images, count: int, seed: int) -> Images:
    return found.take(np.random.default_rng(seed).permutation(len(found))[:count])


def _trainings(scene: ImageFigureData) -> Iterator[Drawing]:
    for model, found in scene.histories.items():
        kept = [{k: v for k, v in columns.items() if k != "target_accuracy"} for columns in found]
        panels, levels = training.history_panels(*kept)

        def draw(panels: Any = panels, levels: Any = levels, model: str = model) -> Figure:
            best = scene.best_epochs.get(model, ())
            return training.training_figure(panels, model=scene.title(model), levels=levels, best_epochs=best)

        if not panels:
            raise DataError(f"the history of {model} is empty")
        yield Drawing(
            "training", f"training_{model}", f"Training of {scene.title(model)}",
            "Losses, the domain head against what a blind one loses (ln 2), strengths and gradients; a line a seed.",
            draw,
        )  # fmt: skip
