"""The networks of conversion: content, effect and decoder; and the judges, which are independent of them."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hepda.adversarial.networks.reversal import gradient_reversal
from hepda.adversarial.tensor_files import read_module, read_tensors, reading_saved, write_module
from hepda.speech.enhancement.networks import DILATIONS

FORMAT = "hepda.conversion/1"


class FrameNorm(nn.Module):
    """Normalisation of each frame: channels are divided by their root mean square (Zhang and Sennrich 2019), times a
    learned scale; frames do not depend on each other.

    Args:
        channels: number of channels.

    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels, 1))

    def forward(self, frames: Tensor) -> Tensor:
        """Normalise frames [b, channels, frames]."""
        return frames * torch.rsqrt(frames.square().mean(dim=1, keepdim=True) + 1e-6) * self.scale


def pooled(hidden: Tensor) -> Tensor:
    """Return mean and standard deviation over the frames of hidden units [b, channels, frames], [b, 2 channels]."""
    return torch.cat([hidden.mean(dim=2), hidden.var(dim=2, unbiased=False).add(1e-5).sqrt()], dim=1)


class FrameClassifier(nn.Module):
    """A class for a sequence of frames of any length: three convolutions, mean and standard deviation, a linear layer.

    Args:
        inputs: numbers of a frame.
        classes: number of classes.
        width: channels of each convolution.

    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, inputs: int, classes: int, width: int = 64) -> None:
        super().__init__()
        self.shape = {"inputs": inputs, "classes": classes, "width": width}
        self.register_buffer("mean", torch.zeros(inputs, 1))
        self.register_buffer("deviation", torch.ones(inputs, 1))
        layers: list[nn.Module] = []
        for before in (inputs, width, width):
            layers += [nn.Conv1d(before, width, 5, padding=2), FrameNorm(width), nn.PReLU(width)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, frames: Tensor) -> Tensor:
        """Return logits [b, classes] of frames [b, inputs, n]."""
        logits: Tensor = self.head(pooled(self.layers((frames - self.mean) / self.deviation)))
        return logits

    def scale_by(self, frames: Tensor) -> None:
        """Divide inputs by the standard deviation of frames [n, inputs] from now on, after their mean is subtracted."""
        self.mean.copy_(frames.mean(dim=0)[:, None])
        self.deviation.copy_(frames.std(dim=0)[:, None].clamp_min(1e-3))


class ModulatedBlock(nn.Module):
    """A dilated convolution whose normalised input is scaled and shifted by a code (FiLM, Perez et al. 2018).

    Args:
        channels: number of channels.
        code: numbers of the code.
        dilation: frames between those that are read.

    """

    def __init__(self, channels: int, code: int, dilation: int) -> None:
        super().__init__()
        self.norm, self.activation = FrameNorm(channels), nn.PReLU(channels)
        self.modulation = nn.Linear(code, 2 * channels)
        self.convolution = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)

    def forward(self, frames: Tensor, code: Tensor) -> Tensor:
        """Return frames [b, channels, n] with what the block adds, for codes [b, code]."""
        scale, shift = self.modulation(code)[:, :, None].chunk(2, dim=1)
        added: Tensor = self.convolution(self.activation(self.norm(frames) * (1.0 + scale) + shift))
        return frames + added


class ConversionNetwork(nn.Module):
    """Speech in a room to the same speech in the room of a reference (after MetaSpeech, arXiv:2210.13811).

    An encoder gives each frame a small code of its content; an extractor gives a reference recording one code of its
    effect; a decoder makes log-mel frames of both. Two heads belong to the training only: one recognises the effect
    from the code of the effect, the other, behind a gradient reversal, from the content.

    Args:
        bands: mel bands.
        content: numbers of a frame of content.
        effect: numbers of the code of an effect.
        width: channels of each convolution.
        blocks: convolutions of the decoder.
        effects: effects that the heads recognise.

    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, bands: int, content: int, effect: int, width: int, blocks: int, effects: int) -> None:
        super().__init__()
        self.shape = {
            "bands": bands, "content": content, "effect": effect, "width": width, "blocks": blocks, "effects": effects,
        }  # fmt: skip
        self.register_buffer("mean", torch.zeros(bands, 1))
        self.register_buffer("deviation", torch.ones(bands, 1))
        self.encoder = nn.Sequential(
            nn.Conv1d(bands, width, 5, padding=2), FrameNorm(width), nn.PReLU(width),
            nn.Conv1d(width, width, 5, padding=2), FrameNorm(width), nn.PReLU(width),
            nn.Conv1d(width, content, 5, padding=2),
        )  # fmt: skip
        self.extractor = nn.Sequential(
            nn.Conv1d(bands, width, 5, stride=2, padding=2), FrameNorm(width), nn.PReLU(width),
            nn.Conv1d(width, width, 5, stride=2, padding=2), FrameNorm(width), nn.PReLU(width),
        )  # fmt: skip
        self.code = nn.Linear(2 * width, effect)
        self.recogniser = nn.Linear(effect, effects)
        self.adversary = FrameClassifier(content, effects, width)
        self.entrance = nn.Conv1d(content, width, 1)
        self.blocks = nn.ModuleList(ModulatedBlock(width, effect, d) for d in islice(cycle(DILATIONS), blocks))
        self.exit = nn.Sequential(FrameNorm(width), nn.PReLU(width), nn.Conv1d(width, bands, 1))

    def scaled(self, mel: Tensor) -> Tensor:
        """Return log-mel frames [b, bands, n] with the mean and standard deviation of the training in each band."""
        return (mel - self.mean) / self.deviation

    def content_of(self, mel: Tensor) -> Tensor:
        """Return the content [b, content, n] of log-mel frames [b, bands, n]."""
        content: Tensor = self.encoder(self.scaled(mel))
        return content

    def effect_of(self, mel: Tensor) -> Tensor:
        """Return the code of the effect [b, effect] of log-mel frames [b, bands, n] of a reference."""
        code: Tensor = self.code(pooled(self.extractor(self.scaled(mel))))
        return code

    def decoded(self, content: Tensor, effect: Tensor) -> Tensor:
        """Return log-mel frames [b, bands, n] of content [b, content, n] and codes of effects [b, effect]."""
        hidden = self.entrance(content)
        for block in self.blocks:
            hidden = block(hidden, effect)
        decoded: Tensor = self.exit(hidden) * self.deviation + self.mean
        return decoded

    def opinion(self, content: Tensor, strength: float) -> Tensor:
        """Return the logits of the effect [b, effects] from content [b, content, n], whose gradient is reversed."""
        logits: Tensor = self.adversary(gradient_reversal(content, strength))
        return logits

    def converted(self, mel: Tensor, reference: Tensor) -> Tensor:
        """Return log-mel frames [b, bands, n] with the effect of reference frames [b, bands, m]."""
        return self.decoded(self.content_of(mel), self.effect_of(reference))

    def save(self, path: Path) -> None:
        """Write weights and shape to a safetensors file."""
        save_module(self, FORMAT, path)

    @classmethod
    def load(cls, path: Path) -> ConversionNetwork:
        """Read a file of `save`; the network evaluates then. Raises SourceError if it is missing, or another file."""
        network = cls(**read_shape(path))
        load_weights(network, path)
        return network.eval()


def save_module(module: ConversionNetwork | FrameClassifier, name: str, path: Path) -> None:
    """Write the weights and the shape of a module to a safetensors file, with the name of its format."""
    write_module(path, module, {"format": name, "shape": module.shape})


def read_shape(path: Path) -> dict[str, Any]:
    """Return the shape that `save_module` wrote. Raises SourceError if the file is missing, or another one."""
    _, description = read_module(path, "a network of conversion")
    with reading_saved(path):
        shape: dict[str, Any] = description["shape"]
    return shape


def load_weights(module: nn.Module, path: Path) -> None:
    """Read the weights that `save_module` wrote."""
    with reading_saved(path):
        module.load_state_dict(read_tensors(path)[0])


def classified(judge: FrameClassifier, mel: Tensor) -> Tensor:
    """Return the class of every sequence of frames [b, inputs, n], int64 [b]."""
    with torch.no_grad():
        classes: Tensor = judge(mel).argmax(dim=1)
    return classes


def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the mean cross entropy of logits [b, k] and classes [b]."""
    loss: Tensor = functional.cross_entropy(logits, classes)
    return loss
