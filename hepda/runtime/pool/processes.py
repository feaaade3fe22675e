"""A pool of processes of this machine, which end with this process, however it ends.

Processes start when there is something to do for them. Those of one pool do the work of the next one if a block of
`kept_workers` is around both: a run starts its workers once.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hepda.errors import ProcessError
from hepda.runtime.log import LOGGER
from hepda.runtime.pool.interface import Item, Pool, Result, Send
from hepda.runtime.pool.measuring import add_to_profile, path_of_tasks
from hepda.runtime.pool.worker import Answer, Call, Forget, Grown, Opened, packed, work
from hepda.runtime.resources import PROCESS
from hepda.timing import WAITING, timed

RETRIES = 2
"""How often in sequence a task of a stream that loses its worker is done again: one that always does is the cause."""
AHEAD = 2
"""Tasks of a stream that are sent at once to each worker."""
_LOST = (
    "a process of the run was ended from outside, most often because the memory was full; run fewer in parallel "
    "(`training.processes`, or `--processes` of generate) and continue this one"
)
_PATIENCE = 10.0
"""Seconds that a worker has to end or to give memory back before it is ended."""


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


def server_seconds() -> tuple[float, float]:
    """Return the processor time of the process that the workers are forked from, and that of workers that have ended.

    Both are 0 where there is no such process, or where the system does not say.
    """
    if sys.platform != "linux":
        return 0.0, 0.0
    from multiprocessing import forkserver

    process = getattr(getattr(forkserver, "_forkserver", None), "_forkserver_pid", None)
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
        ticks = [int(number) for number in text.rpartition(")")[2].split()[11:15]]
    except (OSError, ValueError):
        return 0.0, 0.0
    rate = os.sysconf("SC_CLK_TCK")
    return sum(ticks[:2]) / rate, sum(ticks[2:]) / rate


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


@dataclass(slots=True, eq=False)
class _Worker:
    """A process with its connection, the calls that were sent to it and not answered, and the pool whose shared value
    it has.
    """

    process: Any
    connection: Connection
    calls: deque[Call] = field(default_factory=deque)
    pool: int = -1

    def send(self, message: Any) -> None:
        """Send a message; the end of a process that does not take it is found when its answer is awaited."""
        self.send_bytes(ForkingPickler.dumps(message))

    def send_bytes(self, message: Any) -> None:
        """Send a message that is pickled already."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send_bytes(message)

    def received(self) -> Iterator[Any]:
        """Yield the messages that have come.

        Raises:
            EOFError: the process has ended.

        """
        try:
            while self.connection.poll():
                yield self.connection.recv()
        except ConnectionResetError as error:
            raise EOFError from error
        if not self.process.is_alive() and not self.connection.poll():
            raise EOFError


class _Workers:
    """Processes that have started, for one pool after the other."""

    def __init__(self) -> None:
        self.workers: list[_Worker] = []
        self.in_use = False
        self.pools = 0

    def start(self) -> _Worker:
        """Start a process that Ctrl-C does not reach."""
        context: Any = _context()
        here, there = Pipe()
        with shielded():
            process = context.Process(target=work, args=(there, LOGGER.getEffectiveLevel()))
            process.start()
        there.close()
        worker = _Worker(process, here)
        self.workers.append(worker)
        return worker

    def lose(self, worker: _Worker) -> list[Call]:
        """End a worker, whatever it does, and return the calls that it had not answered."""
        self.workers.remove(worker)
        worker.process.terminate()
        worker.connection.close()
        worker.process.join(_PATIENCE)
        return list(worker.calls)

    def end(self) -> None:
        """End all processes, whatever they do."""
        for worker in self.workers:
            worker.process.terminate()
        while self.workers:
            self.lose(self.workers[-1])

    def finish(self) -> None:
        """End all processes when they have sent what they had to say; those with a task that nobody needs, at once."""
        for worker in [worker for worker in self.workers if worker.calls]:
            self.lose(worker)
        for worker in self.workers:
            worker.send(None)
        for worker in list(self.workers):
            with suppress(EOFError):
                while wait([worker.connection], _PATIENCE):
                    for message in worker.received():
                        _handle(message)
            self.lose(worker)

    def reduce(self, count: int) -> None:
        """End processes without a task that have ended already, and those beyond `count`: they would hold memory."""
        idle = [worker for worker in self.workers if not worker.calls]
        for worker in idle:
            if not worker.process.is_alive() or len(self.workers) > count:
                self.lose(worker)

    def release(self) -> None:
        """Let the processes give back the memory of a pool that is done; one that keeps too much of it is ended."""
        idle = [worker for worker in self.workers if not worker.calls]
        for worker in idle:
            worker.send(Forget())
        for worker in idle:
            if not self._gave_back(worker):
                self.lose(worker)

    @staticmethod
    def _gave_back(worker: _Worker) -> bool:
        """Wait for the answer to `Forget`; return whether the worker is there and about as small as at its start."""
        with suppress(EOFError):
            while wait([worker.connection], _PATIENCE):
                for message in worker.received():
                    if isinstance(message, Grown):
                        return message.bytes <= PROCESS
                    _handle(message)
        return False


def _handle(message: Any) -> None:
    """Give a log record of a worker to the handlers of this process; nothing else is expected after a pool."""
    if isinstance(message, logging.LogRecord):
        logging.getLogger(message.name).handle(message)


