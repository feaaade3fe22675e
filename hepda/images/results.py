"""From predicted classes to numbers: accuracy with its interval, confusion, and features of the encoders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config.images import ImageModelConfig, ImagesConfig
from hepda.images.arrays import Images
from hepda.images.training import load_network

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Accuracy of the trainings of one model on one test set.

    Attributes:
        seeds: accuracy of each training.
        value: mean of the trainings.
        spread: standard deviation of the trainings; None for one training.
        low, high: 68 % interval of the mean: the spread over the square root of the number of trainings and the
            binomial error of the test set, added in quadrature.

    """

    seeds: tuple[float, ...]
    value: float
    spread: float | None
    low: float
    high: float

    def as_metrics(self) -> dict[str, Any]:
        """Return the accuracy in the form of metrics.json."""
        entry: dict[str, Any] = {"value": self.value, "low": self.low, "high": self.high, "spread": self.spread}
        if self.spread is None:
            entry["spread_why"] = "one training has no spread; ask for more with `seeds`"
        return entry | {"seeds": list(self.seeds)}


def accuracy_of(predicted: NDArray[Any], label: NDArray[np.int64]) -> Accuracy:
    """Return the accuracy of predicted classes.

    Args:
        predicted: predicted classes [trainings, n].
        label: true classes [n].

    """
    seeds = (predicted == label).mean(axis=1)
    mean = float(seeds.mean())
    variance = mean * (1.0 - mean) / len(label)
    spread = float(seeds.std(ddof=1)) if len(seeds) > 1 else None
    if spread is not None:
        variance += spread**2 / len(seeds)
    half = float(np.sqrt(variance))
    return Accuracy(tuple(map(float, seeds)), mean, spread, max(0.0, mean - half), min(1.0, mean + half))


def confusion(predicted: NDArray[Any], label: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Count pairs of true and predicted classes over all trainings.

    Args:
        predicted: predicted classes [trainings, n].
        label: true classes [n].
        classes: number of classes.

    Returns:
        Counts [true, predicted].

    """
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (np.broadcast_to(label, predicted.shape), predicted.astype(np.int64)), 1)
    return counts


@dataclass(frozen=True, slots=True)
class ImageModelNumbers:
    """Results of one model: the accuracy on each side, and the confusion matrix of the target."""

    accuracy: dict[str, Accuracy]
    confusion: NDArray[np.int64]


def numbers_of(scores: Mapping[str, NDArray[Any]], tests: Mapping[str, Images]) -> dict[str, ImageModelNumbers]:
    """Return the numbers of every model from its scores.

    Args:
        scores: for each model, scores [trainings, n_source + n_target, 2].
        tests: test images of each side.

    """
    numbers = {}
    border = len(tests["source"])
    for model, score in scores.items():
        predicted = {"source": score[:, :border, 0], "target": score[:, border:, 0]}
        accuracy = {side: accuracy_of(predicted[side], images.label) for side, images in tests.items()}
        target = tests["target"]
        numbers[model] = ImageModelNumbers(accuracy, confusion(predicted["target"], target.label, len(target.classes)))
    return numbers


def gap_closed(numbers: Mapping[str, ImageModelNumbers], config: ImagesConfig, model: str) -> dict[str, Any]:
    """Return the part of the gap between source only and training on the target that a model closes.

    The definition follows Ganin & Lempitsky 2015. Source only is the first model without adaptation that has the same
    encoder, augmentation, normalisation and width; the ceiling is the first model with `train_on: target`. The value
    is null if the model does not adapt, if the analysis has no such models, or if the interval of the ceiling is not
    above that of source only: a part of a gap that may be zero has no meaning.
    """
    section = config.models[model]
    if not isinstance(section, ImageModelConfig):
        return {"value": None, "why": "this is a fusion, of which no network is trained on the target"}
    if section.train_on != "source" or not section.adapts:
        return {"value": None, "why": "this model has no adaptation"}
    same = [
        name
        for name, other in config.networks.items()
        if not other.adapts
        and (other.encoder, other.augment, other.normalise, other.width)
        == (section.encoder, section.augment, section.normalise, section.width)
    ]
    source_only = next((name for name in same if config.networks[name].train_on == "source"), None)
    ceiling = next((name for name, other in config.networks.items() if other.train_on == "target"), None)
    if source_only is None or ceiling is None:
        return {
            "value": None,
            "why": "needs the same network trained on the source only, and a model with `train_on: target`",
        }
    here, below, above = (numbers[name].accuracy["target"] for name in (model, source_only, ceiling))
    if above.low <= below.high:
        return {"value": None, "why": f"{ceiling} is compatible with {source_only}: there is no gap to close"}
    share = (here.value - below.value) / (above.value - below.value)
    return {"value": share, "plain": source_only, "ceiling": ceiling}


def embedded_models(config: ImagesConfig) -> list[str]:
    """Return the models of the embedding figure.

    They are those that the config names, or else source only and the last model that adapts.
    """
    named = list(config.evaluation.embedding.models)
    if named:
        return named
    source_only = [name for name, model in config.networks.items() if not model.adapts and model.train_on == "source"]
    adapted = [name for name, model in config.networks.items() if model.adapts]
    return source_only[:1] + adapted[-1:] or list(config.networks)[:1]


def embedding(
    config: ImagesConfig, run: Path, model: str, images_of: Mapping[str, Images], *, member: int = 0
) -> Floats:
    """Return the features [n, d] of images of both sides, source first, from one training of a model.

    Args:
        config: the analysis.
        run: the run directory.
        model: name of a network.
        images_of: the images of each side.
        member: number of the training.

    """
    section, pixels = config.networks[model], config.pixels
    path = run / "models" / model / f"fold0-member{member}.safetensors"
    classes = len(images_of["target"].classes)  # of a head that is not kept
    network = load_network(path, section, pixels.channels, pixels.size, classes)
    features = [network.embed(images.pixels, domain=side) for side, images in images_of.items()]
    return np.concatenate(features).astype(np.float64)


def plane_of(features: Floats, method: str, seed: int) -> Floats:
    """Project features [n, d] to two dimensions [n, 2].

    Args:
        features: features [n, d].
        method: `pca` (principal components), or else t-SNE of the first thirty principal components.
        seed: seed of both methods.

    """
    from sklearn.decomposition import PCA

    components = 2 if method == "pca" else min(30, *features.shape)
    plane = PCA(components, random_state=seed).fit_transform(features)
    if method == "tsne":
        from sklearn.manifold import TSNE

        plane = TSNE(2, random_state=seed, init="pca").fit_transform(plane)
    return np.asarray(plane, dtype=np.float64)
