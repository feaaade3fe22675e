"""Only one writer: the lock of a folder that a command writes into, and its owner.

The lock is a file of the folder that names its owner. If the system has advisory locks, the writer holds one on that
file, and the system releases it when the process is killed. If the system has none (some network file systems), the
name of the owner decides: a process of this machine that no longer runs does not own the lock.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from hepda.errors import ConfigError

LOCK = ".hepda-lock"
"""The file, in the folder that is written into; it exists as long as a process writes."""

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""Error numbers of a file system without advisory locks."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The writer: process id, host, command of hepda, when the command started (UTC), and the start of the process.

    `born` is the start in ticks of the system's clock, None if the system does not provide it; it distinguishes the
    process from a later one with the same id.
    """

    pid: int
    host: str
    verb: str
    since: str
    born: int | None = None

    def __str__(self) -> str:
        return f"`hepda {self.verb}` (process {self.pid} on {self.host}, since {self.since})"

    @property
    def ended(self) -> bool:
        """Whether it is a process of this machine that no longer runs."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # it runs, and belongs to another user
            pass
        now = _born(self.pid)
        return self.born is not None and now is not None and now != self.born


@contextmanager
def locked(folder: Path, verb: str, option: str = "") -> Iterator[None]:
    """Prevent other processes from writing into `folder` within the block. The folder is created if it is missing.

    Args:
        folder: the folder to lock.
        verb: the command of hepda, for the message that other processes show.
        option: the option that named the folder, for the message of this command.

    Raises:
        ConfigError: another process writes there (the message names it), or the folder cannot be written to.

    """
    place = f"{option} {folder}" if option else str(folder)
    created = _make(folder, place)
    path = folder / LOCK
    try:
        handle = _take(path, place)
    except BaseException:
        _remove_empty(created)
        raise
    try:
        owner = Owner(
            os.getpid(), socket.gethostname(), verb, datetime.now(UTC).isoformat(timespec="seconds"),
            _born(os.getpid()),
        )  # fmt: skip
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(asdict(owner)).encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: a process that has opened it notices the removal
        os.close(handle)
        _remove_empty(created)


def _take(path: Path, place: str) -> int:
    """Open and lock the file.

    Raises:
        ConfigError: another process holds the lock.

    """
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise ConfigError(f"{place}: cannot be written to ({error.strerror}); name another place.") from error
        try:
            _lock(handle, path, place)
            same = path.exists() and os.path.samestat(os.fstat(handle), path.stat())
        except BaseException:
            os.close(handle)
            raise
        if same:
            return handle
        os.close(handle)  # its owner removed the file between the opening and the lock


def _lock(handle: int, path: Path, place: str) -> None:
    owner = _read(os.pread(handle, 4096, 0))
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        pass
    else:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                who = f"another {owner}" if owner else "another hepda"
                raise ConfigError(f"{place}: {who} is writing there; wait until it has ended.") from error
            if error.errno not in _NO_LOCKS:
                raise
        else:
            owner = _read(os.pread(handle, 4096, 0))  # what was read before may name an earlier owner
    if owner is not None and not owner.ended:
        raise ConfigError(
            f"{place}: another {owner} is writing there; wait until it has ended. If it no longer runs, remove {path}."
        )


def _read(text: bytes) -> Owner | None:
    with suppress(ValueError, TypeError):
        return Owner(**json.loads(text))
    return None


def _born(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the system did; None if the system does not provide it."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _make(folder: Path, place: str) -> list[Path]:
    """Create the folder; return the folders that were missing, the innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{place}: cannot be made ({error.strerror}); name another place.") from error
    return missing


def _remove_empty(folders: list[Path]) -> None:
    """Remove the folders that were created and are empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()
