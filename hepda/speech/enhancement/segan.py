"""The networks of SEGAN (Pascual, Bonafonte and Serrà 2017, arXiv:1703.09452): waveforms in, waveforms out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from hepda.adversarial.tensor_files import read_module, reading_saved, write_module
from hepda.speech.sounds.audio import level

FORMAT = "hepda.segan/1"
LEVEL = 0.1
"""The root mean square to which sound is scaled before the network, whose output is within -1 and 1."""
EMPHASIS = 0.95
"""Of the filter x[t] - 0.95 x[t - 1] that sound passes before the network, and of its inverse after it."""
_BATCH = 16  # windows that are enhanced at once


def emphasised(sounds: Tensor) -> Tensor:
    """Return sounds [b, n] after the filter x[t] - 0.95 x[t - 1]."""
    return torch.cat([sounds[:, :1], sounds[:, 1:] - EMPHASIS * sounds[:, :-1]], dim=1)


def deemphasised(sounds: Tensor) -> Tensor:
    """Undo `emphasised`."""
    from scipy.signal import lfilter

    restored = lfilter([1.0], [1.0, -EMPHASIS], sounds.double().cpu().numpy(), axis=1)
    return torch.from_numpy(restored).to(sounds)


class WaveGenerator(nn.Module):
    """From noisy to clean waveforms: strided convolutions, a random code, and transposed ones with skips.

    Args:
        channels: of each strided convolution; 11 of 16 to 1024 as published.
        width: samples that each convolution reads; 31 as published. Odd.
        window: samples of a window; a multiple of 2 to the number of convolutions.
        noise: whether a random code is appended to the last convolution; without, the output follows from the input.

    """

    def __init__(self, channels: Sequence[int], width: int, window: int, noise: bool) -> None:
        super().__init__()
        self.shape = {"channels": list(channels), "width": width, "window": window, "noise": noise}
        self.window, self.noise = window, noise
        self.down, self.bends = nn.ModuleList(), nn.ModuleList()
        for inside, outside in pairwise((1, *channels)):
            self.down.append(nn.Conv1d(inside, outside, width, stride=2, padding=width // 2))
            self.bends.append(nn.PReLU(outside))
        self.up, self.up_bends = nn.ModuleList(), nn.ModuleList()
        code = channels[-1] * (2 if noise else 1)
        for number, outside in enumerate((*reversed(channels[:-1]), 1)):
            inside = code if number == 0 else 2 * channels[-1 - number]
            self.up.append(nn.ConvTranspose1d(inside, outside, width, 2, padding=width // 2, output_padding=1))
            self.up_bends.append(nn.PReLU(outside))

    def forward(self, noisy: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Return clean windows [b, window] of noisy ones, both after the filter of `emphasised`.

        Args:
            noisy: the windows [b, window].
            random: draws the code; None for a code of zeros, its mean.

        """
        hidden = noisy[:, None]
        skips = []
        for convolution, bend in zip(self.down, self.bends, strict=True):
            before = convolution(hidden)
            skips.append(before)
            hidden = bend(before)
        if self.noise:
            zeros = torch.zeros_like(hidden)
            code = zeros if random is None else torch.randn(hidden.shape, generator=random, device=hidden.device)
            hidden = torch.cat([hidden, code], dim=1)
        last = len(self.up) - 1
        for number, (convolution, bend) in enumerate(zip(self.up, self.up_bends, strict=True)):
            hidden = convolution(hidden if number == 0 else torch.cat([hidden, skips[last - number]], dim=1))
            hidden = torch.tanh(hidden) if number == last else bend(hidden)
        return hidden[:, 0]

    def enhanced(self, noisy: Tensor) -> Tensor:
        """Return the enhanced sounds [b, n] of noisy sounds [b, n]."""
        return torch.stack([torch.cat(list(self.parts(sound))) for sound in noisy])

    @torch.no_grad()
    def parts(self, noisy: Tensor) -> Iterator[Tensor]:
        """Yield the enhanced sound of noisy samples [n], part after part.

        Windows overlap by half and are faded into each other (the published code joins them without an overlap, which
        clicks). The sound is scaled to `LEVEL` first, and its estimate scaled back.
        """
        number, half = len(noisy), self.window // 2
        scale = level(noisy) / LEVEL
        fade = torch.sin(torch.pi * (torch.arange(self.window, device=noisy.device) + 0.5) / self.window).square()
        starts = range(-half, number, half)
        padded = torch.zeros(half + half * len(starts) + half, device=noisy.device)
        padded[half : half + number] = emphasised((noisy / scale)[None])[0]
        before = torch.zeros(half, device=noisy.device)
        previous: float | Tensor = 0.0  # the last sample of the sound, which the inverse filter continues
        done = 0
        for first in range(0, len(starts), _BATCH):
            count = min(_BATCH, len(starts) - first)
            windows = padded[first * half : first * half + half * (count + 1)].unfold(0, self.window, half)
            made = fade * self(windows)
            joined = torch.cat([before[None], made[:-1, half:]]) + made[:, :half]
            before = made[-1, half:]
            sound = joined.flatten()
            if first == 0:
                sound = sound[half:]
            sound = sound[: number - done]
            restored, previous = _continued(sound, previous)
            done += len(restored)
            if len(restored):
                yield scale * restored

    def save(self, path: Path) -> None:
        """Write weights and shape to a safetensors file."""
        write_module(path, self, {"format": FORMAT, "shape": self.shape})

    @classmethod
    def load(cls, path: Path) -> WaveGenerator:
        """Read a file of `save`; the network evaluates then. Raises SourceError if it is missing, or another file."""
        tensors, description = read_module(path, "a network of SEGAN")
        with reading_saved(path):
            network = cls(**description["shape"])
            network.load_state_dict(tensors)
        return network.eval()


