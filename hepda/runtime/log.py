"""The messages of a command, by `logging` under the name `hepda`; the terminal and log.txt are its handlers.

A library user who does not configure `logging` finds them only in log.txt of the run directory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hepda import __version__

LOG = "log.txt"
"""The log of a run directory."""
LOGGER = logging.getLogger("hepda")
"""The parent of all loggers of hepda."""
LOGGER.addHandler(logging.NullHandler())  # without it, Python would print warnings of a library that is not configured
STAGES = logging.getLogger("hepda.stages")
"""When a command and its stages begin and end: for the log, a terminal shows bars instead."""


@contextmanager
def handled_by(handler: logging.Handler) -> Iterator[None]:
    """Add a handler to the logger of hepda within the block; other handlers get the same records as before."""
    before, threshold = LOGGER.level, LOGGER.getEffectiveLevel()

    def unless_added(record: logging.LogRecord) -> bool:
        return record.levelno >= threshold or record.name.partition(".")[0] != LOGGER.name

    earlier_handlers = list(_handlers())
    for earlier in earlier_handlers:
        earlier.addFilter(unless_added)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(min(threshold, handler.level))
    try:
        yield
    finally:
        LOGGER.setLevel(before)
        LOGGER.removeHandler(handler)
        for earlier in earlier_handlers:
            earlier.removeFilter(unless_added)


def _handlers() -> Iterator[logging.Handler]:
    """Yield the handlers that records of hepda reach."""
    logger: logging.Logger | None = LOGGER
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None


class LogFile(logging.Handler):
    """Appends records to a file, with their time; keeps them in memory until `write_to` names the file.

    A command that fails its checks leaves no file, and a training writes where the new run is until it is complete.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._path: Path | None = None
        self._pending = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record. Raises OSError if that is not possible, as for any other file of a run."""
        self._pending += self.format(record) + "\n"
        self._write()

    def write_to(self, path: Path) -> None:
        """Write the records so far, and those that follow, to `path`."""
        self._path = path
        self._write()

    def _write(self) -> None:
        if self._path is not None and self._pending:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(self._pending)
            self._pending = ""


@contextmanager
def logged(verb: str) -> Iterator[LogFile]:
    """Keep a log of a command of hepda within the block, which sets the path of the log file."""
    file = LogFile()
    with handled_by(file):
        STAGES.info("hepda %s, version %s", verb, __version__)
        try:
            yield file
        except BaseException as error:
            text = f"{type(error).__name__}: {error}".rstrip(": ")
            with suppress(OSError):  # the error itself may be a full disk
                file.handle(logging.LogRecord(STAGES.name, logging.ERROR, __file__, 0, text, None, None))
            raise
        STAGES.info("hepda %s is finished", verb)
