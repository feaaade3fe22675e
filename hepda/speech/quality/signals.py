"""Metrics of whole recordings: SI-SDR, PESQ and STOI.

Where a metric has no value for a recording, these functions raise a DataError whose message is the same for all
recordings with the same cause, so that causes can be counted; they never return a number in its place.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hepda.errors import ConfigError, DataError, MissingExtraError

Samples: TypeAlias = NDArray[np.floating[Any]]
"""Samples of one channel [n], in [-1, 1]."""
LOWEST_RATE = 8000
"""The lowest rate (Hz) of these metrics: their bands reach almost 4 kHz."""
PESQ_LONGEST = 19.0
"""Longest recording (s) for PESQ. The code of the ITU has room for 50 utterances and does not check it: more end the
process. An utterance takes at least 0.2 s and the pause after it 0.188 s, so that 19 s cannot hold more."""
_STOI_RATE, _STOI_FRAME, _STOI_HOP, _STOI_FRAMES = 10_000, 256, 128, 30


def paired(clean: Samples, estimate: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both recordings [n] with double precision.

    Raises:
        DataError: they are not one-dimensional floats, not finite, empty, or of different length.

    """
    for name, samples in (("clean recording", clean), ("estimate", estimate)):
        if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
            raise DataError(
                f"the {name} is {samples.dtype} of shape {samples.shape}; give one channel of floats in [-1, 1]"
            )
        if not np.isfinite(samples).all():
            raise DataError(f"the {name} holds values that are not finite")
    if len(clean) != len(estimate) or len(clean) == 0:
        raise DataError(f"a clean recording of {len(clean)} samples and an estimate of {len(estimate)}; cut both alike")
    return clean.astype(np.float64), estimate.astype(np.float64)


