"""A small style generator: random numbers become a style, which scales and shifts every layer of hidden units.

The parts are those of StyleGAN (Karras et al. 2019, arXiv:1812.04948): a mapping network, a learned constant at the
smallest size, and normalised convolutions whose units are scaled and shifted (FiLM, Perez et al., AAAI 2018). There is
no noise beside the style, so that an image is a smooth function of its style.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.2
"""Of the leaky ReLU."""


class StyledLayer(nn.Module):
    """A convolution of width 3; each map is normalised, then scaled and shifted by the style.

    Args:
        inputs, outputs: channels.
        style: size of the style.

    """

    def __init__(self, inputs: int, outputs: int, style: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.InstanceNorm2d(outputs)
        self.of_style = _strong(nn.Linear(style, 2 * outputs), "linear")

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Return maps [b, outputs, h, w] of maps [b, inputs, h, w] and styles [b, style]."""
        scale, shift = self.of_style(style)[:, :, None, None].chunk(2, dim=1)
        return functional.leaky_relu(self.norm(self.convolution(x)) * (1.0 + scale) + shift, SLOPE)


class StyleNetwork(nn.Module):
    """From random numbers, and the class as numbers 0 and 1, to images [b, channels, size, size] of -1 to 1.

    The class decides the constant that the layers start from and nothing else; the random numbers decide the style.

    Args:
        latent: random numbers of an image, and size of its style.
        classes: number of classes; 0: it is not told them.
        mapping: layers of the network that makes a style of random numbers.
        width: channels at half the size; at a quarter of it there are twice as many.
        channels: of the images.
        size: rows and columns, a multiple of 4.

    """

    LAYERS = 3
    """Layers that have a style."""

    def __init__(self, latent: int, classes: int, mapping: int, width: int, channels: int, size: int) -> None:
        super().__init__()
        self.latent, self.start = latent, (2 * width, size // 4, size // 4)
        self.mapping = nn.Sequential(
            *(
                part
                for _ in range(mapping)
                for part in (_strong(nn.Linear(latent, latent), "leaky_relu"), nn.LeakyReLU(SLOPE))
            )
        )
        # A class is a row of this matrix; without classes its bias is the constant.
        self.constant = nn.Linear(max(classes, 1), 2 * width * (size // 4) ** 2)
        self.layers = nn.ModuleList(
            [
                StyledLayer(2 * width, 2 * width, latent),
                StyledLayer(2 * width, width, latent),
                StyledLayer(width, width, latent),
            ]
        )
        self.last = nn.Conv2d(width, channels, 1)

    def forward(self, codes: Tensor) -> Tensor:
        """Return images of random numbers with the class behind them [b, latent + classes]."""
        random, told = codes[:, : self.latent], codes[:, self.latent :]
        return self.images(self.styles(random), told)

    def styles(self, random: Tensor) -> Tensor:
        """Return the style of random numbers for each layer [b, LAYERS, latent]; it is the same for all of them."""
        # Numbers of the same length, as in StyleGAN: the length of a code then means nothing.
        unit = random / random.square().mean(dim=1, keepdim=True).add(1e-8).sqrt()
        style: Tensor = self.mapping(unit)
        return style[:, None].expand(-1, self.LAYERS, -1)

    def images(self, styles: Tensor, told: Tensor) -> Tensor:
        """Return images of a style for each layer [b, LAYERS, latent] and of classes as numbers [b, classes]."""
        told = told if told.shape[1] else styles.new_zeros(len(styles), 1)
        hidden = self.constant(told).reshape(len(styles), *self.start)
        for number, layer in enumerate(self.layers):
            if number:
                hidden = functional.interpolate(hidden, scale_factor=2)
            hidden = layer(hidden, styles[:, number])
        return torch.tanh(self.last(hidden))


def _strong(layer: nn.Linear, activation: Literal["linear", "leaky_relu"]) -> nn.Linear:
    """Keep the width of what passes through a layer at the start of a training (He et al. 2015, arXiv:1502.01852).

    With torch's own start, a style would change hidden units by 4 % after three layers of a mapping, and a generator
    that is told the class learned to do without: it gave one image of each class.
    """
    nn.init.kaiming_normal_(layer.weight, SLOPE, nonlinearity=activation)
    nn.init.zeros_(layer.bias)
    return layer
