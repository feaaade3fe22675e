"""Metrics of frames of 30 ms, as Hu and Loizou use them, and the mel-cepstral distance.

The definitions of segmental SNR, LLR and WSS are those of composite.m (Loizou, Speech Enhancement: Theory and Practice,
CRC Press 2007; after Pellom and Hansen), so that their values compare with published ones: Hann windows every quarter
of a frame, without the last whole frame, and means over the 95 % of frames with the smallest LLR and WSS. Samples are
in [-1, 1]; floors that avoid the logarithm of zero are relative to that.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from hepda.errors import DataError
from hepda.speech.quality.signals import Samples, allowed_rate, sounding
from hepda.speech.sounds.features import FilterBank, cepstra

Array = NDArray[np.float64]
SNR_LIMITS = (-10.0, 35.0)
"""Limits of the SNR of a frame, in dB: frames without speech, and frames without noise, have no extreme weight."""
SMALLEST = 0.95
"""Share of frames, those with the smallest distance, of which LLR and WSS are the mean."""
EPS = float(np.finfo(np.float64).eps)
_UNDEFINED_RATIO = 1000.0  # of prediction errors, where rounding leaves none: in pysepm as well
_DECIBEL = 10.0 / math.log(10.0)

CENTRES = (
    50.0, 120.0, 190.0, 260.0, 330.0, 400.0, 470.0, 540.0, 617.372, 703.378, 798.717, 904.128, 1020.38, 1148.30,
    1288.72, 1442.54, 1610.70, 1794.16, 1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17, 3597.63,
)  # fmt: skip
WIDTHS = (
    70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423, 153.823,
    168.154, 183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126, 321.465, 346.136,
)  # fmt: skip
"""Centres and widths of the 25 critical bands of WSS, in Hz."""
GLOBAL_PEAK, LOCAL_PEAK = 20.0, 1.0
"""Constants of the weights of WSS in dB: Kmax and Klocmax of Klatt."""


def segmental_snr(clean: Samples, estimate: Samples, rate: int) -> float:
    """Return the mean SNR of frames in dB, that of each limited to -10 to 35 dB (Hu and Loizou 2008).

    The noise of a frame is the difference between estimate and clean recording, so a change of the level counts as
    noise. A frame where the clean recording is digital silence has -10 dB whatever the estimate, as in composite.m.

    Raises:
        ConfigError: the rate is below 8000 Hz.
        DataError: wrong arrays or silence (`sounding`), or recordings shorter than one frame and its hop.

    """
    speech, heard = (_frames(samples, rate) for samples in sounding(clean, estimate))
    signal, noise = np.sum(speech**2, axis=1), np.sum((speech - heard) ** 2, axis=1)
    ratio = 10.0 * np.log10(signal / (noise + EPS) + EPS)
    return float(np.mean(np.clip(ratio, *SNR_LIMITS)))


def log_likelihood_ratio(clean: Samples, estimate: Samples, rate: int, *, limit: float | None = 2.0) -> float:
    """Return the distance of the spectral envelopes by linear prediction (LLR).

    ln(a_x R a_x / a_s R a_s) of each frame, with the coefficients a of the clean recording s and of the estimate x, and
    the autocorrelation matrix R of the clean one (Quackenbush et al. 1988; Hu and Loizou 2008). Order 10 below
    10 kHz, else 16. The level does not matter.

    Args:
        clean: clean samples [n].
        estimate: samples of the estimate [n].
        rate: in Hz.
        limit: the largest value of a frame: 2 in comp_llr.m; None, as in composite.m: without limit.

    Raises:
        ConfigError: the rate is below 8000 Hz.
        DataError: wrong arrays or silence (`sounding`), or recordings shorter than one frame and its hop.

    """
    order = 10 if rate < 10_000 else 16
    speech, heard = (_autocorrelation(_frames(samples + EPS, rate), order) for samples in sounding(clean, estimate))
    lags = np.arange(order + 1)
    toeplitz = speech[:, np.abs(lags[:, None] - lags[None, :])]
    error_of_estimate, error_of_clean = (
        np.einsum("fi,fij,fj->f", coefficients, toeplitz, coefficients)
        for coefficients in (_prediction(heard), _prediction(speech))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = error_of_estimate / error_of_clean
    distance = np.log(np.where(np.isfinite(ratio) & (ratio > 0.0), ratio, _UNDEFINED_RATIO))
    return _mean_of_smallest(distance if limit is None else np.minimum(distance, limit))


def weighted_spectral_slope(clean: Samples, estimate: Samples, rate: int) -> float:
    """Return the weighted distance of the slopes of spectra between neighbouring critical bands (WSS), in dB^2.

    Klatt, ICASSP 1982; Hu and Loizou 2008, normalised by the sum of the weights as in comp_wss.m. Slopes near
    the highest peak and near local peaks have more weight. The level does not matter.

    Raises:
        ConfigError: the rate is below 8000 Hz.
        DataError: wrong arrays or silence (`sounding`), or recordings shorter than one frame and its hop.

    """
    speech, heard = (_band_levels(_frames(samples + EPS, rate), rate) for samples in sounding(clean, estimate))
    weight = (_weights(speech) + _weights(heard)) / 2.0
    squares = (np.diff(speech, axis=1) - np.diff(heard, axis=1)) ** 2
    return _mean_of_smallest(np.sum(weight * squares, axis=1) / np.sum(weight, axis=1))


def mel_cepstral_distance(clean: Samples, estimate: Samples, rate: int, coefficients: int = 13) -> float:
    """Return the mean over frames of 10 / ln 10 sqrt(2 sum_m (c_m - c'_m)^2), m from 1 to `coefficients`, in dB.

    Kubichek, IEEE Pacific Rim Conf. 1993. c_m is the mean over 40 mel bands of ln(energy) cos(pi m (b + 1/2) / 40), so
    this is the root mean square difference, in dB, of the mel spectra that these coefficients describe. c_0, the level,
    is left out. Frames of 25 ms every 10 ms (`FilterBank`) are compared one by one: recordings of different tempo need
    an alignment before. Values depend on the filterbank and compare only with values of this function.

    Raises:
        ConfigError: the rate is below 8000 Hz.
        DataError: wrong arrays or silence (`sounding`), or recordings shorter than one frame.

    """
    bank = _mel_bank(allowed_rate(rate))
    pair = sounding(clean, estimate)
    if bank.frames(len(pair[0])) < 1:
        raise DataError("mel-cepstral distance: shorter than a frame of 25 ms")
    log_mel = bank(torch.from_numpy(np.stack(pair)).float()).double()
    speech, heard = cepstra(log_mel, coefficients + 1)[..., 1:]
    # the orthonormal transform of `cepstra` is sqrt(2 bands) times the mean c_m
    squares = 2.0 * (speech - heard).square().sum(dim=-1) / (2.0 * bank.bands)
    return _DECIBEL * float(squares.sqrt().mean())


@cache
def _mel_bank(rate: int) -> FilterBank:
    return FilterBank(rate)


def _frames(samples: Array, rate: int) -> Array:
    """Return frames of 30 ms under Hann windows [f, w], every quarter of a frame."""
    window = (30 * allowed_rate(rate) + 500) // 1000
    hop = window // 4
    count = (len(samples) - window) // hop
    if count < 1:
        raise DataError("shorter than a frame of 30 ms and its hop")
    hann = 0.5 * (1.0 - np.cos(2.0 * np.pi * np.arange(1, window + 1) / (window + 1)))
    frames: Array = sliding_window_view(samples, window)[: count * hop : hop] * hann
    return frames


def _mean_of_smallest(distances: Array) -> float:
    kept = math.floor(SMALLEST * len(distances) + 0.5)
    return float(np.mean(np.sort(distances)[:kept]))


def _autocorrelation(frames: Array, order: int) -> Array:
    """Return the lags 0 to `order` of frames [f, w] as [f, order + 1]."""
    width = frames.shape[1]
    return np.stack([np.sum(frames[:, : width - k] * frames[:, k:], axis=1) for k in range(order + 1)], axis=1)


def _prediction(lags: Array) -> Array:
    """Return the filters 1, -a_1, ..., -a_p [f, p + 1] with the least prediction error (Levinson and Durbin)."""
    filters = np.zeros_like(lags)
    filters[:, 0], error = 1.0, lags[:, 0].copy()
    with np.errstate(divide="ignore", invalid="ignore"):
        for i in range(1, lags.shape[1]):
            reflection = -np.sum(filters[:, :i] * lags[:, i:0:-1], axis=1) / error
            filters[:, : i + 1] += reflection[:, None] * filters[:, i::-1]
            error *= 1.0 - reflection**2
    return filters


@cache
def _critical_bands(rate: int, size: int) -> Array:
    """Return Gaussian filters of equal sum, cut at -30 dB, from the lower half of the bins to bands [size / 2, 25]."""
    per_hertz = size / rate
    bins = np.arange(size // 2)[:, None]
    centre, width = np.floor(np.array(CENTRES) * per_hertz), np.array(WIDTHS) * per_hertz
    filters: Array = np.exp(-11.0 * ((bins - centre) / width) ** 2) * (WIDTHS[0] / np.array(WIDTHS))
    return np.where(filters > math.exp(-30.0 / (2.0 * 2.303)), filters, 0.0)


def _band_levels(frames: Array, rate: int) -> Array:
    """Return the levels of critical bands in dB [f, 25]."""
    size = 2 ** math.ceil(math.log2(2 * frames.shape[1]))
    power = np.abs(np.fft.rfft(frames, size, axis=1)[:, : size // 2]) ** 2
    levels: Array = 10.0 * np.log10(np.maximum(power @ _critical_bands(rate, size), 1e-10))
    return levels


def _weights(levels: Array) -> Array:
    """Return the weight of each slope [f, 24]: 1 at the highest of all peaks, less below that and below local peaks."""
    below_highest = levels.max(axis=1, keepdims=True) - levels[:, :-1]
    below_local = _local_peaks(levels) - levels[:, :-1]
    weights: Array = GLOBAL_PEAK / (GLOBAL_PEAK + below_highest) * LOCAL_PEAK / (LOCAL_PEAK + below_local)
    return weights


def _local_peaks(levels: Array) -> Array:
    """Return the level of the peak nearest to each slope [f, 24].

    Where levels rise, comp_wss.m takes the band before the highest one; so do all values that are published.
    """
    rising = np.diff(levels, axis=1) > 0.0
    slopes = np.arange(rising.shape[1])
    end_of_rise = np.minimum.accumulate(np.where(rising, len(slopes), slopes)[:, ::-1], axis=1)[:, ::-1]
    last_rise = np.maximum.accumulate(np.where(rising, slopes, -1), axis=1)
    peaks: Array = np.take_along_axis(levels, np.where(rising, end_of_rise - 1, last_rise + 1), axis=1)
    return peaks
