"""Tasks in parallel in processes of their own: one thread each, results in order, progress while they run.

Results do not depend on the number of processes: a task uses only the shared value and its own item.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from queue import Empty
from typing import Any, TypeVar

from hepda.errors import ProcessError

Item = TypeVar("Item")
Result = TypeVar("Result")
Shared = TypeVar("Shared")
Send = Callable[[str, int, int], None]
"""Called with what is done, how far it is, and how far it goes."""

_WORKER: dict[str, Any] = {}


def prepare(modules: Sequence[str] = ()) -> BaseContext:
    """Return how processes are started; on Linux, from one that has imported `modules` for all of them.

    Importing torch, scikit-learn and matplotlib takes a process three seconds. Processes that are forked from one that
    has imported them, and done nothing else, start at once. That process imports while this one continues, and ends
    with this one. Only the modules of the first call count. On other systems every process imports by itself.
    """
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


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread for torch and for OpenMP within the block: sums do not depend on the number of cores."""
    import threadpoolctl
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpoolctl.threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    task: Callable[[Shared, Item, Send], Result],
    items: Sequence[Item],
    processes: int,
    *,
    shared: Shared,
    progress: Send,
) -> list[Result]:
    """Call task(shared, item, send) for each item, `processes` at a time; with 1, or one item, in this process.

    Whatever a task raises is raised here, and so is an interrupt; in both cases the workers are ended.

    Args:
        task: a function of a module.
        items: sent to the workers once.
        processes: number of processes.
        shared: sent to the workers once.
        progress: called with the arguments of `send`.

    Returns:
        The results, in the order of the items.

    """
    if processes == 1 or len(items) < 2:
        with one_thread():
            return [task(shared, item, progress) for item in items]
    with crew(min(processes, len(items)), shared=shared, progress=progress) as share_out:
        found: list[Result] = share_out(task, items)
        return found


@contextmanager
def crew(processes: int, *, shared: Any, progress: Send) -> Iterator[Callable[..., list[Any]]]:
    """Provide share_out(task, items), which does the same as `run`, for several lists of items in the same processes.

    The processes start once.

    Args:
        processes: number of processes; 1 for this process alone.
        shared: sent to the workers once.
        progress: called with what is done, how far it is, and how far it goes.

    """
    if processes == 1:

        def alone(task: Callable[[Any, Any, Send], Any], items: Sequence[Any]) -> list[Any]:
            with one_thread():
                return [task(shared, item, progress) for item in items]

        yield alone
        return
    queue = prepare().Queue()
    with workers(processes, _start, shared, queue) as pool:

        def share_out(task: Callable[[Any, Any, Send], Any], items: Sequence[Any]) -> list[Any]:
            return _share_out(pool, queue, task, items, progress)

        yield share_out


def _share_out(
    pool: ProcessPoolExecutor, queue: Any, task: Callable[..., Any], items: Sequence[Any], progress: Send
) -> list[Any]:
    futures: list[Future[Any]] = submit(pool, _call, [(task, item) for item in items])
    pending = set(futures)
    while pending:
        finished, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
        while not queue.empty():
            progress(*queue.get())
        for future in finished:
            future.result()
    with contextlib.suppress(Empty):  # the last messages of the workers may still be on their way
        while True:
            progress(*queue.get(timeout=0.05))
    return [future.result() for future in futures]


@contextmanager
def workers(processes: int, start: Callable[..., None] | None = None, *arguments: Any) -> Iterator[ProcessPoolExecutor]:
    """Provide a pool whose processes end with the block, however it ends, and with this process, however that ends.

    Each process calls start(*arguments) first. Ctrl-C reaches the whole group of processes: the workers ignore it,
    and are ended here when it is raised in the block.

    Args:
        processes: number of processes.
        start: called first in each process, None for nothing.
        *arguments: of `start`.

    Raises:
        ProcessError: a worker was ended from outside.

    """
    pool = ProcessPoolExecutor(processes, mp_context=prepare(), initializer=_begin, initargs=(start, arguments))
    try:
        yield pool
    except BaseException as error:
        # The pool's manager is shut down first, or it would take the ended workers for a crash.
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        if isinstance(error, BrokenProcessPool):
            raise ProcessError(
                "a process of the run was ended from outside, most often because the memory was full; run fewer "
                "side by side (`training.processes`, or `--processes` of generate) and go on where this one stopped"
            ) from error
        raise
    pool.shutdown()


def submit(
    pool: ProcessPoolExecutor, task: Callable[..., Result], calls: Sequence[tuple[Any, ...]]
) -> list[Future[Result]]:
    """Return a future of task(*call) for each call, in processes that Ctrl-C does not reach while they start.

    Each call starts a process until there are enough, and the manager of the pool watches those that existed when it
    was last woken. Therefore one more call is submitted: without it, the end of the last process would go unnoticed
    until another task is done.
    """
    with shielded():
        futures = [pool.submit(task, *call) for call in calls]
        pool.submit(_nothing)
    return futures


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


def _begin(start: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if start is not None:
        start(*arguments)


def _end_with_parent() -> None:
    # A worker waits for work in a pipe that it holds open itself: it has no other sign that the parent was killed.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _start(shared: Any, queue: Any) -> None:
    _WORKER["shared"] = shared
    _WORKER["send"] = lambda what, done, total: queue.put((what, done, total))


def _call(task: Callable[[Any, Any, Send], Result], item: Any) -> Result:
    with one_thread():
        return task(_WORKER["shared"], item, _WORKER["send"])
