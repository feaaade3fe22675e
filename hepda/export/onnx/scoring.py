"""Scores of the events of a table by exported models, in onnxruntime."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import ConfigError
from hepda.events.specs import ModelSpec
from hepda.events.table.feature_table import FeatureTable
from hepda.events.training.probabilities import score_columns
from hepda.export.onnx.model import BY_FOLD, ExportedModel, checksum
from hepda.export.onnx.session import open_session


def exported_file(folder: Path, model: str) -> Path:
    """Return the file of a model."""
    return folder / f"{model}.onnx"


def check_files(models: Iterable[ExportedModel], folder: Path, run: Path) -> None:
    """Check that a folder has the file of every model, made of the trainings that the run has.

    Raises:
        ConfigError: a file is missing, or of other trainings.
        MissingExtraError: onnxruntime is not installed.

    """
    command = f"`hepda export {run} --format onnx --output {folder}`"
    for exported in models:
        path = exported_file(folder, exported.spec.name)
        if not path.is_file():
            raise ConfigError(
                f"--runtime onnx: there is no {path}; {command} writes it, unless the model has no form in ONNX: then "
                "leave --runtime out."
            )
        about = _session(path).get_modelmeta().custom_metadata_map
        if about.get("trainings") != checksum(exported):
            raise ConfigError(
                f"--runtime onnx: {path} is not of the trainings of this run; remove {folder}, {command}."
            )


@functools.lru_cache(maxsize=64)
def _session(path: Path) -> Any:
    return open_session(path, "--runtime onnx", threads=1)  # several processes score in parallel


def score_table(models: Iterable[ModelSpec], folder: Path, table: FeatureTable) -> dict[str, NDArray[np.float32]]:
    """Return the score columns [n] of each model, as `hepda.events.training.scoring.score_table` does.

    Args:
        models: the models.
        folder: of the exported files.
        table: the events, each with its fold.

    Raises:
        DataError: a discriminant is not a finite number for some events.

    """
    scores: dict[str, NDArray[np.float32]] = {}
    rows = np.arange(len(table))
    for model in models:
        session = _session(exported_file(folder, model.name))
        (by_fold,) = session.run([BY_FOLD], _inputs(session, model, table))
        own = by_fold[rows, table.fold]
        scores |= score_columns(model, own if model.predictions else own[:, 0])
    return scores


def _inputs(session: Any, model: ModelSpec, table: FeatureTable) -> dict[str, NDArray[Any]]:
    """Return what a file reads of a table; keys, which do not matter here, are 0."""
    about = session.get_modelmeta().custom_metadata_map
    n, inputs = len(table), dict[str, NDArray[Any]]()
    for name in json.loads(about["features"]):
        inputs[name] = np.ascontiguousarray(table.features[:, table.names.index(name)])
    for name, section in model.collections.items():
        part = table.collections[name]
        inputs[name] = np.ascontiguousarray(part[:, 1:]).reshape(n, section.size, len(section.features))
        inputs[f"{name}_count"] = part[:, 0].astype(np.int64)
    return inputs | {name: np.zeros(n, dtype=np.int64) for name in json.loads(about["key"])}
