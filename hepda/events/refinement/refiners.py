"""Fitted refiners of a run, and samples refined by them: each event by what was learned from other folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hepda.config.refinement.analysis import RefinementConfig
from hepda.config.refinement.methods import MethodModel, QuantilesConfig, ResidualConfig, WeightsConfig
from hepda.config.refinement.objects import ObjectsConfig
from hepda.events.dataset.splits import fold_of
from hepda.events.expressions.columns import Column
from hepda.events.files.in_memory import ENTRY
from hepda.events.refinement.objects import event_noise, jet_tensors, seed_of, with_changes
from hepda.events.refinement.quantiles import ObjectMaps, QuantileMap, read_maps
from hepda.events.refinement.response import JetNoise, JetResponse, JetTensors
from hepda.events.refinement.samples import SampleEvents
from hepda.events.refinement.summaries import Visibility
from hepda.events.table.feature_table import FeatureTable
from hepda.runtime.run_directory import MODELS

Refine = Callable[[JetTensors, JetNoise], JetTensors]
_ROWS = 16_384  # events that a network reads at once


def visibility_of(objects: ObjectsConfig) -> Visibility:
    """Return which jets and events are looked at."""
    seen = objects.seen
    return Visibility(seen.threshold, seen.ramp, seen.jets, (seen.tag, seen.tags))


def fold_file(run: Path, model: str, fold: int) -> Path:
    """Return the file of a refiner of a run."""
    return run / MODELS / model / f"fold{fold}-member0.safetensors"


def changes_objects(section: MethodModel) -> bool:
    """Return whether a model changes objects, so that every feature is formed anew."""
    return isinstance(section, ResidualConfig) or (isinstance(section, QuantilesConfig) and section.of == "objects")


def read_refiners(config: RefinementConfig, run: Path, model: str) -> list[Refine]:
    """Return the refiner of each fold of a model that changes objects."""
    kind: type[JetResponse] | type[ObjectMaps] = (
        JetResponse if isinstance(config.models[model], ResidualConfig) else ObjectMaps
    )
    return [kind.load(fold_file(run, model, fold)) for fold in range(config.analysis.split.folds)]


def refined_jets(
    config: RefinementConfig, model: str, refiners: list[Refine], jets: JetTensors, key: NDArray[np.uint64]
) -> JetTensors:
    """Return the objects of events after a model, each by the refiner of its fold.

    Args:
        config: the analysis.
        model: the model, which the seed of its random numbers follows from.
        refiners: of each fold.
        jets: the objects of the events.
        key: of the events [n].

    """
    fold = fold_of(key, len(refiners))
    parts = {part.name: getattr(jets, part.name).clone() for part in fields(JetTensors)}
    for number, refine in enumerate(refiners):
        of_fold = np.flatnonzero(fold == number)
        seed = seed_of(config.seed, model, number)
        for start in range(0, len(of_fold), _ROWS):
            block = of_fold[start : start + _ROWS]
            rows = torch.tensor(block)
            with torch.no_grad():
                new = refine(jets.rows(rows), event_noise(key[block], jets.pt.shape[1], seed))
            for name in ("pt", "mass", "tag", "met"):
                parts[name][rows] = getattr(new, name)
    return JetTensors(**parts)


def refined_columns(
    config: RefinementConfig,
    model: str,
    refiners: list[Refine],
    columns: Mapping[str, Column],
    key: NDArray[np.uint64],
    path: str,
) -> dict[str, Column]:
    """Return the columns of events with refined objects, and all that follows from them.

    Args:
        config: the analysis.
        model: the model.
        refiners: of each fold.
        columns: of the events.
        key: of the events [n].
        path: the file, for messages.

    """
    jets = jet_tensors(columns, config.objects, path)
    return with_changes(columns, config.objects, refined_jets(config, model, refiners, jets, key))


def refined_table(config: RefinementConfig, run: Path, model: str, sample: SampleEvents) -> FeatureTable:
    """Return the selected events of a sample after a model, with all features formed anew.

    The column `ENTRY` has the number of the event in all files of the sample together.
    """
    section = config.models[model]
    if isinstance(section, WeightsConfig):
        raise TypeError(f"{model} has the events of {section.of}")
    tables: list[FeatureTable] = []
    for file in sample.files:
        if changes_objects(section):
            refiners = read_refiners(config, run, model)
            columns = refined_columns(config, model, refiners, file.columns, file.key, file.path)
            tables.append(file.table(columns))
        else:
            tables.append(file.table())
    table = joined(tables, sample)
    if isinstance(section, QuantilesConfig) and section.of == "features":
        maps = [read_maps(fold_file(run, model, fold)) for fold in range(config.analysis.split.folds)]
        return replace(table, features=_mapped(table, maps))
    return table


def joined(tables: list[FeatureTable], sample: SampleEvents) -> FeatureTable:
    """Return the tables of the files of a sample as one."""
    starts = np.cumsum([0, *(len(file.key) for file in sample.files)])
    entry = np.concatenate([table.columns[ENTRY] + start for table, start in zip(tables, starts[:-1], strict=True)])
    first = tables[0]
    names = ("features", "weight", "label", "domain", "sample", "fold", "validation", "key")
    arrays: dict[str, Any] = {name: np.concatenate([getattr(table, name) for table in tables]) for name in names}
    return replace(first, **arrays, columns={ENTRY: entry}, collections={})


def _mapped(table: FeatureTable, maps: list[dict[str, QuantileMap]]) -> NDArray[np.float32]:
    features = table.features.copy()
    for fold, of in enumerate(maps):
        rows = table.fold == fold
        for number in range(features.shape[1]):
            features[rows, number] = of[str(number)](features[rows, number])
    return features
