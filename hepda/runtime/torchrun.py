"""Several processes of torchrun as one run: the first tells the story, the others take part in its trainings.

    torchrun --nproc-per-node 2 -m hepda train --config tth.yaml

Each training is shared by all processes, one after the other: every process computes its part of each batch, and the
gradients are summed. On several machines the run directory has to lie where all of them can read it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hepda.runtime import jobs as single
from hepda.runtime.jobs import TrainingJob, TrainingResult
from hepda.runtime.processes import Send, one_thread


def started() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def follows() -> bool:
    """Whether it is not the first of them."""
    return started() and int(os.environ["RANK"]) > 0


def run_jobs(jobs: Sequence[TrainingJob], processes: int, progress: Send) -> list[TrainingResult]:
    """As `jobs.run_jobs`, with the help of the other processes where torchrun started some."""
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
    """What a process that is not the first does: its part of every training. Its models and scores, which are those
    of the first, go nowhere.
    """
    from hepda.adversarial import distributed

    distributed.init()
    jobs: list[TrainingJob] = distributed.broadcast([])
    with tempfile.TemporaryDirectory() as folder, one_thread():
        for job in jobs:
            single.attempt(None, replace(job, run=Path(folder), work=Path(folder)), lambda *_: None)  # the first tells
    distributed.shutdown()
