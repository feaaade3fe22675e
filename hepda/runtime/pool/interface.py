"""What a pool of workers does, and the pool of only this process.

Results do not depend on the pool: a task uses only the shared value and its own item. What a task logs under the name
`hepda` reaches the handlers of this process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Send = Callable[[str, int, int], None]
"""Called with what is done, how far it is, and how far it goes."""


def ignore_progress(what: str, done: int, total: int) -> None:
    """Do nothing with the progress of tasks."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A task that was given up because it lost its worker again and again, and why."""

    why: str


class Pool(ABC):
    """Workers that do tasks; a task is a function of a module."""

    @abstractmethod
    def map(self, task: Callable[[Any, Item, Send], Result], items: Sequence[Item]) -> list[Result]:
        """Call task(shared, item, send) for each item, on one thread each; for computations.

        Args:
            task: called with the shared value of the pool, an item, and the function that takes its progress.
            items: each is sent to one worker.

        Returns:
            The results, in the order of the items.

        Raises:
            ProcessError: a worker was ended from outside.
            Exception: whatever a task raises.

        """

    def try_map(self, task: Callable[[Any, Item, Send], Result], items: Sequence[Item]) -> list[Result | Lost]:
        """Do the same as `map`; on a cluster, a task that loses its worker again and again costs its result alone.

        Args:
            task: as for `map`.
            items: as for `map`.

        Returns:
            The results, in the order of the items, with a `Lost` for each task that was given up.

        Raises:
            ProcessError: a process of this machine was ended from outside, or a cluster has no worker for too long.
            ConfigError: no worker of a cluster can do the tasks.
            Exception: whatever a task raises.

        """
        return list(self.map(task, items))

    @abstractmethod
    def stream(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield task(item) for each item, in their order; a few are done ahead of the requested one.

        A worker may be lost on the way, killed by a batch system or by a full memory: the tasks whose results it had
        not returned yet are done again by another worker, and no other task is.

        Raises:
            ProcessError: the same task loses its worker again and again.
            Exception: whatever a task raises.

        """


class InProcess(Pool):
    """Only this process."""

    def __init__(self, shared: Any = None, progress: Send = ignore_progress) -> None:
        self._shared, self._progress = shared, progress

    def map(self, task: Callable[[Any, Item, Send], Result], items: Sequence[Item]) -> list[Result]:
        """Do the tasks one after the other."""
        with one_thread():
            return [task(self._shared, item, self._progress) for item in items]

    def stream(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Do each task when its result is requested."""
        return (task(item) for item in items)


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
