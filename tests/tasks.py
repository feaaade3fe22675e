"""Tasks for other processes: a module that imports nothing heavy, so that they start at once."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hepda.errors import DataError


def scaled(factor: int, number: int, send: Callable[[str, int, int], None]) -> int:
    """The number times the shared factor, with a message."""
    send(f"item {number}", 1, 1)
    return factor * number


def logging_task(number: int) -> int:
    """The number, which is logged."""
    logging.getLogger("hepda.tests").info("item %d", number)
    return number


def noted(item: tuple[Path, int, str]) -> int:
    """The square of a number; leaves a note of each time it is called.

    item: a folder for the notes, the number, and what happens: `wrong` raises; `once` and `always` end the process
    that does it, the first time or every time.
    """
    folder, number, what = item
    before = len(list(folder.glob(f"{number}.*")))
    (folder / f"{number}.{before}").write_text(str(os.getpid()))
    if what == "wrong":
        raise DataError(f"item {number} is wrong")
    if what == "always" or (what == "once" and before == 0):
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def endless(folder: Path, number: int, send: Callable[[str, int, int], None]) -> int:
    """Send progress until nobody waits for the result; the file `number` of the folder has the number of messages."""
    for done in range(10_000):
        (folder / str(number)).write_text(str(done))
        send(f"item {number}", done, 10_000)
        time.sleep(0.05)
    return number


def whose(folder: Path, number: int, send: Callable[[str, int, int], None]) -> int:
    """The id of the process that does it, after half a second; the folder gets a file of that name."""
    (folder / str(os.getpid())).touch()
    logging.getLogger("hepda.tests").info("item %d of one process", number)
    time.sleep(0.5)
    return os.getpid()


def in_steps(folder: Path, number: int, send: Callable[[str, int, int], None]) -> int:
    """A step of four at each call, of which the folder has notes, ended by a signal after each: progress, but slow.

    An item below 0 makes no progress before its process is ended.
    """
    step = len(list(folder.glob(f"{number}.*"))) + 1
    (folder / f"{number}.{step}").touch()
    if number >= 0:
        send(f"item {number}", step, 4)
        time.sleep(0.5)  # until the message has left
        if step == 4:
            return step
    else:
        time.sleep(3.0)  # Dask starts no other process for one that ends while it starts
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def fatal_at_5(_: None, task: Any, send: Callable[[str, int, int], None]) -> Any:
    """Do a task of a scan, but end the process of those with strength 5 of the second seed."""
    from hepda.workflows.scan.trainings import perform

    if task.job is not None and task.job.spec.domain_section.strength == 5.0 and task.trial.seed == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return perform(None, task, send)


def stepwise(folder: Path, number: int, send: Callable[[str, int, int], None]) -> int:
    """Six steps, of which the folder has notes with the process that did them; continues after those that are there.

    After the third it waits until there is a file `over` beside the folder.
    """
    for step in range(len(list(folder.glob(f"{number}.*"))) + 1, 7):
        (folder / f"{number}.{step}").write_text(str(os.getpid()))
        send(f"item {number}", step, 6)
        while step == 3 and not folder.with_name("over").exists():
            time.sleep(0.05)
    return 6
