"""Recordings changed at random before they are mixed, so that few of them stand for many."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hepda.speech.sounds.audio import Tape
from hepda.speech.sounds.mixing import Noise, energies

_SOFTEST = 12.0  # dB by which the second of two noises is softer at most


def filtered(tape: Tape, largest: float, random: np.random.Generator) -> Tape:
    """Return utterances after a filter each, drawn at random; they keep their power.

    The filter is `(1 + a z^-1 + b z^-2) / (1 + c z^-1 + d z^-2)` with four numbers uniformly distributed between
    -largest and largest (Valin, arXiv:1709.08243, eq. 7): other microphones, and other noises.

    Args:
        tape: the utterances.
        largest: at most below 1/2, where every filter is stable.
        random: draws the filters.

    """
    from scipy.signal import lfilter

    drawn = random.uniform(-largest, largest, (len(tape), 4))
    parts = []
    for samples, (a, b, c, d) in zip(torch.split(tape.samples, tape.length.tolist()), drawn, strict=True):
        made = lfilter([1.0, a, b], [1.0, c, d], samples.numpy()).astype(np.float32)
        parts.append(torch.from_numpy(made))
    changed = tape.replaced(torch.cat(parts))
    before, after = energies(tape.samples, tape), energies(changed.samples, tape)
    return scaled(changed, torch.sqrt(before / after.clamp_min(1e-20)))


def scaled(tape: Tape, factors: Tensor) -> Tape:
    """Return utterances times a factor each [u]."""
    return tape.replaced(tape.samples * factors.float().repeat_interleave(tape.length))


def together(first: Noise, second: Noise, length: Tensor, share: float, random: np.random.Generator) -> Noise:
    """Return the sum of two noises in a share of the utterances, the first noise alone in the others.

    The second noise is softer by 0 to 12 dB, uniformly distributed.

    Args:
        first: noises for the utterances.
        second: others for the same utterances.
        length: lengths of the utterances in samples [u].
        share: of the utterances.
        random: draws utterances and levels.

    """
    number = len(length)
    softer = torch.from_numpy(random.uniform(0.0, _SOFTEST, number))
    ratio = torch.pow(10.0, -0.1 * softer) * torch.from_numpy(random.random(number) < share)  # of the powers
    factors = torch.sqrt(ratio * first.power / second.power).float().repeat_interleave(length)
    return Noise(first.samples + factors * second.samples, first.power * (1.0 + ratio))
