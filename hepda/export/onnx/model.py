"""One ONNX file for each model of events: all folds and members, what is before them and what follows.

Inputs are the features by name, float32 [n], in the recorded order, NaN where one is missing, and the numbers that
identify an event, int64 [n]. A model of sets has its collections before them, float32 [n, objects, features], and the
number of objects of each, int64 [n]. An event that a training saw belongs to a fold, which follows from its key; it is
scored by the trainings that did not see it. The outputs `score`, `p_<class>` and the discriminants are those, or
`prediction`, in the units of its target, of a model that predicts a number;
`average_...` are the averages over all folds, for events that no training saw; `by_fold` has the predictions of every
fold. A file of a fusion holds all models that it fuses, whose predictions are `by_fold_<model>`. A runtime computes
only the outputs that it is asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

import hepda
from hepda.adversarial import Network
from hepda.baselines import bdt
from hepda.baselines.forest import forest_of
from hepda.config import BdtConfig
from hepda.errors import ConfigError
from hepda.events.specs import DatasetSpec, ModelSpec
from hepda.events.training.fusion import read_fusion
from hepda.events.training.objects import layout_of
from hepda.events.training.probabilities import head_of
from hepda.export.onnx.discriminants import discriminant
from hepda.export.onnx.folds import fold
from hepda.export.onnx.fusions import fused
from hepda.export.onnx.graph import FLOAT, INTEGER, OPSET, OnnxGraph
from hepda.export.onnx.networks import network
from hepda.export.onnx.sets import Events, events
from hepda.export.onnx.trees import trees

AVERAGE = "average_"
"""Before the name of an output: the average over all folds."""
BY_FOLD = "by_fold"
"""Output [n, folds, k]: P(signal) or a number (k = 1), or probabilities of classes, then of labels, by each fold."""


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """A model of a run that is written.

    Attributes:
        spec: the model.
        folder: of its trainings.
        features: names of its features, in their order.
        key: names of the branches that identify an event.
        run: name of the run directory.

    """

    spec: ModelSpec
    folder: Path
    features: tuple[str, ...]
    key: tuple[str, ...]
    run: str

    @property
    def key_inputs(self) -> tuple[str, ...]:
        """Return the names of the inputs of the key."""
        return tuple(f"key_{name}" if name in self.features else name for name in self.key)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of the outputs of a fold: `score`, then the probabilities and discriminants; or
        `prediction`, of a model that predicts a number.
        """
        further = [column.removeprefix(f"{self.spec.name}.") for column in self.spec.columns[1:]]
        return (self.spec.branch, *further)

    @property
    def trained(self) -> tuple[ExportedModel, ...]:
        """Return the trained models: those that a fusion fuses, or the model itself."""
        if not self.spec.fused:
            return (self,)
        return tuple(
            replace(
                self,
                spec=spec,
                folder=self.folder.parent / spec.name,
                features=self.features if spec.features is None else spec.features,
            )
            for spec in self.spec.fused
        )


def exported_model(spec: ModelSpec, dataset: DatasetSpec, run: Path) -> ExportedModel:
    """Return a model of a run directory; `dataset` has the features of the table and the key of an event."""
    features = dataset.features if spec.features is None else spec.features
    return ExportedModel(
        spec, run / "models" / spec.name, tuple(features), tuple(dataset.split.key), run.resolve().name
    )


def onnx_model(exported: ExportedModel) -> onnx.ModelProto:
    """Return a model as ONNX.

    Raises:
        ConfigError: a part of the model has no form in ONNX here.
        SourceError: a file of a training is missing or damaged.

    """
    spec, graph = exported.spec, OnnxGraph()
    inputs = _inputs(graph, exported)
    keys = [graph.input(name, INTEGER) for name in exported.key_inputs]
    of_model = {
        model.spec.name: [
            graph.mean([_training(graph, events, model, number, member) for member in range(model.spec.members)])
            for number in range(spec.folds)
        ]
        for model, events in zip(exported.trained, inputs, strict=True)
    }
    by_fold = of_model[spec.name] if not spec.fused else [
        fused(graph, read_fusion(spec, exported.folder.parent, number), [parts[number] for parts in of_model.values()])
        for number in range(spec.folds)
    ]  # fmt: skip
    of_fold = fold(graph, keys, spec.folds)
    stacked = _stacked(graph, by_fold)
    for prefix, probability in (("", _selected(graph, stacked, of_fold, spec.folds)), (AVERAGE, graph.mean(by_fold))):
        for name, value in _columns(graph, exported, probability).items():
            graph.output(value, prefix + name, FLOAT)
    graph.output(of_fold, "fold", INTEGER)
    graph.output(stacked, BY_FOLD, FLOAT, spec.folds, *(spec.predictions or (1,)))
    for name, parts in of_model.items() if spec.fused else ():
        graph.output(_stacked(graph, parts), by_fold_of(name), FLOAT, spec.folds, max(1, len(spec.classes)))
    return graph.model(spec.name, _about(exported), __doc__ or "")


def by_fold_of(model: str) -> str:
    """Return the output of a fusion's file that has the predictions of a model that it fuses, like BY_FOLD."""
    return f"{BY_FOLD}_{model}"


def _stacked(graph: OnnxGraph, by_fold: Sequence[str]) -> str:
    """Return the predictions [n, folds, k] of all folds."""
    return graph.concatenated([graph.add("Unsqueeze", part, graph.constant([1])) for part in by_fold])


