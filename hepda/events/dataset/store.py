"""A FeatureTable as a folder of .npy files: written as events come, memory-mapped by every process that reads it."""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import shutil
import threading
import time
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from hepda.errors import StorageError
from hepda.events.dataset.table import FeatureTable
from hepda.runtime.resources import in_words

ROWS: dict[str, np.dtype[Any]] = {
    "features": np.dtype(np.float32),
    "weight": np.dtype(np.float64),
    "label": np.dtype(np.int8),
    "domain": np.dtype(np.int16),
    "sample": np.dtype(np.int16),
    "fold": np.dtype(np.int8),
    "validation": np.dtype(np.bool_),
    "key": np.dtype(np.uint64),
}
_NAMES = "names.json"
_HEADER = 128
"""Bytes before the numbers of a file: room for any number of rows, which is known at the end."""


class Collector(Protocol):
    """Takes rows as they come, and is a table at the end."""

    @property
    def rows(self) -> int:
        """Rows so far."""
        ...

    def append(self, part: FeatureTable) -> None:
        """Rows after those before."""
        ...

    def since(self, name: str, start: int) -> NDArray[Any]:
        """The column `name` from row `start` on, [rows - start]."""
        ...

    def finish(self) -> FeatureTable:
        """The table; nothing is appended after this."""
        ...


class MemoryCollector:
    """Keeps the rows in memory. defaults: what a row has in the columns that its part lacks."""

    def __init__(self, defaults: Mapping[str, Any]) -> None:
        self._defaults, self._parts = defaults, list[FeatureTable]()
        self.rows = 0

    def append(self, part: FeatureTable) -> None:
        """As of `Collector`."""
        self._parts.append(part)
        self.rows += len(part)

    def since(self, name: str, start: int) -> NDArray[Any]:
        """As of `Collector`."""
        found = [np.zeros(0, ROWS[name])]
        for part in self._parts:
            values = getattr(part, name)
            found.append(values[min(start, len(values)) :])
            start = max(0, start - len(values))
        return np.concatenate(found)

    def finish(self) -> FeatureTable:
        """As of `Collector`."""
        first = self._parts[0]
        columns = {
            name: np.concatenate([_column(part, name, default) for part in self._parts])
            for name, default in self._defaults.items()
        }
        rows = {name: np.concatenate([getattr(part, name) for part in self._parts]) for name in ROWS}
        return FeatureTable(
            names=first.names, domain_names=first.domain_names, sample_names=first.sample_names, columns=columns, **rows
        )


def _column(part: FeatureTable, name: str, default: Any) -> NDArray[Any]:
    return part.columns[name] if name in part.columns else np.full(len(part), default)


class TableWriter:
    """Writes the rows to `folder`, which is made; `finish` makes it a table that `open_table` takes."""

    def __init__(self, folder: Path, defaults: Mapping[str, Any]) -> None:
        self._folder, self._defaults = folder, defaults
        self._files: dict[str, _Array] = {}
        self._first: FeatureTable | None = None
        self.rows = 0
        with full_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def append(self, part: FeatureTable) -> None:
        """As of `Collector`. Raises StorageError for a disk that is full."""
        columns = {f"column{i}": _column(part, name, value) for i, (name, value) in enumerate(self._defaults.items())}
        rows = {name: getattr(part, name) for name in ROWS} | columns
        with full_disk(self._folder):
            if self._first is None:
                self._first = part.select(np.zeros(0, np.int64))
                self._files = {name: _Array(self._folder / f"{name}.npy", values) for name, values in rows.items()}
            for name, values in rows.items():
                self._files[name].append(values)
        self.rows += len(part)

    def since(self, name: str, start: int) -> NDArray[Any]:
        """As of `Collector`; mapped, not read."""
        return self._files[name].since(start) if self._files else np.zeros(0, ROWS[name])

    def finish(self) -> FeatureTable:
        """As of `Collector`: mapped; everything is on the disk. Raises StorageError for a disk that is full."""
        first = self._first
        if first is None:
            raise StorageError(f"{self._folder}: there are no rows to write.")
        with full_disk(self._folder):
            for file in self._files.values():
                file.close()
            crc = zlib.crc32(b"".join(self._files[n].crc.to_bytes(4, "big") for n in ("key", "features", "weight")))
            about = {
                "names": first.names,
                "domain_names": first.domain_names,
                "sample_names": first.sample_names,
                "columns": list(self._defaults),
                "rows": self.rows,
                "checksum": f"{crc:08x}",
            }
            with (self._folder / _NAMES).open("w", encoding="utf-8") as stream:
                json.dump(about, stream)
                stream.flush()
                os.fsync(stream.fileno())
        return open_table(self._folder)

    def abandon(self) -> None:
        """Close the files; they are no table."""
        for file in self._files.values():
            file.abandon()


