"""Networks for images: from tensors [n, channels, rows, columns] with values 0 to 255 to features [n, d]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hepda.adversarial import DomainBatchNorm
from hepda.config.images import ImageModelConfig
from hepda.errors import MissingExtraError

_LARGE = 24  # from this number of rows and columns on, the small network reads only every second pixel


class PixelInputs(nn.Module):
    """Normalisation of pixel values in front of the first layer: the output is around 0 and of order 1.

    With `image` every image has mean 0 and width 1 over all its channels and pixels. Otherwise the mean of each channel
    over the source is subtracted, in units of 255 (the mean subtraction of the papers). With `crop` (first row, first
    column, rows and columns) only this part of an image is seen by what follows.
    """

    mean: Tensor

    def __init__(self, channels: int, normalise: str, crop: tuple[int, int, int] | None = None) -> None:
        super().__init__()
        self.normalise, self.crop = normalise, crop
        self.register_buffer("mean", torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the images [n, channels, rows, columns] as described for the class."""
        if self.crop is not None:
            row, column, size = self.crop
            x = x[:, :, row : row + size, column : column + size]
        if self.normalise == "image":
            flat = x.permute(0, 2, 3, 1).reshape(len(x), -1)  # a view in channels_last, ten times as fast as var_mean
            rows = functional.layer_norm(flat, flat.shape[1:], eps=1.0)
            return rows.view(len(x), *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2)
        return x / 255.0 - self.mean.view(1, -1, 1, 1)


def _paper_mnist(channels: int, size: int) -> list[nn.Module]:
    """Return the layers of figure 4a of the supplement of Ganin & Lempitsky 2015."""
    return [
        nn.Conv2d(channels, 32, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 48, 5), nn.ReLU(), nn.MaxPool2d(2),
    ]  # fmt: skip


def _paper_svhn(channels: int, size: int) -> list[nn.Module]:
    """Return the layers of figure 4b: 3 x 3 pooling of stride 2, and a third convolution; dropout as in the paper."""
    return [
        nn.Conv2d(channels, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1), nn.Dropout2d(0.1),
        nn.Conv2d(64, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1), nn.Dropout2d(0.25),
        nn.Conv2d(64, 128, 5, padding=2), nn.ReLU(), nn.Dropout2d(0.25),
    ]  # fmt: skip


def _paper_signs(channels: int, size: int) -> list[nn.Module]:
    """Return the layers of figure 4c."""
    return [
        nn.Conv2d(channels, 96, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(96, 144, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(144, 256, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Paper:
    """A network of the papers: its convolutions, and the hidden widths of its class head and domain head."""

    layers: Callable[[int, int], list[nn.Module]]
    class_head: tuple[int, ...]
    domain_head: tuple[int, ...]


PAPERS: dict[str, Paper] = {
    "paper-mnist": Paper(_paper_mnist, (100, 100), (100,)),
    "paper-svhn": Paper(_paper_svhn, (3072, 2048), (1024, 1024)),
    "paper-signs": Paper(_paper_signs, (512,), (1024, 1024)),
}


def _norm(section: ImageModelConfig, channels: int, rank: int) -> list[nn.Module]:
    if section.batch_norm == "none":
        return []
    if section.batch_norm == "domain":
        return [DomainBatchNorm(channels)]
    return [nn.BatchNorm2d(channels) if rank == 2 else nn.BatchNorm1d(channels)]


def _small(section: ImageModelConfig, channels: int, size: int) -> list[nn.Module]:
    """Return three convolutions, each followed by pooling and batch norm, and a linear layer.

    Pooling comes first: batch norm and activation then process a quarter of the numbers, which shortens a step by a
    third. For large images the first convolution has stride 2 instead of pooling: pooling took another third of the
    time and did not improve the results.
    """
    layers: list[nn.Module] = []
    before, side = channels, size
    bias = section.batch_norm == "none"
    for times, kernel in ((1, 5), (2, 3), (4, 3)):
        after = times * section.width
        strided = times == 1 and side >= _LARGE
        layers.append(nn.Conv2d(before, after, kernel, 2 if strided else 1, padding=kernel // 2, bias=bias))
        if strided:
            side = (side + 1) // 2
        elif side >= 4:
            layers.append(nn.MaxPool2d(2))
            side //= 2
        layers += [*_norm(section, after, 2), nn.ReLU()]
        before = after
    layers += [nn.Flatten(), nn.Linear(before * side * side, section.features, bias=bias)]
    layers += [*_norm(section, section.features, 1), nn.ReLU()]
    return layers + ([nn.Dropout(section.dropout)] if section.dropout else [])


def _resnet50() -> list[nn.Module]:
    try:
        from torchvision.models import ResNet50_Weights, resnet50
    except ImportError as error:
        raise MissingExtraError("torchvision", "vision") from error
    network = resnet50(weights=ResNet50_Weights.IMAGENET1K_V2)
    network.fc = nn.Identity()
    return [network]


def encoder(section: ImageModelConfig, channels: int, size: int) -> nn.Sequential:
    """Return the encoder of a model.

    Args:
        section: settings of the model.
        channels: channels of the images.
        size: rows and columns of the images.

    Raises:
        MissingExtraError: the encoder is `resnet50` and the extra `vision` is not installed.

    """
    inputs = PixelInputs(channels, section.normalise, section.crop)
    size = size if section.crop is None else section.crop[2]
    if section.encoder == "resnet50":
        return nn.Sequential(inputs, *_resnet50())
    if section.encoder in PAPERS:
        layers = PAPERS[section.encoder].layers(channels, size)
        extra = [nn.Dropout(section.dropout)] if section.dropout else []
        return nn.Sequential(inputs, *layers, nn.Flatten(), *extra)
    return nn.Sequential(inputs, *_small(section, channels, size))


def heads(section: ImageModelConfig) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the hidden widths of the class head and of the domain head.

    They are those of the paper where the config does not give others.
    """
    widths = section.class_head, (100,) if section.domain is None else section.domain.head
    paper = PAPERS.get(section.encoder)
    if paper is None:
        return widths
    untouched = ImageModelConfig.model_fields["class_head"].default
    domain_head = widths[1] if section.domain is not None and section.domain.head != (100,) else paper.domain_head
    return (paper.class_head if widths[0] == untouched else widths[0]), domain_head


def width_of(module: nn.Module, channels: int, size: int) -> int:
    """Return the number of features that an encoder computes for one image."""
    was_training = module.training
    module.eval()
    with torch.no_grad():
        features: Any = module(torch.zeros(1, channels, size, size)).shape[1]
    module.train(was_training)
    return int(features)
