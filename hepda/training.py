"""Every model of an analysis, fold by fold and member by member, trained in processes side by side.

A job is one training: (model, fold, member of the ensemble). Jobs share nothing but the table on disk, each runs on
one thread with its own seed, and each leaves its model, its scores and its history in files. So the numbers do not
depend on how many processes there are, and an interrupted run goes on with the jobs that are missing.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda import parallel
from hepda.config import AnalysisConfig, BdtConfig, DomainConfig, NetworkConfig
from hepda.parallel import Send

if TYPE_CHECKING:
    from hepda.adversarial import History, Network
    from hepda.adversarial.registry import Adversary
    from hepda.adversarial.terms import Term
    from hepda.events.reweighting import Factors
    from hepda.events.table import FeatureTable


@dataclass(frozen=True, slots=True)
class Job:
    """One training. `table` is a folder of `write_table`; `run` the run directory; `work` holds what resumes.

    `kernels` is a setting of the trainer: the processes of a run do not measure for themselves which are the faster.
    """

    config: AnalysisConfig
    model: str
    fold: int
    member: int
    table: Path
    run: Path
    work: Path
    device: str = "auto"
    kernels: str = "auto"

    @property
    def stem(self) -> str:
        """Name of the model's files within models/<model>/."""
        return f"fold{self.fold}-member{self.member}"

    @property
    def name(self) -> str:
        """Name of the job's files within `work`, and what progress is called."""
        return f"{self.model}-{self.stem}"

    @property
    def folder(self) -> Path:
        """Where the trained model goes."""
        return self.run / "models" / self.model

    @property
    def seed(self) -> int:
        """Of initialisation, shuffles and dropout: fixed by the analysis's seed and what is trained.

        Models of the same shape start from the same weights, so that they differ by what they are trained on.
        """
        text = f"{self.config.seed_for(self.model)}:{self.fold}:{self.member}"
        return zlib.crc32(text.encode())


@dataclass(frozen=True, slots=True)
class Trained:
    """What a job left: score [events of its fold] and what is known of its training."""

    model: str
    fold: int
    member: int
    score: NDArray[np.float32]
    about: dict[str, Any]  # seconds, rows_per_second, epochs, best_epoch, stopped, alarms
    history: dict[str, list[float | None]]

    @property
    def name(self) -> str:
        """As `Job.name`."""
        return f"{self.model}-fold{self.fold}-member{self.member}"


def jobs_of(config: AnalysisConfig, table: Path, run: Path, work: Path, device: str) -> list[Job]:
    """All trainings of an analysis, the longest kind first."""
    jobs = []
    networks = any(isinstance(section, NetworkConfig) for section in config.models.values())
    kernels = _kernels(device) if networks else "auto"
    for model, section in config.models.items():
        members = section.ensemble if isinstance(section, NetworkConfig) else 1
        jobs += [
            Job(config, model, fold, member, table, run, work, device, kernels)
            for fold in range(config.split.folds)
            for member in range(members)
        ]
    weight = {model: _cost(section) for model, section in config.models.items()}
    return sorted(jobs, key=lambda job: -weight[job.model])


def _kernels(device: str) -> str:
    from hepda.adversarial import Trainer

    return Trainer(device=device).with_kernels().kernels


def _cost(section: NetworkConfig | BdtConfig) -> int:
    if isinstance(section, BdtConfig):
        return 0
    return section.training.epochs * (2 if section.domain is not None else 1)


def build_network(inputs: int, section: NetworkConfig, seed: int, metadata: dict[str, Any]) -> Network:
    """The encoder, the class head and, where the config has a domain loss, the heads and terms of its method."""
    from hepda.adversarial import Head, Network, mlp, seeded
    from hepda.adversarial.registry import build

    width = section.encoder[-1]
    layers = partial(mlp, activation=section.activation, dropout=section.dropout)
    with seeded(seed):
        encoder = layers(inputs, section.encoder)
        heads = [Head("class", layers(width, section.class_head, 1), weight="class")]
        terms: list[Term] = []
        if section.domain is not None:
            more, terms = build(section.domain.method, _adversary(section.domain, width))
            heads += more
    return Network(encoder, heads, terms=terms, metadata=metadata)


def _adversary(section: DomainConfig, width: int) -> Adversary:
    """What the config says of the domain loss, in the words of the core's registry."""
    from hepda.adversarial.registry import Adversary
    from hepda.adversarial.tail import Tail
    from hepda.events.tensors import ADVERSARY, CLASSES

    return Adversary(
        features=width,
        rows=ADVERSARY,
        weight=ADVERSARY,
        strength=section.strength,
        schedule=section.schedule,
        warmup=section.warmup,
        input=section.input,
        hidden=section.head,
        rate=section.learning_rate_factor,
        steps=section.steps,
        smoothing=section.smoothing,
        spectral_norm=section.spectral_norm,
        gradient_penalty=section.gradient_penalty,
        balance=section.balance,
        tail=None if section.tail is None else Tail(section.tail),
        masks=tuple(CLASSES),
    )


