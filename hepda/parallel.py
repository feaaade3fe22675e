"""Tasks side by side in processes of their own: one thread each, results in order, progress on the way.

Results do not depend on the number of processes: a task sees what is shared and its own item, nothing else.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from queue import Empty
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Shared = TypeVar("Shared")
Send = Callable[[str, int, int], None]
"""Called with what is done, how far it is, and how far it goes."""

_WORKER: dict[str, Any] = {}


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch and for OpenMP within the block: sums come out the same whatever the cores."""
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
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    task: Callable[[Shared, Item, Send], Result],
    items: Sequence[Item],
    processes: int,
    *,
    shared: Shared,
    progress: Send,
) -> list[Result]:
    """task(shared, item, send) for each item, `processes` at a time; with 1, or one item, in this process.

    `task` is a function of a module; `shared` and the items travel to the workers once. Whatever a task raises is
    raised here, and so is an interrupt; the workers are ended then.
    """
    if processes == 1 or len(items) < 2:
        with one_thread():
            return [task(shared, item, progress) for item in items]
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    pool = ProcessPoolExecutor(
        min(processes, len(items)), mp_context=context, initializer=_start, initargs=(shared, queue)
    )
    futures: list[Future[Result]] = [pool.submit(_call, task, item) for item in items]
    try:
        pending = set(futures)
        while pending:
            finished, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
            while not queue.empty():
                progress(*queue.get())
            for future in finished:
                future.result()
    except BaseException:
        # The pool's manager is told first, or it would take the ended workers for a crash of its own.
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    pool.shutdown()
    with contextlib.suppress(Empty):  # what the workers said last is still on its way
        while True:
            progress(*queue.get(timeout=0.05))
    return [future.result() for future in futures]


def _start(shared: Any, queue: Any) -> None:
    # Ctrl-C reaches the whole group; the parent ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _WORKER["shared"] = shared
    _WORKER["send"] = lambda what, done, total: queue.put((what, done, total))


def _call(task: Callable[[Any, Any, Send], Result], item: Any) -> Result:
    with one_thread():
        return task(_WORKER["shared"], item, _WORKER["send"])
