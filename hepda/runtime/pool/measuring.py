"""The times of tasks in workers, for a profile: each task returns its sums with its result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from hepda import timing
from hepda.timing import IDLE, START, PartPath, Sums

Result = TypeVar("Result")


@dataclass(slots=True)
class _LastTask:
    """When this worker did nothing last: its processor time and the clock, in s; `is_new` before its first task."""

    cpu: float = 0.0
    clock: float = 0.0
    is_new: bool = True


_LAST = _LastTask()


def path_of_tasks() -> PartPath | None:
    """Return the part of the run that gives tasks now; None while no profile is made."""
    recorder = timing.recorder()
    return None if recorder is None else recorder.path


def begin_worker() -> None:
    """Note that this process has started and will wait for tasks."""
    _LAST.cpu, _LAST.clock, _LAST.is_new = time.process_time(), time.perf_counter(), True


def do_measured(path: PartPath | None, task: Callable[[], Result]) -> tuple[Result, Sums | None]:
    """Do a task in a worker.

    Args:
        path: as of `path_of_tasks`, in the process that gives the task.
        task: is called once.

    Returns:
        Its result and what was measured: the task, what the worker did before it, and the start of the worker before
        its first task.

    """
    if path is None:
        return task(), None
    stage, sums = path[:1], Sums()
    sums.of((*stage, IDLE)).add(time.process_time() - _LAST.cpu, time.perf_counter() - _LAST.clock)
    if _LAST.is_new:
        waited = time.perf_counter() - _LAST.clock
        sums.of((*stage, START)).add(_LAST.cpu, timing.age() - waited, 1)
        _LAST.is_new = False
    with timing.measured(path, sums):
        result = task()
    _LAST.cpu, _LAST.clock = time.process_time(), time.perf_counter()
    return result, sums


def add_to_profile(sums: Sums | None) -> None:
    """Add what a worker measured to the profile of this process."""
    recorder = timing.recorder()
    if recorder is not None and sums is not None:
        recorder.sums.add(sums)
