"""Several processes of torchrun as one run: the first does the whole run, the others take part in its trainings.

    torchrun --nproc-per-node 2 -m hepda train --config tth.yaml

Each training is shared by all processes, one training after the other: every process computes its part of each batch,
and the gradients are summed. On several machines the run directory must be readable by all of them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hepda.runtime import jobs as single
from hepda.runtime.jobs import TrainingJob, TrainingResult
from hepda.runtime.pool import Send, one_thread


def started() -> bool:
    """Return whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def follows() -> bool:
    """Return whether this process is one of torchrun, but not the first of them."""
    return started() and int(os.environ["RANK"]) > 0


def run_jobs(jobs: Sequence[TrainingJob], processes: int, progress: Send) -> list[TrainingResult]:
    """Do the same as `jobs.run_jobs`, together with the other processes if torchrun started some.

    Args:
        jobs: the trainings.
        processes: number of processes if torchrun started none.
        progress: receives the progress of the trainings.

    """
    from hepda.adversarial import distributed

    if not started():
        return single.run_jobs(jobs, processes, progress)
    distributed.init()
    distributed.broadcast([job for job in jobs if job.shared and not single.done(job).exists()])
    try:
        with one_thread():
            return single.all_trained([single.attempt(None, job, progress) for job in jobs])
    finally:
        distributed.shutdown()


def follow() -> None:
    """Do the part of a process that is not the first: its share of every training.

    Its models and scores are those of the first process and are discarded.
    """
    from hepda.adversarial import distributed

    distributed.init()
    jobs: list[TrainingJob] = distributed.broadcast([])
    with tempfile.TemporaryDirectory() as folder, one_thread():
        for job in jobs:
            # The first process reports the progress.
            single.attempt(None, replace(job, run=Path(folder), work=Path(folder)), lambda *_: None)
    distributed.shutdown()
