"""What a command may use of the machine and of other machines: memory, processes, a cluster, folders of tables."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from hepda.errors import ConfigError

CACHE = ".hepda-cache"
"""The folder of tables next to the run directories, unless `--cache` or HEPDA_CACHE names another."""
LEAST_MEMORY = 400_000_000
"""In bytes. With less memory, Python and its libraries leave no room for events."""
PROCESS = 250_000_000
"""Bytes of a process before it holds any event."""

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files in which Linux gives the memory limit of a batch job or a container."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What reading and training may use.

    memory: bytes of events that all processes together may hold, None for half of the machine's memory; cluster: see
    `hepda.runtime.pool.open_pool`, None for processes of this machine; processes: of this machine, in parallel; cache:
    the folder of tables that are kept, None to keep none; folder: that of a table that is not kept, None for the
    memory.
    """

    memory: int | None = None
    cluster: str | None = None
    processes: int = 1
    cache: Path | None = None
    folder: Path | None = None

    @property
    def budget(self) -> int:
        """The memory in bytes."""
        return machine_memory() // 2 if self.memory is None else self.memory

    def share(self, processes: int) -> int:
        """Return the bytes of events that each of so many processes may hold, in addition to this process."""
        free = self.budget - (processes + 1) * PROCESS
        return max(free, self.budget // 8) // processes

    def fitting_processes(self, requested: int, each: int) -> int:
        """Return how many of `requested` processes with `each` bytes of events fit into the memory; at least one."""
        possible = (self.budget - PROCESS) // (each + PROCESS)
        return int(max(1, min(requested, possible)))


def memory_of(text: str) -> int:
    """Return the bytes of `2GB`, `1.5 GiB` or `800M`.

    Raises:
        ConfigError: the text is anything else, or less than hepda needs.

    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([KMGT]?I?)B?\s*", text.upper())
    if match is None or match.group(2) not in _UNITS:
        raise ConfigError(f"--memory {text}: is not an amount of memory; write 2GB, 1.5GiB or 800MB.")
    size = int(float(match.group(1)) * _UNITS[match.group(2)])
    if size < LEAST_MEMORY:
        raise ConfigError(f"--memory {text}: is too little; hepda needs {size_text(LEAST_MEMORY)} or more.")
    return size


def machine_memory() -> int:
    """Return the bytes of memory available to this process: those of the machine, or of its batch job or container."""
    sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in _LIMITS:
        try:
            sizes.append(int(Path(path).read_text()))
        except (OSError, ValueError):  # no such limit here, or `max`
            continue
    return min(sizes)


def cache_folder(runs: Path, from_option: Path | None = None, none: bool = False) -> Path | None:
    """Return the folder of kept tables: that of the option, or of HEPDA_CACHE, or one next to the run directories.

    Args:
        runs: the folder of the run directories.
        from_option: the value of `--cache`.
        none: whether `--no-cache` was given; the result is None in this case.

    Raises:
        ConfigError: both options were given.

    """
    if none:
        if from_option is not None:
            raise ConfigError("--cache and --no-cache: give only one of them.")
        return None
    from_environment = os.environ.get("HEPDA_CACHE")
    return from_option or (Path(from_environment).expanduser() if from_environment else runs / CACHE)


def size_text(size: float) -> str:
    """Format a number of bytes with a unit: `3.1 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
