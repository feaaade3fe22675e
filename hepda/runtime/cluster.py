"""A stream of tasks, done in this process, in processes of this machine or on a cluster; results in the order of tasks.

A worker may be lost on the way, killed by a batch system or by a full memory: the tasks whose results it had not
returned yet are done again by another worker, and no other task is.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from typing import Any, TypeVar

from hepda.errors import ConfigError, MissingExtraError, ProcessError
from hepda.runtime.processes import submit, workers

Item = TypeVar("Item")
Result = TypeVar("Result")
Stream = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""stream(task, items): task(item) of each item, in their order; a few are done ahead of the requested one."""

BATCH_SYSTEMS = {"slurm": "SLURMCluster", "htcondor": "HTCondorCluster"}
JOBS = 10
"""Number of jobs of a batch system, unless another one is given."""
LIVES = 3
"""How many workers in sequence a task may lose: a task that always loses its worker is at fault itself."""
_AHEAD = 2
"""Tasks that are submitted at once, for each worker."""
_WAIT = 60.0
"""Seconds in which a scheduler must answer, and in which one without workers must get some."""
_LOOK = 2.0
"""Seconds between checks of the workers while waiting for a result."""


@contextmanager
def crew(cluster: str | None, processes: int) -> Iterator[Stream]:
    """Provide the workers that do tasks within the block.

    Args:
        cluster: None for this machine: this process, or `processes` others. A number: so many workers of Dask on this
            machine. `tcp://host:port`: a Dask scheduler that is running. `slurm`, `htcondor`, `slurm:20`: jobs of a
            batch system (10, or the given number), as the configuration of dask-jobqueue describes them.
        processes: number of processes of this machine; 1 for this process alone.

    Raises:
        ConfigError: `cluster` is none of these, or does not answer.
        MissingExtraError: Dask is not installed.

    """
    if cluster is not None:
        with _dask(cluster) as stream:
            yield stream
    elif processes > 1:
        yield lambda task, items: _pooled(processes, task, items)
    else:
        yield lambda task, items: (task(item) for item in items)


def check_cluster(text: str | None) -> None:
    """Raise ConfigError if the value of `--cluster` has no meaning."""
    if text is None or _SCHEDULER.match(text) or (text.isdigit() and int(text) > 0):
        return
    name, _, number = text.partition(":")
    if name not in BATCH_SYSTEMS or (number and not (number.isdigit() and int(number) > 0)):
        raise ConfigError(
            f"--cluster {text}: must be a number of workers, the address of a Dask scheduler (tcp://host:8786), or "
            f"{', '.join(BATCH_SYSTEMS)} (slurm:20 for 20 jobs)."
        )


_SCHEDULER = re.compile(r"(tcp|tls|ucx|ws|wss)://\S+:\d+$")


