"""The files of published data sets, read into bytes and labels. Nothing in a file is run: no pickle is loaded."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import pickletools
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from hepda.errors import SourceError
from hepda.images.arrays import resized, to_bytes

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]
PICTURES = (".png", ".jpg", ".jpeg", ".ppm", ".bmp", ".webp")


def idx(path: Path) -> Bytes:
    """An IDX file of bytes (MNIST's format), gzipped or not: uint8 of the shape that it says.

    Raises:
        SourceError: it is no such file, or it ends early.

    """
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
        raise SourceError(f"{path}: is no IDX file of bytes")
    shape = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3])
    if values.size != np.prod(shape):
        raise SourceError(f"{path}: says {shape} and holds {values.size} bytes")
    return values.reshape(shape).copy()  # what is read from a file may be written to


def mnist_pickle(path: Path) -> tuple[tuple[Bytes, Numbers], ...]:
    """mnist.pkl.gz of the deep-learning tutorials: 50,000 + 10,000 + 10,000 digits as (pixels [n, 28, 28], labels [n]).

    The pickle is not loaded: its arrays are the long strings among its opcodes, float32 pixels k / 256 and int64 labels
    by turns, and anything else is refused.

    Raises:
        SourceError: other strings than these.

    """
    with gzip.open(path) as file:
        opcodes = pickletools.genops(file.read())
        found = [_raw(value) for opcode, value, _ in opcodes if opcode.name == "BINSTRING"]
    pairs = list(zip(found[::2], found[1::2], strict=False))
    if len(found) != 6 or any(len(pixels) != len(label) // 8 * 28 * 28 * 4 for pixels, label in pairs):
        raise SourceError(f"{path}: does not hold three pairs of digits and labels")
    parts = []
    for pixels, label in pairs:
        values = np.frombuffer(pixels, "<f4").reshape(-1, 28, 28)
        parts.append(((values * 256.0).round().astype(np.uint8), np.frombuffer(label, "<i8").astype(np.int64)))
    return tuple(parts)


def _raw(value: Any) -> bytes:
    """Pickletools shows the bytes of Python 2's strings as latin-1 text."""
    return value if isinstance(value, bytes) else str(value).encode("latin-1")


def usps_npz(path: Path, split: str) -> tuple[Bytes, Numbers]:
    """x_train, y_train, x_test, y_test as bytes: [n, 16, 16] and [n]."""
    with np.load(path, allow_pickle=False) as file:
        names = f"x_{split}", f"y_{split}"
        if not set(names) <= set(file.files):
            raise SourceError(f"{path}: has {', '.join(file.files)}, and no {' and '.join(names)}")
        return file[names[0]], file[names[1]].astype(np.int64)


def usps_text(path: Path) -> tuple[Bytes, Numbers]:
    """USPS as LIBSVM publishes it: a line a digit, class 1 to 10, then `pixel:value` with values -1 to 1."""
    pixels, labels = [], []
    opened: Callable[..., io.TextIOBase] = bz2.open if path.suffix == ".bz2" else open
    with opened(path, "rt") as file:
        for number, line in enumerate(file, 1):
            said, *values = line.split()
            row = np.full(256, -1.0)
            try:
                for value in values:
                    place, _, grey = value.partition(":")
                    row[int(place) - 1] = float(grey)
                labels.append(int(float(said)) - 1)
            except (ValueError, IndexError) as error:
                raise SourceError(f"{path}, line {number}: is no USPS digit: {error}") from error
            pixels.append(row)
    scaled = (np.array(pixels) + 1.0) * 127.5
    return scaled.round().astype(np.uint8).reshape(-1, 16, 16), np.array(labels, np.int64)


def svhn_mat(path: Path) -> tuple[Bytes, Numbers]:
    """SVHN's cropped digits: X [32, 32, 3, n], y [n, 1] with 10 for the digit 0; to [n, 3, 32, 32] and [n]."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found = loadmat(path, variable_names=["X", "y"])
        pixels, label = found["X"], found["y"]
    except (MatReadError, ValueError, KeyError, NotImplementedError) as error:
        raise SourceError(f"{path}: is no file of SVHN's cropped digits: {error}") from error
    return np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)), label.reshape(-1).astype(np.int64) % 10


def gtsrb_train(path: Path, size: int) -> tuple[Bytes, Numbers]:
    """GTSRB_Final_Training_Images.zip: a folder a class, with a table of boxes in each; signs cut out, `size` wide."""
    with zipfile.ZipFile(path) as archive:
        tables = sorted(name for name in archive.namelist() if name.endswith(".csv"))
        rows = [
            (archive, f"{table.rpartition('/')[0]}/{row['Filename']}", row)
            for table in tables
            for row in _table(archive.read(table))
        ]
        return _signs(rows, size, path)


def gtsrb_test(images: Path, truth: Path, size: int) -> tuple[Bytes, Numbers]:
    """GTSRB_Final_Test_Images.zip with the classes of GTSRB_Final_Test_GT.zip."""
    with zipfile.ZipFile(truth) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".csv"))
        table = list(_table(archive.read(name)))
    with zipfile.ZipFile(images) as archive:
        where = {name.rpartition("/")[2]: name for name in archive.namelist()}
        return _signs([(archive, where[row["Filename"]], row) for row in table], size, images)


def _table(content: bytes) -> Iterator[dict[str, str]]:
    return csv.DictReader(io.StringIO(content.decode()), delimiter=";")


def _signs(rows: Iterable[tuple[zipfile.ZipFile, str, dict[str, str]]], size: int, path: Path) -> tuple[Bytes, Numbers]:
    pixels, labels = [], []
    for archive, name, row in rows:
        box = tuple(int(row[key]) for key in ("Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2"))
        pixels.append(picture(archive.read(name), size, box))
        labels.append(int(row["ClassId"]))
    if not labels:
        raise SourceError(f"{path}: holds no table of signs")
    return np.stack(pixels), np.array(labels, np.int64)


def picture(content: bytes, size: int, box: tuple[int, ...] | None = None) -> Bytes:
    """An image file (within a box, if one is given) as uint8 [3, size, size]."""
    with Image.open(io.BytesIO(content)) as opened:
        cut = opened.convert("RGB") if box is None else opened.convert("RGB").crop(box)  # type: ignore[arg-type]
    pixels = torch.from_numpy(np.asarray(cut).copy()).permute(2, 0, 1)[None].float()
    return np.asarray(to_bytes(resized(pixels, size))[0].numpy())


def folders(path: Path, size: int) -> tuple[Bytes, Numbers, tuple[str, ...], list[str]]:
    """A folder of class folders: pixels, labels, class names (sorted), and the files' names below the folder.

    Raises:
        SourceError: there is no such folder, no class folder in it, or a file that is no image.

    """
    if not path.is_dir():
        raise SourceError(f"{path}: there is no such folder; name the folder that holds a folder for every class.")
    classes = tuple(sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")))
    if len(classes) < 2:
        raise SourceError(f"{path}: has {len(classes)} folders; a class has one each, and two classes are needed.")
    pixels, labels, names = [], [], []
    for number, name in enumerate(classes):
        files = sorted(file for file in (path / name).rglob("*") if file.suffix.lower() in PICTURES)
        if not files:
            raise SourceError(f"{path / name}: has no image ({', '.join(PICTURES)}); remove the folder or fill it.")
        for file in files:
            try:
                pixels.append(picture(file.read_bytes(), size))
            except OSError as error:
                raise SourceError(f"{file}: cannot be read as an image: {error}") from error
            labels.append(number)
            names.append(str(file.relative_to(path)))
    return np.stack(pixels), np.array(labels, np.int64), classes, names


def office31_archive(path: Path, part: str, size: int) -> tuple[Bytes, Numbers, tuple[str, ...], list[str]]:
    """domain_adaptation_images.tar.gz: <part>/images/<class>/<file>, as `folders`."""
    found: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            at = member.name.split("/")
            if part in at and member.isfile() and Path(member.name).suffix.lower() in PICTURES:
                file = archive.extractfile(member)
                found["/".join(at[-2:])] = b"" if file is None else file.read()
    if not found:
        raise SourceError(f"{path}: holds no image of {part}")
    names = sorted(found)
    classes = tuple(sorted({name.split("/")[0] for name in names}))
    label = np.array([classes.index(name.split("/")[0]) for name in names], np.int64)
    return np.stack([picture(found[name], size) for name in names]), label, classes, names


def fifth(names: Iterable[str]) -> NDArray[np.bool_]:
    """True for a fifth of the names, by their hash: the same images whatever else lies in the folder."""
    return np.array([zlib.crc32(name.encode()) % 5 == 0 for name in names])
