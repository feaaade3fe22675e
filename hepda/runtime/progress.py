"""The progress of a command: stages, their steps, and how long each took."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

from hepda.runtime.log import STAGES
from hepda.timing import timed


class Progress(Protocol):
    """Receives the progress of a command; the command line draws bars of it."""

    def stage(self, name: str) -> None:
        """Begin a stage of the workflow."""

    def step(self, what: str, done: int, total: int) -> None:
        """Within the stage, `what` is `done` of `total`."""


@dataclass(slots=True)
class Clock:
    """Times the stages."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time the block as a stage."""
        self.progress.stage(stage)
        STAGES.info("%s begins", stage)
        start = perf_counter()
        with timed(stage):
            yield
        seconds = perf_counter() - start
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        STAGES.info("%s took %.1f s", stage, seconds)
