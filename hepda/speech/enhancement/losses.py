"""Losses between enhanced and clean speech, of spectra that belong to waveforms or of spectra as they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from hepda.speech.enhancement.spectra import Spectra, magnitude


@dataclass(frozen=True, slots=True)
class Compared:
    """Two sides of a comparison: compressed spectra [b, frames, bins] and sounds [b, n], of estimate and of truth."""

    estimate: Tensor
    truth: Tensor
    estimated_sound: Tensor
    true_sound: Tensor


def compared(spectra: Spectra, estimate: Tensor, clean: Tensor, *, consistent: bool) -> Compared:
    """Return both sides of the losses.

    A spectrum that a network returns is in general that of no waveform: windows overlap, and it contradicts itself.
    With `consistent`, both sides are spectra of waveforms, S' = STFT(ISTFT(S)), and the truth in time is ISTFT(STFT(x))
    (SCP-GAN, arXiv:2210.14474, as in the public implementation; CMGAN does the same for the estimate only).

    Args:
        spectra: the transform.
        estimate: what the network returns, compressed, [b, frames, bins].
        clean: the clean sounds [b, n].
        consistent: whether spectra of waveforms are compared.

    """
    number = clean.shape[-1]
    sound = spectra.samples(spectra.expanded(estimate), number)
    truth = spectra.of(clean)
    if not consistent:
        return Compared(estimate, spectra.compressed(truth), sound, clean)
    true_sound = spectra.samples(truth, number)
    both = spectra.compressed(spectra.of(torch.cat([sound, true_sound])))
    return Compared(both[: len(sound)], both[len(sound) :], sound, true_sound)


def losses(sides: Compared) -> dict[str, Tensor]:
    """Return the losses by name: `complex`, `magnitude` and `time`.

    complex: mean squared difference of real parts plus that of imaginary parts; magnitude: mean squared difference of
    magnitudes, both of compressed spectra; time: mean absolute difference of samples.
    """
    difference = sides.estimate - sides.truth
    return {
        "complex": difference.real.square().mean() + difference.imag.square().mean(),
        "magnitude": functional.mse_loss(magnitude(sides.estimate), magnitude(sides.truth)),
        "time": functional.l1_loss(sides.estimated_sound, sides.true_sound),
    }