_kept: _Workers | None = None


@contextmanager
def kept_workers() -> Iterator[None]:
    """Keep the processes of a pool that is opened in the block for the next one; they end with the block."""
    global _kept
    if _kept is not None:
        yield
        return
    _kept = _Workers()
    try:
        yield
        _kept.finish()
    finally:
        _kept.end()
        _kept = None


class LocalProcesses(Pool):
    """Processes of this machine, which start with the first task or are kept from another pool.

    Ctrl-C reaches all processes of the group: the workers ignore it, and are ended here when it is raised in the
    block of the pool, as for any other error.

    Args:
        processes: number of tasks that are done at the same time.
        shared: the first argument of the tasks of `map`.
        progress: called with the progress of the tasks of `map`.

    """

    def __init__(self, processes: int, shared: Any, progress: Send) -> None:
        self._processes, self._shared, self._progress = processes, shared, progress
        self._is_kept = _kept is not None and not _kept.in_use
        self._of_machine = _kept if _kept is not None and self._is_kept else _Workers()
        self._of_machine.pools += 1
        self._pool = self._of_machine.pools
        self._message: Any = None
        self._numbers = 0

    def __enter__(self) -> Self:
        self._of_machine.in_use = True
        self._of_machine.reduce(self._processes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._of_machine.in_use = False
        if error is not None:
            self._of_machine.end()
        elif self._is_kept:
            self._of_machine.release()
        else:
            self._of_machine.finish()

    def map(self, task: Callable[[Any, Item, Send], Result], items: Sequence[Item]) -> list[Result]:
        """Do the tasks in the processes; the first error that any of them raises is raised here at once."""
        calls = deque(self._calls(task, items, with_shared=True))
        numbers = [call.number for call in calls]
        results: dict[int, Result] = {}
        while len(results) < len(numbers):
            self._send(calls, 1)
            answers, lost = self._answers()
            if lost:
                self._of_machine.end()
                raise ProcessError(_LOST)
            for answer in answers:
                results[answer.number] = answer.value()
        return [results[number] for number in numbers]

    def stream(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Do the tasks in the processes; after the loss of one, another one does what it had not returned."""
        source = self._calls(task, items, with_shared=False)
        unsent, order, answers = deque[Call](), deque[int](), dict[int, Answer]()
        losses: dict[int, int] = {}
        while True:
            fresh = list(islice(source, AHEAD * self._processes - len(order)))
            unsent.extend(fresh)
            order.extend(call.number for call in fresh)
            if not order:
                return
            self._send(unsent, AHEAD)
            while order[0] not in answers:
                arrived, lost = self._answers()
                answers |= {answer.number: answer for answer in arrived}
                if lost:
                    unsent.extendleft(reversed(lost))
                    losses[lost[0].number] = losses.get(lost[0].number, 0) + 1
                    if losses[lost[0].number] > RETRIES:
                        raise ProcessError(f"{_LOST} It happened {RETRIES + 1} times with the same part of the work.")
                self._send(unsent, AHEAD)
            yield answers.pop(order.popleft()).value()

    def _calls(self, task: Callable[..., Any], items: Iterable[Any], *, with_shared: bool) -> Iterator[Call]:
        for item in items:
            self._numbers += 1
            yield Call(self._pool, self._numbers, task, item, with_shared, path_of_tasks())

    def _send(self, calls: deque[Call], ahead: int) -> None:
        """Send calls to the processes with the fewest, at most `ahead` to each; start missing processes."""
        workers = self._of_machine.workers
        while calls:
            busy = [worker for worker in workers if worker.calls]
            idle = [worker for worker in workers if not worker.calls]
            if len(busy) < self._processes:
                worker = idle[0] if idle else self._of_machine.start()
            else:
                worker = min(busy, key=lambda worker: len(worker.calls))
            if len(worker.calls) >= ahead:
                return
            call = calls.popleft()
            if worker.pool != self._pool:
                worker.pool = self._pool
                worker.send_bytes(self._shared_message())
            worker.calls.append(call)
            worker.send(packed(call))

    def _shared_message(self) -> Any:
        """Return the message with the shared value, which is pickled once for all processes."""
        if self._message is None:
            content = bytes(ForkingPickler.dumps(self._shared))
            self._message = ForkingPickler.dumps(Opened(self._pool, content, LOGGER.getEffectiveLevel()))
        return self._message

    def _answers(self) -> tuple[list[Answer], list[Call]]:
        """Wait for messages; return the answers to calls of this pool, and the calls that were lost with a process."""
        busy = [worker for worker in self._of_machine.workers if worker.calls]
        answers: list[Answer] = []
        lost: list[Call] = []
        with timed(WAITING):
            wait([*(worker.connection for worker in busy), *(worker.process.sentinel for worker in busy)])
        for worker in busy:
            try:
                for message in worker.received():
                    if isinstance(message, Answer):
                        worker.calls.popleft()
                        add_to_profile(message.sums)
                    if isinstance(message, logging.LogRecord):
                        _handle(message)
                    elif message.pool != self._pool:
                        continue  # of a stream whose other results nobody needed
                    elif isinstance(message, Answer):
                        answers.append(message)
                    else:
                        self._progress(*message.step)
            except EOFError:
                lost += [call for call in self._of_machine.lose(worker) if call.pool == self._pool]
        return answers, lost
