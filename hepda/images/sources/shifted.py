"""The 8 x 8 digits of scikit-learn, unchanged and with an artificial domain shift that needs no download."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from hepda.images.arrays import Images, digit_names, to_bytes


def _every() -> Images:
    from sklearn.datasets import load_digits

    dataset = load_digits()
    pixels = (dataset.images * (255.0 / 16.0)).round().astype(np.uint8)[:, None]
    return Images(pixels, dataset.target.astype(np.int64), digit_names(), ({"data": "sklearn.datasets.load_digits"},))


def _halves() -> tuple[Images, Images]:
    """Return the digits of the two domains, which share no image: even and odd rows of the data set."""
    images = _every()
    even = np.arange(len(images)) % 2 == 0
    return images.take(even), images.take(~even)


def _split(images: Images) -> tuple[Images, Images]:
    """Return three quarters of the images for training and one quarter for testing."""
    test = np.arange(len(images)) % 4 == 3
    return images.take(~test), images.take(test)


def digits() -> tuple[Images, Images]:
    """Return the source: half of the digits, unchanged."""
    return _split(_halves()[0])


def all_digits() -> tuple[Images, Images]:
    """Return all digits, unchanged."""
    return _split(_every())


def shifted_digits(seed: int) -> tuple[Images, Images]:
    """Return the target: the other half, blended into smooth random backgrounds, |background - digit|, with noise."""
    images = _halves()[1]
    generator = torch.Generator().manual_seed(seed)
    n = len(images)
    coarse = torch.rand((n, 1, 3, 3), generator=generator) * 80.0
    background = functional.interpolate(coarse, size=(8, 8), mode="bicubic", align_corners=True).clamp(0.0, 255.0)
    noise = 8.0 * torch.randn((n, 1, 8, 8), generator=generator)
    blended = (background - torch.from_numpy(images.pixels).float()).abs() + noise
    about = (*images.about, {"shift": "|smooth background - digit| + noise", "seed": seed})
    return _split(replace(images, pixels=to_bytes(blended).numpy(), about=about))
