"""Asimov discovery significance: closed forms that are numerically stable in every limit.

For s expected signal events on b background events, known to sigma_b, the median significance of a
discovery is that of the Asimov data set n = s + b (Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727; with
sigma_b: Cowan, "Discovery sensitivity for a counting experiment with background uncertainty", 2012).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hepda.results.evaluation import FloatArray

_SMALL = 0.05  # below it differences cancel, and series are used


def asimov(signal: ArrayLike, background: ArrayLike, uncertainty: ArrayLike = 0.0) -> FloatArray:
    """Return the median discovery significance with a Poisson (gamma) constraint of the background; broadcasts.

    With v = sigma_b^2,
    Z^2 / 2 = (s + b) ln[(s + b)(b + v) / (b^2 + (s + b) v)] - (b^2 / v) ln[1 + v s / (b (b + v))],
    or (s + b) ln(1 + s / b) - s for v = 0. Limit s << b: s / sqrt(b + v), so s / sqrt(b) or s / sigma_b.

    With x = s / b, k = v / b, u = x / (1 + k + k x), w = k x / (1 + k) and h(t) = t - ln(1 + t) it equals
    Z^2 / 2b = x^2 / [(1 + k)(1 + k + k x)] - (1 + x) h(u) + h(w) / k,
    without the first orders that cancel above: accurate to rounding for s << b, sigma_b -> 0 and b -> 0.

    The result is NaN for s < 0 or b < 0 (sums of signed weights may be negative: merge or drop such bins); at b = 0 it
    is infinite if sigma_b = 0 and s > 0, else 0.

    Args:
        signal: expected signal events s.
        background: expected background events b.
        uncertainty: absolute uncertainty sigma_b of the background.

    Raises:
        ValueError: sigma_b is negative.

    Example:
        >>> from hepda.evaluation.significance import asimov
        >>> float(asimov(10, 100).round(3)), float(asimov(10, 100, 10).round(3))
        (0.984, 0.69)

    """
    s, b, sigma = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (signal, background, uncertainty)))
    if np.any(sigma < 0):
        raise ValueError("an uncertainty of the background is never negative")
    valid = (s >= 0) & (b > 0)
    safe_s, safe_b = np.where(valid, s, 0.0), np.where(valid, b, 1.0)
    x, k = safe_s / safe_b, sigma * (sigma / safe_b)
    safe_k = np.where(k > 0, k, 1.0)
    u, w = x / (1 + k + k * x), k * x / (1 + k)
    near = x * u / (1 + k) - (1 + x) * _h(u) + _h(w) / safe_k
    far = (1 + x) * np.log1p(u) - np.where(k > 0, np.log1p(w) / safe_k, x)  # for large u `near` cancels
    z = np.sqrt(2 * safe_b * np.maximum(np.where(u < _SMALL, near, far), 0.0))
    z = np.where(b == 0, np.where((sigma == 0) & (s > 0), np.inf, 0.0), z)
    return np.asarray(np.where((s < 0) | (b < 0), np.nan, z), dtype=np.float64)


def _h(t: FloatArray) -> FloatArray:
    """Return t - ln(1 + t) for t >= 0, accurate to rounding: by its series where the difference cancels."""
    small = np.minimum(t, _SMALL)
    series = np.zeros_like(small)
    for power in range(13, 1, -1):  # t^2/2 - t^3/3 + ...; the next term is below 1e-16 of the first
        series = small * series + (-1.0) ** power / power
    return np.where(t < _SMALL, series * small**2, t - np.log1p(t))