def _pooled(processes: int, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Do the tasks in processes of this machine.

    Raises:
        ProcessError: the same task loses its process again and again.

    """
    source, asked = iter(items), deque[Item]()
    lives = LIVES
    while True:
        try:
            with workers(processes) as pool:
                waiting: deque[Future[Result]] = deque(submit(pool, task, [(item,) for item in asked]))
                while True:
                    fresh = list(islice(source, _AHEAD * processes - len(asked)))
                    asked.extend(fresh)
                    waiting.extend(submit(pool, task, [(item,) for item in fresh]) if fresh else [])
                    if not asked:
                        return
                    result = waiting.popleft().result()
                    asked.popleft()
                    lives = LIVES
                    yield result
        except ProcessError as error:
            lives -= 1
            if not lives:
                raise ProcessError(f"{error} It happened {LIVES} times with the same part of the work.") from error


@contextmanager
def _dask(cluster: str) -> Iterator[Stream]:
    check_cluster(cluster)
    dask = _distributed()
    with ExitStack() as stack:
        place: Any = cluster
        if not _SCHEDULER.match(cluster):
            place = stack.enter_context(_local(int(cluster)) if cluster.isdigit() else _batch(cluster))
        try:
            client = stack.enter_context(dask.Client(place, timeout=_WAIT, set_as_default=False))
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigError(f"--cluster {cluster}: the scheduler does not answer: {error}") from error
        # A batch system may let its jobs wait for hours; any other scheduler without a worker will not get one.
        patience = None if cluster.partition(":")[0] in BATCH_SYSTEMS else _WAIT
        yield lambda task, items: _remote(client, task, items, patience)


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise MissingExtraError("distributed", "cluster") from error
    return distributed


def _local(number: int) -> Any:
    # The size of the spans respects the budget of `--memory`; Dask must not kill workers by its own limit.
    return _distributed().LocalCluster(
        n_workers=number, threads_per_worker=1, memory_limit=0, dashboard_address=None, silence_logs=50
    )


def _batch(text: str) -> Any:
    name, _, number = text.partition(":")
    try:
        import dask_jobqueue
    except ImportError as error:
        raise MissingExtraError("dask-jobqueue", "cluster") from error
    try:
        cluster = getattr(dask_jobqueue, BATCH_SYSTEMS[name])()
    except (ValueError, TypeError, FileNotFoundError) as error:
        reason = str(error).splitlines()[0].rstrip(",")
        raise ConfigError(
            f"--cluster {text}: {reason}. What a job is (cores, memory, queue, wall time) stands in the configuration "
            f"of Dask, `jobqueue.{name}` of ~/.config/dask/jobqueue.yaml."
        ) from error

    async def hand_in() -> None:
        cluster.scale(jobs=int(number or JOBS))
        await cluster._correct_state()  # not awaited anywhere else: an error of the batch system would only be logged

    try:
        cluster.sync(hand_in)
    except (RuntimeError, OSError) as error:
        with suppress(AssertionError):  # distributed asserts that every job was accepted once
            cluster.close()
        said = [line for line in str(error).splitlines() if line.strip() and not line.endswith(":")]
        raise ConfigError(
            f"--cluster {text}: the batch system does not take the job: {'; '.join(said)}. What a job is stands in the "
            f"configuration of Dask, `jobqueue.{name}`."
        ) from error
    return cluster


def _remote(
    client: Any, task: Callable[[Item], Result], items: Iterable[Item], patience: float | None
) -> Iterator[Result]:
    """Do the tasks on the workers of a Dask scheduler, as many as there are.

    Raises:
        ProcessError: a task loses one worker after another, or there is no worker for `patience` seconds.

    """
    dask = _distributed()
    source, waiting = iter(items), deque[Any]()
    try:
        while True:
            threads = _threads(client)
            for item in islice(source, max(0, _AHEAD * max(threads, 1) - len(waiting))):
                waiting.append(client.submit(task, item, pure=False))
            if not waiting:
                return
            try:
                result = _result(client, waiting[0], patience)
            except dask.scheduler.KilledWorker as error:
                raise ProcessError(
                    f"the cluster lost one worker after another with the same part of the work: {error} Most often "
                    "their memory is full; give them more, or hepda less (`--memory`)."
                ) from error
            except (dask.CancelledError, dask.comm.core.CommClosedError) as error:
                raise ProcessError(f"the cluster went away: {error}. The same command starts again.") from error
            waiting.popleft()
            yield result
    finally:
        for future in waiting:
            future.cancel()


def _threads(client: Any) -> int:
    return sum(worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values())


def _result(client: Any, future: Any, patience: float | None) -> Any:
    alone = 0.0
    while True:
        try:
            return future.result(timeout=_LOOK)
        except TimeoutError:
            if future.status == "error":  # the error that ended the task, which may be its own TimeoutError
                return future.result()
        alone = 0.0 if _threads(client) else alone + _LOOK
        if patience is not None and alone >= patience:
            raise ProcessError(
                f"the cluster has had no worker for {patience:.0f} s; start workers, or leave out --cluster. The same "
                "command starts again."
            )
