"""Readers for the files of published data sets: files to bytes and labels. No content is executed or unpickled."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import math
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from hepda.datasets.download import reading, tar_files
from hepda.errors import SourceError
from hepda.images.arrays import resized, to_bytes

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]
PICTURES = (".png", ".jpg", ".jpeg", ".ppm", ".bmp", ".webp")
_SIXTEEN = ("PNG", "PPM")
"""Formats whose grey values of 16 bits are in mode I (32 bits) of Pillow."""


def idx(path: Path) -> Bytes:
    """Read an IDX file of bytes (the format of MNIST), gzipped or not: uint8 with the shape in its header.

    Raises:
        SourceError: it is not such a file, it is damaged, or it is truncated.

    """
    with reading(f"{path}: is no IDX file of bytes"):
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        if raw[:3] != b"\x00\x00\x08":
            raise ValueError("it does not begin with 0, 0, 8")
        shape = struct.unpack_from(f">{raw[3]}I", raw, 4)
        values = np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3])
    if values.size != math.prod(shape):
        raise SourceError(f"{path}: has the shape {shape} in its header, but holds {values.size} bytes")
    return values.reshape(shape).copy()  # a writable copy: the buffer of the file is read-only


def mnist_pickle(path: Path) -> tuple[tuple[Bytes, Numbers], ...]:
    """Read mnist.pkl.gz of the deep-learning tutorials: 50,000 + 10,000 + 10,000 digits.

    The pickle is not loaded. Its arrays are the long strings among its opcodes, alternately float32 pixels k / 256 and
    int64 labels; anything else is refused.

    Returns:
        Three pairs of pixels [n, 28, 28] and labels [n].

    Raises:
        SourceError: the strings are other ones, or the file is damaged.

    """
    with reading(f"{path}: is no gzipped pickle of MNIST"), gzip.open(path) as file:
        opcodes = pickletools.genops(file.read())
        strings = [_raw(value) for opcode, value, _ in opcodes if opcode.name == "BINSTRING"]
    pairs = list(zip(strings[::2], strings[1::2], strict=False))
    if len(strings) != 6 or any(len(pixels) != len(label) // 8 * 28 * 28 * 4 for pixels, label in pairs):
        raise SourceError(f"{path}: does not hold three pairs of digits and labels")
    parts = []
    for pixels, label in pairs:
        values = np.frombuffer(pixels, "<f4").reshape(-1, 28, 28) * 256.0
        if not ((values > -0.5) & (values < 255.5)).all():
            raise SourceError(f"{path}: holds pixels that are not between 0 and 255/256")
        parts.append((values.round().astype(np.uint8), np.frombuffer(label, "<i8").astype(np.int64)))
    return tuple(parts)


def _raw(value: Any) -> bytes:
    """Return the bytes of a string of Python 2, which pickletools shows as latin-1 text."""
    return value if isinstance(value, bytes) else str(value).encode("latin-1")


def usps_npz(path: Path, split: str) -> tuple[Bytes, Numbers]:
    """Read x_train and y_train, or x_test and y_test, as bytes [n, 16, 16] and labels [n].

    Args:
        path: an archive of numpy arrays.
        split: `train` or `test`.

    Raises:
        SourceError: it is not such a file, or the arrays have another shape or type.

    """
    names = f"x_{split}", f"y_{split}"
    with reading(f"{path}: is no archive of numpy's arrays"), np.load(path, allow_pickle=False) as file:
        if not set(names) <= set(file.files):
            raise SourceError(f"{path}: has {', '.join(file.files)}, and no {' and '.join(names)}")
        pixels, label = file[names[0]], file[names[1]]
    if pixels.dtype != np.uint8 or pixels.shape != (*label.shape, 16, 16) or label.dtype.kind not in "iu":
        raise SourceError(
            f"{path}: {names[0]} is {pixels.dtype} {pixels.shape} and {names[1]} {label.dtype} {label.shape}; "
            "expected are uint8 (n, 16, 16) and integers (n,)"
        )
    return pixels, label.astype(np.int64)


def usps_text(path: Path) -> tuple[Bytes, Numbers]:
    """Read USPS in the format of LIBSVM.

    Each line has one digit: its class, 1 to 10, then `pixel:value` with values from -1 to 1.

    Raises:
        SourceError: a line is not such a digit (a class, pixel or value is out of range, or a pixel occurs twice), or
            the file is damaged.

    """
    pixels, labels = [], []
    opened: Callable[..., io.TextIOBase] = bz2.open if path.suffix == ".bz2" else open
    with reading(f"{path}: is no text of USPS digits"), opened(path, "rt") as file:
        for number, line in enumerate(file, 1):
            with reading(f"{path}, line {number}: is no USPS digit"):
                grey, label = _usps_digit(line)
            pixels.append(grey)
            labels.append(label)
    scaled = (np.array(pixels).reshape(-1, 16, 16) + 1.0) * 127.5
    return scaled.round().astype(np.uint8), np.array(labels, np.int64)


def _usps_digit(line: str) -> tuple[NDArray[np.float64], int]:
    """Return the pixels [256] from -1 to 1 and the digit of a line of LIBSVM. Raises ValueError."""
    class_number, *values = line.split() or [""]
    if float(class_number) not in range(1, 11):
        raise ValueError(f"its class is {class_number}; 1 to 10")
    grey, seen = np.full(256, -1.0), set[int]()
    for value in values:
        pixel, _, shade = value.partition(":")
        place = int(pixel)
        if not 1 <= place <= 256 or place in seen:
            raise ValueError(f"pixel {place} is given twice" if place in seen else f"pixel {place}; there are 1 to 256")
        if not abs(float(shade)) <= 1.001:  # decimals are rounded
            raise ValueError(f"pixel {place} is {shade}; -1 to 1")
        seen.add(place)
        grey[place - 1] = float(shade)
    return grey, int(float(class_number)) - 1


def svhn_mat(path: Path) -> tuple[Bytes, Numbers]:
    """Read the cropped digits of SVHN as bytes [n, 3, 32, 32] and labels [n].

    The file has X [32, 32, 3, n] and y [n, 1], where 10 is the digit 0.

    Raises:
        SourceError: it is not such a file, or it is damaged.

    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    with reading(f"{path}: is no file of SVHN's cropped digits", MatReadError):
        content = loadmat(path, variable_names=["X", "y"])
        pixels, label = np.asarray(content["X"]), np.asarray(content["y"]).reshape(-1)
        if pixels.dtype != np.uint8 or pixels.shape != (32, 32, 3, len(label)):
            raise ValueError(f"X is {pixels.dtype} {pixels.shape}; uint8 (32, 32, 3, {len(label)}) for {len(label)} y")
        if not np.isin(label, range(11)).all():
            raise ValueError("y holds other numbers than 0 to 10")
    return np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)), label.astype(np.int64) % 10


