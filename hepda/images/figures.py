"""All figures of an analysis of images. A new figure is a function, in any module, and a line of FIGURES."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hepda.config.images import ImagesConfig
from hepda.errors import DataError
from hepda.images.arrays import Images
from hepda.images.few_shot import FewShots
from hepda.images.results import ImageModelNumbers, embedded_models, embedding, plane_of
from hepda.plotting import images, training
from hepda.plotting.base.plot import Plot
from hepda.report.drawing import Drawing
from hepda.report.registry import drawings_of

Histories = Mapping[str, Any]

FIGURES = {
    "grids": "hepda.images.figures:grids",
    "accuracies": "hepda.images.figures:accuracies",
    "confusions": "hepda.images.figures:confusions",
    "few_shots": "hepda.images.figures:few_shots",
    "embeddings": "hepda.images.figures:embeddings",
    "trainings": "hepda.images.figures:trainings",
}
"""Groups of figures, `module:function`, in the order of the report; a function yields drawings of ImageFigureData."""
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
    few_shots: Mapping[str, FewShots] = field(default_factory=dict)

    def title(self, model: str) -> str:
        """Return the name of a model in figures."""
        return self.config.models[model].title or model

    @property
    def names(self) -> tuple[str, str]:
        """Names of source and target in figures."""
        source, target = self.config.source.title, self.config.target.title
        return (source, target) if source != target else (f"{source} (source)", f"{target} (target)")


def drawings(data: ImageFigureData) -> list[Drawing]:
    """Return all figures."""
    return drawings_of(FIGURES, data)


def grids(data: ImageFigureData) -> Iterator[Drawing]:
    """Yield the first images of both domains."""
    shown = dict(zip(data.names, (data.trains[side].pixels for side in ("source", "target")), strict=True))
    caption = "First training images of each domain, as used by the networks; labels of the target are never used."
    yield Drawing(
        "inputs", "images", "Source and target", caption, lambda: Plot.of(images.grid_figure, shown), first=True,
    )  # fmt: skip


def accuracies(data: ImageFigureData) -> Iterator[Drawing]:
    """Yield the accuracy on the target during the training."""
    curves = {
        data.title(model): [columns["target_accuracy"] for columns in histories if "target_accuracy" in columns]
        for model, histories in data.histories.items()
    }
    curves = {name: seeds for name, seeds in curves.items() if seeds}
    if curves:
        count = min(data.config.evaluation.track or 0, len(data.tests["target"]))
        caption = (
            f"On {count} images of the target's test set, mean and range over the trainings. For illustration only: "
            "no epoch and no model was chosen with it."
        )
        yield Drawing(
            "separation", "accuracy", "Target accuracy against the epoch", caption,
            lambda: Plot.of(images.accuracy_figure, curves, images=count, target=data.names[1]),
            first=True,
        )  # fmt: skip


def confusions(data: ImageFigureData) -> Iterator[Drawing]:
    """Yield the confusion matrix of each model on the target."""
    for model in data.config.evaluation.confusion or data.config.models:
        counts = data.numbers[model].confusion
        yield Drawing(
            "separation", f"confusion_{model}", f"Confusion on the target, {data.title(model)}",
            "Of all test images of the target, over all trainings of the model.",
            lambda counts=counts, model=model: Plot.of(  # type: ignore[misc]
                images.confusion_figure, counts, classes=data.tests["target"].classes, title=data.title(model)
            ),
            first=True,
        )  # fmt: skip


def few_shots(data: ImageFigureData) -> Iterator[Drawing]:
    """Yield the accuracy on new classes from few labelled images, for each network and domain, with `few_shot`."""
    for model, results in data.few_shots.items():
        for side, domain in zip(("source", "target"), data.names, strict=True):
            yield Drawing(
                "separation", f"few_shot_{model}_{side}", f"New classes from few labelled images, {data.title(model)}",
                f"Accuracy on classes that were not trained on, {domain}. Open markers: the classes are dealt at "
                "random to the images, and nothing above the line (chance) can be known. The published evaluation "
                "of channel attention is given the class of the query.",
                lambda found=results[side], model=model, domain=domain: Plot.of(  # type: ignore[misc]
                    images.few_shot_figure, found, model=data.title(model), domain=domain
                ),
                first=True,
            )  # fmt: skip


def embeddings(data: ImageFigureData) -> Iterator[Drawing]:
    """Yield the features of the encoders in two dimensions."""
    settings = data.config.evaluation.embedding
    words = {"pca": "two principal components", "tsne": "t-SNE of thirty principal components"}[settings.method]

    def plot() -> Plot:
        chosen = {side: _some(images_, settings.images, data.config.seed) for side, images_ in data.tests.items()}
        domain = np.repeat([0, 1], [len(chosen["source"]), len(chosen["target"])])
        label = np.concatenate([chosen[side].label for side in ("source", "target")])
        embedded = {}
        for model in embedded_models(data.config):
            features = embedding(data.config, data.run, model, chosen)
            plane = plane_of(features, settings.method, data.config.seed)
            embedded[data.title(model)] = images.Embedded(plane, domain, label)
        classes = data.tests["target"].classes
        return Plot.of(images.embedding_figure, embedded, domains=data.names, classes=classes, axis=words)

    yield Drawing(
        "domains", "embedding", "Embedding of the domains",
        f"Encoder output for test images of both domains, {words}; coloured by domain (top) and by class "
        "(bottom).", plot,
        first=True,
    )  # fmt: skip


def _some(all_images: Images, count: int, seed: int) -> Images:
    return all_images.take(np.random.default_rng(seed).permutation(len(all_images))[:count])


def trainings(data: ImageFigureData) -> Iterator[Drawing]:
    """Yield the history of each model."""
    for model, histories in data.histories.items():
        kept = [{k: v for k, v in columns.items() if k != "target_accuracy"} for columns in histories]
        panels, levels = training.history_panels(*kept)

        def plot(panels: Any = panels, levels: Any = levels, model: str = model) -> Plot:
            best = data.best_epochs.get(model, ())
            return Plot.of(training.training_figure, panels, model=data.title(model), levels=levels, best_epochs=best)

        if not panels:
            raise DataError(f"the history of {model} is empty")
        yield Drawing(
            "training", f"training_{model}", f"Training of {data.title(model)}",
            "Losses (dashed: domain head at chance, ln 2), strengths and gradients; one line per seed.",
            plot,
        )  # fmt: skip
