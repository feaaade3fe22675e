"""Synthetic traffic signs similar to SYN SIGNS (Moiseev et al. 2013): the 43 classes of GTSRB, drawn as pictograms.

A sign has a shape, colours and a short text or arrow. Each sign is drawn once for every font; the drawings are then
rotated, illuminated, blurred and placed over clutter, on tensors. The pictograms are simpler than the real ones; the
table in this module lists what is drawn.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Generator, Tensor
from torch.nn import functional

from hepda.images.arrays import Images, to_bytes
from hepda.images.sources.synthetic import finished, fonts, glyph, uniform

SIZE = 40
_LARGE = 64
_ROWS = 2048
RED, WHITE, BLACK = (190, 20, 30), (245, 245, 245), (15, 15, 15)
BLUE, YELLOW, GREY = (20, 70, 170), (250, 200, 20), (120, 120, 120)

_LIMIT, _WARN, _BLUE = ("circle", RED, WHITE, BLACK), ("triangle", RED, WHITE, BLACK), ("circle", BLUE, BLUE, WHITE)
_END = ("circle", GREY, WHITE, GREY)
_DRAWN: tuple[tuple[str, tuple[str, tuple[int, ...], tuple[int, ...], tuple[int, ...]], str], ...] = (
    ("speed limit 20", _LIMIT, "20"), ("speed limit 30", _LIMIT, "30"), ("speed limit 50", _LIMIT, "50"),
    ("speed limit 60", _LIMIT, "60"), ("speed limit 70", _LIMIT, "70"), ("speed limit 80", _LIMIT, "80"),
    ("end of speed limit 80", _END, "80/"), ("speed limit 100", _LIMIT, "100"), ("speed limit 120", _LIMIT, "120"),
    ("no passing", _LIMIT, "oo"), ("no passing for lorries", _LIMIT, "Oo"), ("crossing ahead", _WARN, "+"),
    ("priority road", ("diamond", WHITE, YELLOW, BLACK), ""), ("give way", ("down", RED, WHITE, BLACK), ""),
    ("stop", ("octagon", WHITE, RED, WHITE), "STOP"), ("no vehicles", _LIMIT, ""), ("no lorries", _LIMIT, "H"),
    ("no entry", ("circle", WHITE, RED, WHITE), "\u2013"), ("danger", _WARN, "!"), ("bend left", _WARN, "("),
    ("bend right", _WARN, ")"), ("double bend", _WARN, "S"), ("bumpy road", _WARN, "m"), ("slippery road", _WARN, "&"),
    ("road narrows", _WARN, "Y"), ("road works", _WARN, "A"), ("traffic lights", _WARN, ":"),
    ("pedestrians", _WARN, "i"), ("children", _WARN, "ii"), ("bicycles", _WARN, "%"), ("ice", _WARN, "*"),
    ("wild animals", _WARN, "R"), ("end of all limits", _END, "/"), ("turn right", _BLUE, "\u2192"),
    ("turn left", _BLUE, "\u2190"), ("straight on", _BLUE, "\u2191"), ("straight on or right", _BLUE, "\u2191\u2192"),
    ("straight on or left", _BLUE, "\u2190\u2191"), ("keep right", _BLUE, "\u2198"), ("keep left", _BLUE, "\u2199"),
    ("roundabout", _BLUE, "\u21bb"), ("end of no passing", _END, "oo/"), ("end of no passing for lorries", _END, "Oo/"),
)  # fmt: skip
SIGNS = tuple(name for name, _, _ in _DRAWN)
"""Names of the classes of GTSRB, by number."""


def _outline(draw: ImageDraw.ImageDraw, shape: str, colour: tuple[int, ...], radius: float) -> None:
    middle = _LARGE / 2
    corners = {"triangle": (3, -90), "down": (3, 90), "diamond": (4, -90), "octagon": (8, 22.5)}
    if shape == "circle":
        draw.ellipse((middle - radius, middle - radius, middle + radius, middle + radius), fill=colour)
        return
    count, first = corners[shape]
    turns = [math.radians(first + 360 * i / count) for i in range(count)]
    draw.polygon([(middle + radius * math.cos(a), middle + radius * math.sin(a)) for a in turns], fill=colour)


def _arrow_font() -> Path:
    from matplotlib import get_data_path

    return Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def _sign(number: int, path: Path) -> np.ndarray:
    """Return a sign with the text in a font: uint8 [4, 64, 64], colour and opacity."""
    _, (shape, edge, face, ink), text = _DRAWN[number]
    canvas = Image.new("RGBA", (_LARGE, _LARGE))
    draw = ImageDraw.Draw(canvas)
    _outline(draw, shape, (*edge, 255), 30)
    _outline(draw, shape, (*face, 255), 23 if shape in ("circle", "diamond", "octagon") else 19)
    letters = text.rstrip("/") if text != "/" else ""
    # few fonts have arrows; one that is shipped with matplotlib has them
    mask = glyph(letters, path if letters.isascii() else _arrow_font()) if letters else None
    if mask is not None:
        side = 26 if shape in ("triangle", "down") else 34
        small = Image.fromarray(mask).resize((side, side))
        down = 5 if shape == "triangle" else 0
        canvas.paste((*ink, 255), ((_LARGE - side) // 2, (_LARGE - side) // 2 + down), small)
    if text.endswith("/"):
        draw.line((46, 14, 18, 50), fill=(*ink, 255), width=4)
    return np.asarray(canvas).transpose(2, 0, 1)


@functools.cache
def _atlas() -> Tensor:
    """Return all signs in about a dozen fonts: float [fonts, 43, 4, 64, 64], 0 to 1."""
    chosen = fonts()
    chosen = chosen[:: max(1, len(chosen) // 12)]
    drawn = np.stack([np.stack([_sign(number, path) for number in range(len(_DRAWN))]) for path in chosen])
    return torch.from_numpy(drawn).float() / 255.0


def drawn_signs(n: int, seed: int) -> Images:
    """Draw `n` signs in colour, uint8 [n, 3, 40, 40]."""
    generator = torch.Generator().manual_seed(seed)
    signs = _atlas()
    label = torch.randint(len(_DRAWN), (n,), generator=generator)
    pixels = np.empty((n, 3, SIZE, SIZE), np.uint8)
    for start in range(0, n, _ROWS):
        part = label[start : start + _ROWS]
        font = torch.randint(len(signs), (len(part),), generator=generator)
        placed = _placed(signs[font, part], generator)
        light = uniform(len(part), generator, 0.25, 1.1)[:, :, None, None]
        images = finished(placed[:, 3:], generator, light * placed[:, :3])
        pixels[start : start + _ROWS] = to_bytes(255.0 * images).numpy()
    about = ({"drawn": "synthetic signs", "fonts": len(signs), "seed": seed, "images": n},)
    return Images(pixels, label.numpy(), SIGNS, about)


def _placed(signs: Tensor, generator: Generator) -> Tensor:
    n = len(signs)
    turn, skew = uniform(n, generator, -0.2, 0.2)[:, 0], uniform(n, generator, -0.15, 0.15)[:, 0]
    across, down = uniform(n, generator, 0.95, 1.35)[:, 0], uniform(n, generator, 0.95, 1.35)[:, 0]
    cos, sin, move = turn.cos(), turn.sin(), uniform(n, generator, -0.1, 0.1, 2)
    upper = torch.stack([across * cos, across * (skew * cos - sin), move[:, 0]], dim=1)
    lower = torch.stack([down * sin, down * (skew * sin + cos), move[:, 1]], dim=1)
    grid = functional.affine_grid(torch.stack([upper, lower], dim=1), [n, 4, SIZE, SIZE], align_corners=False)
    return functional.grid_sample(signs, grid, align_corners=False)
