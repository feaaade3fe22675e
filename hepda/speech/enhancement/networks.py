"""The networks of enhancement: masks of spectra, and a network that predicts a measure of quality."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from hepda.adversarial.tensor_files import read_module, reading_saved, write_module
from hepda.speech.enhancement.spectra import Spectra, magnitude
from hepda.speech.enhancement.streaming import enhanced_parts
from hepda.speech.sounds.audio import level

FORMAT = "hepda.enhancement/2"
DILATIONS = (1, 2, 4, 8, 16, 32)
"""Of the convolutions of a mask network, in this order, again and again."""
_TAPS = 3  # frames that a convolution reads
_SLOPE = 0.25  # of the leaky ReLU below 0, with which PReLUs begin
_EPSILON = 1e-6  # added to mean squares


class DilatedBlock(nn.Module):
    """A dilated, separable convolution over frames that is added to its input (as in Conv-TasNet).

    Each frame is divided by the root mean square of its channels (RMSNorm, Zhang and Sennrich 2019), so that frames do
    not depend on each other; after a leaky ReLU, every channel has its own filter over three frames, and a linear layer
    mixes the channels. Channels are last in memory, so that the filters are three products with shifted frames: a
    grouped convolution of torch takes ten times as long on a CPU.

    Args:
        channels: number of channels.
        dilation: frames between those that are read.
        causal: whether no later frame is read.

    """

    def __init__(self, channels: int, dilation: int, causal: bool) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(channels, eps=_EPSILON)
        self.filters = nn.Parameter(nn.init.normal_(torch.empty(_TAPS, channels), std=0.5))
        self.mixing = nn.Linear(channels, channels)
        self.dilation = dilation
        self.padding = (2 * dilation, 0) if causal else (dilation, dilation)

    def forward(self, frames: Tensor) -> Tensor:
        """Return frames [b, frames, channels] with what the block adds."""
        hidden = functional.leaky_relu(self.norm(frames), _SLOPE)
        hidden = functional.pad(hidden, (0, 0, *self.padding))
        number, step = frames.shape[1], self.dilation
        parts = [hidden[:, tap * step : tap * step + number] * self.filters[tap] for tap in range(_TAPS)]
        added: Tensor = self.mixing(parts[0] + parts[1] + parts[2])
        return frames + added


class MaskNetwork(nn.Module):
    """From noisy to clean speech: a mask of compressed magnitudes and a complex correction of the spectrum.

    The sound is scaled to a mean square of 1 first, and its estimate scaled back, so that levels do not matter. Dilated
    separable convolutions over time (as in Conv-TasNet, Luo and Mesgarani 2019) read the compressed
    magnitude and the real and imaginary part of each frame; two linear layers return a mask m in (0, 2) and a
    correction c, and the estimate is `m S + c` with the compressed noisy spectrum S.

    Args:
        spectra: the transform.
        width: channels of each convolution.
        blocks: number of convolutions; their dilations are 1, 2, 4, 8, 16, 32, 1, 2, ...
        causal: whether a frame is enhanced without those after it.

    """

    def __init__(self, spectra: Spectra, width: int, blocks: int, causal: bool) -> None:
        super().__init__()
        self.spectra = spectra
        self.shape = {"width": width, "blocks": blocks, "causal": causal}
        dilations = [DILATIONS[number % len(DILATIONS)] for number in range(blocks)]
        self.before, self.after = 2 * sum(dilations), 0
        if not causal:
            self.before = self.after = sum(dilations)
        self.entrance = nn.Linear(3 * spectra.bins, width)
        self.blocks = nn.Sequential(*(DilatedBlock(width, dilation, causal) for dilation in dilations))
        self.exit = nn.Sequential(nn.RMSNorm(width, eps=_EPSILON), nn.LeakyReLU(_SLOPE))
        self.mask = nn.Linear(width, spectra.bins)
        self.correction = nn.Linear(width, 2 * spectra.bins)
        nn.init.zeros_(self.correction.weight)  # the first estimate is nearly the noisy speech: m is near 1, c = 0
        for layer in (self.correction, self.mask):
            nn.init.zeros_(layer.bias)

    def forward(self, noisy: Tensor) -> Tensor:
        """Return the estimate of the compressed clean spectra [b, frames, bins] of noisy sounds [b, n].

        They are those of sounds that `level` has scaled.
        """
        return self.estimated(self.spectra.compressed(self.spectra.of(noisy)))

    def estimated(self, spectrum: Tensor) -> Tensor:
        """Return the estimate for compressed spectra [b, frames, bins]; a frame is read with `before` frames before it
        and `after` frames after it.
        """
        inputs = torch.cat([magnitude(spectrum), spectrum.real, spectrum.imag], dim=2)
        hidden = self.exit(self.blocks(self.entrance(inputs)))
        mask = 2.0 * torch.sigmoid(self.mask(hidden))
        real, imaginary = self.correction(hidden).chunk(2, dim=2)
        return mask * spectrum + torch.complex(real, imaginary)

    def enhanced(self, noisy: Tensor) -> Tensor:
        """Return the enhanced sounds [b, n] of noisy sounds [b, n]."""
        scale = level(noisy)
        estimate = self(noisy / scale)
        return scale * self.spectra.samples(self.spectra.expanded(estimate), noisy.shape[-1])

    def parts(self, noisy: Tensor) -> Iterator[Tensor]:
        """Yield the enhanced sound of noisy samples [n], part after part."""
        return enhanced_parts(self, noisy)

    def save(self, path: Path) -> None:
        """Write weights and shape to a safetensors file."""
        description = {"format": FORMAT, "spectra": self.spectra.to_json(), "shape": self.shape}
        write_module(path, self, description)

    @classmethod
    def load(cls, path: Path) -> MaskNetwork:
        """Read a file of `save`; the network evaluates then.

        Raises:
            SourceError: it is missing, or another file.

        """
        tensors, description = read_module(path, "a network of enhancement")
        with reading_saved(path):
            network = cls(Spectra(**description["spectra"]), **description["shape"])
            network.load_state_dict(tensors)
        return network.eval()


class QualityNetwork(nn.Module):
    """A network that predicts the quality of speech from its spectrum and that of the clean speech (MetricGAN).

    Four strided convolutions read the two compressed magnitudes; their mean and largest values over time and frequency
    give one number, which a sigmoid brings to 0 to 1.

    Args:
        width: channels of the first convolution.

    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        channels = (2, width, 2 * width, 4 * width, 4 * width)
        layers: list[nn.Module] = []
        for inside, outside in pairwise(channels):
            layers.append(nn.Conv2d(inside, outside, (5, 5), stride=2, padding=2))
            layers += [nn.InstanceNorm2d(outside, affine=True), nn.PReLU(outside)]
        self.convolutions = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(8 * width, 4 * width), nn.PReLU(), nn.Linear(4 * width, 1), nn.Sigmoid())

    def forward(self, clean: Tensor, estimate: Tensor) -> Tensor:
        """Return the predicted quality [b] of magnitudes `estimate` [b, frames, bins], compared with `clean`."""
        planes = self.convolutions(torch.stack([clean, estimate], dim=1))
        pooled = torch.cat([planes.mean(dim=(2, 3)), planes.amax(dim=(2, 3))], dim=1)
        quality: Tensor = self.head(pooled)
        return quality.flatten()
