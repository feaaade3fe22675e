"""The trainings of an analysis of a table, for each model, fold and member, as jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.adversarial.data.weights import class_weights, negative_weights
from hepda.baselines.fusion import fitted, fusion_file
from hepda.config.tabular import TableFusionConfig, TableNetworkConfig, TableTreesConfig, TabularConfig
from hepda.runtime.jobs import TrainingJob, TrainingOutput, TrainingPart
from hepda.tabular.table import DataTable

if TYPE_CHECKING:
    from hepda.adversarial import DomainRows, Network
    from hepda.adversarial.networks.term import Term

Mask = NDArray[np.bool_]
DOMAIN = "domain"
"""The weights of the domain loss."""


def write_table(table: DataTable, folder: Path) -> None:
    """Write the table for the trainings to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {part.name: np.asarray(getattr(table, part.name)) for part in fields(DataTable)}
    np.savez(folder / "table.npz", **arrays)


def open_table(folder: Path) -> DataTable:
    """Read what `write_table` wrote."""
    with np.load(folder / "table.npz", allow_pickle=False) as file:
        parts: dict[str, Any] = {part.name: file[part.name] for part in fields(DataTable)}
    for name in ("names", "classes", "domains"):
        parts[name] = tuple(map(str, parts[name]))
    return DataTable(**parts | {"targets": int(parts["targets"])})


@dataclass(frozen=True, slots=True)
class TableJob(TrainingJob):
    """The training of a model; its scores [n, classes] are those of the rows of its fold."""

    config: TabularConfig = field(kw_only=True)

    @property
    def shared(self) -> bool:
        """Return whether all processes train the model together: a network, but no trees."""
        return isinstance(self.config.models[self.model], TableNetworkConfig)

    def train(self, progress: Callable[[int, int], None]) -> TrainingOutput:
        """Train the model according to its kind."""
        section = self.config.models[self.model]
        table = open_table(self.table)
        if isinstance(section, TableTreesConfig):
            return _train_trees(self, section, table)
        if isinstance(section, TableFusionConfig):
            raise TypeError(f"{self.model} is a fusion, which is not trained")
        return _train_network(self, section, table, progress)


def jobs_of(config: TabularConfig, table: Path, run: Path, work: Path, device: str) -> list[TableJob]:
    """Return all trainings, networks first because they take longest; a fusion has none."""
    jobs = [
        TableJob(config.seed_for(model), model, fold, member, table, run, work, device, "plain", config=config)
        for model, section in config.models.items()
        if not isinstance(section, TableFusionConfig)
        for fold in range(config.split.folds)
        for member in range(section.ensemble if isinstance(section, TableNetworkConfig) else 1)
    ]
    return sorted(jobs, key=lambda job: not job.shared)


def training_weights(config: TabularConfig, table: DataTable, rows: Mask) -> NDArray[np.float64]:
    """Return the weights of the class loss of source rows [n], 1 a row on average."""
    weight = negative_weights(table.weight[rows], config.negative_weights).weight
    return class_weights(table.label[rows], weight) if config.balance else weight * (len(weight) / weight.sum())


def fused_scores(
    config: TabularConfig, table: DataTable, scores: Mapping[str, NDArray[np.float32]], folder: Path
) -> dict[str, NDArray[np.float32]]:
    """Return the scores [n, classes] of fusions: for each fold by one that learned from source rows of the others.

    Args:
        config: the analysis.
        table: the rows.
        scores: of the trained models, out of fold.
        folder: of all models, to which the fusion of each fold is written.

    Raises:
        DataError: a fusion cannot be learned from these rows.

    """
    results = {}
    for model, section in config.models.items():
        if not isinstance(section, TableFusionConfig):
            continue
        of_models = {name: scores[name] for name in section.of}
        results[model] = np.full_like(scores[section.of[0]], np.nan)
        for fold in range(config.split.folds):
            rows = np.asarray(table.in_source & (table.fold != fold))
            if section.method == "mean":
                rows[:] = False
            weight = training_weights(config, table, rows) if rows.any() else np.zeros(0)
            known = {name: score[rows] for name, score in of_models.items()}
            fusion = fitted(section.method, known, table.label[rows], weight)
            fusion.save(fusion_file(folder, model, fold))
            held = np.asarray(table.fold == fold)
            results[model][held] = fusion([score[held] for score in of_models.values()])
    return results


