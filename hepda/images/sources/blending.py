"""MNIST-M: digits blended into patches of photographs, |patch - digit| in each channel (Ganin & Lempitsky 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hepda.datasets import download
from hepda.errors import DataError, MissingExtraError, SourceError
from hepda.images.sources.formats import rgb

Photographs = Sequence[NDArray[np.uint8]]
"""Photographs, uint8 [rows, columns, 3] each."""

_ROWS = 8192
_FALLBACK = ("astronaut", "brick", "chelsea", "coffee", "grass", "gravel", "hubble_deep_field", "rocket")
"""Photographs that scikit-image ships."""


def photographs(split: str) -> tuple[list[NDArray[np.uint8]], list[Path], str]:
    """Return the photographs of a split of BSDS500, or of scikit-image if BSDS500 is missing.

    The photographs of scikit-image (the extra `photographs`) are split in two halves each, one for `train` and the
    other for `test`.

    Args:
        split: `train` or `test`.

    Returns:
        The photographs, the folder or archive that they were read from (none for scikit-image), and a warning, which is
        empty for BSDS500.

    Raises:
        SourceError: neither BSDS500 nor the photographs of scikit-image are available.

    """
    paths = download.find("bsds500")
    if paths is not None and paths[0].is_dir():
        folder = paths[0] if split == "train" else paths[1]
        return [rgb(path.read_bytes(), str(path)) for path in sorted(folder.glob("*.jpg"))], [folder], ""
    if paths is not None:
        return _from_archive(paths[0], split), [paths[0]], ""
    try:
        shipped = _shipped(split)
    except MissingExtraError as error:
        ways = download.missing("bsds500")
        raise SourceError(f"{ways}\n  or take the photographs that scikit-image ships: {error}") from error
    return (
        shipped,
        [],
        (
            "MNIST-M was blended with photographs that scikit-image ships, not with BSDS500: its numbers cannot be "
            "compared with published ones"
        ),
    )


def _from_archive(path: Path, split: str) -> list[NDArray[np.uint8]]:
    files = download.tar_files(path, lambda name: f"/images/{split}/" in name and name.endswith(".jpg"))
    return [rgb(files[name], f"{path}, {name}") for name in sorted(files)]


def _shipped(split: str) -> list[NDArray[np.uint8]]:
    try:
        from skimage import data
    except ImportError as error:
        raise MissingExtraError("scikit-image", "photographs") from error
    halves = []
    for name in _FALLBACK:
        if not (Path(data.__file__).parent / f"{name}.png").exists() and not hasattr(data, name):
            continue
        try:
            photo = np.asarray(getattr(data, name)())
        except (ConnectionError, OSError, ModuleNotFoundError):
            continue  # this version of scikit-image does not ship it
        colour = photo if photo.ndim == 3 else np.repeat(photo[:, :, None], 3, axis=2)
        middle = colour.shape[1] // 2
        halves.append(np.ascontiguousarray(colour[:, :middle, :3] if split == "train" else colour[:, middle:, :3]))
    return halves


def blended(digits: NDArray[np.uint8], photos: Photographs, seed: int) -> NDArray[np.uint8]:
    """Blend each digit into a patch of a photograph.

    The photograph and the position of the patch in it are drawn with the seed for every digit.

    Args:
        digits: uint8 [n, rows, columns].
        photos: photographs, uint8 [rows, columns, 3] each.
        seed: seed of the random choices.

    Returns:
        The blended images, uint8 [n, 3, rows, columns].

    Raises:
        DataError: there are no photographs, or one is smaller than a digit.

    """
    n, rows, columns = digits.shape
    if not photos or any(p.shape[0] < rows or p.shape[1] < columns for p in photos):
        raise DataError(f"digits of {rows} x {columns} pixels need photographs of at least that size")
    pixels, begin, height, width = _pixel_strip(photos)
    generator = torch.Generator().manual_seed(seed)
    photo = torch.randint(len(photos), (n,), generator=generator)
    position = torch.rand((2, n), generator=generator, dtype=torch.float64)
    top = (position[0] * (height[photo] - rows + 1)).long()
    left = (position[1] * (width[photo] - columns + 1)).long()
    first = begin[photo] + top * width[photo] + left
    result = np.empty((n, 3, rows, columns), np.uint8)
    across = torch.arange(columns)
    for start in range(0, n, _ROWS):
        part = slice(start, start + _ROWS)
        down = torch.arange(rows)[None, :, None] * width[photo[part]][:, None, None]
        patch = pixels[first[part][:, None, None] + down + across]  # [n, rows, columns, 3]
        digit = torch.from_numpy(digits[part]).to(torch.int16)[..., None]
        result[part] = (patch.to(torch.int16) - digit).abs().to(torch.uint8).permute(0, 3, 1, 2).numpy()
    return result


def _pixel_strip(photos: Photographs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return all pixels [m, 3] one after another, and for each photograph its first pixel, its rows and its columns."""
    height = torch.tensor([photo.shape[0] for photo in photos])
    width = torch.tensor([photo.shape[1] for photo in photos])
    begin = torch.cat([torch.zeros(1, dtype=torch.int64), (height * width).cumsum(0)[:-1]])
    pixels = torch.from_numpy(np.concatenate([photo.reshape(-1, 3) for photo in photos]))
    return pixels, begin, height, width
