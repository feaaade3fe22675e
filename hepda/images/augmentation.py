"""Random changes of training images, on tensors [n, channels, rows, columns] with values 0 to 255.

Every image of a batch is changed by its own random numbers, all of which come from the generator in the arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

Change = Callable[[Tensor, Generator], Tensor]


def _uniform(x: Tensor, generator: Generator, low: float, high: float, columns: int = 1) -> Tensor:
    values = torch.rand((len(x), columns), generator=generator, device=x.device, dtype=x.dtype)
    return low + (high - low) * values


def _chosen(x: Tensor, generator: Generator, share: float = 0.5) -> Tensor:
    """Return a mask [n, 1, 1, 1] that is True for a random `share` of the images."""
    return (_uniform(x, generator, 0.0, 1.0) < share)[:, :, None, None]


def warped(x: Tensor, turn: Tensor, zoom: Tensor, shear: Tensor, move: Tensor) -> Tensor:
    """Rotate, zoom, shear and move images; edge pixels are repeated outside the image.

    Args:
        x: images [n, channels, rows, columns].
        turn: rotation angle of each image in radians [n].
        zoom: zoom factor of each image [n].
        shear: shear of each image [n].
        move: displacement of each image in half widths [n, 2].

    """
    cos, sin = turn.cos() / zoom, turn.sin() / zoom
    upper = torch.stack([cos, shear * cos - sin, move[:, 0]], dim=1)
    lower = torch.stack([sin, shear * sin + cos, move[:, 1]], dim=1)
    grid = functional.affine_grid(torch.stack([upper, lower], dim=1), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)


def shift(x: Tensor, generator: Generator) -> Tensor:
    """Move each image by up to two pixels of 28 in each direction; edge pixels are repeated outside."""
    most = max(1, round(x.shape[-1] / 14))
    padded = functional.pad(x, (most, most, most, most), mode="replicate")
    down, right = torch.randint(0, 2 * most + 1, (2, len(x)), generator=generator, device=x.device)
    rows = down[:, None] + torch.arange(x.shape[-2], device=x.device)
    columns = right[:, None] + torch.arange(x.shape[-1], device=x.device)
    image = torch.arange(len(x), device=x.device)[:, None, None]
    # an index of this form needs the channels last, which is their order in memory with channels_last
    moved = padded.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def affine(x: Tensor, generator: Generator) -> Tensor:
    """Rotate by up to 15 degrees, zoom by 0.7 to 1.4, shear by up to 0.2 and move by up to 7 % of the width."""
    turn = _uniform(x, generator, -math.pi / 12, math.pi / 12)[:, 0]
    zoom = _uniform(x, generator, math.log(0.7), math.log(1.4))[:, 0].exp()
    skew = _uniform(x, generator, -0.2, 0.2)[:, 0]
    return warped(x, turn, zoom, skew, _uniform(x, generator, -0.14, 0.14, 2))


def contrast(x: Tensor, generator: Generator) -> Tensor:
    """Multiply the contrast by 0.5 to 1.5 around the middle and change the brightness by up to a fifth."""
    times = _uniform(x, generator, 0.5, 1.5)[:, :, None, None]
    more = _uniform(x, generator, -51.0, 51.0)[:, :, None, None]
    return ((x - 127.5) * times + 127.5 + more).clamp(0.0, 255.0)


def colour(x: Tensor, generator: Generator) -> Tensor:
    """Change contrast and brightness as in `contrast`, with separate random numbers for every channel."""
    channels = x.shape[1]
    times = _uniform(x, generator, 0.6, 1.4, channels)[:, :, None, None]
    more = _uniform(x, generator, -51.0, 51.0, channels)[:, :, None, None]
    return ((x - 127.5) * times + 127.5 + more).clamp(0.0, 255.0)


def noise(x: Tensor, generator: Generator) -> Tensor:
    """Add Gaussian noise with a width of up to 20 of 255."""
    width = _uniform(x, generator, 0.0, 20.0)[:, :, None, None]
    added = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return (x + width * added).clamp(0.0, 255.0)


def blur(x: Tensor, generator: Generator) -> Tensor:
    """Average half of the images over 3 x 3 pixels with binomial weights."""
    kernel = x.new_full((1, 1, 3, 3), 1.0 / 16.0)  # made where x is: a list would be copied there, and waited for
    kernel[:, :, 1] *= 2.0
    kernel[:, :, :, 1] *= 2.0
    kernel = kernel.expand(x.shape[1], 1, 3, 3)
    smooth = functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=x.shape[1])
    return torch.where(_chosen(x, generator), smooth, x)


def cutout(x: Tensor, generator: Generator) -> Tensor:
    """Set a square with a side of a quarter of the width to the mean of the image."""
    rows, columns = x.shape[-2:]
    side = max(1, columns // 4)
    centre = torch.rand((2, len(x), 1), generator=generator, device=x.device)
    down = (torch.arange(rows, device=x.device) - centre[0] * rows).abs() < side / 2
    right = (torch.arange(columns, device=x.device) - centre[1] * columns).abs() < side / 2
    inside = (down[:, :, None] & right[:, None, :])[:, None]
    return torch.where(inside, x.mean(dim=(1, 2, 3), keepdim=True), x)


def invert(x: Tensor, generator: Generator) -> Tensor:
    """Replace half of the images by their negatives, 255 - x."""
    return torch.where(_chosen(x, generator), 255.0 - x, x)


CHANGES: dict[str, Change] = {
    "shift": shift,
    "affine": affine,
    "contrast": contrast,
    "colour": colour,
    "noise": noise,
    "blur": blur,
    "cutout": cutout,
    "invert": invert,
}


@dataclass(frozen=True, slots=True)
class Augmentation:
    """A sequence of changes, in the form that `Rows.transform` and the terms of self-training accept."""

    names: tuple[str, ...]

    def __call__(self, rows: Tensor, generator: Generator) -> Tensor:
        """Apply the changes to a batch."""
        for name in self.names:
            rows = CHANGES[name](rows, generator)
        return rows


def augmentation(names: Sequence[str]) -> Augmentation | None:
    """Return the changes with these names, or None if there are no names."""
    return Augmentation(tuple(names)) if names else None