def _continued(sound: Tensor, previous: float | Tensor) -> tuple[Tensor, float | Tensor]:
    """Return sound [n] after the inverse filter, which continues from the sample before it, and its last sample."""
    if len(sound) == 0:
        return sound, previous
    first = sound.clone()
    first[0] += EMPHASIS * previous
    restored = deemphasised(first[None])[0]
    return restored, restored[-1]


class VirtualBatchNorm(nn.Module):
    """Batch norm with the statistics of a reference batch and, with the weight of one row of it, of the row itself
    (Salimans et al. 2016): rows do not depend on the batch that they are in.

    Args:
        channels: number of channels.
        rows: rows of the reference batch.

    """

    def __init__(self, channels: int, rows: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(channels, 1)), nn.Parameter(torch.zeros(channels, 1))
        self.rows = rows
        self.reference: tuple[Tensor, Tensor] | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalise hidden units [b, channels, n]: first those of the reference batch, when `reference` is None."""
        mean, square = hidden.mean(dim=2, keepdim=True), hidden.square().mean(dim=2, keepdim=True)
        if self.reference is None:
            self.reference = mean.mean(dim=0, keepdim=True), square.mean(dim=0, keepdim=True)
            mean, square = self.reference
        else:
            own = 1.0 / (self.rows + 1.0)
            mean, square = (own * m + (1.0 - own) * r for m, r in zip((mean, square), self.reference, strict=True))
        deviation = (square - mean.square()).clamp_min(0.0).add(1e-5).sqrt()
        return self.scale * (hidden - mean) / deviation + self.shift


class WaveDiscriminator(nn.Module):
    """From two waveforms, an estimate (or the clean speech) and the noisy speech, to one number.

    The convolutions are those of the generator's first half with virtual batch norm and leaky ReLU (0.3); a convolution
    of width 1 and a linear layer follow.

    Args:
        channels, width, window: as of `WaveGenerator`.
        reference: clean and noisy windows of the reference batch [rows, 2, window].

    """

    def __init__(self, channels: Sequence[int], width: int, window: int, reference: Tensor) -> None:
        super().__init__()
        self.register_buffer("batch", reference)
        self.layers = nn.ModuleList()
        self.norms = nn.ModuleList()
        for inside, outside in pairwise((2, *channels)):
            self.layers.append(nn.Conv1d(inside, outside, width, stride=2, padding=width // 2))
            self.norms.append(VirtualBatchNorm(outside, len(reference)))
        self.bend = nn.LeakyReLU(0.3)
        self.join = nn.Conv1d(channels[-1], 1, 1)
        self.head = nn.Linear(window // 2 ** len(channels), 1)

    def forward(self, estimate: Tensor, noisy: Tensor) -> Tensor:
        """Return a number for each pair of windows [b, window], [b]."""
        for norm in self.norms:
            if isinstance(norm, VirtualBatchNorm):
                norm.reference = None
        batch: Tensor = self.get_buffer("batch")
        self._hidden(batch)  # the statistics of the reference batch, with the present weights
        hidden = self._hidden(torch.stack([estimate, noisy], dim=1))
        number: Tensor = self.head(self.join(hidden)[:, 0])
        return number.flatten()

    def _hidden(self, hidden: Tensor) -> Tensor:
        for layer, norm in zip(self.layers, self.norms, strict=True):
            hidden = self.bend(norm(layer(hidden)))
        return hidden