class _Array:
    """A .npy file that grows by rows."""

    def __init__(self, path: Path, like: NDArray[Any]) -> None:
        if like.dtype.hasobject:
            raise ValueError(f"{path}: objects are not stored (allow_pickle is never set)")
        self.rows, self.crc, self._path = 0, 0, path
        self._dtype, self._tail = like.dtype, like.shape[1:]
        self._stream: BinaryIO = path.open("wb")
        self._stream.write(bytes(_HEADER))

    def append(self, values: NDArray[Any]) -> None:
        data = np.ascontiguousarray(values, self._dtype)
        if not data.size:
            return
        view = data.reshape(-1).view(np.uint8).data
        self._stream.write(view)
        self.crc, self.rows = zlib.crc32(view, self.crc), self.rows + len(data)

    def since(self, start: int) -> NDArray[Any]:
        self._stream.flush()
        shape = (self.rows - start, *self._tail)
        if start == self.rows:
            return np.zeros(shape, self._dtype)
        offset = _HEADER + start * self._dtype.itemsize * int(np.prod(self._tail, dtype=np.int64))
        return np.memmap(self._path, self._dtype, "r", offset, shape)

    def close(self) -> None:
        fields = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.rows, *self._tail),
        }
        text = repr(fields).encode("latin1").ljust(_HEADER - 11) + b"\n"
        self._stream.seek(0)
        self._stream.write(np.lib.format.magic(1, 0) + (len(text)).to_bytes(2, "little") + text)
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()

    def abandon(self) -> None:
        with contextlib.suppress(OSError):  # a full disk says so again when what is left is flushed
            self._stream.close()


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """A write that the disk refuses becomes a StorageError that says what to do."""
    try:
        yield
    except OSError as error:
        there = folder.absolute()
        while not there.exists():
            there = there.parent
        free = ""
        with contextlib.suppress(OSError):
            free = f" ({in_words(shutil.disk_usage(there).free)} are free there)"
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        todo = "make room, or name another place by --cache" if full else "name another place by --cache"
        what = f"{folder}: the table of events cannot be written: {error.strerror}{free}"
        raise StorageError(f"{what}; {todo}.") from error


def write_table(table: FeatureTable, folder: Path) -> None:
    """Write the table to `folder`, which is made. Raises StorageError for a disk that is full."""
    writer = TableWriter(folder, dict.fromkeys(table.columns, np.nan))
    try:
        writer.append(table)
        writer.finish()
    except BaseException:
        writer.abandon()
        raise


def open_table(folder: Path) -> FeatureTable:
    """The table that was written to `folder`, memory-mapped and read-only.

    Raises StorageError if it is not whole.
    """
    try:
        about = json.loads((folder / _NAMES).read_text(encoding="utf-8"))
        rows = {name: _mapped(folder / f"{name}.npy") for name in ROWS}
        columns = {name: _mapped(folder / f"column{i}.npy") for i, name in enumerate(about["columns"])}
        whole = all(len(values) == about["rows"] for values in (*rows.values(), *columns.values()))
    except (OSError, ValueError, KeyError) as error:
        raise StorageError(f"{folder}: the table of events there is not whole ({error}); remove the folder.") from error
    if not whole:
        raise StorageError(f"{folder}: the table of events there is not whole; remove the folder.")
    _keep_small([*rows.values(), *columns.values()])
    return FeatureTable(
        names=tuple(about["names"]),
        domain_names=tuple(about["domain_names"]),
        sample_names=tuple(about["sample_names"]),
        columns=columns,
        **rows,
    )


def _mapped(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def checksum_of(folder: Path) -> str:
    """Of the keys, features and weights of the table in `folder`, as it was written."""
    found: str = json.loads((folder / _NAMES).read_text(encoding="utf-8"))["checksum"]
    return found


def release(*arrays: Any) -> None:
    """Take the pages of memory-mapped arrays out of this process; they come back where they are needed.

    The kernel keeps them as long as it has room, and counts them no longer as memory of this process.
    """
    for array in arrays:
        mapped = _map_of(array)
        if mapped is not None and hasattr(mapped, "madvise"):
            mapped.madvise(mmap.MADV_DONTNEED)


def _map_of(array: Any) -> mmap.mmap | None:
    found: mmap.mmap | None = getattr(array, "_mmap", None)
    return found


def _keep_small(arrays: Sequence[NDArray[Any]]) -> None:
    """Release arrays of large tables whenever more than RESIDENT of them is in this process, as long as they live.

    Whatever reads a table, once or again and again, thus needs no more memory for a table of any size. Without it the
    kernel would do the same when the machine is full, but batch systems count what is mapped and end the job before.
    """
    if sum(array.nbytes for array in arrays) <= RESIDENT or not Path(_STATM).exists():
        return
    living = [weakref.ref(found) for found in map(_map_of, arrays) if found is not None]
    page = os.sysconf("SC_PAGE_SIZE")

    def watch() -> None:
        while maps := [found for found in (ref() for ref in living) if found is not None]:
            if int(Path(_STATM).read_text().split()[2]) * page > RESIDENT:
                for found in maps:
                    with contextlib.suppress(ValueError):  # closed in between
                        found.madvise(mmap.MADV_DONTNEED)
            del maps
            time.sleep(0.05)

    threading.Thread(target=watch, daemon=True, name="hepda-table").start()


RESIDENT = 2**28
"""Bytes of mapped files that a process holds at most while it works on a large table; its libraries are among them."""
_STATM = "/proc/self/statm"


def _by_path(array: np.memmap[Any, Any]) -> Any:
    """How a mapped array travels to another process of this machine: as the place in its file."""
    whole: Any = array
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    if not isinstance(whole, np.memmap) or whole.filename is None or not array.flags.c_contiguous or not array.size:
        return np.asarray(array).copy().__reduce_ex__(2)
    offset = whole.offset + array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
    return np.memmap, (str(whole.filename), array.dtype, "r", offset, array.shape)


ForkingPickler.register(np.memmap, _by_path)
