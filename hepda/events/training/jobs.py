"""The training of every model of an analysis of events, for each fold and member, as jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import BdtConfig, EventFusionConfig, ModelConfig, NetworkConfig, RatioConfig
from hepda.errors import ConfigError, MissingExtraError
from hepda.events.specs import ModelSpec
from hepda.runtime import jobs
from hepda.runtime.jobs import TrainingOutput
from hepda.runtime.resources import LEAST_MEMORY, PROCESS, Resources, size_text
from hepda.timing import timed

if TYPE_CHECKING:
    from torch import nn

    from hepda.adversarial import History, Network
    from hepda.adversarial.networks.term import Term
    from hepda.baselines.bdt import Bdt
    from hepda.events.table.feature_table import FeatureTable
    from hepda.events.training.reweighting import TrainingFactors


@dataclass(frozen=True, slots=True)
class EventJob(jobs.TrainingJob):
    """The training of a model of events; `table` is a folder of `write_table`."""

    spec: ModelSpec = field(kw_only=True)

    @property
    def shared(self) -> bool:
        """Return whether all processes train the model together.

        This holds for networks; trees are trained by the first process only.
        """
        return isinstance(self.spec.section, NetworkConfig)

    def train(self, progress: Callable[[int, int], None]) -> TrainingOutput:
        """Train the model according to its kind."""
        section = self.spec.section
        if isinstance(section, BdtConfig):
            return train_bdt(self)
        if isinstance(section, EventFusionConfig):
            raise TypeError(f"{self.model} is a fusion, which is not trained")
        epochs = section.training.epochs
        return train_network(self, lambda history: progress(history.epochs, epochs))


def jobs_of(models: Mapping[str, ModelSpec], table: Path, run: Path, work: Path, device: str) -> list[EventJob]:
    """Return all trainings of the models, the longest kind first; a fusion has none."""
    networks = any(isinstance(model.section, NetworkConfig) for model in models.values())
    kernels = _kernels(device) if networks else "auto"
    trainings = [
        EventJob(model.seed, name, fold, member, table, run, work, device, kernels, spec=model)
        for name, model in models.items()
        if not model.fused
        for fold in range(model.folds)
        for member in range(model.members)
    ]
    return sorted(trainings, key=lambda job: -_cost(job.spec))


def check_extras(models: Mapping[str, ModelConfig]) -> None:
    """Raise MissingExtraError, before anything is read, for a model whose library is not installed."""
    for model, section in models.items():
        if isinstance(section, BdtConfig) and section.library != "sklearn":
            _check_installed(section.library, section.library, f"models.{model}.library")
        ratios: dict[str, RatioConfig | None] = {"reweight": section.reweight}
        if isinstance(section, NetworkConfig) and section.domain is not None:
            ratios["domain.reweight"] = section.domain.reweight
        for key, ratio in ratios.items():
            if ratio is not None and ratio.method == "hep_ml":
                _check_installed("hep_ml", "reweight", f"models.{model}.{key}.method")


def _check_installed(package: str, extra: str, where: str) -> None:
    if find_spec(package) is None:
        raise MissingExtraError(package, extra, where)


_PER_EVENT = 24
"""Bytes that the training of a network needs for each event of a table with features on the disk; measured."""
_PER_NUMBER = 3
"""Bytes that trees hold for each feature of a training event: its bin, a mask, and room for the validation."""
_PER_TRAINED = 100
"""Bytes that trees hold for each training event besides its features: weight, label, score, gradients, leaves."""
_PER_RATIO = 12
"""Bytes that a reweighting holds for each feature of its events: copies of the parts of its cross-fit."""


def memory_of_trainings(models: Mapping[str, ModelSpec], table: FeatureTable) -> dict[str, int]:
    """Return roughly how many bytes of a table the training of each model holds.

    A large table counts with all its rows.
    """
    rows, columns = table.features.shape
    needs = {}
    for name, model in models.items():
        section, trained = model.section, rows * (model.folds - 1) // model.folds
        if isinstance(section, EventFusionConfig):
            continue
        if isinstance(section, BdtConfig):
            most = min(trained, section.events or trained)
            needs[name] = rows * _PER_EVENT + most * _per_row(columns)
        else:
            needs[name] = rows * _PER_EVENT
        needs[name] += sum(_ratio_memory(ratio, table, trained) for ratio in _ratios_of(section))
    return needs


def _ratios_of(section: ModelConfig) -> list[RatioConfig]:
    domain = section.domain if isinstance(section, NetworkConfig) else None
    return [ratio for ratio in (section.reweight, None if domain is None else domain.reweight) if ratio is not None]


def _per_row(columns: int) -> int:
    """Return the bytes that trees hold for each training event with so many features."""
    return columns * _PER_NUMBER + _PER_TRAINED


def _ratio_memory(ratio: RatioConfig, table: FeatureTable, trained: int) -> int:
    """Return the bytes that a reweighting holds."""
    return trained * len(ratio.features or table.names) * _PER_RATIO


def check_memory(models: Mapping[str, ModelSpec], table: FeatureTable, resources: Resources, processes: int) -> int:
    """Return how many trainings fit into the memory in parallel, at most the number of processes.

    Args:
        models: the models by name.
        table: the events.
        resources: the memory that may be used.
        processes: number of processes.

    Raises:
        ConfigError: a single training would not fit.

    """
    needs = memory_of_trainings(models, table)
    for model, need in needs.items():
        if need + 2 * PROCESS > max(resources.budget, LEAST_MEMORY + PROCESS):
            raise ConfigError(
                f"models.{model}: its training holds about {size_text(need)} of these {len(table)} events, and "
                f"--memory leaves {size_text(resources.budget - 2 * PROCESS)}; give more by --memory"
                f"{_way_out(models[model].section, model, table, resources)}, read fewer events, or leave the model "
                "out."
            )
    return resources.fitting_processes(processes, max(needs.values()))


def _way_out(section: ModelConfig, model: str, table: FeatureTable, resources: Resources) -> str:
    """Return how a model that is too large could be trained nevertheless."""
    if _ratios_of(section):
        return ", take its reweighting out"
    free = resources.budget - 2 * PROCESS - len(table) * _PER_EVENT
    possible = free // _per_row(table.features.shape[1])
    if not isinstance(section, BdtConfig) or possible < 100:
        return ""
    digits = 10 ** (len(str(possible)) - 2)  # two are enough
    return f", train it on a part of them (models.{model}.events: {possible // digits * digits})"


def _kernels(device: str) -> str:
    from hepda.adversarial import TrainSettings

    return TrainSettings(device=device).with_kernels().kernels


def _cost(model: ModelSpec) -> int:
    section = model.section
    if not isinstance(section, NetworkConfig):
        return 0
    return section.training.epochs * (2 if section.domain is not None else 1)


def build_network(
    inputs: int | Callable[[], nn.Module], model: ModelSpec, seed: int, metadata: dict[str, Any]
) -> Network:
    """Return a network with encoder, class head and, if the config has a domain loss, its heads and terms.

    The class head has one logit, or one for each of several classes (softmax); each label has a head of one logit. The
    head of a number has the number, of which the network keeps mean and width in training.

    Args:
        inputs: number of flat inputs, or a function that makes the encoder.
        model: the network.
        seed: seed of the initial parameters.
        metadata: what is saved with the network; of one with categories, with the names of its `features`.

    Raises:
        TypeError: the model is not a network.

    """
    from hepda.adversarial import Head, Network, categorical_encoder, mlp, seeded
    from hepda.adversarial.methods import Comparison, build
    from hepda.events.training.domain_loss import ADVERSARY, comparison_of
    from hepda.events.training.probabilities import head_of
    from hepda.events.training.tensors import CLASSES

    section = model.section
    if not isinstance(section, NetworkConfig):
        raise TypeError(f"{model.name} is not a network")
    width, classes = section.embedding, model.classes
    layers = partial(mlp, activation=section.activation, dropout=section.dropout)
    with seeded(seed):
        if callable(inputs):
            encoder = inputs()
        elif isinstance(section.encoder, tuple) and model.categories:
            columns = model.category_columns(metadata["features"])
            look = {"activation": section.activation, "dropout": section.dropout}
            encoder = categorical_encoder(inputs, columns, section.encoder, **look)
        elif isinstance(section.encoder, tuple):
            encoder = layers(inputs, section.encoder)
        else:
            raise TypeError("a set encoder is made by objects.set_encoder")
        logits, loss = _outputs_and_loss(model)
        module, number = layers(width, section.class_head, logits), model.predicts == "number"
        heads = [Head(model.head, module, loss=loss, weight=model.head, standardise=number)]
        heads += [
            Head(
                head_of(name), layers(width, section.class_head, 1), weight=head_of(name), scale=section.label_strength
            )
            for name in model.event_labels
        ]
        terms: list[Term] = []
        if section.domain is not None:
            masks = () if number else tuple(classes or CLASSES)
            comparison = Comparison(
                width, max(1, len(masks)), main=model.head, rows=ADVERSARY, weight=ADVERSARY, masks=masks
            )
            more, terms = build(section.domain.methods(), comparison_of(model, comparison))
            heads += more
    return Network(encoder, heads, terms=terms, metadata=metadata)


def _outputs_and_loss(model: ModelSpec) -> tuple[int, str]:
    """Return the number of outputs of the head of a network, and its loss."""
    if model.predicts == "number":
        return 1, "regression" if model.regression.loss == "squared" else "absolute"
    return (len(model.classes), "multiclass") if model.classes else (1, "binary")


def train_network(job: EventJob, on_epoch: Callable[[History], None]) -> TrainingOutput:
    """Fit the network of a job.

    Args:
        job: the training.
        on_epoch: function that receives the history after each epoch.

    Returns:
        The scores of the fold, facts about the training, and its history.

    Raises:
        TypeError: the model is not a network.

    """
    from hepda.events.table.store import open_table, open_variations
    from hepda.events.training.objects import set_encoder
    from hepda.events.training.scoring import network_output
    from hepda.events.training.tensors import held_out, model_features, network_part

    section = job.spec.section
    if not isinstance(section, NetworkConfig):
        raise TypeError(f"{job.model} is not a network")
    table = open_table(job.table)
    factors = factors_of(job, table)
    with timed("rows"):
        part = network_part(job.spec, table, job.fold, factors, open_variations(job.table))
    inputs = partial(set_encoder, job.spec, section) if job.spec.collections else part.source.features.shape[1]
    network = build_network(inputs, job.spec, job.seed, _metadata(job, table.names))
    settings = section.training.settings(section.domain) | section.training.stopping()
    history = job.fit_network(network, settings, part, on_epoch)
    unseen = held_out(table, job.fold)
    with timed("scores"):
        score = network_output(network, job.spec, model_features(job.spec, table, rows=unseen))
    about = {
        **history.about(),
        "alarms": [*history.warnings, *factors.warnings],
        **factors.about,
    }
    return score, about, history.to_dict()["columns"]


def train_bdt(job: EventJob) -> TrainingOutput:
    """Fit the trees of a job.

    Args:
        job: the training.

    Returns:
        The same as `train_network`, with an empty history.

    Raises:
        TypeError: the model is not a BDT.

    """
    from hepda.baselines import bdt
    from hepda.baselines.inputs import TrainingEvents
    from hepda.events.table.store import open_table
    from hepda.events.training.tensors import bdt_part

    section = job.spec.section
    if not isinstance(section, BdtConfig):
        raise TypeError(f"{job.model} is not a BDT")
    table = open_table(job.table)
    factors = factors_of(job, table)
    with timed("rows"):
        parts = bdt_part(job.spec, table, job.fold, factors)
    loss = "classes" if job.spec.predicts == "class" else job.spec.regression.loss
    train, validation = (TrainingEvents(*part, loss=loss) for part in parts)
    used = len(train.label) + len(validation.label)
    available = int((job.spec.has_target(table) & (table.fold != job.fold)).sum())
    part = [f"trained on {used} of {available} events, chosen by hash (`events`)"] if used < available else []
    start = time.perf_counter()
    with timed("trees"):
        categories = job.spec.category_columns(table.names)
        trees = bdt.fit(section, train, validation, seed=job.seed % 2**31, categories=categories)
    seconds = time.perf_counter() - start
    trees.save(job.folder, job.stem, _metadata(job, table.names))
    with timed("scores"):
        score = _predicted(trees, table, job.fold)
    about = {
        "seconds": seconds,
        "rows_per_second": len(train.label) * trees.trees / seconds,
        "epochs": trees.trees,
        "events": used,
        "alarms": [*([trees.note] if trees.note else []), *part, *factors.warnings],
        **factors.about,
    }
    return score, about, {}


_SCORED = 500_000
"""Number of events that trees score at once."""


def _predicted(trees: Bdt, table: FeatureTable, fold: int) -> NDArray[np.float32]:
    """Return the scores [n] or [n, classes] of the events of a fold; their features are never all in memory."""
    blocks = (slice(start, start + _SCORED) for start in range(0, len(table), _SCORED))
    parts = (np.ascontiguousarray(table.features[block][table.fold[block] == fold]) for block in blocks)
    return np.concatenate([trees.predict(part) for part in parts if len(part)])


@timed("reweighting")
def factors_of(job: EventJob, table: FeatureTable) -> TrainingFactors:
    """Return the reweighting of a fold's training events.

    Members of an ensemble share one reweighting, which is stored in `job.work`.
    """
    from hepda.events.training.reweighting import read_factors, write_factors
    from hepda.events.training.tensors import training_factors

    path = job.work / f"{job.model}-fold{job.fold}.factors.npz"
    if not path.exists():
        factors = training_factors(job.spec, table, job.fold)
        if not factors.about:
            return factors
        write_factors(path, factors)
    return read_factors(path)


def _metadata(job: EventJob, names: tuple[str, ...]) -> dict[str, Any]:
    """Return what is saved with a trained model: enough to score events with it.

    A network with a parameter reads one more column after its features; `value` is that at which events are scored.
    A network of sets reads `collections`, then the flat features that it names.
    """
    values = job.spec.parameter
    parameter = {} if values is None else {"parameter": {"domains": dict(values), "value": 0.0}}
    classes = {"classes": list(job.spec.classes)} if job.spec.classes else {}
    labels = {"labels": list(job.spec.event_labels)} if job.spec.event_labels else {}
    return (
        parameter
        | classes
        | labels
        | job.spec.reads
        | {
            "features": list(names if job.spec.features is None else job.spec.features),
            "model": job.model,
            "fold": job.fold,
            "member": job.member,
            "missing": job.spec.missing,
        }
    )
