"""A training as a job: its names and files, run side by side with others, kept so that it is not done again.

Every kind of data trains by jobs: (model, fold, member). Jobs share nothing but what their kind has written to disk,
each runs on one thread with its own seed, and each leaves its model, its scores and its history in files. So the
numbers do not depend on how many processes there are, and an interrupted run goes on with the jobs that are missing.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import ConfigError, DataError, StorageError, TrainingError, writing
from hepda.runtime import processes as parallel
from hepda.runtime.processes import Send

TrainingOutput = tuple[NDArray[np.float32], dict[str, Any], dict[str, list[float | None]]]
"""What a training leaves: scores, facts about it (seconds, rows_per_second, epochs, ...), its history by column."""
ITS_OWN = (ConfigError, DataError, TrainingError)
"""What is wrong with one training alone, and no reason to stop others; a full disk or a lost process is one."""


@dataclass(frozen=True, slots=True)
class TrainingJob(ABC):
    """One training. `table` is the folder where the wing wrote its data; `run` the run directory; `work` holds what
    resumes.

    `kernels` is a setting of the trainer: the processes of a run do not measure for themselves which are the faster.
    """

    config: Any
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

    @property
    def shared(self) -> bool:
        """Whether the processes of torchrun compute it together (together.py): what a `Trainer` fits."""
        return True

    @abstractmethod
    def train(self, progress: Callable[[int, int], None]) -> TrainingOutput:
        """Train, and save the model in `folder`; progress(done, total) tells the epochs."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a job left: scores of the rows that it did not see, and what is known of its training."""

    model: str
    fold: int
    member: int
    score: NDArray[np.float32]
    about: dict[str, Any]  # seconds, rows_per_second, epochs, best_epoch, stopped, alarms
    history: dict[str, list[float | None]]

    @property
    def name(self) -> str:
        """As `TrainingJob.name`."""
        return f"{self.model}-fold{self.fold}-member{self.member}"


@dataclass(frozen=True, slots=True)
class FailedTraining:
    """A training that could not be done, and why."""

    name: str
    why: str


def model_of(name: str) -> str:
    """The model of a training, from the training's name."""
    return name.rpartition("-fold")[0]


def done(job: TrainingJob) -> Path:
    """The file that `run_job` leaves when a job is done."""
    return job.work / f"{job.name}.npz"


def run_job(_: None, job: TrainingJob, send: Send) -> TrainingResult:
    """Train, and leave scores and history in `job.work`; a job that is done already is not done again."""
    path = done(job)
    if not path.exists():
        score, about, history = job.train(lambda epochs, total: send(job.name, epochs, total))
        text = json.dumps({"about": about, "history": history})
        temporary = path.with_suffix(f".{os.getpid()}.tmp.npz")
        try:
            with writing(path):
                np.savez(temporary, score=score, text=np.frombuffer(text.encode(), np.uint8))
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    send(job.name, 1, 1)
    return read_job(job)


def read_job(job: TrainingJob) -> TrainingResult:
    """What `run_job` left. Raises StorageError if it cannot be read."""
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
    """As `run_job`; what is wrong with this training alone is told, not raised."""
    try:
        return run_job(None, job, send)
    except ITS_OWN as error:
        return FailedTraining(job.name, str(error))


def run_jobs(jobs: Sequence[TrainingJob], processes: int, progress: Send) -> list[TrainingResult]:
    """All jobs, `processes` at a time; returns what they left, in the order given.

    Raises:
        TrainingError: some failed. All others have been done then, and what they left stays in `TrainingJob.work`.

    """
    return all_trained(parallel.run(attempt, jobs, processes, shared=None, progress=progress))


def all_trained(results: Sequence[TrainingResult | FailedTraining]) -> list[TrainingResult]:
    """The results, none of which may be a failure. Raises TrainingError with name and reason of each that is one."""
    failed = [result for result in results if isinstance(result, FailedTraining)]
    if failed:
        told = "\n".join(f"  {one.name}: {one.why}" for one in failed)
        models = list(dict.fromkeys(model_of(one.name) for one in failed))
        ways = ", ".join(f"models.{model}" for model in models)
        raise TrainingError(
            f"{len(failed)} of {len(results)} trainings failed, the others are done and kept:\n{told}\n"
            f"Change {ways} and say --resume: only what is changed or missing is trained. To go on without, take it "
            f"out: {' '.join(f'--set models.{model}=null' for model in models)} --resume"
        )
    return [result for result in results if isinstance(result, TrainingResult)]
