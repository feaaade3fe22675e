"""Enhancement without training: a Wiener filter, and the ideal ratio mask that needs the clean speech."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hepda.speech.enhancement.spectra import Spectra

_PRIOR_RATIO = 10.0 ** (15.0 / 10.0)  # the ratio under which speech is expected to be present: 15 dB
_NOISE_SMOOTHING = 0.8  # share of the previous frame in the noise spectrum
_PRESENCE_SMOOTHING = 0.9
_OFTEN_PRESENT = 0.99  # a probability that stays above this is held below it, so that the noise can be followed
_QUIET = 0.2  # the share of the frames of a bin that hold noise alone, from which the tracking starts


def noise_spectra(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the tracked power of the noise [frames, bins] in a recording.

    The estimate of Gerkmann and Hendriks 2012 (IEEE TASLP 20, 1383): the probability of speech in a bin from the
    likelihood ratio at a fixed prior ratio of 15 dB, and the noise as what is expected of it. It starts from the
    quantile of the power at 0.2 in each bin, over that of an exponential distribution, -ln 0.8 (Stahl et al. 2000): the
    beginning of a recording may be speech.

    Args:
        power: squared magnitudes of the noisy speech [frames, bins].

    """
    noise = (np.quantile(power, _QUIET, axis=0) / -np.log1p(-_QUIET)).clip(1e-20)
    presence = np.full(power.shape[1], 0.5)
    tracked = np.empty_like(power)
    for frame, observed in enumerate(power):
        likelihood = (1.0 + _PRIOR_RATIO) * np.exp(
            -np.minimum(observed / noise, 700.0) * _PRIOR_RATIO / (1.0 + _PRIOR_RATIO)
        )
        probability = 1.0 / (1.0 + likelihood)
        presence = _PRESENCE_SMOOTHING * presence + (1.0 - _PRESENCE_SMOOTHING) * probability
        probability = np.where(presence > _OFTEN_PRESENT, np.minimum(probability, _OFTEN_PRESENT), probability)
        expected = probability * noise + (1.0 - probability) * observed
        noise = np.maximum(_NOISE_SMOOTHING * noise + (1.0 - _NOISE_SMOOTHING) * expected, 1e-20)
        tracked[frame] = noise
    return tracked


def wiener(spectra: Spectra, noisy: Tensor, *, smoothing: float, floor: float) -> Tensor:
    """Return speech [n] that a Wiener filter frees of noise.

    The ratio of speech to noise is that of the decision-directed approach (Ephraim and Malah 1984, eq. 51): a share
    `smoothing` of the speech that the previous frame was found to have, the rest from the frame itself. The gain is
    ratio / (1 + ratio).

    Args:
        spectra: the transform.
        noisy: the samples [n].
        smoothing: share of the previous frame.
        floor: smallest gain, in dB.

    """
    spectrum = spectra.of(noisy.double()[None])[0]
    power = np.square(spectrum.abs().numpy())
    tracked = noise_spectra(power)
    least = 10.0 ** (floor / 20.0)
    gains = np.empty_like(power)
    before = np.zeros(power.shape[1])  # power of the speech in the previous frame
    for frame, (observed, noise) in enumerate(zip(power, tracked, strict=True)):
        ratio = smoothing * before / noise + (1.0 - smoothing) * np.maximum(observed / noise - 1.0, 0.0)
        gains[frame] = np.maximum(ratio / (1.0 + ratio), least)
        before = np.square(gains[frame]) * observed
    estimate = spectrum * torch.from_numpy(gains)
    return spectra.samples(estimate[None], len(noisy))[0].float()


def ideal_mask(spectra: Spectra, noisy: Tensor, clean: Tensor) -> Tensor:
    """Return noisy speech [n] times the ideal ratio mask sqrt(|S|^2 / (|S|^2 + |N|^2)), with the noisy phase."""
    speech, noise = (spectra.of(part[None]).abs().square() for part in (clean, noisy - clean))
    mask = (speech / (speech + noise).clamp_min(1e-20)).sqrt()
    return spectra.samples(spectra.of(noisy[None]) * mask, len(noisy))[0]
