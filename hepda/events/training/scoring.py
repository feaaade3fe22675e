"""Events scored by the saved models of a run: every event by the trainings that did not see it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig, BdtConfig, NetworkConfig
from hepda.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from hepda.events.dataset.table import FeatureTable

Scores = NDArray[np.float32]


def score_table(
    config: AnalysisConfig,
    models: Path,
    table: FeatureTable,
    names: Iterable[str] | None = None,
    value: float | None = None,
) -> dict[str, Scores]:
    """P(signal) [n] of the events of a table by each model, out of fold as in training.

    models: the folder of trained models; names: of the models wanted (None: all); value: of their parameter (None:
    0). An event belongs to a fold by its key, so a varied event is scored by the trainings that did not see the nominal
    one.

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


def rescore(config: AnalysisConfig, models: Path, table: FeatureTable, model: str, fold: int) -> Scores:
    """P(signal) [n] of all events of a table by the trainings of one fold, whatever fold the events are of."""
    return np.asarray(fold_score(config, models, table, model, fold), dtype=np.float32)


def fold_score(
    config: AnalysisConfig,
    models: Path,
    table: FeatureTable,
    model: str,
    fold: int,
    rows: NDArray[np.bool_] | None = None,
    value: float | None = None,
) -> NDArray[Any]:
    """Mean over the members of an ensemble, for the masked rows [n] (None: all); raises as `score_table`."""
    from hepda.events.training.tensors import model_features

    section, folder = config.models[model], models / model
    features = model_features(config, table, model, value, rows)
    members = section.ensemble if isinstance(section, NetworkConfig) else 1
    parts = []
    for member in range(members):
        stem = f"fold{fold}-member{member}"
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
            parts.append(network.predict(features, head="class"))
    return np.asarray(np.mean(parts, axis=0))


def _check_features(path: Path, about: dict[str, Any], table: FeatureTable) -> None:
    known = tuple(about.get("features", table.names))
    if known != table.names:
        raise ConfigError(
            f"{path} reads the features {', '.join(known)}; the analysis file gives {', '.join(table.names)}. "
            "Train again."
        )