def train_network(
    job: Job, on_epoch: Callable[[History], None]
) -> tuple[NDArray[np.float32], dict[str, Any], dict[str, Any]]:
    """Fit the network of a job; returns the scores of its fold, facts about the training, and its history."""
    from hepda.adversarial import Trainer
    from hepda.events.store import open_table
    from hepda.events.tensors import held_out, model_features, network_part

    section = job.config.models[job.model]
    if not isinstance(section, NetworkConfig):
        raise TypeError(f"{job.model} is not a network")
    table = open_table(job.table)
    factors = factors_of(job, table)
    part = network_part(job.config, table, job.model, job.fold, factors)
    network = build_network(part.source.features.shape[1], section, job.seed, _metadata(job, table.names))
    settings, domain = section.training, section.domain
    share = domain.batch_share if domain is not None else 0.5
    trainer = Trainer(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        target_size=round(settings.batch_size * share / (1.0 - share)),
        learning_rate=settings.learning_rate,
        rate_schedule=settings.schedule,
        optimizer=settings.optimizer,
        weight_decay=settings.weight_decay,
        momentum=settings.momentum,
        average=settings.average,
        projection=domain is not None and domain.self_correction,
        patience=settings.patience,
        seed=job.seed,
        device=job.device,
        kernels=job.kernels,
    )
    history = trainer.fit(
        network,
        part.source,
        part.target,
        validation=(part.source_validation, part.target_validation),
        checkpoint=job.work / f"{job.name}.checkpoint",
        resume=True,
        on_epoch=on_epoch,
    )
    job.folder.mkdir(parents=True, exist_ok=True)
    network.save(job.folder / f"{job.stem}.safetensors")
    unseen = held_out(table, job.fold)
    score = network.predict(model_features(job.config, table, job.model, rows=unseen), head="class")
    about = {
        "seconds": history.seconds,
        "rows_per_second": history.rows_per_second,
        "epochs": history.epochs,
        "best_epoch": history.best_epoch,
        "stopped": history.stopped,
        "alarms": [*history.alarms, *factors.warnings],
        "kernels": history.kernels,
        **factors.about,
    }
    return score, about, history.to_dict()["columns"]


def train_bdt(job: Job) -> tuple[NDArray[np.float32], dict[str, Any], dict[str, Any]]:
    """Fit the trees of a job; returns as `train_network`, without a history."""
    from hepda.baselines import bdt
    from hepda.events.store import open_table
    from hepda.events.tensors import bdt_part, held_out

    section = job.config.models[job.model]
    if not isinstance(section, BdtConfig):
        raise TypeError(f"{job.model} is not a BDT")
    table = open_table(job.table)
    factors = factors_of(job, table)
    parts = bdt_part(job.config, table, job.model, job.fold, factors)
    train, validation = (bdt.Events(*part) for part in parts)
    start = time.perf_counter()
    trees = bdt.fit(section, train, validation, seed=job.seed % 2**31)
    seconds = time.perf_counter() - start
    trees.save(job.folder, job.stem, _metadata(job, table.names))
    score = trees.predict(np.ascontiguousarray(table.features[held_out(table, job.fold)]))
    about = {
        "seconds": seconds,
        "rows_per_second": len(train.label) * trees.trees / seconds,
        "epochs": trees.trees,
        "alarms": [*([trees.note] if trees.note else []), *factors.warnings],
        **factors.about,
    }
    return score, about, {}


def factors_of(job: Job, table: FeatureTable) -> Factors:
    """The reweighting of a fold's training events; members of an ensemble share one, which lies in `job.work`."""
    from hepda.events.reweighting import read_factors, write_factors
    from hepda.events.tensors import training_factors

    path = job.work / f"{job.model}-fold{job.fold}.factors.npz"
    if not path.exists():
        factors = training_factors(job.config, table, job.model, job.fold)
        if not factors.about:
            return factors
        write_factors(path, factors)
    return read_factors(path)


def _metadata(job: Job, names: tuple[str, ...]) -> dict[str, Any]:
    """What stands beside a trained model: enough to score events with it.

    A network with a parameter reads one more column after its features; `value` is what events are scored at.
    """
    from hepda.events.tensors import parameter_of

    values = parameter_of(job.config, job.model)
    parameter = {} if values is None else {"parameter": {"domains": values, "value": 0.0}}
    return parameter | {
        "features": list(names),
        "model": job.model,
        "fold": job.fold,
        "member": job.member,
        "missing": job.config.missing,
    }


def run_job(_: None, job: Job, send: Send) -> Trained:
    """Train, and leave scores and history in `job.work`; a job that is done already is not done again."""
    done = job.work / f"{job.name}.npz"
    if not done.exists():
        section = job.config.models[job.model]
        if isinstance(section, NetworkConfig):
            epochs = section.training.epochs
            score, about, history = train_network(job, lambda h: send(job.name, h.epochs, epochs))
        else:
            score, about, history = train_bdt(job)
        text = json.dumps({"about": about, "history": history})
        temporary = done.with_suffix(f".{os.getpid()}.tmp.npz")
        np.savez(temporary, score=score, text=np.frombuffer(text.encode(), np.uint8))
        temporary.replace(done)
    send(job.name, 1, 1)
    return read_job(job)


def read_job(job: Job) -> Trained:
    """What `run_job` left."""
    with np.load(job.work / f"{job.name}.npz", allow_pickle=False) as file:
        text = json.loads(file["text"].tobytes().decode())
        return Trained(job.model, job.fold, job.member, file["score"], text["about"], text["history"])


def run_jobs(jobs: Sequence[Job], processes: int, progress: Send) -> list[Trained]:
    """All jobs, `processes` at a time; returns what they left, in the order given."""
    return parallel.run(run_job, jobs, processes, shared=None, progress=progress)
