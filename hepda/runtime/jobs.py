"""A training as a job: its names and files, run in parallel with others, kept so that it is not repeated.

Every kind of data trains by jobs: (model, fold, member). Jobs share only what their kind of data has written to disk,
each runs on one thread with its own seed, and each leaves its model, its scores and its history in files. So the
numbers do not depend on the number of processes, and an interrupted run continues with the jobs that are missing.
"""

from __future__ import annotations

import json
import os
import time
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hepda.errors import ConfigError, DataError, StorageError, TrainingError, replacing
from hepda.runtime.pool import Lost, Needs, Send, needs_of, open_pool
from hepda.timing import timed

if TYPE_CHECKING:
    from hepda.adversarial import DomainRows, History, Network

TrainingOutput = tuple[NDArray[np.float32], dict[str, Any], dict[str, list[float | None]]]
"""The result of a training: scores, facts about it (seconds, rows_per_second, epochs, ...), its history by column."""
ERRORS_OF_ONE_TRAINING = (ConfigError, DataError, TrainingError)
"""Errors of one training that do not stop the others; a full disk or a lost process stops all."""


@dataclass(frozen=True, slots=True)
class TrainingPart:
    """The data of one training of a network: rows of source and target, for training and for validation."""

    source: DomainRows
    target: DomainRows | None
    source_validation: DomainRows
    target_validation: DomainRows | None


