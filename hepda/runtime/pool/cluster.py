"""Dask schedulers with their workers: on this machine, running already, or in jobs of a batch system."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hepda.errors import ConfigError, MissingExtraError
from hepda.runtime.pool.dask_pool import Dask
from hepda.runtime.pool.dask_workers import Connection, distributed
from hepda.runtime.pool.interface import Pool, Send
from hepda.runtime.pool.nodes import Needs

BATCH_SYSTEMS = {"slurm": "SLURMCluster", "htcondor": "HTCondorCluster"}
QUEUES = {"slurm": "squeue --me", "htcondor": "condor_q"}
"""The commands that show the jobs of a user."""
JOBS = 10
"""Number of jobs of a batch system, unless another one is given."""
_WAIT = 60.0
"""Seconds in which a scheduler must answer, and in which one without workers must get some."""
_ENDED = 30.0
"""Seconds after which a job of a batch system that had workers and has none is submitted again."""
_SCHEDULER = re.compile(r"(tcp|tls|ucx|ws|wss)://\S+:\d+$")

log = logging.getLogger(__name__)


def check_cluster(text: str | None) -> None:
    """Raise ConfigError if the value of `--cluster` has no meaning."""
    if text is None or _SCHEDULER.match(text) or (text.isdigit() and int(text) > 0):
        return
    if text.endswith(".json"):
        if not Path(text).is_file():
            raise ConfigError(
                f"--cluster {text}: there is no such file; `dask scheduler --scheduler-file {text}` writes it."
            )
        return
    name, _, number = text.partition(":")
    if name not in BATCH_SYSTEMS or (number and not (number.isdigit() and int(number) > 0)):
        raise ConfigError(
            f"--cluster {text}: must be a number of workers, the address of a Dask scheduler (tcp://host:8786) or its "
            f"scheduler file (scheduler.json), or {', '.join(BATCH_SYSTEMS)} (slurm:20 for 20 jobs)."
        )


@contextmanager
def keep_cluster(cluster: str | None) -> Iterator[None]:
    """Let the pools of the block that name this cluster share its workers, from the first of them to the end.

    Jobs of a batch system are then submitted, and wait in its queue, only once in a command.
    """
    if cluster is None or cluster in _KEPT:
        yield
        return
    with ExitStack() as stack:
        _KEPT[cluster] = _Kept(stack)
        try:
            yield
        finally:
            del _KEPT[cluster]


def release_cluster(cluster: str | None) -> None:
    """End the workers that `keep_cluster` keeps: the rest of the command does not need them."""
    kept = _KEPT.get(cluster or "")
    if kept is not None:
        kept.connection = None
        kept.stack.close()


@contextmanager
def on_cluster(cluster: str, shared: Any, progress: Send, needs: Needs | None = None) -> Iterator[Pool]:
    """Provide the pool of a cluster; the arguments are those of `open_pool`.

    Raises:
        ConfigError: `cluster` names none, or it does not answer.
        MissingExtraError: Dask is not installed.

    """
    kept = _KEPT.get(cluster)
    if kept is not None:
        if kept.connection is None:
            kept.connection = _connect(cluster, kept.stack)
        yield Dask(kept.connection, shared, progress, needs)
        return
    with ExitStack() as stack:
        yield Dask(_connect(cluster, stack), shared, progress, needs)


@dataclass(slots=True)
class _Kept:
    stack: ExitStack
    connection: Connection | None = None


_KEPT: dict[str, _Kept] = {}
"""The clusters of `keep_cluster`, by the value of `--cluster`."""


def _connect(cluster: str, stack: ExitStack) -> Connection:
    """Start or find the scheduler; the stack ends what was started.

    Raises:
        ConfigError: `cluster` names none, or it does not answer.
        MissingExtraError: Dask is not installed.

    """
    check_cluster(cluster)
    dask, jobs = distributed(), None
    arguments: dict[str, Any] = {"address": cluster}
    if cluster.endswith(".json"):
        arguments = {"scheduler_file": cluster}
    elif cluster.isdigit():
        arguments = {"address": stack.enter_context(_local(int(cluster)))}
    elif not _SCHEDULER.match(cluster):
        batch = stack.enter_context(submitted(cluster))
        arguments, jobs = {"address": batch}, BatchJobs(batch, cluster.partition(":")[0])
    try:
        client = stack.enter_context(dask.Client(**arguments, timeout=_WAIT, set_as_default=False))
    except (OSError, TimeoutError, ValueError) as error:
        raise ConfigError(f"--cluster {cluster}: the scheduler does not answer: {error}") from error
    # The jobs of a batch system may wait for hours; any other scheduler without a worker will not get one.
    return Connection(client, None if jobs is not None else _WAIT, jobs)


def _local(number: int) -> Any:
    # The size of the spans respects the budget of `--memory`; Dask must not kill workers by its own limit.
    return distributed().LocalCluster(
        n_workers=number, threads_per_worker=1, memory_limit=0, dashboard_address=None, silence_logs=50
    )


# --- batch systems -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class BatchJobs:
    """The jobs of a batch system: those that have ended, most often because their time was over, are submitted again.

    Attributes:
        cluster: of dask-jobqueue.
        system: a key of `BATCH_SYSTEMS`.
        seen: when each job last had a worker, by name (s).
        since: when the waiting for the first worker began (s), None when it is over or was reported.
        last: when jobs were last submitted again (s).

    """

    cluster: Any
    system: str
    seen: dict[str, float] = field(default_factory=dict)
    since: float | None = field(default_factory=time.monotonic)
    last: float = -_WAIT

    def renew(self, names: Sequence[str]) -> None:
        """Submit jobs that have ended again; names: of the workers that are there."""
        now = time.monotonic()
        self.seen |= {job: now for job in self.cluster.workers if any(_is_of(name, job) for name in names)}
        if names:
            self.since = None
        elif self.since is not None and now - self.since > _WAIT:
            self.since = None
            log.info(f"no job runs yet; they wait in the queue of {self.system} (`{QUEUES[self.system]}` shows them).")
        ended = [job for job, last in self.seen.items() if job in self.cluster.workers and now - last > _ENDED]
        complete = not ended and len(self.cluster.workers) == len(self.cluster.worker_spec)
        if complete or now - self.last < _ENDED:
            return
        self.last = now
        log.info(f"jobs of {self.system} have ended and are submitted again")
        try:
            self.cluster.sync(self._submit_again, ended)
        except (RuntimeError, OSError) as error:
            log.warning(f"{self.system} does not take a job again: {_reasons(error)}")

    async def _submit_again(self, ended: Sequence[str]) -> None:
        for name in ended:
            job = self.cluster.workers.pop(name, None)
            self.seen.pop(name, None)
            if job is not None:
                with suppress(RuntimeError):  # it cannot be cancelled: it has ended
                    await job.close()
        for name in set(self.seen) - set(self.cluster.workers):
            del self.seen[name]
        await self.cluster._correct_state()


def _is_of(worker: str, job: str) -> bool:
    """Return whether a worker is of a job: its name is that of the job, with a number if the job has several."""
    return worker == job or worker.rpartition("-")[0] == job


def described(system: str) -> Any:
    """Return the cluster of dask-jobqueue as its configuration describes the jobs, without any job.

    Each job has as many workers as cores, unless the configuration says otherwise: each does one task at a time.

    Args:
        system: a key of `BATCH_SYSTEMS`.

    Raises:
        ConfigError: the configuration does not describe a job.
        MissingExtraError: dask-jobqueue is not installed.

    """
    try:
        import dask
        import dask_jobqueue
    except ImportError as error:
        raise MissingExtraError("dask-jobqueue", "cluster") from error
    section = f"jobqueue.{system}"
    processes = dask.config.get(f"{section}.processes", None) or dask.config.get(f"{section}.cores", None)
    try:
        return getattr(dask_jobqueue, BATCH_SYSTEMS[system])(processes=processes)
    except (ValueError, TypeError, FileNotFoundError) as error:
        reason = str(error).splitlines()[0].rstrip(",")
        raise ConfigError(
            f"--cluster {system}: {reason}. The configuration of Dask, `{section}` of ~/.config/dask/jobqueue.yaml, "
            "describes a job (cores, memory, queue, wall time); docs/cluster.md has complete ones."
        ) from error


@contextmanager
def submitted(text: str) -> Iterator[Any]:
    """Provide a cluster of dask-jobqueue whose jobs are submitted; they are cancelled at the end of the block.

    Args:
        text: `slurm` or `slurm:20`.

    Raises:
        ConfigError: the configuration does not describe a job, or the batch system does not take it.
        MissingExtraError: dask-jobqueue is not installed.

    """
    name, _, number = text.partition(":")
    cluster = described(name)

    async def submit() -> None:
        cluster.scale(jobs=int(number or JOBS))
        await cluster._correct_state()  # not awaited anywhere else: an error of the batch system would only be logged

    try:
        cluster.sync(submit)
    except (RuntimeError, OSError) as error:
        with suppress(AssertionError):  # distributed asserts that every job was accepted once
            cluster.close()
        raise ConfigError(
            f"--cluster {text}: the batch system does not take the job: {_reasons(error)}. The configuration of "
            f"Dask, `jobqueue.{name}`, describes a job."
        ) from error
    with cluster:
        yield cluster


def _reasons(error: Exception) -> str:
    return "; ".join(line for line in str(error).splitlines() if line.strip() and not line.endswith(":"))
