"""Tasks in parallel: in this process, in processes of this machine, or on a cluster; results in the order of tasks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hepda.runtime.pool.cluster import check_cluster, keep_cluster, on_cluster, release_cluster
from hepda.runtime.pool.dask_queue import WORKERS
from hepda.runtime.pool.interface import InProcess, Lost, Pool, Send, ignore_progress, one_thread
from hepda.runtime.pool.nodes import Needs, appears, needs_of
from hepda.runtime.pool.processes import LocalProcesses, cores, kept_workers, preload, server_seconds

__all__ = [
    "WORKERS",
    "InProcess",
    "Lost",
    "Needs",
    "Pool",
    "Send",
    "appears",
    "check_cluster",
    "cores",
    "ignore_progress",
    "keep_cluster",
    "kept_workers",
    "needs_of",
    "one_thread",
    "open_pool",
    "preload",
    "release_cluster",
    "server_seconds",
]


@contextmanager
def open_pool(
    processes: int,
    cluster: str | None = None,
    *,
    shared: Any = None,
    progress: Send = ignore_progress,
    needs: Needs | None = None,
) -> Iterator[Pool]:
    """Provide a pool of workers, which end with the block, however it ends.

    In a block of `kept_workers`, processes of this machine stay for the next pool.

    Args:
        processes: number of processes of this machine; 1 or less: no other process. Ignored if a cluster is given.
        cluster: None for this machine. A number: so many workers of Dask on this machine. `tcp://host:port`: a Dask
            scheduler that is running; `scheduler.json`: its scheduler file. `slurm`, `htcondor`, `slurm:20`: jobs of
            a batch system (10, or the given number), as the configuration of dask-jobqueue describes them.
        shared: the first argument of the tasks of `map`; sent to each worker once.
        progress: called with what is done, how far it is, and how far it goes.
        needs: what a worker of a cluster must have before it gets a task of `map`.

    Raises:
        ConfigError: `cluster` is none of these, or does not answer.
        MissingExtraError: Dask is not installed.

    """
    if cluster is not None:
        with on_cluster(cluster, shared, progress, needs) as pool:
            yield pool
    elif processes > 1:
        with LocalProcesses(processes, shared, progress) as pool:
            yield pool
    else:
        yield InProcess(shared, progress)