@dataclass(frozen=True, slots=True)
class TrainingJob(ABC):
    """One training.

    `base_seed` is the seed of all trainings of the model; `table` is the folder where the kind of data wrote its data;
    `run` is the run directory; `work` holds the files for resuming. `kernels` is a setting of the trainer: the
    processes of a run do not measure themselves which are faster.
    """

    base_seed: int
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
        """Name of the job's files within `work`, and of its progress bar."""
        return f"{self.model}-{self.stem}"

    @property
    def folder(self) -> Path:
        """The folder of the trained model."""
        return self.run / "models" / self.model

    @property
    def seed(self) -> int:
        """Seed of initialisation, shuffles and dropout: fixed by the seed of the analysis and what is trained.

        Models of the same shape start from the same weights, so that they differ only by what they are trained on.
        """
        text = f"{self.base_seed}:{self.fold}:{self.member}"
        return zlib.crc32(text.encode())

    @property
    def shared(self) -> bool:
        """Whether all processes of torchrun compute it (hepda.adversarial.distributed), as for a `Trainer`."""
        return True

    def fit_network(
        self, network: Network, settings: Mapping[str, Any], part: TrainingPart, on_epoch: Callable[[History], None]
    ) -> History:
        """Fit a network, from its checkpoint if there is one, and save it in `folder`.

        Args:
            network: the network.
            settings: arguments of `hepda.adversarial.Trainer` besides seed, device and kernels.
            part: the rows of both domains for training and validation.
            on_epoch: called with the history after each epoch.

        """
        from hepda.adversarial import Trainer

        trainer = Trainer(**settings, seed=self.seed, device=self.device, kernels=self.kernels)
        history = trainer.fit(
            network,
            part.source,
            part.target,
            validation=(part.source_validation, part.target_validation),
            checkpoint=self.work / f"{self.name}.checkpoint",
            resume=True,
            on_epoch=on_epoch,
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        network.save(self.folder / f"{self.stem}.safetensors")
        return history

    @abstractmethod
    def train(self, progress: Callable[[int, int], None]) -> TrainingOutput:
        """Train, and save the model in `folder`; progress(done, total) is called with the epochs."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The result of a job: scores of the rows that it was not trained on, and facts about its training."""

    model: str
    fold: int
    member: int
    score: NDArray[np.float32]
    about: dict[str, Any]  # seconds, rows_per_second, epochs, best_epoch, stopped, alarms
    history: dict[str, list[float | None]]

    @property
    def name(self) -> str:
        """The same as `TrainingJob.name`."""
        return f"{self.model}-fold{self.fold}-member{self.member}"


@dataclass(frozen=True, slots=True)
class FailedTraining:
    """A training that failed, and the reason."""

    name: str
    why: str


def out_of_fold(results: Sequence[TrainingResult], model: str, fold: NDArray[Any]) -> NDArray[np.float32]:
    """Return the scores of a model for all rows: those of the fold of a row, averaged over the members of an ensemble.

    Args:
        results: of all trainings.
        model: the model.
        fold: the fold of each row [n].

    Returns:
        The scores [n, ...]; NaN for the rows of a fold without a training.

    """
    of_model = [result for result in results if result.model == model]
    scores = np.full((len(fold), *of_model[0].score.shape[1:]), np.nan, dtype=np.float32)
    for number in sorted({result.fold for result in of_model}):
        scores[fold == number] = np.mean([result.score for result in of_model if result.fold == number], axis=0)
    return scores


def model_of(name: str) -> str:
    """Return the model of a training, from the name of the training."""
    return name.rpartition("-fold")[0]


def done(job: TrainingJob) -> Path:
    """Return the file that `run_job` leaves when a job is done."""
    return job.work / f"{job.name}.npz"


def run_job(_: None, job: TrainingJob, send: Send) -> TrainingResult:
    """Train, and leave scores and history in `job.work`; a job that is done already is not repeated."""
    path = done(job)
    if not path.exists():
        begin = time.process_time()
        with timed(job.model):
            score, about, history = job.train(lambda epochs, total: send(job.name, epochs, total))
        about |= {"cpu_seconds": time.process_time() - begin}
        text = json.dumps({"about": about, "history": history})
        with replacing(path, ".npz") as temporary:
            np.savez(temporary, score=score, text=np.frombuffer(text.encode(), np.uint8))
    send(job.name, 1, 1)
    return read_job(job)


def read_job(job: TrainingJob) -> TrainingResult:
    """Read what `run_job` left.

    Raises:
        StorageError: it cannot be read.

    """
    try:
        with np.load(done(job), allow_pickle=False) as file:
            text = json.loads(file["text"].tobytes().decode())
            return TrainingResult(job.model, job.fold, job.member, file["score"], text["about"], text["history"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise StorageError(
            f"{done(job)} cannot be read as the scores of a training ({error}); remove it, and only that training is "
            "done again."
        ) from error


def attempt(_: None, job: TrainingJob, send: Send) -> TrainingResult | FailedTraining:
    """Do the same as `run_job`, but return an error that concerns only this training instead of raising it."""
    try:
        return run_job(None, job, send)
    except ERRORS_OF_ONE_TRAINING as error:
        return FailedTraining(job.name, str(error))


def run_jobs(
    jobs: Sequence[TrainingJob], processes: int, progress: Send, cluster: str | None = None
) -> list[TrainingResult]:
    """Run all jobs.

    Args:
        jobs: the trainings.
        processes: number of trainings in parallel, of this machine.
        progress: called with the name of a training, its epochs done, and its epochs in all.
        cluster: whose workers train instead, see `hepda.runtime.pool.open_pool`; None for none.

    Returns:
        The results of the trainings, in the order of the jobs.

    Raises:
        TrainingError: some failed. All others are done in this case, and their results stay in `TrainingJob.work`.

    """
    if cluster is None:
        with open_pool(min(processes, len(jobs)), progress=progress) as pool:
            return all_trained(pool.map(attempt, jobs))
    sent = [for_cluster(job) for job in jobs]
    with needs_of_jobs(sent) as needs, open_pool(1, cluster, progress=progress, needs=needs) as pool:
        results = pool.try_map(attempt, sent)
    named = zip(jobs, results, strict=True)
    return all_trained([FailedTraining(j.name, r.why) if isinstance(r, Lost) else r for j, r in named])


Job = TypeVar("Job", bound=TrainingJob)


def for_cluster(job: Job) -> Job:
    """Return the job as a worker of a cluster does it, whose working directory may be another one."""
    return replace(job, table=job.table.absolute(), run=job.run.absolute(), work=job.work.absolute())


@contextmanager
def needs_of_jobs(jobs: Sequence[TrainingJob]) -> Iterator[Needs | None]:
    """Provide what jobs of one command need on a worker; None if there is no job."""
    if not jobs:
        yield None
        return
    folder = Path(os.path.commonpath([job.work for job in jobs]))
    tables = list(dict.fromkeys(job.table for job in jobs))
    with needs_of(folder, tables, jobs[0].device) as needs:
        yield needs


def all_trained(results: Sequence[TrainingResult | FailedTraining]) -> list[TrainingResult]:
    """Return the results if none of them is a failure.

    Raises:
        TrainingError: some are; the message contains name and reason of each.

    """
    failed = [result for result in results if isinstance(result, FailedTraining)]
    if failed:
        reasons = "\n".join(f"  {training.name}: {training.why}" for training in failed)
        models = list(dict.fromkeys(model_of(training.name) for training in failed))
        keys = ", ".join(f"models.{model}" for model in models)
        raise TrainingError(
            f"{len(failed)} of {len(results)} trainings failed, the others are done and kept:\n{reasons}\n"
            f"Change {keys} and use --resume: only what is changed or missing is trained. To continue without, leave "
            f"it out: {' '.join(f'--set models.{model}=null' for model in models)} --resume"
        )
    return [result for result in results if isinstance(result, TrainingResult)]
