"""The networks of DCGAN for images of 8 x 8 pixels and more: two strided convolutions on either side.

Batch norm and ReLU in the generator, leaky ReLU in the discriminator, kernels of 4 x 4 with stride 2, and tanh at the
end are those of Radford et al. (arXiv:1511.06434).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2
"""Of the leaky ReLU of the discriminator."""
_STATISTICS = 2_000  # rows from which the statistics of the batch norms of averaged weights are taken
_WIDTH = 0.02  # standard deviation of the initial weights, as published


class Upward(nn.Sequential):
    """From a code [b, codes] to images [b, channels, size, size] of -1 to 1."""

    def __init__(self, codes: int, width: int, channels: int, size: int) -> None:
        start = size // 4
        super().__init__(
            nn.Linear(codes, 2 * width * start * start, bias=False), nn.Unflatten(1, (2 * width, start, start)),
            nn.BatchNorm2d(2 * width), nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1), nn.Tanh(),
        )  # fmt: skip
        self.apply(_initialised)


class Discriminator(nn.Module):
    """From images [b, channels, size, size] to a number each, the higher the more real.

    With classes, the number has the term `e_y . h` of the features h and an embedding of the class y (the projection of
    Miyato and Koyama, ICLR 2018).

    Args:
        width, channels, size: as of `Upward`.
        classes: number of classes; 0: it is not told them.
        normalised: divide each weight matrix by its largest singular value.

    """

    def __init__(self, width: int, channels: int, size: int, classes: int, normalised: bool) -> None:
        super().__init__()
        features = 2 * width * (size // 4) ** 2
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE),
            nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(features, 1)
        self.embedding = nn.Embedding(classes, features) if classes else None
        self.apply(_initialised)
        if normalised:
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
                    spectral_norm(module)

    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        """Return a number for each image [b]."""
        hidden: Tensor = self.body(images)
        number: Tensor = self.head(hidden)[:, 0]
        if self.embedding is None or condition is None:
            return number
        projection: Tensor = (self.embedding(condition) * hidden).sum(dim=1)
        return number + projection


def with_classes(code: Tensor, condition: Tensor | None, classes: int) -> Tensor:
    """Return codes [b, latent] with the class of each row behind them, as numbers 0 and 1 [b, latent + classes]."""
    if condition is None:
        return code
    return torch.cat([code, functional.one_hot(condition, classes).to(code.dtype)], dim=1)


@torch.no_grad()
def retake_statistics(network: nn.Module, codes: Tensor) -> None:
    """Take mean and variance of every batch norm anew from codes [n, ...], for weights that are an average.

    The average of weights has other hidden units than any weights of which a training keeps the statistics (Izmailov et
    al., arXiv:1803.05407).
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    network.train()
    for batch in torch.split(codes, _STATISTICS // 10):
        network(batch)
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def codes_for_statistics(latent: int, random: torch.Generator) -> Tensor:
    """Return the codes [n, latent] of which `retake_statistics` makes hidden units."""
    return torch.randn(_STATISTICS, latent, generator=random, device=random.device)


def _initialised(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, 0.0, _WIDTH)
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