def sounding(clean: Samples, estimate: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what `paired` does, if neither is silent.

    Raises:
        DataError: wrong arrays (`paired`), or all samples of one of the two are zero.

    """
    pair = paired(clean, estimate)
    for name, samples in zip(("clean recording", "estimate"), pair, strict=True):
        if not samples.any():
            raise DataError(f"the {name} is silent")
    return pair


def allowed_rate(rate: int) -> int:
    """Return a rate (Hz) of at least `LOWEST_RATE`.

    Raises:
        ConfigError: it is lower.

    """
    if rate < LOWEST_RATE:
        raise ConfigError(f"{rate} Hz: the quality of speech is measured from {LOWEST_RATE} Hz on; resample before")
    return rate


def si_sdr(clean: Samples, estimate: Samples, *, zero_mean: bool = False) -> float:
    """Return the scale-invariant ratio of signal to distortion in dB.

    10 log10(|a s|^2 / |a s - x|^2) with a = x.s / |s|^2, of the clean recording s and the estimate x
    (Le Roux et al., ICASSP 2019).

    Args:
        clean: clean samples [n].
        estimate: samples of the estimate [n].
        zero_mean: whether to subtract the mean of each first, so that a constant offset is no distortion.

    Raises:
        DataError: wrong arrays or silence (`sounding`), or the ratio is not finite: the estimate is the clean recording
            up to its scale, or has nothing in common with it.

    """
    speech, heard = sounding(clean, estimate)
    if zero_mean:
        speech, heard = sounding(speech - speech.mean(), heard - heard.mean())
    target = np.dot(heard, speech) / np.dot(speech, speech) * speech
    signal, distortion = float(np.sum(target**2)), float(np.sum((target - heard) ** 2))
    if signal == 0.0:
        raise DataError("SI-SDR is minus infinity: the estimate has nothing in common with the clean recording")
    if distortion <= 16.0 * np.finfo(np.float64).eps ** 2 * signal:  # what rounding leaves
        raise DataError("SI-SDR is infinite: the estimate is the clean recording up to its scale")
    return 10.0 * math.log10(signal / distortion)


def pesq(clean: Samples, estimate: Samples, rate: int) -> float:
    """Return PESQ as a mean opinion score (MOS-LQO), by the package pesq.

    Narrow band at 8 kHz (ITU-T P.862, mapped by P.862.1; at most 4.549), wide band at 16 kHz (P.862.2; at most 4.644).
    Scores of the two are not comparable. PESQ aligns levels and delays itself.

    Raises:
        ConfigError: the rate is not 8000 or 16000 Hz.
        DataError: wrong arrays or silence (`sounding`), or PESQ has no value: shorter than 1/4 s, longer than
            `PESQ_LONGEST`, or no utterance is found.
        MissingExtraError: pesq is not installed.

    """
    try:
        import pesq as package
    except ImportError as error:
        raise MissingExtraError("pesq", "quality") from error
    if rate not in (8000, 16000):
        raise ConfigError(f"PESQ is defined at 8000 Hz (narrow band) and 16000 Hz (wide band), not {rate}; resample")
    speech, heard = sounding(clean, estimate)
    if len(speech) > PESQ_LONGEST * rate:
        raise DataError(f"PESQ: longer than {PESQ_LONGEST:g} s")
    try:
        score = float(package.pesq(rate, speech, heard, "nb" if rate == 8000 else "wb"))
    except package.BufferTooShortError as error:
        raise DataError("PESQ: shorter than 1/4 s") from error
    except package.NoUtterancesError as error:
        raise DataError("PESQ: no utterance found") from error
    except (package.PesqError, ValueError) as error:  # a score of NaN is a ValueError in the package
        raise DataError(f"PESQ: no score ({type(error).__name__})") from error
    if not 0.999 <= score <= 4.999:  # the range of the mapping
        raise DataError("PESQ: no score (outside the range of opinion scores)")
    return score


def raw_pesq(score: float) -> float:
    """Return narrow-band PESQ before the mapping of P.862.1, from -0.5 to 4.5.

    The inverse of y = 0.999 + 4 / (1 + exp(-1.4945 x + 4.6607)).

    Args:
        score: `pesq` at 8000 Hz.

    """
    return (4.6607 - math.log(4.0 / (score - 0.999) - 1.0)) / 1.4945


def stoi(clean: Samples, estimate: Samples, rate: int, *, extended: bool = False) -> float:
    """Return the short-time objective intelligibility, at most 1, by the package pystoi.

    The mean correlation of envelopes in 15 third-octave bands up to 4.3 kHz over 0.4 s (Taal et al., IEEE Trans. Audio
    Speech Lang. Process. 19 (2011) 2125), or of whole spectra (extended: Jensen and Taal, IEEE/ACM Trans. Audio Speech
    Lang. Process. 24 (2016) 2009). Both recordings are resampled to 10 kHz; frames 40 dB below the loudest of the clean
    recording are left out.

    Raises:
        ConfigError: the rate is below 8000 Hz.
        DataError: wrong arrays or silence (`sounding`), or STOI has no value: fewer than 30 frames (0.4 s) of speech.
        MissingExtraError: pystoi is not installed.

    """
    try:
        import pystoi
    except ImportError as error:
        raise MissingExtraError("pystoi", "quality") from error
    speech, heard = sounding(clean, estimate)
    short = f"STOI: fewer than {_STOI_FRAMES} frames of speech"
    if len(speech) * _STOI_RATE / allowed_rate(rate) <= _STOI_FRAME + (_STOI_FRAMES - 1) * _STOI_HOP:
        raise DataError(short)
    # pystoi draws from numpy's global generator, to divide by no zero; the number shall not depend on its state.
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)  # with it, 1e-5 is returned
            score = float(pystoi.stoi(speech, heard, rate, extended=extended))
    except RuntimeWarning as error:
        raise DataError(short) from error
    finally:
        np.random.set_state(state)  # noqa: NPY002
    if not math.isfinite(score):
        raise DataError("STOI: no finite score")
    return score
