"""What a command says, by `logging` under the name `hepda`; the terminal and log.txt are handlers of it.

Without a configuration of `logging`, a library user hears nothing of it but what log.txt of the run directory keeps.
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
LOGGER.addHandler(logging.NullHandler())  # without it, Python would print warnings where nobody has asked for them
STAGES = logging.getLogger("hepda.stages")
"""When a command and its stages begin and end: for the log, a terminal shows bars instead."""


@contextmanager
def handled_by(handler: logging.Handler) -> Iterator[None]:
    """Let a handler hear hepda from its level on within the block; other handlers hear what they did before."""
    before, heard = LOGGER.level, LOGGER.getEffectiveLevel()

    def as_before(record: logging.LogRecord) -> bool:
        return record.levelno >= heard or record.name.partition(".")[0] != LOGGER.name

    others = list(_handlers())
    for other in others:
        other.addFilter(as_before)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(min(heard, handler.level))
    try:
        yield
    finally:
        LOGGER.setLevel(before)
        LOGGER.removeHandler(handler)
        for other in others:
            other.removeFilter(as_before)


def _handlers() -> Iterator[logging.Handler]:
    """Yield the handlers that records of hepda reach."""
    logger: logging.Logger | None = LOGGER
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None


class LogFile(logging.Handler):
    """Appends records to a file, with their time; holds them back until it is told which file.

    A command that is refused leaves no file, and a training writes where the new run is until it is complete.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._path: Path | None = None
        self._held = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record. Raises OSError if that is not possible, as for any other file of a run."""
        self._held += self.format(record) + "\n"
        self._write()

    def write_to(self, path: Path) -> None:
        """Write what was held back, and what follows, to `path`."""
        self._path = path
        self._write()

    def _write(self) -> None:
        if self._path is not None and self._held:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(self._held)
            self._held = ""


@contextmanager
def logged(verb: str) -> Iterator[LogFile]:
    """Keep a log of a command of hepda within the block, which tells the log file where it is."""
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
