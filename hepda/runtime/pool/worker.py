"""A worker: a process that does calls until there are no more, and the messages between it and its pool.

Two threads receive and send, so that neither side waits for the other to take a message, and a worker notices at once
that its parent has ended.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from hepda.runtime.log import LOGGER
from hepda.runtime.pool.interface import one_thread
from hepda.runtime.pool.measuring import begin_worker, do_measured
from hepda.runtime.resources import PROCESS
from hepda.timing import PartPath, Sums


@dataclass(frozen=True, slots=True)
class Call:
    """A task for a worker: its pool, its number there, the task, its item, and whether it takes the shared value.

    path: the part of the run that it belongs to in a profile, None without a profile.
    """

    pool: int
    number: int
    task: Callable[..., Any]
    item: Any
    with_shared: bool
    path: PartPath | None


@dataclass(frozen=True, slots=True)
class PackedCall:
    """A call as it is sent: pickled apart from its numbers, so that one that cannot be unpickled has an answer."""

    pool: int
    number: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """A pool that begins: its number, its shared value (pickled), and the level of log records."""

    pool: int
    shared: bytes
    level: int


@dataclass(frozen=True, slots=True)
class Forget:
    """The pool is done: its shared value may go."""


@dataclass(frozen=True, slots=True)
class Grown:
    """The bytes that a worker holds more than when it started, after it has forgotten what it was sent."""

    bytes: int


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """The progress of a task."""

    pool: int
    step: tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a call or its error, and what it adds to a profile."""

    pool: int
    number: int
    result: Any = None
    error: Exception | None = None
    sums: Sums | None = None

    def value(self) -> Any:
        """Return the result, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.result


def packed(call: Call) -> PackedCall:
    """Return a call in the form that is sent."""
    return PackedCall(call.pool, call.number, bytes(ForkingPickler.dumps(call)))


def work(connection: Connection, level: int) -> None:
    """Do calls until there are no more, or the parent has ended: what a worker runs.

    Args:
        connection: to the parent.
        level: of the log records that the parent wants.

    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    incoming: SimpleQueue[Any] = SimpleQueue()
    outgoing: SimpleQueue[Any] = SimpleQueue()
    Thread(target=_receive, args=(connection, incoming), daemon=True).start()
    sender = Thread(target=_send, args=(connection, outgoing), daemon=True)
    sender.start()
    LOGGER.setLevel(level)
    LOGGER.addHandler(QueueHandler(outgoing))
    begin_worker()
    shared, before = _Shared(), _own_memory()
    while (message := ForkingPickler.loads(incoming.get())) is not None:
        if isinstance(message, Opened):
            LOGGER.setLevel(message.level)
            shared = _Shared(message.shared)
        elif isinstance(message, Forget):
            shared = _Shared()
            outgoing.put(Grown(_shrunk(before)))
        else:
            outgoing.put(_answer(message, shared, outgoing))
    outgoing.put(None)
    sender.join()


class _Shared:
    """The shared value of a pool, which is unpickled for the first task that takes it."""

    def __init__(self, content: bytes = b"") -> None:
        self._content, self._value = content, None

    def value(self) -> Any:
        """Return the value."""
        if self._content:
            self._value = ForkingPickler.loads(self._content)
            self._content = b""
        return self._value


def _answer(sent: PackedCall, shared: _Shared, outgoing: SimpleQueue[Any]) -> Any:
    """Do a call; return its answer, pickled."""
    try:
        call: Call = ForkingPickler.loads(sent.content)
        task = partial(_with_shared, call, shared, outgoing) if call.with_shared else partial(call.task, call.item)
        result, sums = do_measured(call.path, task)
        return ForkingPickler.dumps(Answer(sent.pool, sent.number, result, None, sums))
    except Exception as error:  # noqa: BLE001 - raised again in the parent
        return ForkingPickler.dumps(Answer(sent.pool, sent.number, None, _sendable(error)))


def _with_shared(call: Call, shared: _Shared, outgoing: SimpleQueue[Any]) -> Any:
    with one_thread():
        return call.task(
            shared.value(),
            call.item,
            lambda what, done, total: outgoing.put(TaskProgress(call.pool, (what, done, total))),
        )


def _sendable(error: Exception) -> Exception:
    """Return an error with the place where it was raised; as text if it cannot be sent."""
    text = "".join(traceback.format_exception(error))
    try:
        error.add_note(f"In a process of the run:\n{text}")
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:  # noqa: BLE001 - an error whose class cannot be pickled raises anything
        return RuntimeError(text)
    return error


def _receive(connection: Connection, incoming: SimpleQueue[Any]) -> None:
    """Take messages; end this process, whatever it does, when the parent has ended or closed the connection."""
    try:
        while True:
            incoming.put(connection.recv_bytes())
    except (EOFError, OSError):
        os._exit(1)


def _send(connection: Connection, outgoing: SimpleQueue[Any]) -> None:
    """Send messages until there are no more; an answer comes pickled, by the thread that made it."""
    with suppress(OSError):  # the parent has ended, which the other thread notices
        while (message := outgoing.get()) is not None:
            is_message = isinstance(message, (TaskProgress, Grown, logging.LogRecord))
            connection.send_bytes(ForkingPickler.dumps(message) if is_message else message)


def _own_memory() -> int:
    """Return the bytes of memory that are no file and shared with no other process, 0 where the system does not say."""
    try:
        _, resident, shared = map(int, Path("/proc/self/statm").read_text(encoding="utf-8").split()[:3])
    except (OSError, ValueError):
        return 0
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def _shrunk(before: int) -> int:
    """Return by how many bytes this process has grown; if it is much, only after an attempt to give them back."""
    if _own_memory() - before > PROCESS:
        gc.collect()
        with suppress(OSError, AttributeError):  # not every C library keeps freed memory, and can be told to return it
            ctypes.CDLL(None).malloc_trim(0)
    return _own_memory() - before
