"""Enhancement of sound of any length part by part, with what the network reads before and after each part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from hepda.speech.enhancement.spectra import Spectra
from hepda.speech.sounds.audio import level

if TYPE_CHECKING:
    from hepda.speech.enhancement.networks import MaskNetwork

FRAMES = 2048
"""Frames of a part: at 16 ms from one to the next, 33 s of sound."""


@torch.no_grad()
def enhanced_parts(network: MaskNetwork, noisy: Tensor, frames: int = FRAMES) -> Iterator[Tensor]:
    """Yield the enhanced sound of noisy samples [n], part after part; joined they have n samples.

    A part is read with the frames before and after it that the network needs, and windows that two parts share are
    added up: the parts join without clicks, and are those of `MaskNetwork.enhanced` on the whole sound, up to rounding.
    Memory grows with the samples, not with spectra of all of them. Samples and spectra are on the network's device.

    Args:
        network: the network.
        noisy: the samples [n].
        frames: frames of a part.

    """
    spectra, number = network.spectra, len(noisy)
    scale = level(noisy)
    half = spectra.window // 2
    mode = "reflect" if number > half else "constant"
    padded = functional.pad((noisy / scale)[None], (half, half), mode=mode)[0]
    total = spectra.frames(number)
    tail = torch.zeros(2, spectra.window - spectra.hop, device=noisy.device)  # sound and weights not complete yet
    done = -half  # samples of the sound that are out; the first half window is that of the mirror image
    for begin in range(0, total, frames):
        end = min(begin + frames, total)
        first, last = max(begin - network.before, 0), min(end + network.after, total)
        inputs = padded[first * spectra.hop : (last - 1) * spectra.hop + spectra.window]
        estimate = network.estimated(spectra.compressed(spectra.of_windows(inputs[None])))
        kept = spectra.expanded(estimate[:, begin - first : end - first])[0]
        sides = overlapped(spectra, kept)
        sides[:, : tail.shape[1]] += tail
        complete = spectra.hop * (end - begin) if end < total else sides.shape[1]
        tail = sides[:, complete:]
        sound = scale * sides[0, :complete] / sides[1, :complete].clamp_min(1e-11)
        start, stop = max(-done, 0), min(complete, number - done)
        done += complete
        yield sound[start:stop]


def overlapped(spectra: Spectra, spectrum: Tensor) -> Tensor:
    """Return the sum of the windowed frames of spectra [frames, bins], and that of the squared windows, [2, samples].

    Their ratio is the sound, as `torch.istft` computes it.
    """
    window = spectra.hann(spectrum.real)
    frames = torch.fft.irfft(spectrum, spectra.window) * window
    both = torch.stack([frames, window.square().expand_as(frames)])
    samples = (len(spectrum) - 1) * spectra.hop + spectra.window
    added: Tensor = functional.fold(
        both.transpose(1, 2), (1, samples), (1, spectra.window), stride=(1, spectra.hop)
    ).reshape(2, samples)
    return added
