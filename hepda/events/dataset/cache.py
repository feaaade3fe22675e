"""Tables that were read before, by the name of what they are made of: the second run reads no file of events.

An entry is a folder of the table (see `store`) and `about.json`. It is written under another name and renamed when it
is whole, so runs may share a cache at the same time; whoever is second leaves the first one's entry and takes it.
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
from hepda.events.dataset.store import full_disk, open_table
from hepda.events.dataset.table import FeatureTable
from hepda.runtime.resources import in_words
from hepda.runtime.run_directory import check_writable

_ABOUT = "about.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """A table of the cache: its folder, the table, and what is known of how it was read."""

    folder: Path
    table: FeatureTable
    about: Any


def find(cache: Path, name: str) -> Entry | None:
    """The entry of this name; None if there is none, or none that is whole."""
    folder = cache / name
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        table = open_table(folder)
    except (OSError, ValueError, StorageError):
        return None
    with suppress(OSError):
        os.utime(folder)  # tells which were used last
    return Entry(folder, table, about)


@contextmanager
def making(cache: Path) -> Iterator[Path]:
    """A folder for a table to be written to, which is gone after the block unless it was published."""
    check_writable(cache, "--cache")
    folder = cache / f".{uuid4().hex[:12]}.{os.getpid()}.part"
    _sweep(cache)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # a cache that holds nothing leaves nothing
            cache.rmdir()


def publish(made: Path, cache: Path, name: str, about: Mapping[str, Any]) -> Entry:
    """Give the table in `made` its name. Another run may have been faster: its entry is taken then.

    Raises StorageError for a disk that is full.
    """
    with full_disk(made), (made / _ABOUT).open("w", encoding="utf-8") as stream:
        json.dump(about, stream)
        stream.flush()
        os.fsync(stream.fileno())
    there = cache / name
    if find(cache, name) is None:
        if there.exists():  # not whole: of a disk that lost it
            shutil.rmtree(there, ignore_errors=True)
        with suppress(OSError):  # not empty: another run was faster
            made.rename(there)
    entry = find(cache, name)
    if entry is None:
        raise StorageError(f"{there}: the table that was written there cannot be read back; look at the disk.")
    return entry


def _sweep(cache: Path) -> None:
    """Remove what runs have left that were killed while they wrote."""
    for left in cache.glob(".*.part"):
        process = left.name.split(".")[2]
        # Elsewhere a process of this number may be at work: only what is a day old is surely left.
        old = False
        with suppress(OSError):
            old = time.time() - left.stat().st_mtime > 86_400
        if old and not (Path("/proc") / process).exists():
            shutil.rmtree(left, ignore_errors=True)


def told(entry: Entry, cache: Path, fresh: bool) -> str:
    """One line for the terminal: what was taken or kept, and how large it and the cache are."""
    others = [folder for folder in cache.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    total = sum(_size(folder) for folder in others)
    what = "kept in" if fresh else "taken from"
    return (
        f"events: {len(entry.table)} selected, {what} {entry.folder} ({in_words(_size(entry.folder))}; the cache holds "
        f"{in_words(total)} in {len(others)} table{'s' * (len(others) != 1)}, any of which may be removed)"
    )


def _size(folder: Path) -> int:
    with suppress(OSError):
        return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return 0
