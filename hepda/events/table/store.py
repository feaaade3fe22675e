"""A FeatureTable as a folder of .npy files: written span by span, memory-mapped by every process that reads it."""

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
from hepda.events.table.feature_table import FeatureTable
from hepda.runtime.resources import size_text

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
VARIATIONS = "variations"
"""The folder of the tables of varied events within that of a table."""
_HEADER = 128
"""Bytes before the numbers of a file: room for any number of rows, which is known only at the end."""


class Collector(Protocol):
    """Collects rows part by part and makes a table of them at the end."""

    @property
    def rows(self) -> int:
        """Number of rows so far."""
        ...

    def append(self, part: FeatureTable) -> None:
        """Add rows after the previous ones."""
        ...

    def since(self, name: str, start: int) -> NDArray[Any]:
        """Return the column `name` from row `start` on, [rows - start]."""
        ...

    def finish(self) -> FeatureTable:
        """Return the table; nothing is appended after this."""
        ...


class MemoryCollector:
    """Keeps the rows in memory. defaults: the value of a row in the columns that its part does not have."""

    def __init__(self, defaults: Mapping[str, Any]) -> None:
        self._defaults, self._parts = defaults, list[FeatureTable]()
        self.rows = 0

    def append(self, part: FeatureTable) -> None:
        """Do the same as `Collector.append`."""
        self._parts.append(part)
        self.rows += len(part)

    def since(self, name: str, start: int) -> NDArray[Any]:
        """Do the same as `Collector.since`."""
        parts = [np.zeros(0, ROWS[name])]
        for part in self._parts:
            values = getattr(part, name)
            parts.append(values[min(start, len(values)) :])
            start = max(0, start - len(values))
        return np.concatenate(parts)

    def finish(self) -> FeatureTable:
        """Do the same as `Collector.finish`."""
        first = self._parts[0]
        columns = {
            name: np.concatenate([_column(part, name, default) for part in self._parts])
            for name, default in self._defaults.items()
        }
        rows = {name: np.concatenate([getattr(part, name) for part in self._parts]) for name in ROWS}
        return FeatureTable(
            names=first.names,
            domain_names=first.domain_names,
            sample_names=first.sample_names,
            columns=columns,
            collections={
                name: np.concatenate([part.collections[name] for part in self._parts]) for name in first.collections
            },
            **rows,
        )


def _column(part: FeatureTable, name: str, default: Any) -> NDArray[Any]:
    return part.columns[name] if name in part.columns else np.full(len(part), default)


class TableWriter:
    """Writes the rows to `folder`, which it creates; `finish` completes the table for `open_table`."""

    def __init__(self, folder: Path, defaults: Mapping[str, Any]) -> None:
        self._folder, self._defaults = folder, defaults
        self._files: dict[str, _Array] = {}
        self._first: FeatureTable | None = None
        self.rows = 0
        with full_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def append(self, part: FeatureTable) -> None:
        """Do the same as `Collector.append`.

        Raises:
            StorageError: the disk is full.

        """
        columns = {f"column{i}": _column(part, name, value) for i, (name, value) in enumerate(self._defaults.items())}
        objects = {f"collection{i}": values for i, values in enumerate(part.collections.values())}
        rows = {name: getattr(part, name) for name in ROWS} | columns | objects
        with full_disk(self._folder):
            if self._first is None:
                self._first = part.select(np.zeros(0, np.int64))
                self._files = {name: _Array(self._folder / f"{name}.npy", values) for name, values in rows.items()}
            for name, values in rows.items():
                self._files[name].append(values)
        self.rows += len(part)

    def since(self, name: str, start: int) -> NDArray[Any]:
        """Do the same as `Collector.since`; the array is memory-mapped, not read."""
        return self._files[name].since(start) if self._files else np.zeros(0, ROWS[name])

    def finish(self) -> FeatureTable:
        """Do the same as `Collector.finish`: everything is on the disk, and the table is memory-mapped.

        Raises:
            StorageError: the disk is full, or there are no rows.

        """
        first = self._first
        if first is None:
            raise StorageError(f"{self._folder}: there are no rows to write.")
        with full_disk(self._folder):
            for file in self._files.values():
                file.close()
            about = {
                "names": first.names,
                "domain_names": first.domain_names,
                "sample_names": first.sample_names,
                "columns": list(self._defaults),
                "collections": list(first.collections),
                "rows": self.rows,
                "files": {name: file.about() for name, file in self._files.items()},
            }
            with (self._folder / _NAMES).open("w", encoding="utf-8") as stream:
                json.dump(sealed(about), stream)
                stream.flush()
                os.fsync(stream.fileno())
        return open_table(self._folder)

    def abandon(self) -> None:
        """Close the files without making a table of them."""
        for file in self._files.values():
            file.abandon()


