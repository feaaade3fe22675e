"""Losses between enhanced and clean speech, of spectra that belong to waveforms or of spectra as they are."""

from __future__ import annotations

from dataclasses import dataclass

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
    With `consistent`, both sides are spectra of waveforms: of the estimate S' = STFT(ISTFT(S)), as in CMGAN. SCP-GAN
    (arXiv:2210.14474, in the public implementation) does the same to the truth; that is the identity, since the truth
    is the spectrum of a waveform already, so it is not computed here.

    Args:
        spectra: the transform.
        estimate: what the network returns, compressed, [b, frames, bins].
        clean: the clean sounds [b, n].
        consistent: whether spectra of waveforms are compared.

    """
    sound = spectra.samples(spectra.expanded(estimate), clean.shape[-1])
    truth = spectra.compressed(spectra.of(clean))
    return Compared(spectra.compressed(spectra.of(sound)) if consistent else estimate, truth, sound, clean)


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
