"""The workers of a Dask scheduler as they are at a time: which there are, and one of them doing something."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hepda.errors import MissingExtraError, ProcessError

LOOK = 2.0
"""Seconds between checks of the workers while waiting for a result."""


def distributed() -> Any:
    """Import the package `distributed` and return it.

    Raises:
        MissingExtraError: it is not installed.

    """
    try:
        import distributed as package
    except ImportError as error:
        raise MissingExtraError("distributed", "cluster") from error
    return package


class Renewal(Protocol):
    """What keeps workers coming."""

    def renew(self, names: Sequence[str]) -> None:
        """Start again what has ended; names: of the workers that are there."""


@dataclass(slots=True)
class Connection:
    """A client of a scheduler.

    Attributes:
        client: of Dask.
        patience: seconds for which there may be no worker; None for any time.
        jobs: those of a batch system that the workers are in, None if hepda submitted none.

    """

    client: Any
    patience: float | None
    jobs: Renewal | None = None

    def present(self) -> dict[str, Mapping[str, Any]]:
        """Return the workers by address, as the scheduler describes them now.

        Raises:
            ProcessError: the scheduler has ended.

        """
        try:
            workers: dict[str, Mapping[str, Any]] = self.client.scheduler_info(n_workers=-1)["workers"]
        except OSError as error:  # of the connection
            raise gone(error) from error
        if self.jobs is not None:
            self.jobs.renew([str(worker["name"]) for worker in workers.values()])
        return workers

    def threads(self) -> int:
        """Return how many tasks all workers can do at the same time."""
        return sum(worker["nthreads"] for worker in self.present().values())

    def on_worker(self, address: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return a future of function(*arguments) on one worker; no other does it when that one is lost."""
        return self.client.submit(function, *arguments, pure=False, workers=[address], allow_other_workers=False)

    def wait(self, futures: Sequence[Any]) -> None:
        """Wait until one of the futures is done, or for `LOOK`."""
        with self.client.as_current():
            try:
                distributed().wait(futures, timeout=LOOK, return_when="FIRST_COMPLETED")
            except TimeoutError:
                return


class Absence:
    """How long there has been no worker.

    Args:
        patience: seconds after which that is an error; None for never.

    """

    def __init__(self, patience: float | None) -> None:
        self._patience, self._since = patience, time.monotonic()

    def check(self, workers: bool) -> None:
        """Raise ProcessError if there has been no worker for too long; workers: whether there is one now."""
        now = time.monotonic()
        if workers:
            self._since = now
        elif self._patience is not None and now - self._since >= self._patience:
            raise ProcessError(
                f"the cluster has had no worker for {self._patience:.0f} s; start workers, or leave out --cluster. "
                "The same command starts again."
            )


def gone(error: Exception) -> ProcessError:
    """Return the error of a scheduler that has ended."""
    return ProcessError(f"the cluster went away: {error}. The same command starts again.")
