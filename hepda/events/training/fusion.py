"""Fusions of models of events: learned from their scores out of fold, kept beside the trained models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hepda.adversarial.data.weights import class_weights, negative_weights
from hepda.baselines.fusion import Fusion, entry_of, fitted, fusion_file
from hepda.config import EventFusionConfig
from hepda.errors import DataError, SourceError
from hepda.events.dataset.splits import at_most
from hepda.results.metrics import FusionEntry

if TYPE_CHECKING:
    from hepda.events.specs import ModelSpec
    from hepda.events.table.feature_table import FeatureTable

MOST_EVENTS = 1_000_000
"""Events that a fusion is learned from at most; of more, as many are chosen by hash of their key."""


def fused_out_of_fold(
    model: ModelSpec, table: FeatureTable, scores: Mapping[str, NDArray[np.floating]], folder: Path | None
) -> NDArray[np.float32]:
    """Return the scores of a fusion, [n] or [n, classes]: for each fold one that learned from the other folds.

    Args:
        model: the fusion.
        table: the events.
        scores: of each model that it fuses, P(signal) [n] or probabilities [n, classes], out of fold.
        folder: of all models, to which the fusion of each fold is written; None: nothing is written.

    Raises:
        DataError: it cannot be learned from these events.

    """
    of_models = {part.name: scores[part.name] for part in model.fused}
    result = np.full(next(iter(of_models.values())).shape, np.nan, dtype=np.float32)
    for fold in range(model.folds):
        fusion = learned(model, table, of_models, fold)
        if folder is not None:
            fusion.save(fusion_file(folder, model.name, fold))
        rows = np.asarray(table.fold == fold)
        if rows.any():
            result[rows] = fusion([part[rows] for part in of_models.values()])
    return result


def learned(model: ModelSpec, table: FeatureTable, scores: Mapping[str, NDArray[np.floating]], fold: int) -> Fusion:
    """Return the fusion for the events of a fold, learned from those of the other folds.

    Its events are those of the samples of the fusion, with the weights of a training: those of the analysis with its
    policy for negative ones, and the same sum for every class.

    Args:
        model: the fusion.
        table: the events.
        scores: of each model that it fuses, out of fold.
        fold: the fold whose events are left out.

    Raises:
        DataError: it cannot be learned from these events.

    """
    section = model.section
    if not isinstance(section, EventFusionConfig):
        raise TypeError(f"{model.name} is not a fusion")
    used = np.zeros(len(table), dtype=np.bool_)
    if section.method != "mean":
        of_training = table.of_samples(model.samples) & np.asarray(table.fold != fold)
        used = at_most(of_training, table.key, MOST_EVENTS)
    rows = np.flatnonzero(used).astype(np.int32)
    label = np.asarray(model.label_of(table, rows))
    try:
        weight = negative_weights(table.weight[rows], model.negative_weights).weight
        balanced = class_weights(label, weight) if len(rows) else weight
        return fitted(section.method, {name: score[rows] for name, score in scores.items()}, label, balanced)
    except DataError as error:
        raise DataError(f"models.{model.name}: fold {fold}: {error}") from error


def read_fusion(model: ModelSpec, folder: Path, fold: int) -> Fusion:
    """Return what a fusion of a run learned for a fold.

    Args:
        model: the fusion.
        folder: of all models.
        fold: the fold.

    Raises:
        SourceError: its file is missing, damaged, or of another fusion than that of the analysis file.

    """
    path = fusion_file(folder, model.name, fold)
    fusion = Fusion.load(path)
    section, outputs = model.section, max(1, len(model.classes))
    names = tuple(part.name for part in model.fused)
    if (fusion.method, fusion.models, fusion.outputs) != (getattr(section, "method", ""), names, outputs):
        raise SourceError(
            f"{path} is the {fusion.method} of {', '.join(fusion.models)}; the analysis file gives the "
            f"{getattr(section, 'method', '')} of {', '.join(names)}. Train again."
        )
    return fusion


def described(model: ModelSpec, folder: Path) -> FusionEntry:
    """Return models.<model>.fusion of metrics.json: the method, and what each fold has learned.

    Args:
        model: the fusion.
        folder: of all models.

    """
    fusions = [read_fusion(model, folder, fold) for fold in range(model.folds)]
    return entry_of(fusions, model.classes or ("signal",))