def _inputs(graph: OnnxGraph, exported: ExportedModel) -> list[Events]:
    """Add the inputs of features, collections, then the flat features; return what each trained model reads of them.

    A model with a parameter reads the value at which events are scored.
    """
    collections = layout_of(exported.spec).collections if exported.spec.collections else ()
    of_all = events(graph, collections)
    objects = {part.name: of_all.part(number) for number, part in enumerate(collections)}
    columns = {name: graph.column(graph.input(name, FLOAT)) for name in exported.features}
    inputs = []
    for model in exported.trained:
        flat = []
        if model.features:
            matrix = graph.concatenated([columns[name] for name in model.features])
            missing = graph.constant(float(model.spec.missing))
            flat.append(graph.add("Where", graph.add("IsNaN", matrix), missing, matrix))
        if model.spec.parameter is not None:
            flat.append(_zeros(graph, graph.inputs[0].name))
        read = [objects[name] for name in model.spec.collections]
        inputs.append(Events(
            tuple(values for values, _ in read), tuple(real for _, real in read),
            graph.concatenated(flat) if flat else "",
        ))  # fmt: skip
    return inputs


def _zeros(graph: OnnxGraph, matrix: str) -> str:
    """Return a column [n, 1] of zeros for the rows of a matrix."""
    rows = graph.add("Shape", matrix, start=0, end=1)
    return graph.add("ConstantOfShape", graph.concatenated([rows, graph.constant([1])], axis=0))


def _training(graph: OnnxGraph, inputs: Events, exported: ExportedModel, number: int, member: int) -> str:
    """Return the probabilities of one training."""
    stem = f"fold{number}-member{member}"
    try:
        if isinstance(exported.spec.section, BdtConfig):
            return trees(graph, inputs.flat, forest_of(bdt.load(exported.folder, stem)[0]))
        labels = [head_of(name) for name in exported.spec.event_labels]
        heads = [exported.spec.head, *labels]
        return network(graph, inputs, Network.load(exported.folder / f"{stem}.safetensors"), heads)
    except ConfigError as error:
        raise ConfigError(f"models.{exported.spec.name}: {error}") from error


def _selected(graph: OnnxGraph, stacked: str, of_fold: str, folds: int) -> str:
    """Return the probabilities [n, k] of the fold of each event, of those of all folds [n, folds, k]."""
    own = graph.add("Equal", graph.column(of_fold), graph.constant(np.arange(folds)[None]))
    chosen = graph.add("Where", graph.add("Unsqueeze", own, graph.constant([2])), stacked, graph.constant(0.0))
    return graph.add("ReduceSum", chosen, graph.constant([1]), keepdims=0)


def _columns(graph: OnnxGraph, exported: ExportedModel, probability: str) -> Mapping[str, str]:
    """Return the outputs [n] by name."""
    spec = exported.spec
    first = max(1, len(spec.classes))
    labels = {f"p_{name}": graph.of_column(probability, first + i) for i, name in enumerate(spec.event_labels)}
    if not spec.classes:
        return {spec.branch: graph.of_column(probability, 0)} | labels
    further = {f"p_{name}": graph.of_column(probability, number) for number, name in enumerate(spec.classes)}
    known = dict(further)
    for name, text in spec.discriminants.items():
        further[name] = discriminant(graph, name, text, known)
    if spec.section.score is not None:
        bounds = graph.constant(0.0), graph.constant(1.0)
        return {"score": graph.add("Clip", further[spec.section.score], *bounds)} | further | labels
    signals = [known[f"p_{name}"] for name in spec.grouping.signal]
    total = signals[0] if len(signals) == 1 else graph.add("Sum", *signals)
    return {"score": graph.add("Min", total, graph.constant(1.0))} | further | labels


def checksum(exported: ExportedModel) -> str:
    """Return the SHA-256 of all files of the trainings of a model, and of what a fusion has learned."""
    digest = hashlib.sha256()
    folders = (model.folder for model in exported.trained if model is not exported)
    for path in (path for folder in (exported.folder, *folders) for path in sorted(folder.iterdir())):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _number(spec: ModelSpec) -> dict[str, str]:
    """Return what the metadata say of a number that a model predicts."""
    return {"target": json.dumps(spec.regression.target), "unit": json.dumps(spec.regression.unit or "")}


def _working_points(spec: ModelSpec) -> dict[str, str]:
    """Return the thresholds of the working points by name: an event passes if the output is at least this value."""
    cuts = {
        name: {"output": cut.output.removeprefix(f"{spec.name}.") if cut.output != spec.name else "score",
               "threshold": cut.threshold}
        for name, cut in spec.cuts.items()
    }  # fmt: skip
    return {"working_points": json.dumps(cuts)} if cuts else {}


def _about(exported: ExportedModel) -> dict[str, str]:
    spec = exported.spec
    return {
        "hepda": hepda.__version__,
        "run": exported.run,
        "model": spec.name,
        "features": json.dumps(list(exported.features)),
        "missing": json.dumps(spec.missing),
        "key": json.dumps(list(exported.key_inputs)),
        "folds": json.dumps(spec.folds),
        "networks_per_fold": json.dumps(sum(model.spec.members for model in exported.trained)),
        "classes": json.dumps(list(spec.classes)),
        "outputs": json.dumps(list(exported.outputs)),
        **({} if spec.predicts == "class" else _number(spec)),
        **_working_points(spec),
        "opset": json.dumps(OPSET),
        "trainings": checksum(exported),
        "fold_rule": "splitmix64 of the key: k = 0, then k = mix(k ^ mix(part)) for each part; fold = k mod folds",
    }
