"""Tasks that take minutes or hours on the workers of a Dask scheduler, each of which has one at a time.

The other tasks wait here, not at the scheduler. So a worker that is lost had only one, which is done again by another;
one that joins late takes the next; and one that cannot do the tasks gets none.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic
from uuid import uuid4

from hepda.errors import ConfigError
from hepda.runtime.log import STAGES, handled_by
from hepda.runtime.pool.dask_workers import Absence, Connection, distributed, gone
from hepda.runtime.pool.interface import Item, Lost, Result, Send, one_thread
from hepda.runtime.pool.nodes import Needs, Node, describe_node

TRIES = 3
"""How often a task may lose its worker without progress in between; then it is given up."""
WORKERS = "workers"
"""The progress that is not one of a task: how many workers have one, and how many there are."""
_RESULT = 10.0
"""Seconds in which the result of a finished task must arrive; then its worker is looked at again."""
_GRACE = 10.0
"""Seconds for which workers that cannot be used are all there is, before that is an error.

Ten times as long where others wait in the queue of a batch system: the first job often starts on a broken node.
"""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Task:
    """What is known of a task: how far it has come, how far it was when it last lost its worker, how often that was.

    losses: in sequence, without progress in between; hosts: the machines of the lost workers.
    """

    reached: int = 0
    reached_before: int = 0
    losses: int = 0
    hosts: list[str] = field(default_factory=list)


class TaskQueue(Generic[Item, Result]):
    """The tasks of one `map`: those that wait are here, and each worker has at most one.

    Args:
        workers: of the scheduler.
        nodes: those that have been inspected, by address; more are added.
        needs: what a worker must have; None for nothing.
        progress: called with the progress of the tasks.
        task: what is done with an item, as for `Pool.map`.
        items: one for each task.

    """

    def __init__(
        self,
        workers: Connection,
        nodes: dict[str, Node],
        needs: Needs | None,
        progress: Send,
        task: Callable[[Any, Item, Send], Result],
        items: Sequence[Item],
    ) -> None:
        self._workers, self._nodes, self._needs, self._progress = workers, nodes, needs, progress
        self._call, self._items = partial(_call, task), items
        self._tasks = [_Task() for _ in items]
        self._waiting = deque(range(len(items)))
        self._results: dict[int, Result | Lost] = {}
        self._running: dict[str, tuple[int, Any]] = {}
        """By address: the number of the task, and its future."""
        self._inspections: dict[str, Any] = {}
        self._topic, self._messages = f"hepda-{uuid4().hex}", SimpleQueue[Any]()
        self._unusable_since: float | None = None
        self._told: set[str] = set()
        self._shown = 0, 0

    def results(self, shared: Any) -> list[Result | Lost]:
        """Do all tasks and return their results in the order of the items.

        Args:
            shared: the first argument of the task; sent to each worker once.

        Raises:
            ProcessError: there is no worker for too long, or the scheduler has ended.
            ConfigError: no worker can do the tasks.
            Exception: whatever a task raises.

        """
        client, missing = self._workers.client, Absence(self._workers.patience)
        client.subscribe_topic(self._topic, lambda event: self._messages.put(event[1]))
        value = client.submit(_same, shared, pure=False)
        try:
            while self._waiting or self._running:
                present = self._workers.present()
                missing.check(bool(present))
                self._give_up_lost(present)
                self._inspect(present)
                self._assign(present, value)
                self._wait()
                self._receive()
        except distributed().CancelledError as error:
            raise gone(error) from error
        finally:
            with suppress(OSError):  # the scheduler may have ended
                for future in [*self._inspections.values(), *(future for _, future in self._running.values())]:
                    future.cancel()
                client.unsubscribe_topic(self._topic)
        return [self._results[number] for number in range(len(self._items))]

    def _inspect(self, present: Mapping[str, Mapping[str, Any]]) -> None:
        """Ask the workers that are new what they are."""
        nodes = self._nodes
        for address, worker in present.items():
            if address not in nodes and address not in self._inspections:
                inspection = self._workers.on_worker(address, describe_node, self._needs, worker["nthreads"])
                self._inspections[address] = inspection
        usable = [address for address in present if address in nodes and not nodes[address].why]
        reasons = {f"{nodes[a].host}: {nodes[a].why}" for a in present if a in nodes and nodes[a].why}
        for reason in sorted(reasons - self._told):
            log.warning(f"a worker is not used. {reason}")
        self._told |= reasons
        if usable or self._inspections or not reasons:
            self._unusable_since = None
        elif self._unusable_since is None:
            self._unusable_since = time.monotonic()
        elif time.monotonic() - self._unusable_since >= _GRACE * (10 if self._workers.patience is None else 1):
            raise ConfigError("--cluster: none of its workers can be used:\n" + "\n".join(sorted(self._told)))

    def _assign(self, present: Mapping[str, Mapping[str, Any]], shared: Any) -> None:
        """Give each worker that can be used and has nothing to do the next task."""
        usable = [address for address in present if address in self._nodes and not self._nodes[address].why]
        for address in usable:
            takes_tasks = present[address]["status"] == "running"  # not paused, and not about to end
            if address in self._running or not takes_tasks or not self._waiting:
                continue
            number = self._waiting.popleft()
            self._tasks[number].reached_before = self._tasks[number].reached
            future = self._workers.on_worker(address, self._call, shared, self._topic, number, self._items[number])
            self._running[address] = number, future
        if (len(self._running), len(usable)) != self._shown:
            self._shown = len(self._running), len(usable)
            self._progress(WORKERS, *self._shown)

    def _wait(self) -> None:
        """Wait for the first result of a task or inspection, and take all that are there."""
        futures = [*self._inspections.values(), *(future for _, future in self._running.values())]
        if not futures:
            time.sleep(0.5)
            return
        self._workers.wait(futures)
        for address, future in list(self._inspections.items()):
            if future.done():
                self._take_inspection(address, future)
        for address, (number, future) in list(self._running.items()):
            if future.done():
                self._take(address, number, future)

    def _take_inspection(self, address: str, future: Any) -> None:
        try:
            node: Node = future.result(timeout=_RESULT)
        except TimeoutError:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, this worker cannot run hepda
            if address not in self._workers.present():
                del self._inspections[address]
                return
            node = Node(address, "", f"hepda cannot be run there: {type(error).__name__}: {error}")
        del self._inspections[address]
        processors = {known.processor for known in self._nodes.values() if known.processor}
        if node.processor and processors and node.processor not in processors:
            log.warning(
                f"the workers have several kinds of processors ({'; '.join(sorted(processors | {node.processor}))}): "
                "their numbers agree only within rounding, see docs/cluster.md."
            )
        self._nodes[address] = node
        if not node.why:
            STAGES.info("worker %s on %s: %s", address, node.host, node.processor)

    def _take(self, address: str, number: int, future: Any) -> None:
        """Take the result of a task; raise what the task raised."""
        dask = distributed()
        try:
            self._results[number] = future.result(timeout=_RESULT)
        except dask.scheduler.KilledWorker:  # a worker that is started again at the same address
            self._lose(address)
            return
        except TimeoutError:
            if future.status == "error":  # of the task
                raise
            return  # its worker was lost with the result, or is slow
        del self._running[address]

    def _give_up_lost(self, present: Mapping[str, Mapping[str, Any]]) -> None:
        """Let the tasks of workers that are gone wait for another, first of all; give up those that lost too many."""
        for address in [a for a in self._running if a not in present]:
            if not self._running[address][1].done():
                self._lose(address)
        for address in [a for a in self._inspections if a not in present]:
            self._inspections.pop(address).cancel()

    def _lose(self, address: str) -> None:
        number, future = self._running.pop(address)
        future.cancel()
        self._receive()
        task, host = self._tasks[number], self._nodes[address].host
        task.losses = 1 if task.reached > task.reached_before else task.losses + 1
        task.hosts.append(host)
        if task.losses < TRIES:
            log.warning(f"the worker {address} on {host} was lost; another one continues what it did.")
            self._waiting.appendleft(number)
            return
        hosts = ", ".join(task.hosts[-TRIES:])
        why = (
            f"its workers were ended from outside {TRIES} times in sequence (on {hosts}). Most often their memory was "
            "full, or their time over before an epoch was done: give the jobs more."
        )
        log.warning(f"a part of the work is given up: {why}")
        self._results[number] = Lost(why)

    def _receive(self) -> None:
        """Hand on the progress and the log records that the tasks have sent."""
        while not self._messages.empty():
            kind, *content = self._messages.get()
            if kind == "log":
                name, level, text = content
                logging.getLogger(name).log(level, "%s", text)
                continue
            number, what, done, total = content
            if total > 1:
                self._tasks[number].reached = max(self._tasks[number].reached, done)
            self._progress(what, done, total)


class StoppedError(Exception):
    """The command that submitted a task does not wait for it any more."""


def _same(value: Any) -> Any:
    """Return the shared value as a result of a task, which a worker keeps and Dask makes again when it is lost."""
    return value


def _call(task: Callable[[Any, Any, Send], Result], shared: Any, topic: str, number: int, item: Any) -> Result:
    """Do a task on a worker, which sends its progress and its log records, and stops if nobody waits for it."""
    worker = distributed().get_worker()
    key = worker.get_current_task()

    def send(what: str, done: int, total: int) -> None:
        state = worker.state.tasks.get(key)
        if state is None or state.state == "cancelled":
            raise StoppedError(what)
        worker.log_event(topic, ["progress", number, what, done, total])

    with one_thread(), handled_by(_Sender(lambda record: worker.log_event(topic, ["log", *record]))):
        return task(shared, item, send)


class _Sender(logging.Handler):
    """Hands name, level and text of the records of hepda to a function."""

    def __init__(self, send: Callable[[tuple[str, int, str]], None]) -> None:
        super().__init__(logging.INFO)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send((record.name, record.levelno, record.getMessage()))
