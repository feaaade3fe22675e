"""Synthetic digits similar to SYN NUMBERS (Ganin & Lempitsky 2015): drawn with the fonts of the system, on tensors.

Every digit of every font is drawn once at a large size. An image is one of these digits, rotated, sheared, stretched
and moved, with other digits at its sides, in two colours, blurred, over clutter and noise. Thousands of images are made
in a batch.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Generator, Tensor
from torch.nn import functional

from hepda.errors import DataError
from hepda.images.arrays import Images, digit_names, to_bytes

SIZE = 32
_LARGE = 48
_ROWS = 4096
_MOST_FONTS = 400
_NO_DIGITS = ("cmex", "cmsy", "cmmi", "stix", "symbol", "dingbat", "emoji", "wingding", "webding", "lastresort", "icon")
"""Parts of the names of fonts whose digits are symbols, or are drawn as boxes."""


@functools.cache
def fonts() -> tuple[Path, ...]:
    """Return font files that draw ten different digits, of the system and of matplotlib."""
    from matplotlib import font_manager, get_data_path

    shipped = sorted((Path(get_data_path()) / "fonts" / "ttf").glob("*.ttf"))
    paths = sorted({Path(path) for path in font_manager.findSystemFonts()} | set(shipped))
    candidates = [path for path in paths if not any(part in path.name.lower() for part in _NO_DIGITS)]
    usable, seen = [], set()
    for path in candidates:
        glyphs = _glyphs(path)
        if glyphs is None or glyphs.tobytes() in seen:
            continue
        seen.add(glyphs.tobytes())
        usable.append(path)
    return tuple(usable[:_MOST_FONTS])


def glyph(text: str, path: Path) -> np.ndarray | None:
    """Draw a text as uint8 [48, 48], as large as fits; return None if the font cannot draw it."""
    try:
        font = ImageFont.truetype(str(path), 2 * _LARGE)
        left, top, right, bottom = font.getbbox(text)
    except (OSError, ValueError, SyntaxError):
        return None
    if right <= left or bottom <= top:
        return None
    canvas = Image.new("L", (math.ceil(right - left), math.ceil(bottom - top)))
    ImageDraw.Draw(canvas).text((-left, -top), text, fill=255, font=font)
    scale = 0.8 * _LARGE / max(canvas.size)
    small = canvas.resize([max(1, round(side * scale)) for side in canvas.size], Image.Resampling.LANCZOS)
    image = Image.new("L", (_LARGE, _LARGE))
    image.paste(small, ((_LARGE - small.width) // 2, (_LARGE - small.height) // 2))
    return np.asarray(image)


def _glyphs(path: Path) -> np.ndarray | None:
    """Return the ten digits [10, 48, 48] of a font, or None if it does not draw ten different digits."""
    drawn = [glyph(name, path) for name in digit_names()]
    if any(digit is None for digit in drawn):
        return None
    digits = np.stack([digit for digit in drawn if digit is not None])
    return digits if len({digit.tobytes() for digit in digits}) == 10 else None


@functools.cache
def atlas() -> Tensor:
    """Return every digit of every font: float [fonts, 10, 48, 48], 0 to 1.

    Raises:
        DataError: no font of this system draws digits.

    """
    drawn = [glyphs for path in fonts() if (glyphs := _glyphs(path)) is not None]
    if not drawn:
        raise DataError("no font of this system draws digits; install one (DejaVu, Liberation), or matplotlib's")
    return torch.from_numpy(np.stack(drawn)).float() / 255.0


def drawn_digits(n: int, seed: int) -> Images:
    """Draw `n` digits in colour, uint8 [n, 3, 32, 32]; the label is the digit in the middle."""
    generator = torch.Generator().manual_seed(seed)
    glyphs = atlas()
    label = torch.randint(10, (n,), generator=generator)
    pixels = np.empty((n, 3, SIZE, SIZE), np.uint8)
    for start in range(0, n, _ROWS):
        part = label[start : start + _ROWS]
        pixels[start : start + _ROWS] = to_bytes(255.0 * _digits(part, glyphs, generator)).numpy()
    about = ({"drawn": "synthetic digits", "fonts": len(glyphs), "seed": seed, "images": n},)
    return Images(pixels, label.numpy(), digit_names(), about)


def uniform(n: int, generator: Generator, low: float, high: float, columns: int = 1) -> Tensor:
    """Return uniform random numbers [n, columns] between `low` and `high`."""
    return low + (high - low) * torch.rand((n, columns), generator=generator)


def _digits(label: Tensor, glyphs: Tensor, generator: Generator) -> Tensor:
    n = len(label)
    font = torch.randint(len(glyphs), (n,), generator=generator)
    masks = [_placed(glyphs[font, label], generator, uniform(n, generator, -0.1, 0.1)[:, 0])]
    for side in (-1.0, 1.0):
        other = torch.randint(10, (n,), generator=generator)
        neighbour = _placed(glyphs[font, other], generator, side * uniform(n, generator, 1.25, 1.7)[:, 0])
        masks.append(neighbour * (uniform(n, generator, 0.0, 1.0) < 0.5)[:, :, None].float())
    mask = torch.stack(masks).amax(dim=0)[:, None]
    return finished(mask, generator)


def _placed(glyph: Tensor, generator: Generator, offset: Tensor) -> Tensor:
    """Rotate, shear and stretch glyphs [n, 48, 48] and move them sideways (`offset`, in half widths): [n, 32, 32]."""
    n = len(glyph)
    turn, shear = uniform(n, generator, -0.25, 0.25)[:, 0], uniform(n, generator, -0.25, 0.25)[:, 0]
    across, down = uniform(n, generator, 1.0, 1.8)[:, 0], uniform(n, generator, 0.95, 1.4)[:, 0]
    cos, sin = turn.cos(), turn.sin()
    upper = torch.stack([across * cos, across * (shear * cos - sin), -across * offset], dim=1)
    lower = torch.stack([down * sin, down * (shear * sin + cos), uniform(n, generator, -0.12, 0.12)[:, 0]], dim=1)
    grid = functional.affine_grid(torch.stack([upper, lower], dim=1), [n, 1, SIZE, SIZE], align_corners=False)
    return functional.grid_sample(glyph[:, None], grid, align_corners=False)[:, 0]


def finished(mask: Tensor, generator: Generator, ink: Tensor | None = None) -> Tensor:
    """Draw masks in colour over a background with clutter, blur the images and add noise.

    Args:
        mask: masks [n, 1, h, w].
        generator: source of all random numbers.
        ink: colours [n, 3, 1, 1] or [n, 3, h, w]; None: drawn at random, brighter or darker than the background by 0.3
            or more.

    Returns:
        Images [n, 3, h, w], 0 to 1.

    """
    n, _, rows, columns = mask.shape
    background = uniform(n, generator, 0.0, 1.0, 3)[:, :, None, None]
    coarse = torch.rand((n, 3, 4, 4), generator=generator) - 0.5
    clutter = functional.interpolate(coarse, size=(rows, columns), mode="bilinear", align_corners=False)
    background = background + uniform(n, generator, 0.0, 0.5)[:, :, None, None] * clutter
    if ink is None:
        grey = background.mean(dim=(1, 2, 3))
        sign = torch.where(grey + uniform(n, generator, -0.3, 0.3)[:, 0] < 0.5, 1.0, -1.0)
        ink = (grey + sign * uniform(n, generator, 0.3, 0.8)[:, 0])[:, None, None, None]
        ink = ink + uniform(n, generator, -0.2, 0.2, 3)[:, :, None, None]
    images = smoothed(background * (1.0 - mask) + ink * mask, uniform(n, generator, 0.05, 1.3)[:, 0])
    noise = uniform(n, generator, 0.0, 0.06)[:, :, None, None] * torch.randn(images.shape, generator=generator)
    return (images + noise).clamp(0.0, 1.0)


def smoothed(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur images [n, c, h, w], each by a Gaussian with its own width [n] in pixels (cut off at 3 pixels)."""
    n, channels, rows, columns = x.shape
    offset = torch.arange(-3, 4, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    flat = functional.pad(x, (3, 3, 3, 3), mode="replicate").reshape(1, n * channels, rows + 6, columns + 6)
    flat = functional.conv2d(flat, kernel[:, None, None, :], groups=n * channels)
    flat = functional.conv2d(flat, kernel[:, None, :, None], groups=n * channels)
    return flat.reshape(n, channels, rows, columns)
