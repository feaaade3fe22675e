"""Networks that read noisy rows, the time and labels: for tables, and for images of some 8 x 8 to 28 x 28 pixels.

They predict noise, a score or a velocity; the output has the shape of the rows. Before the first step of training it is
0 everywhere.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hepda.errors import ConfigError, DataError


class Conditions(nn.Module):
    """Time and labels as one vector: a sum of sinusoids of the time and of an embedding of each label, then a layer.

    Args:
        classes: number of classes of each kind of label; the number after the last one means "not said".
        width: size of the vector.

    """

    frequencies: Tensor

    def __init__(self, classes: Sequence[int], width: int) -> None:
        super().__init__()
        if width < 4 or width % 2:
            raise ConfigError(f"the width of a denoising network is {width}; it must be even, and 4 or more")
        self.classes = tuple(classes)
        # Periods from 1 / 1000 to 10 of the whole time (Vaswani et al. 2017, for times up to 1000).
        steps = torch.arange(width // 2) / (width // 2 - 1)
        self.register_buffer("frequencies", 1000.0 * torch.exp(-math.log(10_000.0) * steps), persistent=False)
        self.of_label = nn.ModuleList(nn.Embedding(number + 1, width) for number in self.classes)
        self.of_time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: Tensor, label: Tensor | None) -> Tensor:
        """Return the vector [n, width] of times [n] and labels [n, kinds]; without labels, none is said."""
        if label is None:
            label = torch.tensor(self.classes, device=time.device, dtype=torch.long).expand(len(time), -1)
        if label.shape != (len(time), len(self.classes)):
            raise DataError(
                f"labels have the shape {tuple(label.shape)}; {len(time)} rows of {len(self.classes)} kinds of labels "
                "are needed"
            )
        angle = time[:, None] * self.frequencies
        vector: Tensor = self.of_time(torch.cat([angle.sin(), angle.cos()], dim=1))
        for number, embedding in enumerate(self.of_label):
            vector = vector + embedding(label[:, number])
        return functional.silu(vector)


class Denoiser(nn.Module, ABC):
    """A network of noisy rows, times and labels.

    Args:
        classes: number of classes of each kind of label.
        width: size of the vector of conditions.

    """

    def __init__(self, classes: Sequence[int], width: int) -> None:
        super().__init__()
        self.conditions = Conditions(classes, width)

    def forward(self, x: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        """Return rows of the shape of x [n, ...], for times [n] and labels [n, kinds].

        A label of the number of its classes is not said; None: no label is.
        """
        return self.passed(x, self.conditions(time, label))

    @abstractmethod
    def passed(self, x: Tensor, conditions: Tensor) -> Tensor:
        """Return the output of rows [n, ...] and the vector of their conditions [n, width]."""


class TableBlock(nn.Module):
    """x + linear(silu(linear(norm x, scaled and shifted by the conditions)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.of_conditions = nn.Linear(width, 2 * width)
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, conditions: Tensor) -> Tensor:
        """Return rows [n, width] of rows and conditions of this width."""
        scale, shift = self.of_conditions(conditions).chunk(2, dim=1)
        result: Tensor = x + self.outer(functional.silu(self.inner(self.norm(x) * (1.0 + scale) + shift)))
        return result


class TableDenoiser(Denoiser):
    """A residual network for rows of standardized columns [n, columns].

    Args:
        columns: number of columns.
        classes: number of classes of each kind of label.
        width: of its layers.
        blocks: number of residual blocks.

    """

    def __init__(self, columns: int, classes: Sequence[int] = (), width: int = 128, blocks: int = 3) -> None:
        super().__init__(classes, width)
        self.first, self.last = nn.Linear(columns, width), _zero(nn.Linear(width, columns))
        self.blocks = nn.ModuleList(TableBlock(width) for _ in range(blocks))

    def passed(self, x: Tensor, conditions: Tensor) -> Tensor:
        """Return the output [n, columns]."""
        hidden = self.first(x)
        for block in self.blocks:
            hidden = block(hidden, conditions)
        result: Tensor = self.last(functional.silu(hidden))
        return result


class ImageBlock(nn.Module):
    """Two convolutions of width 3 beside a straight way; the conditions scale and shift between them."""

    def __init__(self, channels: int, outputs: int, width: int) -> None:
        super().__init__()
        self.before, self.between = _norm(channels), _norm(outputs)
        self.inner, self.outer = (nn.Conv2d(a, outputs, 3, padding=1) for a in (channels, outputs))
        self.of_conditions = nn.Linear(width, 2 * outputs)
        self.straight = nn.Conv2d(channels, outputs, 1) if channels != outputs else nn.Identity()

    def forward(self, x: Tensor, conditions: Tensor) -> Tensor:
        """Return images [n, outputs, height, width] of images [n, channels, ...] and conditions."""
        scale, shift = self.of_conditions(conditions)[:, :, None, None].chunk(2, dim=1)
        hidden = self.between(self.inner(functional.silu(self.before(x)))) * (1.0 + scale) + shift
        result: Tensor = self.straight(x) + self.outer(functional.silu(hidden))
        return result


class ImageDenoiser(Denoiser):
    """A small U-Net of three resolutions, each half of the one before (Ho et al. 2020, without attention).

    Args:
        channels: of the images, 1 for grey.
        classes: number of classes of each kind of label.
        width: channels of the first resolution, a multiple of 8; the others have twice as many.

    """

    def __init__(self, channels: int = 1, classes: Sequence[int] = (), width: int = 32) -> None:
        vector = 2 * width
        super().__init__(classes, vector)
        if width % 8:
            raise ConfigError(f"the width of a network of images is {width}; it must be a multiple of 8")
        wide = 2 * width
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.down = nn.ModuleList([ImageBlock(width, width, vector), ImageBlock(width, wide, vector)])
        self.middle = ImageBlock(wide, wide, vector)
        self.up = nn.ModuleList([ImageBlock(2 * wide, wide, vector), ImageBlock(wide + width, width, vector)])
        self.last = nn.Sequential(_norm(width), nn.SiLU(), _zero(nn.Conv2d(width, channels, 3, padding=1)))

    def passed(self, x: Tensor, conditions: Tensor) -> Tensor:
        """Return images of the shape of x [n, channels, height, width]; height and width are 4 or more."""
        hidden, kept = self.first(x), []
        for block in self.down:
            hidden = block(hidden, conditions)
            kept.append(hidden)
            hidden = functional.avg_pool2d(hidden, 2, ceil_mode=True)
        hidden = self.middle(hidden, conditions)
        for block, straight in zip(self.up, reversed(kept), strict=True):
            hidden = functional.interpolate(hidden, size=straight.shape[-2:])
            hidden = block(torch.cat([hidden, straight], dim=1), conditions)
        result: Tensor = self.last(hidden)
        return result


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, channels)


def _zero(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
