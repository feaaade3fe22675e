"""A pool of Dask workers: on this machine, of a scheduler that is running, or in jobs of a batch system."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import islice
from queue import SimpleQueue
from typing import Any

from hepda.errors import ConfigError, MissingExtraError, ProcessError
from hepda.runtime.pool.interface import Item, Pool, Result, Send, one_thread
from hepda.runtime.pool.processes import AHEAD

BATCH_SYSTEMS = {"slurm": "SLURMCluster", "htcondor": "HTCondorCluster"}
JOBS = 10
"""Number of jobs of a batch system, unless another one is given."""
_WAIT = 60.0
"""Seconds in which a scheduler must answer, and in which one without workers must get some."""
_LOOK = 2.0
"""Seconds between checks of the workers while waiting for a result."""
_SCHEDULER = re.compile(r"(tcp|tls|ucx|ws|wss)://\S+:\d+$")
_TOPIC = "hepda-progress"
"""The topic of Dask under which workers send their progress."""


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


@contextmanager
def on_cluster(cluster: str, shared: Any, progress: Send) -> Iterator[Pool]:
    """Provide the pool of a cluster; the arguments are those of `open_pool`.

    Raises:
        ConfigError: `cluster` names none, or it does not answer.
        MissingExtraError: Dask is not installed.

    """
    check_cluster(cluster)
    dask = _distributed()
    with ExitStack() as stack:
        scheduler: Any = cluster
        if not _SCHEDULER.match(cluster):
            scheduler = stack.enter_context(_local(int(cluster)) if cluster.isdigit() else _batch(cluster))
        try:
            client = stack.enter_context(dask.Client(scheduler, timeout=_WAIT, set_as_default=False))
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigError(f"--cluster {cluster}: the scheduler does not answer: {error}") from error
        # The jobs of a batch system may wait for hours; any other scheduler without a worker will not get one.
        patience = None if cluster.partition(":")[0] in BATCH_SYSTEMS else _WAIT
        yield Dask(client, patience, shared, progress)


class Dask(Pool):
    """The workers of a Dask scheduler, as many as there are at any time.

    Args:
        client: the client of the scheduler.
        patience: seconds for which there may be no worker; None for any time.
        shared: the shared value of `map`.
        progress: called with the progress of the tasks of `map`.

    """

    def __init__(self, client: Any, patience: float | None, shared: Any, progress: Send) -> None:
        self._client, self._patience, self._shared, self._progress = client, patience, shared, progress
        self._messages: SimpleQueue[tuple[str, int, int]] = SimpleQueue()

    def map(self, task: Callable[[Any, Item, Send], Result], items: Sequence[Item]) -> list[Result]:
        """Do the tasks on the workers."""
        shared = self._client.submit(_same, self._shared, pure=False)
        topic = f"{_TOPIC}-{shared.key}"
        self._client.subscribe_topic(topic, lambda event: self._messages.put(tuple(event[1])))
        try:
            submit = partial(self._client.submit, _call, task, shared, topic, pure=False)
            return list(self._results(submit, items, len(items)))
        finally:
            self._client.unsubscribe_topic(topic)

    def stream(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Do the tasks on the workers; the scheduler gives those of a lost worker to another."""
        return self._results(partial(self._client.submit, task, pure=False), items, None)

    def _results(self, submit: Callable[[Item], Any], items: Iterable[Item], ahead: int | None) -> Iterator[Any]:
        """Yield the results; `ahead` is the number of tasks submitted at once, None for a few for each worker."""
        dask = _distributed()
        source, pending = iter(items), deque[Any]()
        try:
            while True:
                limit = AHEAD * max(self._threads(), 1) if ahead is None else ahead
                pending.extend(submit(item) for item in islice(source, max(0, limit - len(pending))))
                if not pending:
                    return
                try:
                    result = self._result(pending[0])
                except dask.scheduler.KilledWorker as error:
                    raise ProcessError(
                        f"the cluster lost one worker after another with the same part of the work: {error} Most often "
                        "their memory is full; give them more, or hepda less (`--memory`)."
                    ) from error
                except (dask.CancelledError, dask.comm.core.CommClosedError) as error:
                    raise ProcessError(f"the cluster went away: {error}. The same command starts again.") from error
                pending.popleft()
                yield result
        finally:
            for future in pending:
                future.cancel()

    def _result(self, future: Any) -> Any:
        """Wait for a result.

        Raises:
            ProcessError: there is no worker for too long.

        """
        without_workers = 0.0
        while True:
            try:
                result = future.result(timeout=_LOOK)
            except TimeoutError:
                if future.status == "error":  # the error that ended the task, which may be its own TimeoutError
                    return future.result()
            else:
                self._receive()
                return result
            self._receive()
            without_workers = 0.0 if self._threads() else without_workers + _LOOK
            if self._patience is not None and without_workers >= self._patience:
                raise ProcessError(
                    f"the cluster has had no worker for {self._patience:.0f} s; start workers, or leave out --cluster. "
                    "The same command starts again."
                )

    def _receive(self) -> None:
        while not self._messages.empty():
            self._progress(*self._messages.get())

    def _threads(self) -> int:
        return sum(worker["nthreads"] for worker in self._client.scheduler_info(n_workers=-1)["workers"].values())


def _same(value: Any) -> Any:
    """Return the shared value as a result of a task, which a worker keeps and Dask makes again when it is lost."""
    return value


def _call(task: Callable[[Any, Any, Send], Result], shared: Any, topic: str, item: Any) -> Result:
    worker = _distributed().get_worker()
    with one_thread():
        return task(shared, item, lambda what, done, total: worker.log_event(topic, [what, done, total]))


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
            f"--cluster {text}: {reason}. The configuration of Dask, `jobqueue.{name}` of "
            "~/.config/dask/jobqueue.yaml, describes a job (cores, memory, queue, wall time)."
        ) from error

    async def submit() -> None:
        cluster.scale(jobs=int(number or JOBS))
        await cluster._correct_state()  # not awaited anywhere else: an error of the batch system would only be logged

    try:
        cluster.sync(submit)
    except (RuntimeError, OSError) as error:
        with suppress(AssertionError):  # distributed asserts that every job was accepted once
            cluster.close()
        reasons = [line for line in str(error).splitlines() if line.strip() and not line.endswith(":")]
        raise ConfigError(
            f"--cluster {text}: the batch system does not take the job: {'; '.join(reasons)}. The configuration of "
            f"Dask, `jobqueue.{name}`, describes a job."
        ) from error
    return cluster
