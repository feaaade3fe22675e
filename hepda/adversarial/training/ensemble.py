"""Several trainings side by side: k folds, or an ensemble over seeds."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from hepda.adversarial.data.batches import Rows
from hepda.adversarial.networks.network import Network
from hepda.adversarial.training.history import History
from hepda.adversarial.training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Job:
    """One training: what `Trainer.fit` is called with."""

    trainer: Trainer
    network: Network
    source: Rows
    target: Rows | None = None
    validation: tuple[Rows, Rows | None] | None = None
    checkpoint: Path | None = None
    resume: bool = False


def fit_all(jobs: Sequence[Job], workers: int = 1) -> list[History]:
    """Train every job's network, in place; `workers` of them at a time, each in a process of one thread.

    The numbers are those of the jobs trained one after the other on one thread: which kernels `auto` stands for is
    decided here, for all of them. A script that asks for more
    than one worker must keep its own start behind `if __name__ == "__main__":`, as with any process pool.
    """
    jobs = [replace(job, trainer=job.trainer.with_kernels()) for job in jobs]
    if workers <= 1 or len(jobs) <= 1:
        return [_fit(job) for job in jobs]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _one_thread) as pool:
        done = list(pool.map(_fit_apart, jobs))
    for job, (_, state) in zip(jobs, done, strict=True):
        job.network.load_state_dict(state)
        job.network.eval()
    return [history for history, _ in done]


def _one_thread() -> None:
    torch.set_num_threads(1)


def _fit(job: Job) -> History:
    return job.trainer.fit(
        job.network,
        job.source,
        job.target,
        validation=job.validation,
        checkpoint=job.checkpoint,
        resume=job.resume,
    )


def _fit_apart(job: Job) -> tuple[History, dict[str, Tensor]]:
    history = _fit(job)
    return history, {name: value.cpu() for name, value in job.network.state_dict().items()}
