"""Encoders of windows [n, steps, width]: feed-forward (the network of the papers), convolutional and recurrent."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hepda.adversarial import DomainBatchNorm, mlp
from hepda.errors import ConfigError


class FeedForward(nn.Module):
    """Layers with ReLU on a window that is flattened to one row of numbers: the acoustic models of both papers."""

    def __init__(self, steps: int, width: int, layers: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = mlp(steps * width, layers, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Compute features [n, d] of windows [n, steps, width]."""
        features: Tensor = self.layers(x.flatten(1))
        return features


class Convolutional(nn.Module):
    """A time-delay network (Waibel et al. 1989; Peddinti et al. 2015).

    It has three convolutions over time, two of them with stride 2, with batch normalisation in between, and one linear
    layer over all remaining steps. With `domains` the batch normalisation has separate statistics for each domain
    (DomainBatchNorm), otherwise common ones.
    """

    def __init__(
        self, steps: int, width: int, channels: int, features: int, dropout: float = 0.0, *, domains: bool = False
    ) -> None:
        super().__init__()
        sizes = [(width, channels, 5, 2), (channels, channels, 3, 2), (channels, 2 * channels, 3, 1)]
        parts: list[nn.Module] = []
        steps_left = steps
        for inside, outside, kernel, stride in sizes:
            steps_left = (steps_left - kernel) // stride + 1
            if steps_left < 1:
                raise ConfigError(f"a convolutional encoder needs a context of 17 steps or more, not {steps}")
            norm = DomainBatchNorm(outside) if domains else nn.BatchNorm2d(outside)
            parts.append(Delays(inside, outside, kernel, stride, norm))
        self.convolutions = nn.Sequential(*parts)
        self.drop = nn.Dropout(dropout)
        self.last = nn.Linear(steps_left * 2 * channels, features)

    def forward(self, x: Tensor) -> Tensor:
        """Compute features [n, d] of windows [n, steps, width]."""
        features = self.convolutions(x)
        return torch.relu(self.last(self.drop(features.flatten(1))))


class Delays(nn.Module):
    """A convolution over time, batch normalisation and ReLU: [n, steps, inside] to [n, fewer steps, outside].

    The convolution is one matrix product with the concatenated delayed steps. On windows of 21 steps the convolution of
    torch takes a processor 1.6 times as long.
    """

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, norm: nn.Module) -> None:
        super().__init__()
        self.kernel, self.stride, self.norm = kernel, stride, norm
        self.weights = nn.Linear(kernel * inside, outside, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the convolution, the batch normalisation and ReLU to [n, steps, inside]."""
        reach = x.shape[1] - self.kernel + 1
        delayed = [x[:, first : first + reach : self.stride] for first in range(self.kernel)]
        products = self.weights(torch.cat(delayed, dim=2))
        # as an image of one row with channels last in memory, it is normalised without a copy
        return torch.relu(self.norm(products.transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2))


class Recurrent(nn.Module):
    """A bidirectional GRU over the window; the features are the states at the frame itself and at both ends."""

    def __init__(self, steps: int, width: int, features: int, middle: int) -> None:
        super().__init__()
        if features % 4:
            raise ConfigError(f"a recurrent encoder has a multiple of 4 features, not {features}")
        self.middle = middle
        self.gru = nn.GRU(width, features // 4, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        """Compute features [n, d] of windows [n, steps, width]."""
        states, ends = self.gru(x)
        return torch.cat([states[:, self.middle], ends[0], ends[1]], dim=1)
