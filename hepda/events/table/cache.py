"""A cache of tables, by the name of what they are made of: a second run reads no file of events.

An entry is a folder of the table (see `store`) and `about.json`. It is written under another name and renamed when it
is complete, so runs may share a cache at the same time; the run that finishes second keeps the entry of the first and
uses it.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from hepda.errors import StorageError
from hepda.events.table.feature_table import FeatureTable
from hepda.events.table.store import VARIATIONS, full_disk, open_table, sealed, unsealed, verify
from hepda.runtime.resources import size_text
from hepda.runtime.run_directory import check_writable

_ABOUT = "about.json"
_ATTEMPTS = 3
"""Times that a table is given its name, of which another run or a damaged disk may spoil one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A table of the cache: its folder, the table, and what is known about how it was read."""

    folder: Path
    table: FeatureTable
    about: Any


def find(cache: Path, name: str, *, verified: bool = False) -> Entry | None:
    """Return the entry of this name; None if there is none, or none that is complete.

    Args:
        cache: the folder of the cache.
        name: the name of the table, see `table_name`.
        verified: whether the numbers were compared with their checksums before; otherwise all of them are read and
            compared here.

    """
    folder = cache / name
    try:
        about = unsealed((folder / _ABOUT).read_text(encoding="utf-8"))
        table = open_table(folder)
        if not verified:
            for part in (folder, *(folder / VARIATIONS).glob("*")):
                verify(part)
    except (OSError, ValueError, StorageError):
        return None
    with suppress(OSError):
        os.utime(folder)  # the time shows which entries were used last
    return Entry(folder, table, about)


@contextmanager
def making(cache: Path) -> Iterator[Path]:
    """Yield the path of a folder for a table, which is removed after the block unless it was published."""
    check_writable(cache, "--cache")
    folder = cache / f".{uuid4().hex[:12]}.{os.getpid()}.part"
    _sweep(cache)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # an empty cache is removed
            cache.rmdir()


def publish(part: Path, cache: Path, name: str, about: Mapping[str, Any]) -> Entry:
    """Give the table in `part` its name. If another run was faster, its entry is used.

    Args:
        part: the folder of the table.
        cache: the folder of the cache.
        name: the name of the table.
        about: what is kept with the table, as JSON.

    Raises:
        StorageError: the disk is full, or the entry cannot be read back.

    """
    with full_disk(part), (part / _ABOUT).open("w", encoding="utf-8") as stream:
        json.dump(sealed(about), stream)
        stream.flush()
        os.fsync(stream.fileno())
    target = cache / name
    for _ in range(_ATTEMPTS):
        named = False
        with suppress(OSError):  # there is one: another run was faster, or the disk has lost a part of an older one
            part.rename(target)
            named = True
        entry = find(cache, name, verified=named)
        if entry is not None:
            return entry
        # Moved, not removed in place: between the look and the removal another run may give its table this name.
        damaged = cache / f".{uuid4().hex[:12]}.{os.getpid()}.part"
        with suppress(OSError):
            target.rename(damaged)
        shutil.rmtree(damaged, ignore_errors=True)
    raise StorageError(f"{target}: the table that was written there cannot be read back; look at the disk.")


def _sweep(cache: Path) -> None:
    """Remove folders of runs that were killed while they wrote."""
    for leftover in cache.glob(".*.part"):
        process = leftover.name.split(".")[2]
        # The process may be running on another machine: only a folder older than a day is surely left over.
        old = False
        with suppress(OSError):
            old = time.time() - leftover.stat().st_mtime > 86_400
        if old and not (Path("/proc") / process).exists():
            shutil.rmtree(leftover, ignore_errors=True)


def cache_message(entry: Entry, cache: Path, fresh: bool, damaged: bool = False) -> str:
    """Return one line for the terminal: the table that was used or written, its size and that of the cache.

    Args:
        entry: the entry.
        cache: the folder of the cache.
        fresh: whether the table was read now.
        damaged: whether an incomplete entry has been replaced.

    """
    tables = [folder for folder in cache.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    total = sum(_size(folder) for folder in tables)
    what = "kept in" if fresh else "taken from"
    if damaged:
        what = f"the table in the cache was damaged and is made again, {what}"
    return (
        f"events: {len(entry.table)} selected, {what} {entry.folder} ({size_text(_size(entry.folder))}; the cache "
        f"holds {size_text(total)} in {len(tables)} table{'s' * (len(tables) != 1)}, any of which may be removed)"
    )


def _size(folder: Path) -> int:
    with suppress(OSError):
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return 0