def gtsrb_train(path: Path, size: int) -> tuple[Bytes, Numbers]:
    """Read the signs of GTSRB_Final_Training_Images.zip, cut out and resized to `size` rows and columns.

    The archive has a folder for each class, with a table of boxes in each folder.
    """
    with _zip(path) as archive:
        tables = sorted(name for name in archive.namelist() if name.endswith(".csv"))
        rows = [
            (archive, f"{table.rpartition('/')[0]}/{row['Filename']}", row)
            for table in tables
            for row in _table(archive.read(table))
        ]
        return _signs(rows, size, path)


def gtsrb_test(images: Path, truth: Path, size: int) -> tuple[Bytes, Numbers]:
    """Read the signs of GTSRB_Final_Test_Images.zip with the classes from GTSRB_Final_Test_GT.zip."""
    with _zip(truth) as archive:
        names = [name for name in archive.namelist() if name.endswith(".csv")]
        if len(names) != 1:
            raise SourceError(f"{truth}: holds {len(names)} tables (.csv); one, of the classes")
        table = list(_table(archive.read(names[0])))
    with _zip(images) as archive:
        where = {name.rpartition("/")[2]: name for name in archive.namelist()}
        missing = [row["Filename"] for row in table if row["Filename"] not in where]
        if missing:
            raise SourceError(f"{images}: holds no {missing[0]}, which {truth} names, nor {len(missing) - 1} more")
        return _signs([(archive, where[row["Filename"]], row) for row in table], size, images)


