"""Several processes of torchrun as one run: rank 0 does the run, the others share its trainings.

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


def world_size() -> int:
    """Return the number of processes that torchrun started; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def rank() -> int:
    """Return the number of this process among those of torchrun; 0 without torchrun."""
    return int(os.environ["RANK"]) if world_size() > 1 else 0


def run_jobs(
    jobs: Sequence[TrainingJob], processes: int, progress: Send, cluster: str | None = None
) -> list[TrainingResult]:
    """Do the same as `jobs.run_jobs`, in all processes of torchrun if it started some.

    Args:
        jobs: the trainings.
        processes: number of processes if torchrun started none.
        progress: receives the progress of the trainings.
        cluster: whose workers train, if torchrun started no other process; None for none.

    """
    from hepda.adversarial import distributed

    if world_size() == 1:
        return single.run_jobs(jobs, processes, progress, cluster)
    distributed.init()
    distributed.broadcast([job for job in jobs if job.shared and not single.done(job).exists()])
    try:
        with one_thread():
            return single.all_trained([single.attempt(None, job, progress) for job in jobs])
    finally:
        distributed.shutdown()


def train_with_rank_0() -> None:
    """Compute the part of this process, whose rank is not 0, in every training of the run.

    Its models and scores are those of rank 0 and are discarded.
    """
    from hepda.adversarial import distributed

    distributed.init()
    jobs: list[TrainingJob] = distributed.broadcast([])
    with tempfile.TemporaryDirectory() as folder, one_thread():
        for job in jobs:
            # Rank 0 reports the progress.
            single.attempt(None, replace(job, run=Path(folder), work=Path(folder)), lambda *_: None)
    distributed.shutdown()
