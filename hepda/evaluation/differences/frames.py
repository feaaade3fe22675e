"""How near predicted frames are to true ones, and how sharp they are: arrays of 0 to 1 in, a number a frame out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_SIGMA, _TRUNCATE = 1.5, 3.5
"""Standard deviation of the window of SSIM, and where it ends: 11 x 11 pixels, as published."""
_K1, _K2 = 0.01, 0.03


def psnr(predicted: Array, true: Array) -> Array:
    """Return the peak signal-to-noise ratio `10 log10(1 / mean (p - t)^2)` in dB [n]; infinite for equal frames.

    Args:
        predicted: frames [n, rows, columns] of 0 to 1.
        true: the same.

    """
    error = np.square(predicted - true).mean(axis=(1, 2))
    with np.errstate(divide="ignore"):
        ratio: Array = -10.0 * np.log10(error)
    return ratio


def ssim(predicted: Array, true: Array) -> Array:
    """Return the structural similarity [n] (Wang et al., IEEE Trans. Image Process. 13 (2004) 600, equation 13).

    Means, variances and the covariance are of a Gaussian window of 11 x 11 pixels and width 1.5; the result is the mean
    over all windows within the frame. Arguments as of `psnr`.
    """
    from scipy.ndimage import gaussian_filter

    def local(values: Array) -> Array:
        smooth: Array = gaussian_filter(values, (0.0, _SIGMA, _SIGMA), truncate=_TRUNCATE)
        return smooth

    mean_p, mean_t = local(predicted), local(true)
    variance_p, variance_t = local(predicted**2) - mean_p**2, local(true**2) - mean_t**2
    covariance = local(predicted * true) - mean_p * mean_t
    c1, c2 = _K1**2, _K2**2
    similarity = (2.0 * mean_p * mean_t + c1) * (2.0 * covariance + c2)
    similarity /= (mean_p**2 + mean_t**2 + c1) * (variance_p + variance_t + c2)
    edge = int(_TRUNCATE * _SIGMA + 0.5)  # of half a window, where it would reach beyond the frame
    found: Array = similarity[:, edge:-edge, edge:-edge].mean(axis=(1, 2))
    return found


def gradient_sum(frames: Array) -> Array:
    """Return `|f_ij - f_{i-1,j}| + |f_ij - f_{i,j-1}|` for every pixel but those of the first row and column."""
    found: Array = np.abs(np.diff(frames, axis=1))[:, :, 1:] + np.abs(np.diff(frames, axis=2))[:, 1:]
    return found


def sharpness(predicted: Array, true: Array) -> Array:
    """Return the mean gradient of each predicted frame in units of that of the true one [n]; NaN if that is 0.

    1 is as sharp as the truth; noise makes it larger, too, so that it has to be read with `sharpness_difference`.
    Arguments as of `psnr`.
    """
    of_true = gradient_sum(true).mean(axis=(1, 2))
    ratio: Array = gradient_sum(predicted).mean(axis=(1, 2)) / np.where(of_true > 0.0, of_true, np.nan)
    return ratio


def sharpness_difference(predicted: Array, true: Array) -> Array:
    """Return `10 log10(1 / mean |g(t) - g(p)|)` in dB [n], g of `gradient_sum` (Mathieu et al., arXiv:1511.05440,
    section 4): the larger, the nearer is the sharpness of every pixel to that of the true frame.

    Arguments as of `psnr`.
    """
    difference = np.abs(gradient_sum(true) - gradient_sum(predicted)).mean(axis=(1, 2))
    with np.errstate(divide="ignore"):
        decibels: Array = -10.0 * np.log10(difference)
    return decibels


METRICS: dict[str, Callable[[Array, Array], Array]] = {
    "psnr": psnr, "ssim": ssim, "sharpness": sharpness, "sharpness_difference": sharpness_difference,
}  # fmt: skip
"""The measures by name."""
