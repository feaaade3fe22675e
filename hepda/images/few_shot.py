"""Classes that no network is trained on: how they are kept apart, and told apart from few labelled images of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hepda.config.images import FewShotConfig, ImagesConfig
from hepda.errors import DataError
from hepda.evaluation.few_shot import FewShotSettings, drawn_episodes, few_shot
from hepda.images.arrays import Images
from hepda.images.results import embedding
from hepda.results.entries.few_shot import FewShotMethodEntry
from hepda.results.few_shot import BASELINE, PUBLISHED, TITLES, FewShot, FewShotMethod
from hepda.results.images import ImageModel

FewShots = Mapping[str, tuple[FewShot, ...]]
"""The results of one network by domain."""


def settings_of(section: FewShotConfig, seed: int) -> FewShotSettings:
    """Return the settings of the episodes; labelled images in ascending numbers."""
    return FewShotSettings(tuple(sorted(section.shots)), section.queries, section.episodes, seed)


def of_classes(images: Images, names: Sequence[str]) -> Images:
    """Return the images of some classes, which are numbered in the order of the images' classes."""
    numbers = [number for number, name in enumerate(images.classes) if name in names]
    new = np.full(len(images.classes), -1, np.int64)
    new[numbers] = np.arange(len(numbers))
    chosen = new[images.label] >= 0
    classes = tuple(images.classes[number] for number in numbers)
    return replace(images, pixels=images.pixels[chosen], label=new[images.label[chosen]], classes=classes)


def seen_and_new(train: Images, test: Images, config: ImagesConfig, side: str) -> tuple[Images, Images, Images]:
    """Return the training and test images of the classes that are trained on, and all images of the others.

    Raises:
        DataError: a class does not exist, fewer than two are left to train on, or a class has fewer images than an
            episode draws.

    """
    section = config.few_shot
    if section is None:
        raise ValueError("the analysis has no few_shot")
    unknown = [name for name in section.names if name not in train.classes]
    if unknown:
        raise DataError(
            f"few_shot.classes: {', '.join(unknown)} are not classes of {side}. There are: "
            f"{', '.join(train.classes[:50])}."
        )
    others = [name for name in train.classes if name not in section.names]
    if len(others) < 2:
        raise DataError(f"few_shot.classes: leaves {len(others)} classes to train on; two at least.")
    parts = [of_classes(images, section.names) for images in (train, test)]
    pixels, label = (np.concatenate([getattr(part, key) for part in parts]) for key in ("pixels", "label"))
    new = _once(replace(parts[0], pixels=pixels, label=label))
    try:
        drawn_episodes(new.label, replace(settings_of(section, config.seed), episodes=1))
    except DataError as error:
        raise DataError(f"few_shot, {side}: {error}") from error
    return of_classes(train, others), of_classes(test, others), new


def _once(images: Images) -> Images:
    """Return the images without those that are equal to an earlier one."""
    rows = np.ascontiguousarray(images.pixels).reshape(len(images), -1)
    first = np.unique(rows.view(f"V{rows.shape[1]}").ravel(), return_index=True)[1]
    return images.take(np.sort(first))


def measured(config: ImagesConfig, run: Path, new: Mapping[str, Images]) -> dict[str, FewShots]:
    """Return the few-shot results of every network, by the domains of the images of new classes.

    Args:
        config: the analysis.
        run: the run directory, with all trainings.
        new: images of the classes that were not trained on, by domain.

    """
    if config.few_shot is None:
        return {}
    settings = settings_of(config.few_shot, config.seed)
    found: dict[str, FewShots] = {}
    for model in config.networks:
        features = [embedding(config, run, model, new, member=member) for member in range(config.seeds)]
        border, results = 0, {}
        for side, images in new.items():
            rows = slice(border, border + len(images))
            results[side] = few_shot([values[rows] for values in features], images.label, settings)
            border = rows.stop
        found[model] = results
    return found


def entries(results: FewShots) -> dict[str, Any]:
    """Return the results of one network in the form of metrics.json."""
    return {
        side: {
            str(result.shots): {
                "ways": result.ways,
                "methods": {name: _entry(method) for name, method in result.methods.items()},
                "dealt": {name: _entry(method) for name, method in result.dealt.items()},
            }
            for result in found
        }
        for side, found in results.items()
    }


def _entry(method: FewShotMethod) -> dict[str, Any]:
    found = {"accuracy": method.accuracy, "difference": method.difference}
    return {key: value.entry for key, value in found.items() if value is not None}


def sentences(models: Mapping[str, ImageModel]) -> Iterator[str]:
    """Yield for each network which ways are better than cosine prototypes, and what the leak does without information.

    A way is better if its difference is more than two of its errors.
    """
    leaks, chance = [], 0.0
    for model in models.values():
        for side, by_shots in model.few_shot.items():
            for shots, entry in by_shots.items():
                names = [name for name, method in entry.methods.items() if name != PUBLISHED and _is_better(method)]
                better = f"better: {', '.join(TITLES.get(name, name) for name in names)}"
                yield (
                    f"{model.title}, new classes of the {side}, {shots} labelled of each: cosine prototypes "
                    f"{entry.methods[BASELINE].accuracy.value:.3f}; {better if names else 'nothing is better (null)'}."
                )
                leaks.append(entry.dealt[PUBLISHED].accuracy.value or 0.0)
                chance = 1.0 / entry.ways
    if leaks:
        yield (
            f"The published evaluation of channel attention gives {min(leaks):.3f} to {max(leaks):.3f} where no class "
            f"can be known (chance {chance:.3f}): it is given the class of the query, so its numbers are no accuracy."
        )


def _is_better(method: FewShotMethodEntry) -> bool:
    found = method.difference
    if found is None or found.value is None or found.low is None:
        return False
    return found.value > 2.0 * (found.value - found.low)
