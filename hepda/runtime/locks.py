"""One writer at a time: the lock of a folder that a verb writes into, and who holds it.

The lock is a file of the folder that names its owner. Where the system has advisory locks, it holds one on that
file and takes it back from a process that is killed; where it has none (some network file systems), the owner's
name decides: a process of this machine that no longer runs owns nothing.
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
"""The file, in the folder that is written into; it is there as long as somebody writes."""

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What the system answers where it has no advisory locks on this file system."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who writes: process id, host, verb of hepda, when the verb started (UTC), and the process's start (of the
    system's clock ticks; None where it tells none), by which another process with the same id is told apart.
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
        except PermissionError:  # it runs, and is another user's
            pass
        now = _born(self.pid)
        return self.born is not None and now is not None and now != self.born


@contextmanager
def locked(folder: Path, verb: str, option: str = "") -> Iterator[None]:
    """Nobody else writes into `folder` within the block. The folder is made if it is missing.

    verb: of hepda, for the message that others get; option: that named the folder, for this verb's own message.

    Raises:
        ConfigError: another process writes there, and who it is; or the folder cannot be written to.

    """
    place = f"{option} {folder}" if option else str(folder)
    made = _make(folder, place)
    path = folder / LOCK
    try:
        handle = _take(path, place)
    except BaseException:
        _remove_empty(made)
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
        path.unlink(missing_ok=True)  # while it is held: whoever opened it meanwhile finds that it is gone
        os.close(handle)
        _remove_empty(made)


def owner_of(folder: Path) -> Owner | None:
    """Who the lock of a folder names; None without a lock, or with one that names nobody."""
    try:
        return _read((folder / LOCK).read_bytes())
    except OSError:
        return None


def _take(path: Path, place: str) -> int:
    """Open and lock the file. Raises ConfigError if somebody has it."""
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
            owner = _read(os.pread(handle, 4096, 0))  # what was read before may be of the last but one
    if owner is not None and not owner.ended:
        raise ConfigError(
            f"{place}: another {owner} is writing there; wait until it has ended. If it no longer runs, remove {path}."
        )


def _read(text: bytes) -> Owner | None:
    with suppress(ValueError, TypeError):
        return Owner(**json.loads(text))
    return None


def _born(pid: int) -> int | None:
    """When a process started, in clock ticks since the system did; None where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _make(folder: Path, place: str) -> list[Path]:
    """Make the folder; the folders that were missing, the innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{place}: cannot be made ({error.strerror}); name another place.") from error
    return missing


def _remove_empty(folders: list[Path]) -> None:
    """What was made and holds nothing goes again."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()
