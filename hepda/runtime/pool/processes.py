"""A pool of processes of this machine, which end with this process, however it ends."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from logging.handlers import QueueHandler
from multiprocessing.context import BaseContext
from queue import Empty
from types import TracebackType
from typing import Any, Self

from hepda.errors import ProcessError
from hepda.runtime.log import LOGGER
from hepda.runtime.pool.interface import Item, Pool, Result, Send, one_thread

RETRIES = 2
"""How often in sequence a task of a stream that loses its worker is done again: one that always does is the cause."""
AHEAD = 2
"""Tasks of a stream that are submitted at once, for each worker."""
_LOST = (
    "a process of the run was ended from outside, most often because the memory was full; run fewer in parallel "
    "(`training.processes`, or `--processes` of generate) and continue this one"
)
_WORKER: dict[str, Any] = {}
"""In a worker: `shared`, the value of its pool, and `send`, which sends progress to the parent."""


def preload(modules: Sequence[str] = ()) -> None:
    """Let processes start from one that has imported `modules` for all of them, on Linux.

    Importing torch, scikit-learn and matplotlib takes a process three seconds. Processes that are forked from one that
    has imported them, and done nothing else, start at once. That process imports while this one continues, and ends
    with this one. Only the modules of the first call count. On other systems every process imports by itself.
    """
    _context(modules)


def _context(modules: Sequence[str] = ()) -> BaseContext:
    """Return how processes are started."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    forkserver.set_forkserver_preload(list(modules))
    with shielded(), _threads_of_libraries(1):
        forkserver.ensure_running()
    return multiprocessing.get_context("forkserver")


@contextmanager
def _threads_of_libraries(count: int) -> Iterator[None]:
    """Give processes started in the block `count` threads in BLAS and OpenMP: a fork keeps no more than one."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalProcesses(Pool):
    """Processes of this machine, which start with the first task.

    Ctrl-C reaches all processes of the group: the workers ignore it, and are ended here when it is raised in the
    block of the pool, as for any other error.
    """

    def __init__(self, processes: int, shared: Any, progress: Send) -> None:
        self._processes, self._shared, self._progress = processes, shared, progress
        self._executor: ProcessPoolExecutor | None = None
        self._messages: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._end()
        elif self._executor is not None:
            self._executor.shutdown()
            self._receive(0.0)  # workers that have ended have sent all that they had to say

    def map(self, task: Callable[[Any, Item, Send], Result], items: Sequence[Item]) -> list[Result]:
        """Do the tasks in the processes; the first error that any of them raises is raised here at once."""
        if not items:
            return []
        try:
            futures = self._submit(_call, [(task, item) for item in items])
            pending = set(futures)
            while pending:
                finished, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                self._receive(0.0)
                for future in finished:
                    future.result()
        except BrokenProcessPool as error:
            self._end()
            raise ProcessError(_LOST) from error
        self._receive(0.05)  # the last messages of the workers may still be on their way
        return [future.result() for future in futures]

    def stream(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Do the tasks in the processes; after the loss of one, new processes do what is pending."""
        source, pending, futures = iter(items), deque[Item](), deque[Future[Result]]()
        retries = RETRIES
        try:
            while True:
                fresh = list(islice(source, AHEAD * self._processes - len(pending)))
                pending.extend(fresh)
                try:
                    futures.extend(self._submit(task, [(item,) for item in (fresh if futures else pending)]))
                    if not pending:
                        return
                    result = futures.popleft().result()
                except BrokenProcessPool as error:
                    self._end()
                    futures.clear()
                    if not retries:
                        raise ProcessError(
                            f"{_LOST} It happened {RETRIES + 1} times with the same part of the work."
                        ) from error
                    retries -= 1
                    continue
                pending.popleft()
                retries = RETRIES
                self._receive(0.0)
                yield result
        finally:
            for future in futures:  # the caller needs no more results
                future.cancel()

    def _submit(self, task: Callable[..., Result], calls: Sequence[tuple[Any, ...]]) -> list[Future[Result]]:
        """Return a future of task(*call) for each call, in processes that Ctrl-C does not reach while they start.

        Each call starts a process until there are enough, and the manager of the executor watches those that existed
        when it was last woken. Therefore one more call is submitted: without it, the end of the last process would go
        unnoticed until another task is done.
        """
        if not calls:
            return []
        if self._executor is None:
            context = _context()
            self._messages = context.Queue()
            self._executor = ProcessPoolExecutor(
                self._processes, mp_context=context, initializer=_begin,
                initargs=(self._shared, self._messages, LOGGER.getEffectiveLevel()),
            )  # fmt: skip
        with shielded():
            futures = [self._executor.submit(task, *call) for call in calls]
            self._executor.submit(_nothing)
        return futures

    def _receive(self, patience: float) -> None:
        """Take progress and log records of the workers, until there is none for `patience` seconds."""
        with contextlib.suppress(Empty):
            while patience or not self._messages.empty():
                message = self._messages.get(timeout=patience or None)
                if isinstance(message, logging.LogRecord):
                    logging.getLogger(message.name).handle(message)
                else:
                    self._progress(*message)

    def _end(self) -> None:
        """End the processes, whatever they do; the next task starts new ones."""
        executor, self._executor = self._executor, None
        if executor is None:
            return
        # The manager of the executor is shut down first, or it would take the ended workers for a crash.
        executor.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()


def _nothing() -> None:
    pass


@contextmanager
def shielded() -> Iterator[None]:
    """Shield processes that are created in the block from Ctrl-C, even while they start.

    This process gets an interrupt of the block after the block.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(shared: Any, messages: Any, level: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    LOGGER.setLevel(level)
    LOGGER.addHandler(QueueHandler(messages))
    _WORKER["shared"] = shared
    _WORKER["send"] = lambda what, done, total: messages.put((what, done, total))


def _end_with_parent() -> None:
    # A worker waits for work in a pipe that it holds open itself: it has no other sign that the parent was killed.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(task: Callable[[Any, Any, Send], Result], item: Any) -> Result:
    with one_thread():
        return task(_WORKER["shared"], item, _WORKER["send"])
