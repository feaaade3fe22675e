"""Tasks for other processes: a module that imports nothing heavy, so that they start at once."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

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