class _Array:
    """A .npy file to which rows are appended."""

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

    def about(self) -> dict[str, Any]:
        """Return what `open_table` and `verify` compare the file with."""
        return {"dtype": self._dtype.str, "shape": [self.rows, *self._tail], "checksum": f"{self.crc:08x}"}

    def abandon(self) -> None:
        with contextlib.suppress(OSError):  # a full disk causes another error when the remaining bytes are flushed
            self._stream.close()


def sealed(value: Any) -> dict[str, Any]:
    """Return a value with a checksum of its JSON, from which `unsealed` takes it."""
    return {"value": value, "checksum": _crc(value)}


def unsealed(text: str) -> Any:
    """Return the value of `sealed` from its JSON.

    Raises:
        ValueError: the text is not the one that was written.

    """
    content = json.loads(text)
    if not isinstance(content, dict) or content.keys() != {"value", "checksum"}:
        raise ValueError("it has no checksum")
    if _crc(content["value"]) != content["checksum"]:
        raise ValueError("it has another checksum than when it was written")
    return content["value"]


def _crc(value: Any) -> str:
    return f"{zlib.crc32(json.dumps(value, sort_keys=True).encode()):08x}"


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Turn a write error of the block into a StorageError that contains what to do."""
    try:
        yield
    except OSError as error:
        existing = folder.absolute()
        while not existing.exists():
            existing = existing.parent
        free = ""
        with contextlib.suppress(OSError):
            free = f" ({size_text(shutil.disk_usage(existing).free)} are free there)"
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        todo = "make room, or name another place by --cache" if full else "name another place by --cache"
        what = f"{folder}: the table of events cannot be written: {error.strerror}{free}"
        raise StorageError(f"{what}; {todo}.") from error


def write_table(table: FeatureTable, folder: Path) -> None:
    """Write the table to `folder`, which is created.

    Raises:
        StorageError: the disk is full.

    """
    writer = TableWriter(folder, dict.fromkeys(table.columns, np.nan))
    try:
        writer.append(table)
        writer.finish()
    except BaseException:
        writer.abandon()
        raise


def open_table(folder: Path) -> FeatureTable:
    """Return the table that was written to `folder`, memory-mapped and read-only.

    Names, types, byte order and shapes are compared with those that were written; the numbers themselves are compared
    by `verify`, which reads all of them.

    Raises:
        StorageError: the table is not complete.

    """
    about = _about(folder)
    columns = {name: f"column{i}" for i, name in enumerate(about["columns"])}
    collections = {name: f"collection{i}" for i, name in enumerate(about["collections"])}
    mapped = {name: _mapped(folder, name, about) for name in (*ROWS, *columns.values(), *collections.values())}
    _keep_small(list(mapped.values()))
    return FeatureTable(
        names=tuple(about["names"]),
        domain_names=tuple(about["domain_names"]),
        sample_names=tuple(about["sample_names"]),
        columns={name: mapped[stem] for name, stem in columns.items()},
        collections={name: mapped[stem] for name, stem in collections.items()},
        **{name: mapped[name] for name in ROWS},
    )


def open_variations(folder: Path) -> dict[str, FeatureTable]:
    """Return the tables of varied events that were written with the table in `folder`, by name of the variation.

    Raises:
        StorageError: a table is not complete.

    """
    return {part.name: open_table(part) for part in sorted((folder / VARIATIONS).glob("*"))}


def verify(folder: Path) -> None:
    """Raise StorageError if a file of the table in `folder` has another content than was written; read all of it."""
    for name, file in _about(folder)["files"].items():
        crc = 0
        with _readable(folder), (folder / f"{name}.npy").open("rb") as stream:
            stream.seek(_HEADER)
            while block := stream.read(2**22):
                crc = zlib.crc32(block, crc)
        if f"{crc:08x}" != file["checksum"]:
            raise StorageError(
                f"{folder / name}.npy: has another checksum than when it was written: the table there is damaged; "
                "remove the folder."
            )


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Turn an error of reading in the block into a StorageError: all files of a table are read within such a block."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{folder}: the table of events is incomplete ({error}); remove the folder.") from error


def _about(folder: Path) -> dict[str, Any]:
    """Return what `TableWriter.finish` wrote about the table."""
    with _readable(folder):
        names: dict[str, Any] = unsealed((folder / _NAMES).read_text(encoding="utf-8"))
        return names


def _mapped(folder: Path, name: str, about: Mapping[str, Any]) -> NDArray[Any]:
    path = folder / f"{name}.npy"
    with _readable(folder):
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        written = about["files"][name]
        dtype = ROWS[name].str if name in ROWS else written["dtype"]
        if (array.dtype.str, list(array.shape)) != (dtype, written["shape"]) or len(array) != about["rows"]:
            raise ValueError(f"{path.name} has the type {array.dtype.str} and the shape {array.shape}")
        if not array.flags.c_contiguous or path.stat().st_size != _HEADER + array.nbytes:
            raise ValueError(f"{path.name} has another layout than hepda writes")
    return array


def release(*arrays: Any) -> None:
    """Remove the pages of memory-mapped arrays from this process; they are read again where they are needed.

    The kernel keeps them as long as it has room, and no longer counts them as memory of this process.
    """
    for array in arrays:
        mapped = _map_of(array)
        if mapped is not None and hasattr(mapped, "madvise"):
            mapped.madvise(mmap.MADV_DONTNEED)


def _map_of(array: Any) -> mmap.mmap | None:
    mapping: mmap.mmap | None = getattr(array, "_mmap", None)
    return mapping


def _keep_small(arrays: Sequence[NDArray[Any]]) -> None:
    """Release arrays of large tables whenever more than RESIDENT of them is in this process, as long as they exist.

    Thus reading a table, even repeatedly, needs no more memory for a larger table. Without it the kernel would do the
    same when the memory of the machine is full, but batch systems count what is mapped and end the job before.
    """
    if sum(array.nbytes for array in arrays) <= RESIDENT or not Path(_STATM).exists():
        return
    living = [weakref.ref(mapping) for mapping in map(_map_of, arrays) if mapping is not None]
    page = os.sysconf("SC_PAGE_SIZE")

    def watch() -> None:
        while maps := [mapping for mapping in (ref() for ref in living) if mapping is not None]:
            if int(Path(_STATM).read_text().split()[2]) * page > RESIDENT:
                for mapping in maps:
                    with contextlib.suppress(ValueError):  # closed in the meantime
                        mapping.madvise(mmap.MADV_DONTNEED)
            del maps
            time.sleep(0.05)

    threading.Thread(target=watch, daemon=True, name="hepda-table").start()


RESIDENT = 2**28
"""Largest number of bytes of mapped files in a process that uses a large table; its libraries are included."""
_STATM = "/proc/self/statm"


def _by_path(array: np.memmap[Any, Any]) -> Any:
    """Return how a mapped array is passed to another process of this machine: as its position in the file."""
    base: Any = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    if not isinstance(base, np.memmap) or base.filename is None or not array.flags.c_contiguous or not array.size:
        return np.asarray(array).copy().__reduce_ex__(2)
    offset = base.offset + array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return np.memmap, (str(base.filename), array.dtype, "r", offset, array.shape)


ForkingPickler.register(np.memmap, _by_path)
