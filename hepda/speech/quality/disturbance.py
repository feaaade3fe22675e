"""The disturbances that PESQ compares recordings by, as a differentiable loss.

ITU-T P.862 gives 4.5 - 0.1 D - 0.0309 DA to an estimate with a symmetrical disturbance D and an asymmetrical one DA, in
which what is added to the speech counts and what is missing does not. `Disturbance` follows its description with closed
forms of the Bark scale and the threshold of hearing, and without its alignment in time and its compensation of linear
filters, as PMSQE does (Martin-Donas et al., IEEE Signal Processing Letters 25 (2018) 1680).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

RATES = (8000, 16000)
"""Rates (Hz) for which PESQ is defined: narrow band and wide band."""
_WINDOW, _HOP = 0.032, 0.016  # s
_BAND = 0.5  # width of a band in Bark
_LEVEL = 10.0**7.9  # power of speech at the listening level of 79 dB
_TELEPHONE = (350.0, 3400.0)  # corners (Hz) of a receiving handset, about those of the IRS of ITU-T P.48
_EXPONENT = 0.23  # of loudness (Zwicker)
_LARGEST = 45.0  # disturbance of a frame
_SYLLABLE = 20  # frames in which the largest disturbances count most
_SYMMETRICAL, _ASYMMETRICAL = 0.1, 0.0309  # weights of the two in PESQ


def bark(frequency: Tensor) -> Tensor:
    """Return frequencies (Hz) on the Bark scale (Traunmueller, J. Acoust. Soc. Am. 88 (1990) 97)."""
    return 26.81 * frequency / (1960.0 + frequency) - 0.53


def threshold_of_hearing(frequency: Tensor) -> Tensor:
    """Return the power of the softest audible tone at frequencies in Hz; 1 is 0 dB (Terhardt, Hear. Res. 1979)."""
    kilohertz = frequency / 1000.0
    level = 3.64 * kilohertz**-0.8 - 6.5 * torch.exp(-0.6 * (kilohertz - 3.3).square()) + 1e-3 * kilohertz**4
    return 10.0 ** (0.1 * level)


class Disturbance(nn.Module):
    """By how much PESQ falls below its largest value, 4.5, for estimates of clean speech.

    Args:
        rate: of the samples in Hz, one of RATES.

    """

    hann: Tensor
    bands: Tensor
    threshold: Tensor
    sone: Tensor

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.window, self.hop = round(_WINDOW * rate), round(_HOP * rate)
        frequency = torch.linspace(0.0, rate / 2.0, self.window // 2 + 1, dtype=torch.float64)
        number = (bark(frequency) / _BAND).floor()
        bands = torch.unique(number[number >= 0.0])
        member = (number[:, None] == bands).double()
        centre = (member * frequency[:, None]).sum(dim=0) / member.sum(dim=0)
        threshold = threshold_of_hearing(centre)
        hann = torch.hann_window(self.window, dtype=torch.float64)
        scale = _LEVEL / (0.5 * self.window * hann.square().sum())  # of squared magnitudes, to the power of the speech
        loudness = _zwicker(torch.tensor(1e4), threshold_of_hearing(torch.tensor(1000.0)))  # 1 kHz at 40 dB is 1 sone
        buffers = {
            "hann": hann,
            "bands": scale * _handset(frequency, rate)[:, None] * member,
            "threshold": threshold,
            "sone": 1.0 / loudness,
        }
        for name, value in buffers.items():
            self.register_buffer(name, value.float())

    def forward(self, clean: Tensor, estimate: Tensor) -> Tensor:
        """Return the disturbances [b] of estimates [b, n] of clean speech [b, n]; 0: none.

        Both have a mean square of about 1 where there is speech: their level is not changed, so that a silent part of a
        recording is not made loud.
        """
        truth, heard = self._power(clean), self._power(estimate)
        audible, heard_audible = self._audible(truth), self._audible(heard)
        heard = heard * _gain(audible, heard_audible)[..., None]
        soft, loud = self._loudness(truth), self._loudness(heard)
        difference = loud - soft
        masked = 0.25 * torch.minimum(loud, soft)
        difference = difference.sign() * (difference.abs() - masked).clamp_min(0.0)
        added = ((heard + 50.0) / (truth + 50.0)).pow(1.2).clamp_max(12.0)
        added = torch.where(added < 3.0, torch.zeros_like(added), added)
        weight = ((audible + 1e5) / 1e7).pow(-0.04)
        total = _BAND * truth.shape[-1]  # Bark
        symmetrical = total * (difference.square().mean(dim=2) + 1e-12).sqrt()
        asymmetrical = total * (difference.abs() * added).mean(dim=2)
        sides = torch.stack([symmetrical, asymmetrical]) * weight
        symmetrical, asymmetrical = _over_time(sides.clamp_max(_LARGEST)).unbind()
        return _SYMMETRICAL * symmetrical + _ASYMMETRICAL * asymmetrical

    def _power(self, samples: Tensor) -> Tensor:
        """Return the power [b, frames, bands] of samples [b, n]."""
        spectrum = torch.view_as_real(torch.fft.rfft(samples.unfold(-1, self.window, self.hop) * self.hann))
        return spectrum.square().sum(dim=-1) @ self.bands

    def _audible(self, power: Tensor) -> Tensor:
        """Return the power [b, frames] of the bands above the threshold of hearing."""
        return torch.where(power > self.threshold, power, torch.zeros_like(power)).sum(dim=-1)

    def _loudness(self, power: Tensor) -> Tensor:
        """Return the loudness [b, frames, bands] in sone a Bark; 0 below the threshold of hearing."""
        return self.sone * _zwicker(power.clamp_min(self.threshold), self.threshold)


def _zwicker(power: Tensor, threshold: Tensor) -> Tensor:
    """Return loudness up to a factor (Zwicker and Feldtkeller 1967; P.862, 10.2.5)."""
    return (threshold / 0.5).pow(_EXPONENT) * ((0.5 + 0.5 * power / threshold).pow(_EXPONENT) - 1.0)


def _handset(frequency: Tensor, rate: int) -> Tensor:
    """Return the factors on powers at frequencies (Hz): a telephone handset for narrow band, 100 Hz high pass else."""
    low, high = _TELEPHONE if rate == RATES[0] else (100.0, math.inf)
    rising = 1.0 / (1.0 + (low / frequency.clamp_min(1.0)) ** 4)
    return rising / (1.0 + (frequency / high) ** 30)


def _gain(audible: Tensor, heard: Tensor) -> Tensor:
    """Return the factors [b, frames] that bring the audible power of frames to that of the truth, partly."""
    ratio = (audible + 5e3) / (heard + 5e3)
    before = torch.cat([torch.ones_like(ratio[:, :1]), ratio[:, :-1]], dim=1)
    return (0.8 * ratio + 0.2 * before).clamp(3e-4, 5.0)


def _over_time(frames: Tensor) -> Tensor:
    """Return one number for disturbances of frames [..., frames]: the norm of power 6 in syllables, 2 over these."""
    syllable = min(_SYLLABLE, frames.shape[-1])
    parts = frames.unfold(-1, syllable, max(syllable // 2, 1))
    largest = (parts.pow(6).mean(dim=-1) + 1e-12).pow(1.0 / 6.0)
    return (largest.square().mean(dim=-1) + 1e-12).sqrt()
