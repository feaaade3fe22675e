"""The pool of the workers of a Dask scheduler: they may come late and be lost at any time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from hepda.errors import ProcessError
from hepda.runtime.pool.dask_queue import TaskQueue
from hepda.runtime.pool.dask_workers import LOOK, Absence, Connection, distributed, gone
from hepda.runtime.pool.interface import Item, Lost, Pool, Result, Send
from hepda.runtime.pool.nodes import Needs, Node
from hepda.runtime.pool.processes import AHEAD


class Dask(Pool):
    """The workers of a Dask scheduler, as many as there are at any time.

    Args:
        workers: the client of the scheduler.
        shared: the shared value of `map`.
        progress: called with the progress of the tasks of `map`.
        needs: what a worker must have for the tasks of `map`; None for nothing.

    """

    def __init__(self, workers: Connection, shared: Any, progress: Send, needs: Needs | None = None) -> None:
        self._workers, self._shared, self._progress, self._needs = workers, shared, progress, needs
        self._nodes: dict[str, Node] = {}

    def map(self, task: Callable[[Any, Item, Send], Result], items: Sequence[Item]) -> list[Result]:
        """Do the tasks on the workers, one at a time on each."""
        results = []
        for result in self.try_map(task, items):
            if isinstance(result, Lost):
                raise ProcessError(result.why)
            results.append(result)
        return results

    def try_map(self, task: Callable[[Any, Item, Send], Result], items: Sequence[Item]) -> list[Result | Lost]:
        """Do the tasks on the workers, one at a time on each."""
        queue = TaskQueue(self._workers, self._nodes, self._needs, self._progress, task, items)
        return queue.results(self._shared) if items else []

    def stream(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Do the tasks on the workers; the scheduler gives those of a lost worker to another."""
        dask, client = distributed(), self._workers.client
        source, pending = iter(items), deque[Any]()
        try:
            while True:
                ahead = AHEAD * max(self._workers.threads(), 1)
                new = islice(source, max(0, ahead - len(pending)))
                pending.extend(client.submit(task, item, pure=False) for item in new)
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
                    raise gone(error) from error
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
        missing = Absence(self._workers.patience)
        while True:
            try:
                return future.result(timeout=LOOK)
            except TimeoutError:
                if future.status == "error":  # the error that ended the task, which may be its own TimeoutError
                    return future.result()
            missing.check(self._workers.threads() > 0)