@contextmanager
def _zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive of signs. Raises SourceError if it is damaged or has unexpected content."""
    with reading(f"{path}: is no archive of GTSRB"), zipfile.ZipFile(path) as archive:
        yield archive


def _table(content: bytes) -> Iterator[dict[str, str]]:
    return csv.DictReader(io.StringIO(content.decode()), delimiter=";")


def _signs(rows: Iterable[tuple[zipfile.ZipFile, str, dict[str, str]]], size: int, path: Path) -> tuple[Bytes, Numbers]:
    pixels, labels = [], []
    for archive, name, row in rows:
        box = tuple(int(row[key]) for key in ("Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2"))
        pixels.append(picture(archive.read(name), size, f"{path}, {name}", box))
        labels.append(int(row["ClassId"]))
    if not labels:
        raise SourceError(f"{path}: holds no table of signs")
    return np.stack(pixels), np.array(labels, np.int64)


def picture(content: bytes, size: int, name: str, box: tuple[int, ...] | None = None) -> Bytes:
    """Read an image file, or a box of it, as uint8 [3, size, size].

    Args:
        content: the bytes of the file.
        size: rows and columns of the result.
        name: name of the file in error messages.
        box: left, top, right and bottom edge of the box; None: the whole image.

    Raises:
        SourceError: `name` is not an image, or the box is not within it.

    """
    image = rgb(content, name)
    if box is not None:
        left, top, right, bottom = box
        if not (0 <= left < right <= image.shape[1] and 0 <= top < bottom <= image.shape[0]):
            raise SourceError(f"{name}: the box {box} is not within its {image.shape[1]} x {image.shape[0]} pixels")
        image = image[top:bottom, left:right]
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
    return np.asarray(to_bytes(resized(pixels, size))[0].numpy())


def rgb(content: bytes, name: str) -> Bytes:
    """Read an image file as it is displayed, uint8 [rows, columns, 3].

    The image is rotated according to its EXIF data. Grey values of 16 bits are scaled to 8 bits, white to white: the
    conversion of Pillow to RGB clips them at 255, which turns everything except black into white.

    Raises:
        SourceError: `name` is not an image, or its values have no known range (32 bits, real numbers).

    """
    with reading(f"{name}: cannot be read as an image", Image.DecompressionBombError):
        with Image.open(io.BytesIO(content)) as opened:
            upright = ImageOps.exif_transpose(opened)
            sixteen = upright.mode.startswith("I;16") or (upright.mode == "I" and opened.format in _SIXTEEN)
            if upright.mode in ("I", "F") and not sixteen:
                raise ValueError(f"values of 32 bits (mode {upright.mode} of {opened.format}); 8 or 16 bits")
            if not sixteen:
                return np.asarray(upright.convert("RGB"))
            grey = np.asarray(upright).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise ValueError(f"values from {grey.min()} to {grey.max()}, which are not 16 bits")
        return np.repeat(((grey + 128) // 257).astype(np.uint8)[:, :, None], 3, axis=2)


def folders(path: Path, size: int) -> tuple[Bytes, Numbers, tuple[str, ...], list[str]]:
    """Read a folder that has one folder of images for each class.

    Returns:
        Pixels, labels, class names (sorted), and the names of the files relative to the folder.

    Raises:
        SourceError: the folder does not exist, it has fewer than two class folders, a class folder has no image, or a
            file is not an image.

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
            pixels.append(picture(_content(file), size, str(file)))
            labels.append(number)
            names.append(str(file.relative_to(path)))
    return np.stack(pixels), np.array(labels, np.int64), classes, names


def _content(file: Path) -> bytes:
    with reading(f"{file}: cannot be read"):
        return file.read_bytes()


def office31_archive(path: Path, part: str, size: int) -> tuple[Bytes, Numbers, tuple[str, ...], list[str]]:
    """Read one domain of domain_adaptation_images.tar.gz: <part>/images/<class>/<file>.

    Returns:
        Pixels, labels, class names and file names, in the same form as from `folders`.

    """

    def is_selected(name: str) -> bool:
        return part in name.split("/") and Path(name).suffix.lower() in PICTURES

    files = {"/".join(name.split("/")[-2:]): content for name, content in tar_files(path, is_selected).items()}
    if not files:
        raise SourceError(f"{path}: holds no image of {part}")
    names = sorted(files)
    classes = tuple(sorted({name.split("/")[0] for name in names}))
    label = np.array([classes.index(name.split("/")[0]) for name in names], np.int64)
    return np.stack([picture(files[name], size, f"{path}, {name}") for name in names]), label, classes, names


def fifth(names: Iterable[str]) -> NDArray[np.bool_]:
    """Return True for a fifth of the names, chosen by their hash.

    The choice of an image does not depend on the other images in the folder.
    """
    return np.array([zlib.crc32(name.encode()) % 5 == 0 for name in names])
