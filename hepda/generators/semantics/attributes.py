"""Attributes of strokes with a definite value: slant and width by moments, thickness by distances to the edge.

They are those of Morpho-MNIST (Castro et al., JMLR 20 (2019) 178), with two differences: the width is a standard
deviation instead of a box, and the thickness is a mean over all ink instead of one over a skeleton.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hepda.errors import DataError
from hepda.images.arrays import resized

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

FAINT = 0.1
"""Share of an image's maximum below which a pixel is background: the noise of a generated image has large arms."""
FINER = 4
"""How many times as many rows and columns an image gets before distances to an edge are measured."""
_ROWS = 500  # images that are made finer at once


def slant(pixels: Pixels) -> Floats:
    """Return the angle of the strokes to the vertical in degrees [n], above 0 if they lean to the right.

    It is arctan(-mu_11 / mu_02), with the central moments mu of the ink to the right and downwards: shearing the image
    by this angle makes the two directions uncorrelated.

    Args:
        pixels: bright ink on a dark ground, bytes [n, 1, rows, columns].

    Raises:
        DataError: an image has no ink, or there are several channels.

    """
    _, down, mixed = _second_moments(pixels)
    return np.degrees(np.arctan(-mixed / np.maximum(down, 1e-9)))


def width(pixels: Pixels) -> Floats:
    """Return the standard deviation of the ink to the right, in pixels [n], of images without their slant.

    It is sqrt(mu_20 - mu_11^2 / mu_02), which no shear to the side changes. Arguments and errors as of `slant`.
    """
    across, down, mixed = _second_moments(pixels)
    return np.sqrt(np.maximum(across - mixed**2 / np.maximum(down, 1e-9), 0.0))


def thickness(pixels: Pixels) -> Floats:
    """Return the thickness of the strokes in pixels [n]: four times the mean distance of ink to its edge.

    The mean distance to the nearer edge is a quarter of the width for a long bar, and a third of the radius for a disk.
    Ink is what is brighter than half of an image's maximum, in an image of `FINER` times as many rows. Arguments and
    errors as of `slant`.
    """
    from scipy.ndimage import distance_transform_edt

    ink = _ink(pixels)
    found = np.empty(len(ink))
    for first in range(0, len(ink), _ROWS):
        part = torch.from_numpy(ink[first : first + _ROWS, None])
        for number, fine in enumerate(resized(part, FINER * ink.shape[-1])[:, 0].numpy(), start=first):
            # What lies outside an image is background; a pixel at the edge is half a pixel away from it.
            inside = np.pad(fine > 0.5 * fine.max(), 1)
            found[number] = 4.0 * (distance_transform_edt(inside)[inside].mean() - 0.5) / FINER
    return found


ATTRIBUTES: Mapping[str, Callable[[Pixels], Floats]] = {"thickness": thickness, "slant": slant, "width": width}
"""Attributes by name."""
UNITS: Mapping[str, str] = {"thickness": "pixels", "slant": "degrees", "width": "pixels"}
"""Their units."""


def attributes(pixels: Pixels, names: Sequence[str] = tuple(ATTRIBUTES)) -> Floats:
    """Return attributes of images [n, attributes], in the order of the names."""
    return np.column_stack([ATTRIBUTES[name](pixels) for name in names])


def binned(values: Floats, label: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Return in which part of the values of its own class each value is [n]: 0 low, 1 in the middle, 2 high.

    Within each class there are as many low ones as in every other, so that a bin says nothing of the class.

    Args:
        values: an attribute [n].
        label: classes [n].
        share: of each class that is low, and as many are high; below a half.

    Raises:
        DataError: the share is not above 0 and below a half.

    """
    if not 0.0 < share < 0.5:
        raise DataError(f"the share of low values is {share}; it must be above 0 and below 0.5")
    bins = np.ones(len(values), np.int64)
    for one in np.unique(label):
        rows = np.flatnonzero(label == one)
        low, high = np.quantile(values[rows], [share, 1.0 - share])
        bins[rows] += (values[rows] > high).astype(np.int64) - (values[rows] <= low).astype(np.int64)
    return bins


def _ink(pixels: Pixels) -> NDArray[np.float32]:
    """Return the brightness of ink from 0 to 1 [n, rows, columns], 0 for the background."""
    if pixels.ndim != 4 or pixels.shape[1] != 1:
        raise DataError(f"attributes are those of grey images [n, 1, rows, columns], not of {pixels.shape}")
    ink = pixels[:, 0].astype(np.float32) / 255.0
    most = ink.max(axis=(1, 2), keepdims=True)
    if not most.all():
        raise DataError(f"{int((most == 0).sum())} of {len(ink)} images have no ink, and so no attributes")
    return np.where(ink > FAINT * most, ink, np.float32(0.0))


def _second_moments(pixels: Pixels) -> tuple[Floats, Floats, Floats]:
    """Return the central moments mu_20, mu_02 and mu_11 of the ink [n], to the right and downwards, in pixels^2."""
    ink: NDArray[Any] = _ink(pixels).astype(np.float64)
    ink /= ink.sum(axis=(1, 2), keepdims=True)
    rows, columns = ink.shape[1:]
    y, x = np.arange(rows)[:, None], np.arange(columns)[None, :]
    x = x - (ink * x).sum(axis=(1, 2), keepdims=True)
    y = y - (ink * y).sum(axis=(1, 2), keepdims=True)
    return tuple((ink * product).sum(axis=(1, 2)) for product in (x * x, y * y, x * y))
