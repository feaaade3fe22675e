"""A file of ONNX against the trainings that it was made of, before it is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.adversarial import Collection, Network, Standardize
from hepda.adversarial.networks.sets_inputs import SetInputs
from hepda.baselines import bdt
from hepda.config import BdtConfig
from hepda.errors import ConfigError
from hepda.events.dataset.splits import event_key, fold_of
from hepda.events.training.fusion import read_fusion
from hepda.events.training.objects import layout_of
from hepda.events.training.probabilities import score_columns
from hepda.events.training.scoring import network_output
from hepda.export.onnx.model import AVERAGE, ExportedModel, by_fold_of
from hepda.export.onnx.session import open_session

TOLERANCE = 1e-5
"""Of a probability, or of a number relative to its size: float32 adds in another order."""
_ROWS = 1000
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class DrawnEvents:
    """Events that a file and the trainings score.

    Attributes:
        inputs: of the file, by name.
        flat: the flat features [n] by name, missing ones replaced.
        objects: the columns of each collection [n, 1 + size * features] by name.
        key: the parts of the key [n].

    """

    inputs: Mapping[str, NDArray[Any]]
    flat: Mapping[str, Floats]
    objects: Mapping[str, Floats]
    key: list[NDArray[np.int64]]

    def rows(self, exported: ExportedModel) -> Floats:
        """Return what the trainings of a model read [n, f]."""
        parts = [self.objects[name] for name in exported.spec.collections]
        parts += [self.flat[name][:, None] for name in exported.features]
        if exported.spec.parameter is not None:
            parts.append(np.zeros((len(self.key[0]), 1), dtype=np.float32))
        return np.concatenate(parts, axis=1, dtype=np.float32)


def check(exported: ExportedModel, content: bytes, seed: int = 1) -> float:
    """Compare a file with the trainings on random, extreme and missing features.

    Of a fusion, the predictions of its models are compared with their trainings, and the fusion with that of these
    predictions: where one model is certain of signal and another one of background, the last digit decides.

    Args:
        exported: the model.
        content: of the file.
        seed: of the features.

    Returns:
        The largest difference of an output.

    Raises:
        ConfigError: an output differs by more than `TOLERANCE`.
        MissingExtraError: onnxruntime is not installed.

    """
    events = drawn_events(exported, _ROWS, seed)
    found = outputs_of(content, events.inputs)
    expected = expected_outputs(exported, events, found)
    largest, unit = 0.0, _sizes(exported, events)
    for name, values in expected.items():
        difference = np.abs(found[name].astype(np.float64) - values)
        allowed = TOLERANCE * np.maximum(unit.reshape(-1, *[1] * (values.ndim - 1)), np.abs(values))
        different = int(np.sum(~(difference <= allowed)))
        if different:
            raise ConfigError(
                f"models.{exported.spec.name}: the output {name} of ONNX differs from the trained model for "
                f"{different} of {len(values)} events, by up to {np.nanmax(difference):.2g}; nothing is written. "
                "Please report it with the run's config.yaml."
            )
        largest = max(largest, float(difference.max()))
    return largest


def drawn_events(exported: ExportedModel, events: int, seed: int) -> DrawnEvents:
    """Return events with features of all sizes, some of them extreme or missing, and keys of all integers."""
    rng = np.random.default_rng(seed)
    shape = events, len(exported.features)
    size = rng.choice([0.1, 1.0, 10.0, 100.0, 1000.0, 1e6], size=shape, p=[0.15, 0.3, 0.2, 0.2, 0.1, 0.05])
    features = (rng.normal(0.3, 1.0, shape) * size).astype(np.float32)
    features[rng.random(shape) < 0.05] = exported.spec.missing
    missing = rng.random(shape) < 0.05
    limits = np.iinfo(np.int64)
    key = [rng.integers(limits.min, limits.max, events, dtype=np.int64, endpoint=True) for _ in exported.key]
    collections = layout_of(exported.spec).collections if exported.spec.collections else ()
    objects = {collection.name: _drawn_objects(collection, events, rng) for collection in collections}
    inputs: dict[str, NDArray[Any]] = {}
    for name, (count, values) in objects.items():
        inputs |= {name: values, f"{name}_count": count}
    gaps = np.where(missing, np.float32(np.nan), features)
    inputs |= {name: np.ascontiguousarray(gaps[:, i]) for i, name in enumerate(exported.features)}
    inputs |= dict(zip(exported.key_inputs, key, strict=True))
    known = np.where(missing, np.float32(exported.spec.missing), features)
    flat = {name: known[:, number] for number, name in enumerate(exported.features)}
    parts = {
        name: np.concatenate([count[:, None], values.reshape(events, -1)], axis=1, dtype=np.float32)
        for name, (count, values) in objects.items()
    }
    return DrawnEvents(inputs, flat, parts, key)


def _drawn_objects(collection: Collection, events: int, rng: np.random.Generator) -> tuple[NDArray[Any], Floats]:
    """Return numbers of objects [n] (some events have none, some more than places) and features [n, size, k]."""
    values = rng.normal(0, 2, (events, collection.size, len(collection.features)))
    shape = values.shape[:2]
    physical = {
        "pt": 25 + rng.exponential(60, shape),
        "mass": rng.exponential(10, shape),
        "phi": rng.uniform(-math.pi, math.pi, shape),
    }
    for name, drawn in physical.items():
        if (number := collection.component(name)) is not None:
            values[..., number] = drawn
    return rng.integers(0, collection.size + 3, events), values.astype(np.float32)


def outputs_of(content: bytes, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[np.generic]]:
    """Return all outputs [n] of a file by name.

    Raises:
        MissingExtraError: onnxruntime is not installed.

    """
    session = open_session(content, "--format onnx")
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def expected_outputs(
    exported: ExportedModel, events: DrawnEvents, found: Mapping[str, NDArray[np.generic]]
) -> dict[str, NDArray[np.float64]]:
    """Return the outputs by the trainings themselves; of a fusion, by the predictions of its models in `found`."""
    spec = exported.spec
    outputs: dict[str, NDArray[np.float64]] = {}
    by_fold: list[NDArray[np.float64]] = []
    of_models = {by_fold_of(model.spec.name): model for model in exported.trained}
    for number in range(spec.folds):
        if spec.fused:
            parts = [np.asarray(found[name], dtype=np.float32)[:, number] for name in of_models]
            prediction = read_fusion(spec, exported.folder.parent, number)(parts)
            by_fold.append((prediction if spec.classes else prediction[:, 0]).astype(np.float64))
        else:
            by_fold.append(_prediction(exported, events.rows(exported), number))
    for name, model in of_models.items() if spec.fused else ():
        predicted = [_prediction(model, events.rows(model), number) for number in range(spec.folds)]
        outputs[name] = np.stack(predicted, axis=1).reshape(found[name].shape)
    fold = fold_of(event_key(*events.key), spec.folds)
    outputs["fold"] = fold.astype(np.float64)
    stacked = np.stack(by_fold)
    for prefix, scores in (("", stacked[fold, np.arange(len(fold))]), (AVERAGE, stacked.mean(axis=0))):
        columns = score_columns(spec, scores.astype(np.float32))
        for name, values in zip(exported.outputs, columns.values(), strict=True):
            outputs[prefix + name] = values.astype(np.float64)
    return outputs


def _sizes(exported: ExportedModel, events: DrawnEvents) -> NDArray[np.float64]:
    """Return what an output [n] is compared with: 1 for a probability.

    A number is a sum of terms as large as the width of its target times the largest feature in its own widths: where
    large terms cancel, their rounding is what is left.
    """
    spec, sizes = exported.spec, np.ones(len(events.key[0]))
    if spec.predicts == "class" or isinstance(spec.section, BdtConfig):
        return sizes
    rows, flat = events.rows(exported), len(exported.features)
    size = np.abs(rows[:, -flat:]).max(axis=1, initial=0.0) if flat else np.zeros(len(rows))
    for number in range(spec.folds):
        network = Network.load(exported.folder / f"fold{number}-member0.safetensors")
        scale = network.target_scale(network.main)
        finest = [float(part.scale.max()) for part in network.modules() if isinstance(part, Standardize | SetInputs)]
        widths = np.maximum(1.0, size * max(finest, default=1.0))
        if scale is not None:
            sizes = np.maximum(sizes, float(scale.width) * widths)
    return sizes


def _prediction(exported: ExportedModel, features: Floats, fold: int) -> NDArray[np.float64]:
    """Return the mean over the members of a fold."""
    spec, parts = exported.spec, []
    for member in range(spec.members):
        stem = f"fold{fold}-member{member}"
        if isinstance(spec.section, BdtConfig):
            parts.append(bdt.load(exported.folder, stem)[0].predict(features))
        else:
            trained = Network.load(exported.folder / f"{stem}.safetensors")
            parts.append(network_output(trained, spec, features))
    mean: NDArray[np.float64] = np.mean(np.asarray(parts, dtype=np.float64), axis=0)
    return mean
