"""The steps of an analysis of images: data sets, bytes, networks, classes, numbers, figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config.images import ImageFusionConfig, ImageModelConfig, ImagesConfig, ImageSetConfig
from hepda.errors import DataError, SourceError
from hepda.images import sets
from hepda.images.arrays import Images
from hepda.images.few_shot import FewShots, entries, seen_and_new
from hepda.images.results import ImageModelNumbers, gap_closed
from hepda.images.training import SIDES
from hepda.runtime.pool import Send

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class LoadedImages:
    """Training and test images of both sides; with `few_shot`, also images of the classes that are not trained on."""

    trains: dict[str, Images]
    tests: dict[str, Images]
    new: dict[str, Images] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, Images]:
        """The images by the names in `training.PARTS`."""
        splits = {"train": self.trains, "test": self.tests}
        return {f"{side}_{split}": images[side] for side in SIDES for split, images in splits.items()}

    def remarks(self) -> list[str]:
        """Return the warnings of the data that a reader of the numbers has to know, each once."""
        return list(dict.fromkeys(text for images in self.parts.values() for text in images.remarks))


def load(config: ImagesConfig, progress: Send) -> LoadedImages:
    """Read or draw all images; nothing is trained if this raises.

    Args:
        config: the config of the analysis.
        progress: called with "images", the number of sides that are loaded, and 2.

    Raises:
        SourceError: a data set is missing, or a file has unexpected content.
        DataError: source and target have different classes, or `few_shot` asks for what they do not have.

    """
    trains, tests = {}, {}
    for number, side in enumerate(SIDES):
        section: ImageSetConfig = getattr(config, side)
        progress("images", number, 2)
        pair = sets.load(section, config.pixels.size, config.pixels.channels, config.seed)
        trains[side], tests[side] = pair
        progress("images", number + 1, 2)
    names = [trains[side].classes for side in SIDES]
    if names[0] != names[1]:
        only = sorted(set(names[0]) ^ set(names[1])) or [f"{len(classes)} classes" for classes in names]
        raise DataError(
            f"source and target must have the same classes in the same order; they differ in {', '.join(only[:10])}"
        )
    new = {}
    if config.few_shot is not None:
        for side in SIDES:
            trains[side], tests[side], new[side] = seen_and_new(trains[side], tests[side], config, side)
    return LoadedImages(trains, tests, new)


def check(config: ImagesConfig) -> tuple[list[str], list[str]]:
    """Check which data sets are available, without reading them.

    Returns:
        A line for each side with the files that would be read, and a line for each side whose data are missing.

    """
    lines, problems = [], []
    for side in SIDES:
        try:
            lines.append(f"{side}: {sets.check(getattr(config, side))}")
        except SourceError as error:
            problems.append(f"{side}: {error}")
    return lines, problems


def samples_metrics(config: ImagesConfig, loaded: LoadedImages) -> dict[str, Any]:
    """Return the entry `samples` of metrics.json."""
    return {
        side: {
            "data": getattr(config, side).data,
            "domain": side,
            "train": len(loaded.trains[side]),
            "test": len(loaded.tests[side]),
            **_labelled(config, loaded, side),
            "classes": len(loaded.trains[side].classes),
            "remarks": list(loaded.trains[side].remarks),
        }
        for side in SIDES
    }


def _labelled(config: ImagesConfig, loaded: LoadedImages, side: str) -> dict[str, int]:
    """Return how many training images of a side have labels in each training, where these are not all."""
    number = getattr(config, side).labels_per_class
    return {} if number is None else {"labelled": number * len(np.unique(loaded.trains[side].label))}


def protocol(config: ImagesConfig) -> dict[str, Any]:
    """Return how the numbers were obtained, as text and numbers."""
    scorers = {m.training.scorer for m in config.networks.values()}
    chosen = "last epoch" if scorers == {None} else f"by scorer {', '.join(sorted(s for s in scorers if s))}"
    return {
        "epoch": chosen,
        "target_labels": "used by no adapted model, neither in training nor to choose an epoch or a setting of a run",
        "trainings_per_model": config.seeds,
        "test": "the full test set of each domain" + ("" if config.few_shot is None else ", without the new classes"),
    }


def knowledge(section: ImageModelConfig) -> list[str]:
    """Return the information about the shift that a model uses beyond unlabelled target images."""
    views = () if section.domain is None else section.domain.view
    information = ["random inversion"] if "invert" in (*section.augment, *views) else []
    return information + (["labels of the target"] if section.train_on != "source" else [])


def _method(section: ImageModelConfig | ImageFusionConfig) -> str:
    """Return how a model is trained, as text."""
    if isinstance(section, ImageFusionConfig):
        return f"mean of the logits of {' + '.join(section.of)}"
    if section.gan is not None:
        return "class of generated images"
    if section.domain is not None:
        return section.domain.method_name
    return "source only" if section.train_on == "source" else f"trained on {section.train_on}"


def model_metrics(
    config: ImagesConfig,
    numbers: Mapping[str, ImageModelNumbers],
    model: str,
    training: Mapping[str, Any],
    few_shots: FewShots | None = None,
) -> dict[str, Any]:
    """Return the entry of a model in metrics.json."""
    section, model_numbers = config.models[model], numbers[model]
    parts = [section] if isinstance(section, ImageModelConfig) else [config.networks[name] for name in section.of]
    recall = np.diag(model_numbers.confusion) / np.maximum(model_numbers.confusion.sum(axis=1), 1)
    return {
        "title": section.title or model,
        "method": _method(section),
        "knows": list(dict.fromkeys(text for part in parts for text in knowledge(part))),
        "accuracy": {side: accuracy.as_metrics() for side, accuracy in model_numbers.accuracy.items()},
        "recall": {"target": [float(value) for value in recall]},
        "gap_closed": gap_closed(numbers, config, model),
        **({"few_shot": entries(few_shots)} if few_shots else {}),
        "training": dict(training),
    }  # fmt: skip


def score_columns(config: ImagesConfig, tests: Mapping[str, Images], scores: Mapping[str, Array]) -> dict[str, Any]:
    """Return the columns of scores.parquet.

    Each row is a test image; each training has a column of predicted classes and one of their probabilities.
    """
    import pyarrow as pa

    sizes = [len(tests[side]) for side in SIDES]
    columns: dict[str, Any] = {
        "domain": pa.DictionaryArray.from_arrays(pa.array(np.repeat([0, 1], sizes), pa.int8()), pa.array(list(SIDES))),
        "image": np.concatenate([np.arange(size, dtype=np.int32) for size in sizes]),
        "label": np.concatenate([tests[side].label for side in SIDES]).astype(np.int16),
    }
    for model, score in scores.items():
        for member, member_score in enumerate(score):
            columns[f"{model}-{member}"] = member_score[:, 0].astype(np.int16)
            columns[f"{model}-{member}-probability"] = member_score[:, 1].astype(np.float32)
    return columns