def rows_of(config: TabularConfig, table: DataTable, rows: Mask) -> DomainRows:
    """Return the rows of a mask [n] for a training: those of the source with labels, those of targets without."""
    from hepda.adversarial import DomainRows

    weights = {DOMAIN: negative_weights(table.weight[rows], config.negative_weights).weight}
    if not table.in_source[rows].all():
        return DomainRows(table.features[rows], weights=weights)
    weights["class"] = training_weights(config, table, rows)
    return DomainRows(table.features[rows], {"class": table.label[rows]}, weights)


def build_network(section: TableNetworkConfig, table: DataTable, seed: int, metadata: dict[str, Any]) -> Network:
    """Return a network with encoder, class head and, if the model has a domain loss, its heads and terms."""
    from hepda.adversarial import Head, Network, mlp, seeded
    from hepda.adversarial.methods import Comparison, build

    width, classes = section.encoder[-1], len(table.classes)
    layers = partial(mlp, activation=section.activation, dropout=section.dropout)
    with seeded(seed):
        encoder = layers(len(table.names), section.encoder)
        heads = [Head("class", layers(width, section.class_head, classes), loss="multiclass", weight="class")]
        terms: list[Term] = []
        if section.domain is not None:
            more, terms = build(section.domain.methods(), Comparison(width, classes, weight=DOMAIN))
            heads += more
    return Network(encoder, heads, terms=terms, metadata=metadata)


def _train_network(
    job: TableJob, section: TableNetworkConfig, table: DataTable, progress: Callable[[int, int], None]
) -> TrainingOutput:
    seen = table.fold != job.fold
    source, target = (seen & side for side in (table.in_source, table.in_target))
    adapts = job.config.adapts(job.model)

    def part(rows: Mask) -> DomainRows:
        return rows_of(job.config, table, rows)

    network = build_network(section, table, job.seed, _metadata(job, table))
    history = job.fit_network(
        network,
        section.training.settings(section.domain) | section.training.stopping(),
        TrainingPart(
            part(source & ~table.validation),
            part(target & ~table.validation) if adapts else None,
            part(source & table.validation),
            part(target & table.validation) if adapts else None,
        ),
        on_epoch=lambda history: progress(history.epochs, section.training.epochs),
    )
    score = network.predict(table.features[table.fold == job.fold], head="class")
    return score, history.about(), history.to_dict()["columns"]


def _train_trees(job: TableJob, section: TableTreesConfig, table: DataTable) -> TrainingOutput:
    """Fit trees of the second class, or of each of several classes, against the rest.

    With several classes, the probabilities of a row are those of the classes, divided by their sum.
    """
    from hepda.baselines import bdt
    from hepda.baselines.inputs import TrainingEvents

    seen, held = table.in_source & (table.fold != job.fold), table.features[table.fold == job.fold]
    masks = (seen & ~table.validation, seen & table.validation)
    weights = [training_weights(job.config, table, rows) for rows in masks]
    binary = len(table.classes) == 2
    start, scores, trees, notes = time.perf_counter(), [], 0, []
    job.folder.mkdir(parents=True, exist_ok=True)
    for number in (1,) if binary else range(len(table.classes)):
        train, validation = (
            TrainingEvents(table.features[rows], (table.label[rows] == number).astype(np.int8), weight)
            for rows, weight in zip(masks, weights, strict=True)
        )
        fitted = bdt.fit(section, train, validation, seed=job.seed % 2**31)
        fitted.save(job.folder, job.stem if binary else f"{job.stem}-class{number}", _metadata(job, table))
        scores.append(fitted.predict(held))
        trees += fitted.trees
        notes += [fitted.note] if fitted.note else []
    seconds = time.perf_counter() - start
    score = np.stack([1.0 - scores[0], scores[0]] if binary else scores, axis=1)
    score /= np.maximum(score.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    about = {
        "seconds": seconds,
        "rows_per_second": int(masks[0].sum()) * trees / seconds,
        "epochs": trees,
        "alarms": list(dict.fromkeys(notes)),
    }
    return score.astype(np.float32), about, {}


def _metadata(job: TableJob, table: DataTable) -> dict[str, Any]:
    """Return what is saved with a model: enough to score other rows with it."""
    return {
        "features": list(table.names),
        "classes": list(table.classes),
        "model": job.model,
        "fold": job.fold,
        "member": job.member,
        "missing": job.config.missing,
    }
