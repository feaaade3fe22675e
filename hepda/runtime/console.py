"""The output of a run while it is going on: bars on a terminal, single lines elsewhere."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from hepda.runtime.log import STAGES, handled_by
from hepda.runtime.terminal import NumberTable


class Bars:
    """A bar for each step on a terminal; if the output is not a terminal, only permanent lines are printed.

    Args:
        level: of the log records of hepda that are printed as lines. DEBUG: all, with the beginning and the end of
            the stages; WARNING: only warnings, and no bars.

    """

    def __init__(self, level: int = logging.INFO) -> None:
        self.console = Console()
        terminal = self.console.is_terminal
        if not terminal:  # a log: wide enough for the table; the reader's program wraps it
            self.console = Console(width=140)
        self._level, self._live = level, terminal and level < logging.WARNING
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=self.console, transient=True, disable=not self._live,
        )  # fmt: skip
        self._tasks: dict[str, TaskID] = {}
        self._open = ExitStack()

    def __enter__(self) -> Bars:
        self._open.enter_context(handled_by(_Lines(self, self._level)))
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        self._open.close()

    def stage(self, name: str) -> None:
        """Begin a stage: remove the bars of the last one."""
        for task in self._tasks.values():
            self._progress.remove_task(task)
        self._tasks = {}
        if self._live:
            self.console.print(f"[bold]{name}[/bold]")

    def step(self, what: str, done: int, total: int) -> None:
        """Show that `what` is at `done` of `total`."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)

    def say(self, line: str) -> None:
        """Print a permanent line."""
        self.console.print(line, markup=False, highlight=False)

    def table(self, table: NumberTable) -> None:
        """Print a permanent table; if it is wider than the terminal, its lines continue beyond the edge."""
        self.console.print(table, crop=False)


class _Lines(logging.Handler):
    """Prints log records as permanent lines above the bars."""

    def __init__(self, bars: Bars, level: int) -> None:
        super().__init__(level)
        self._bars = bars

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != STAGES.name or self.level < logging.INFO:
            self._bars.say(record.getMessage())
