"""Where the time of a run goes: named parts, measured by the processor and by the clock only while a profile is made.

`with timed("batches"):` and `@timed("batches")` mark a part. Nothing is measured before `start`: a mark is then one
comparison. Parts may be inside each other; the time of the inner one is not in that of the outer one, so that all parts
add up to the run. Other processes measure their own tasks and return the sums (`Sums`), which are added to those here.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import wraps
from importlib.machinery import ModuleSpec
from pathlib import Path
from threading import get_ident
from types import ModuleType
from typing import ParamSpec, TypeVar

PartPath = tuple[str, ...]
"""A part of a run: the stage, and parts of it, each inside the one before."""
MatrixShape = tuple[int, int, int]
"""A product of matrices [m, k] and [k, n]: m, k, n."""
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

IMPORTS, START, IDLE, WAITING = "imports", "process start", "workers between tasks", "waiting for workers"
"""Parts of every stage that have workers or import something."""


@dataclass(slots=True)
class Sum:
    """Seconds of the processor (all threads of the process), seconds of the clock, and how often the part began."""

    cpu: float = 0.0
    clock: float = 0.0
    calls: int = 0

    def add(self, cpu: float, clock: float, calls: int = 0) -> None:
        """Add to the sums."""
        self.cpu += cpu
        self.clock += clock
        self.calls += calls


@dataclass(slots=True)
class Sums:
    """What was measured: the sums of each part without the parts inside it, and the products of matrices it needs."""

    parts: dict[PartPath, Sum] = field(default_factory=dict)
    products: dict[PartPath, dict[MatrixShape, float]] = field(default_factory=dict)

    def of(self, path: PartPath) -> Sum:
        """Return the sums of a part, which begin at zero."""
        return self.parts.setdefault(path, Sum())

    def add(self, other: Sums) -> None:
        """Add the sums of another process."""
        for path, part in other.parts.items():
            self.of(path).add(part.cpu, part.clock, part.calls)
        for path, products in other.products.items():
            counts = self.products.setdefault(path, {})
            for shape, count in products.items():
                counts[shape] = counts.get(shape, 0.0) + count


class Recorder:
    """Measures the parts of the thread that makes it.

    Args:
        path: the part that is under way.

    """

    def __init__(self, path: PartPath) -> None:
        self.sums = Sums()
        self._stack = [path]
        self._thread = get_ident()
        self._cpu, self._clock = time.process_time(), time.perf_counter()

    @property
    def path(self) -> PartPath:
        """The part that is under way."""
        return self._stack[-1]

    def charge(self) -> None:
        """Add the time since the last change to the part that is under way."""
        cpu, clock = time.process_time(), time.perf_counter()
        self.sums.of(self.path).add(cpu - self._cpu, clock - self._clock)
        self._cpu, self._clock = cpu, clock

    def begin(self, name: str) -> None:
        """Begin a part of the one that is under way; a part in itself is the same part."""
        if get_ident() != self._thread:
            return
        self.charge()
        path = self.path
        if name == IMPORTS:  # of the stage: who needs a module first is chance
            path = path[:1]
        self._stack.append(path if path[-1:] == (name,) else (*path, name))
        self.sums.of(self.path).calls += 1

    def end(self) -> None:
        """End the part that is under way."""
        if get_ident() == self._thread:
            self.charge()
            self._stack.pop()


_recorder: Recorder | None = None


class timed:  # noqa: N801 - used as a context and as a decorator, in lower case as `suppress` is
    """Measure a block, or every call of a function, as a part of the run.

    Args:
        name: of the part.

    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        if _recorder is not None:
            _recorder.begin(self._name)

    def __exit__(self, *error: object) -> None:
        if _recorder is not None:
            _recorder.end()

    def __call__(self, function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        """Return the function with each call measured."""

        @wraps(function)
        def measured(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            if _recorder is None:
                return function(*args, **kwargs)
            with self:
                return function(*args, **kwargs)

        return measured


def recorder() -> Recorder | None:
    """Return what measures this process; None while no profile is made."""
    return _recorder


def start(path: PartPath = ()) -> Recorder:
    """Measure this process from now on, and what it imports.

    Args:
        path: the part that is under way.

    """
    global _recorder
    if not any(isinstance(finder, _TimedImports) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TimedImports())
    _recorder = Recorder(path)
    return _recorder


def stop() -> Sums:
    """Measure no longer.

    Returns:
        What was measured since `start`.

    """
    global _recorder
    for finder in [finder for finder in sys.meta_path if isinstance(finder, _TimedImports)]:
        sys.meta_path.remove(finder)
    last, _recorder = _recorder, None
    if last is None:
        return Sums()
    last.charge()
    return last.sums


@contextmanager
def measured(path: PartPath, sums: Sums) -> Iterator[None]:
    """Measure the block, a task of a worker, into `sums`.

    Args:
        path: the part of the run that gave the task.
        sums: what is measured is added to it.

    """
    start(path)
    try:
        yield
    finally:
        sums.add(stop())


def add_products(shapes: Sequence[tuple[MatrixShape, float]]) -> None:
    """Count products of matrices, with how often each was made, for the part that is under way."""
    if _recorder is not None:
        counts = _recorder.sums.products.setdefault(_recorder.path, {})
        for shape, count in shapes:
            counts[shape] = counts.get(shape, 0.0) + count


def age() -> float:
    """Return the seconds since this process was started; its processor time where the system does not say."""
    with suppress(OSError, ValueError, IndexError, AttributeError):
        ticks = int(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.process_time()


class _TimedImports:
    """A finder before all others: modules are found by those, and measured while they are executed, by package."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec that the next finder has, with a loader that is measured."""
        package = name.partition(".")[0]
        with timed(IMPORTS):
            for finder in sys.meta_path:
                find = getattr(finder, "find_spec", None)
                spec: ModuleSpec | None = None if finder is self or find is None else find(name, path, target)
                if spec is not None:
                    execute = getattr(spec.loader, "exec_module", None)
                    if execute is not None:
                        with suppress(AttributeError):  # a loader that is a class or has slots is not measured
                            spec.loader.exec_module = timed(IMPORTS)(timed(package)(execute))  # type: ignore[union-attr,method-assign]
                    return spec
        return None
