"""The networks of frame prediction: one that predicts a frame from those before, and one that judges it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from hepda.adversarial.tensor_files import read_module, reading_saved, write_module

FORMAT = "hepda.frames/1"
_SLOPE = 0.2  # of the leaky ReLU of the discriminator
_BLOCK = 5  # rows and columns over which differences of pixels are averaged
_TRUST = 30.0  # the first factor on these differences; it is learned


class FramePredictor(nn.Module):
    """From frames [b, inputs, size, size] of 0 to 1 to the next one [b, 1, size, size], not limited to 0 to 1.

    Every pixel has a filter of its own, with positive weights of sum 1, that reads the neighbourhood of the pixel in
    the last frame (dynamic filters, arXiv:1605.09673): so what moves is copied. The logit of a weight is that of a
    network of convolutions at the full size, at a half and at a quarter of it, and falls with the difference between
    what would be copied and what was there one frame before, if its velocity is constant. A correction is added.

    Args:
        inputs: frames that are given, two or more.
        width: channels at half the size.
        reach: pixels to each side that a filter reads.

    """

    def __init__(self, inputs: int, width: int, reach: int) -> None:
        super().__init__()
        self.shape = {"inputs": inputs, "width": width, "reach": reach}
        self.first = nn.Conv2d(inputs, width, 5, stride=2, padding=2)
        self.second = nn.Conv2d(width, 2 * width, 5, stride=2, padding=2)
        self.middle = nn.ModuleList(nn.Conv2d(2 * width, 2 * width, 3, padding=1) for _ in range(2))
        self.up = nn.Conv2d(3 * width, width, 3, padding=1)
        self.full = nn.Conv2d(width + inputs, width, 3, padding=1)
        self.last = nn.Conv2d(width, (2 * reach + 1) ** 2 + 1, 1)
        self.trust = nn.Parameter(torch.tensor(_TRUST))

    def forward(self, frames: Tensor) -> Tensor:
        """Return the predicted frames."""
        half = self.first(frames).relu()
        quarter = self.second(half).relu()
        for layer in self.middle:
            quarter = quarter + layer(quarter).relu()
        up = self.up(torch.cat([_doubled(quarter), half], dim=1)).relu()
        output = self.last(self.full(torch.cat([_doubled(up), frames], dim=1)).relu())
        copied, before = (
            neighbours(frames[:, -1:], self.shape["reach"], 1),
            neighbours(frames[:, -2:-1], self.shape["reach"], 2),
        )
        difference = functional.avg_pool2d((copied - before).abs(), _BLOCK, stride=1, padding=_BLOCK // 2)
        weights = (output[:, :-1] - self.trust * difference).softmax(dim=1)
        predicted: Tensor = (weights * copied).sum(dim=1, keepdim=True) + output[:, -1:]
        return predicted

    def save(self, path: Path) -> None:
        """Write weights and shape to a safetensors file."""
        write_module(path, self, {"format": FORMAT, "shape": self.shape})

    @classmethod
    def load(cls, path: Path) -> FramePredictor:
        """Read a file of `save`; the network evaluates then.

        Raises:
            SourceError: it is missing, or another file.

        """
        tensors, description = read_module(path, "a network of frames")
        with reading_saved(path):
            network = cls(**description["shape"])
            network.load_state_dict(tensors)
        return network.eval()


class FrameDiscriminator(nn.Module):
    """From frames [b, inputs + 1, size, size], the last of them true or predicted, to a number each, the higher the
    more real.

    Args:
        inputs: frames before the one that is judged.
        width: channels of the first of three strided convolutions; the others have twice and four times as many.
        size: rows and columns of the frames.

    """

    def __init__(self, inputs: int, width: int, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inputs + 1, width, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE),
            nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE),
            nn.Flatten(), nn.Linear(4 * width * (size // 8) ** 2, 1),
        )  # fmt: skip

    def forward(self, before: Tensor, frame: Tensor) -> Tensor:
        """Return a number for each frame [b, 1]."""
        numbers: Tensor = self.layers(torch.cat([before, frame], dim=1))
        return numbers


def neighbours(frames: Tensor, reach: int, spacing: int) -> Tensor:
    """Return, for every pixel, the pixels around it [b, (2 reach + 1)^2, size, size]; outside of a frame is 0.

    Args:
        frames: one frame of each row [b, 1, size, size].
        reach: pixels to each side.
        spacing: of these pixels: with 2, each is twice as far away.

    """
    side = 2 * reach + 1
    found: Tensor = functional.unfold(frames, side, dilation=spacing, padding=spacing * reach)
    return found.reshape(len(frames), side * side, *frames.shape[2:])


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
