"""Scores of events by the saved models of a run: every event by the trainings that did not see it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig, BdtConfig, NetworkConfig
from hepda.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from hepda.events.table.feature_table import FeatureTable

Scores = NDArray[np.float32]


def score_table(
    config: AnalysisConfig,
    models: Path,
    table: FeatureTable,
    names: Iterable[str] | None = None,
    value: float | None = None,
) -> dict[str, Scores]:
    """Return P(signal) [n] of the events of a table by each model, out of fold as in training.

    An event belongs to a fold by its key, so a varied event is scored by the trainings that did not see the nominal
    one.

    Args:
        config: the analysis.
        models: the folder of trained models.
        table: the events.
        names: names of the models; None means all.
        value: value of the parameter of the models; None means 0.

    Raises:
        SourceError: a model's file is missing or broken.
        ConfigError: a model reads other features than the table has.

    """
    found = {}
    for model in config.models if names is None else names:
        score = np.zeros(len(table), dtype=np.float64)
        for fold in range(config.split.folds):
            rows = np.asarray(table.fold == fold)
            if rows.any():
                score[rows] = fold_score(config, models, table, model, fold, rows, value)
        found[model] = score.astype(np.float32)
    return found


def rescore(
    config: AnalysisConfig, models: Path, table: FeatureTable, model: str, fold: int, member: int | None = None
) -> Scores:
    """Return P(signal) [n] of all events of a table by the trainings of one fold.

    The folds of the events do not matter.

    Args:
        config: the analysis.
        models: the folder of trained models.
        table: the events.
        model: name of the model.
        fold: the fold whose trainings are used.
        member: a member of the ensemble; None means the mean over all members.

    """
    return np.asarray(fold_score(config, models, table, model, fold, member=member), dtype=np.float32)


def fold_score(
    config: AnalysisConfig,
    models: Path,
    table: FeatureTable,
    model: str,
    fold: int,
    rows: NDArray[np.bool_] | None = None,
    value: float | None = None,
    member: int | None = None,
) -> NDArray[Any]:
    """Return the mean score over the members of an ensemble, or the score of one member.

    Args:
        config: the analysis.
        models: the folder of trained models.
        table: the events.
        model: name of the model.
        fold: the fold whose trainings are used.
        rows: mask [n] of the events that are scored; None means all.
        value: value of the parameter of the model; None means 0.
        member: a member of the ensemble; None means the mean over all members.

    Raises:
        SourceError: a model's file is missing or broken.
        ConfigError: a model reads other features than the table has.

    """
    from hepda.events.training.tensors import model_features

    section, folder = config.models[model], models / model
    features = model_features(config, table, model, value, rows)
    members = section.ensemble if isinstance(section, NetworkConfig) else 1
    parts = []
    for number in range(members) if member is None else (member,):
        stem = f"fold{fold}-member{number}"
        if isinstance(section, BdtConfig):
            from hepda.baselines import bdt

            trees, about = bdt.load(folder, stem)
            _check_features(folder / stem, about, table)
            parts.append(trees.predict(np.ascontiguousarray(features)))
        else:
            from hepda.adversarial import Network

            path = folder / f"{stem}.safetensors"
            if not path.is_file():
                raise SourceError(f"there is no {path}; train again, or name a run directory with all its models.")
            network = Network.load(path)
            _check_features(path, network.metadata, table)
            if getattr(network.encoder, "inputs", None) != features.shape[1]:
                raise SourceError(f"{path} does not read the {features.shape[1]} features of the events; train again.")
            parts.append(network.predict(features, head="class"))
    return np.asarray(np.mean(parts, axis=0))


def _check_features(path: Path, about: dict[str, Any], table: FeatureTable) -> None:
    known = about.get("features", list(table.names))
    if known != list(table.names):
        named = ", ".join(map(str, known)) if isinstance(known, list) else known
        raise ConfigError(
            f"{path} reads the features {named}; the analysis file gives {', '.join(table.names)}. Train again."
        )
