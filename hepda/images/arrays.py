"""Images in memory (bytes, class numbers, origin) and their conversion to one common shape."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hepda.errors import DataError

_ROWS = 4096  # images per batch when bytes are converted to floats


@dataclass(frozen=True, slots=True)
class Images:
    """Images of one domain, all of one shape.

    Attributes:
        pixels: uint8 [n, channels, rows, columns].
        label: int64 [n], class numbers from 0.
        classes: names of the classes.
        about: origin as recorded in the manifest: files with their sizes in bytes, seeds of generated images.
        remarks: warnings that a reader of the numbers has to know.

    """

    pixels: NDArray[np.uint8]
    label: NDArray[np.int64]
    classes: tuple[str, ...]
    about: tuple[dict[str, Any], ...] = ()
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4:
            raise DataError(f"images are {self.pixels.dtype} {self.pixels.shape}; uint8 [n, channels, rows, columns]")
        if self.label.shape != (len(self.pixels),):
            raise DataError(f"{len(self.pixels)} images have {self.label.shape} labels")
        if len(self.label) == 0:
            raise DataError("there are no images; check the folder or the data set")
        if self.label.min() < 0 or self.label.max() >= len(self.classes):
            raise DataError(f"labels are {self.label.min()} to {self.label.max()} for {len(self.classes)} classes")

    def __len__(self) -> int:
        return len(self.label)

    def take(self, index: NDArray[Any]) -> Images:
        """Return the images selected by an index array or a mask."""
        return replace(self, pixels=self.pixels[index], label=self.label[index])


def digit_names() -> tuple[str, ...]:
    """Return the names of the ten digit classes, "0" to "9"."""
    return tuple(str(digit) for digit in range(10))


def entry(path: Path, images: int) -> dict[str, Any]:
    """Return the manifest entry of a file that was read: its path, its size in bytes and its number of images."""
    return {"file": str(path), "bytes": path.stat().st_size if path.is_file() else None, "images": images}


def limited(images: Images, limit: int | None, seed: int) -> Images:
    """Return at most `limit` of the images, drawn at random with the seed and kept in their order.

    Args:
        images: the images to choose from.
        limit: largest number of images; None: all images are returned.
        seed: seed of the random choice.

    """
    if limit is None or limit >= len(images):
        return images
    chosen = np.random.default_rng(seed).choice(len(images), limit, replace=False)
    return images.take(np.sort(chosen))


def some_of_each(label: NDArray[np.int64], number: int, seed: int) -> NDArray[np.int64]:
    """Return the rows of `number` labels of each class, drawn at random with the seed, class by class.

    Args:
        label: class numbers [n].
        number: rows of each class that occurs.
        seed: seed of the random choice.

    Returns:
        Row numbers [number * classes].

    Raises:
        DataError: a class has fewer rows.

    """
    classes, counts = np.unique(label, return_counts=True)
    if counts.min() < number:
        few = classes[counts.argmin()]
        raise DataError(f"{number} labelled images of each class were asked for; class {few} has {counts.min()}")
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.choice(np.flatnonzero(label == one), number, replace=False) for one in classes])


def trimmed(images: Images, margin: int) -> Images:
    """Return the images without `margin` rows and columns on every side.

    Raises:
        DataError: fewer than 8 rows or columns are left.

    """
    if margin == 0:
        return images
    rows, columns = (side - 2 * margin for side in images.pixels.shape[2:])
    if min(rows, columns) < 8:
        raise DataError(f"a margin of {margin} leaves {rows} x {columns} pixels of an image; 8 x 8 at least")
    return replace(images, pixels=images.pixels[:, :, margin : margin + rows, margin : margin + columns])


def shaped(images: Images, size: int, channels: int) -> Images:
    """Return the images with `size` rows and columns and 1 or 3 channels.

    Larger images are averaged over areas, smaller ones are interpolated (bilinear). Grey is the luma of the colours
    (ITU-R 601).
    """
    n, present, rows, columns = images.pixels.shape
    if (present, rows, columns) == (channels, size, size):
        return images
    result = np.empty((n, channels, size, size), np.uint8)
    for start in range(0, n, _ROWS):
        part = torch.from_numpy(np.ascontiguousarray(images.pixels[start : start + _ROWS])).float()
        result[start : start + _ROWS] = to_bytes(resized(coloured(part, channels), size)).numpy()
    return replace(images, pixels=result)


def resized(x: Tensor, size: int) -> Tensor:
    """Resize float images [n, c, h, w] to [n, c, size, size]."""
    rows, columns = x.shape[-2:]
    if (rows, columns) == (size, size):
        return x
    if rows >= size and columns >= size:
        return functional.interpolate(x, size=(size, size), mode="area")
    return functional.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)


def coloured(x: Tensor, channels: int) -> Tensor:
    """Convert float images [n, c, h, w] to 1 or 3 channels."""
    if x.shape[1] == channels:
        return x
    if x.shape[1] == 1:
        return x.expand(-1, channels, -1, -1)
    luma = x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (x * luma).sum(dim=1, keepdim=True)


def to_bytes(x: Tensor) -> Tensor:
    """Round values of about 0 to 255 to bytes; values outside this range are clipped."""
    return x.round().clamp_(0.0, 255.0).to(torch.uint8)
