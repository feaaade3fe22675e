"""Scores of events by the saved models of a run: every event by the trainings that did not see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import BdtConfig
from hepda.errors import ConfigError, SourceError
from hepda.events.training.probabilities import head_of, score_columns

if TYPE_CHECKING:
    from hepda.adversarial import Network
    from hepda.events.specs import ModelSpec
    from hepda.events.table.feature_table import FeatureTable

Scores = NDArray[np.float32]


def score_table(
    models: Iterable[ModelSpec], folder: Path, table: FeatureTable, value: float | None = None
) -> dict[str, Scores]:
    """Return the score columns [n] of each model for the events of a table, out of fold as in training.

    An event belongs to a fold by its key, so a varied event is scored by the trainings that did not see the nominal
    one.

    Args:
        models: the models.
        folder: the folder of trained models.
        table: the events.
        value: value of the parameter of the models; None means 0.

    Raises:
        SourceError: a model's file is missing or broken.
        ConfigError: a model reads other features than the table has.
        DataError: a discriminant is not a finite number for some events.

    """
    predicted: dict[str, Scores] = {}
    scores: dict[str, Scores] = {}
    for model in models:
        for part in (*model.fused, model):
            if part.name not in predicted:
                predicted[part.name] = _predicted(part, folder, table, value, predicted)
        scores |= score_columns(model, predicted[model.name])
    return scores


def _predicted(
    model: ModelSpec, folder: Path, table: FeatureTable, value: float | None, known: Mapping[str, Scores]
) -> Scores:
    """Return what a model predicts out of fold, [n] or [n, classes]; known: the same of the models of a fusion."""
    from hepda.events.training.fusion import read_fusion

    score = np.zeros((len(table), *model.predictions), dtype=np.float32)
    for fold in range(model.folds):
        rows = np.asarray(table.fold == fold)
        if not rows.any():
            continue
        if model.fused:
            score[rows] = read_fusion(model, folder, fold)([known[part.name][rows] for part in model.fused])
        else:
            score[rows] = fold_score(model, folder, table, fold, rows=rows, value=value)
    return score


def rescore(
    models: Mapping[str, ModelSpec],
    folder: Path,
    table: FeatureTable,
    model: str,
    fold: int,
    member: int | None = None,
) -> Scores:
    """Return the score [n] of all events of a table by the trainings of one fold: in [0, 1], or a number in its units.

    The folds of the events do not matter.

    Args:
        models: the models by name.
        folder: the folder of trained models.
        table: the events.
        model: name of the model.
        fold: the fold whose trainings are used.
        member: a member of the ensemble; None means the mean over all members.

    """
    score = np.asarray(fold_score(models[model], folder, table, fold, member=member), dtype=np.float32)
    return score_columns(models[model], score)[model]


def fold_score(
    model: ModelSpec,
    folder: Path,
    table: FeatureTable,
    fold: int,
    *,
    rows: NDArray[np.bool_] | None = None,
    value: float | None = None,
    member: int | None = None,
) -> NDArray[Any]:
    """Return the mean prediction over the members of an ensemble, or that of one member; or the fusion of models.

    It is P(signal) [n], or the probabilities of the classes [n, classes] of a model of several classes, or the number
    [n] that the model predicts, in its units.

    Args:
        model: the model.
        folder: the folder of trained models.
        table: the events.
        fold: the fold whose trainings are used.
        rows: mask [n] of the events that are scored; None means all.
        value: value of the parameter of the model; None means 0.
        member: a member of the ensemble; None means the mean over all members.

    Raises:
        SourceError: a model's file is missing or broken.
        ConfigError: a model reads other features than the table has.

    """
    from hepda.events.training.fusion import read_fusion
    from hepda.events.training.tensors import model_features

    if model.fused:
        parts = [fold_score(part, folder, table, fold, rows=rows, value=value) for part in model.fused]
        return read_fusion(model, folder, fold)(parts)
    features = model_features(model, table, value, rows)
    parts = []
    for number in range(model.members) if member is None else (member,):
        stem = f"fold{fold}-member{number}"
        if isinstance(model.section, BdtConfig):
            from hepda.baselines import bdt

            trees, about = bdt.load(folder / model.name, stem)
            _check_metadata(folder / model.name / stem, about, table, model)
            parts.append(trees.predict(np.ascontiguousarray(features)))
        else:
            from hepda.adversarial import Network

            path = folder / model.name / f"{stem}.safetensors"
            if not path.is_file():
                raise SourceError(f"there is no {path}; train again, or name a run directory with all its models.")
            network = Network.load(path)
            _check_metadata(path, network.metadata, table, model)
            if getattr(network.encoder, "inputs", None) != features.shape[1]:
                raise SourceError(f"{path} does not read the {features.shape[1]} features of the events; train again.")
            parts.append(network_output(network, model, features))
    return np.asarray(np.mean(parts, axis=0))


def network_output(network: Network, model: ModelSpec, features: Any) -> NDArray[np.float32]:
    """Return what a network predicts of events, as of `ModelSpec.predictions`.

    Args:
        network: the trained network.
        model: the model.
        features: what it reads of the events [n, k].

    """
    output = network.predict(features, head=model.head)
    if not model.event_labels:
        return output
    labels = [network.predict(features, head=head_of(name)) for name in model.event_labels]
    return np.column_stack([output, *labels])


def check_inputs(path: Path, about: Mapping[str, Any], names: Sequence[str], model: ModelSpec) -> None:
    """Raise ConfigError if a saved model does not read what the analysis file says.

    Args:
        path: of the model, for messages.
        about: its metadata.
        names: the features of the table.
        model: the model.

    """
    wanted = list(names) if model.features is None else list(model.features)
    features, collections = about.get("features", wanted), about.get("collections", {})
    if features != wanted:
        named = ", ".join(map(str, features)) if isinstance(features, list) else features
        raise ConfigError(
            f"{path} reads the features {named}; the analysis file gives {', '.join(wanted)}. Train again."
        )
    if collections != model.reads.get("collections", {}):
        raise ConfigError(
            f"{path} reads the collections {_described(collections)}; the analysis file gives "
            f"{_described(model.reads.get('collections', {}))}. Train again."
        )
    categories = about.get("categories", {})
    if categories != model.reads.get("categories", {}):
        now = model.reads.get("categories", {})
        raise ConfigError(
            f"{path} takes as categories {categories or 'none'}; the analysis file gives {now or 'none'}."
        )

    predicts, now = about.get("predicts", ""), model.reads.get("predicts", "")
    if predicts != now:
        raise ConfigError(
            f"{path} predicts {predicts or 'classes'}; the analysis file gives {now or 'classes'}. Train again."
        )


def _described(collections: Mapping[str, Any]) -> str:
    parts = [f"{name} ({part['max']} x {', '.join(part['features'])})" for name, part in collections.items()]
    return "; ".join(parts) or "none"


def _check_metadata(path: Path, about: dict[str, Any], table: FeatureTable, model: ModelSpec) -> None:
    check_inputs(path, about, table.names, model)
    classes = about.get("classes", [])
    if classes != list(model.classes):
        first, second = (
            ", ".join(map(str, names)) or "signal against background" for names in (classes, model.classes)
        )
        raise ConfigError(f"{path} predicts the classes {first}; the analysis file gives {second}. Train again.")
    labels = about.get("labels", [])
    if labels != list(model.event_labels):
        first, second = (", ".join(map(str, names)) or "no labels" for names in (labels, model.event_labels))
        raise ConfigError(f"{path} predicts the labels {first}; the analysis file gives {second}. Train again.")
