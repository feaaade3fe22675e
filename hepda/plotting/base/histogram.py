"""Weighted histograms for drawing: sumw and sumw2 per bin, signs kept, nothing lost beyond the edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from hepda.errors import DataError

Floats = NDArray[np.float64]

ONE_SIGMA = float(stats.norm.cdf(1.0) - stats.norm.cdf(-1.0))  # 68.27 %


@dataclass(frozen=True, slots=True)
class Histogram:
    """Sums of weights and of squared weights in bins: edges [b+1], sumw [b], sumw2 [b]."""

    edges: Floats
    sumw: Floats
    sumw2: Floats

    @property
    def error(self) -> Floats:
        """The statistical error of each bin [b], sqrt(sumw2)."""
        return np.sqrt(self.sumw2)

    @property
    def centres(self) -> Floats:
        """The middle of each bin [b]."""
        middle: Floats = 0.5 * (self.edges[1:] + self.edges[:-1])
        return middle

    @property
    def counts(self) -> bool:
        """Whether these are unweighted counts (every weight was 1), so that Poisson intervals apply."""
        return bool(np.array_equal(self.sumw, self.sumw2))

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(self.edges, self.sumw + other.sumw, self.sumw2 + other.sumw2)

    def scaled(self, factor: float) -> Histogram:
        """Multiply by a constant: sumw by the factor, sumw2 by its square."""
        return Histogram(self.edges, self.sumw * factor, self.sumw2 * factor**2)

    def unit_area(self) -> Histogram:
        """Normalise so that the bins add up to 1; raise DataError if sumw is not positive."""
        total = float(self.sumw.sum())
        if not total > 0:
            raise DataError(f"a histogram with sum of weights {total:g} has no shape to draw; give it more events")
        return self.scaled(1.0 / total)

    def interval(self) -> tuple[Floats, Floats]:
        """Return the lengths of the error bars downwards and upwards, [b] each.

        Unweighted counts get the central 68.27 % interval of Garwood (Biometrika 28 (1936) 437), which is also
        defined for an empty bin; weighted bins get sqrt(sumw2) on both sides.
        """
        if not self.counts:
            return self.error, self.error
        tail = 0.5 * (1 - ONE_SIGMA)
        n = self.sumw
        low = np.where(n > 0, 0.5 * stats.chi2.ppf(tail, 2 * np.maximum(n, 1)), 0.0)
        high = 0.5 * stats.chi2.ppf(1 - tail, 2 * (n + 1))
        return n - low, high - n


def histogram(values: ArrayLike, weights: ArrayLike | None, edges: ArrayLike, *, fold: bool = True) -> Histogram:
    """Histogram values [n] with signed weights [n] in edges [b+1].

    Args:
        values: values [n].
        weights: signed weights [n]; None means 1 each.
        edges: edges of the bins [b+1].
        fold: whether values beyond an end are counted in the bin at that end; otherwise they are excluded.

    Raises:
        DataError: values or weights are not finite, or the arrays have different lengths.

    """
    x = np.asarray(values, dtype=np.float64).ravel()
    w = np.ones_like(x) if weights is None else np.asarray(weights, dtype=np.float64).ravel()
    bins = np.asarray(edges, dtype=np.float64)
    if x.shape != w.shape:
        raise DataError(f"a figure was given {x.size} values and {w.size} weights; give one weight a value")
    bad = int(np.count_nonzero(~(np.isfinite(x) & np.isfinite(w))))
    if bad:
        raise DataError(f"{bad} of {x.size} values or weights are not finite and cannot be drawn; mask them first")
    number = _bin_numbers(x, bins)
    if fold:
        number = np.clip(number, 0, len(bins) - 2)
    else:
        inside = (number >= 0) & (number < len(bins) - 1)
        number, w = number[inside], w[inside]
    count = len(bins) - 1
    sumw = np.bincount(number, w, count).astype(np.float64)
    return Histogram(bins, sumw, np.bincount(number, w * w, count).astype(np.float64))


def _bin_numbers(x: Floats, edges: Floats) -> NDArray[np.intp]:
    """Return the bin of each value [n]: -1 below the edges, b above; an edge is in the upper bin, the last in the last.

    Bins of equal width are computed instead of searched, which takes a quarter of the time; where rounding could move a
    value over an edge, the edge itself decides.
    """
    last = len(edges) - 1
    width = (edges[-1] - edges[0]) / last
    if np.allclose(np.diff(edges), width, rtol=1e-9, atol=0.0):
        with np.errstate(over="ignore"):
            scaled = np.clip(np.floor((x - edges[0]) / width), -1.0, last)
        number: NDArray[np.intp] = scaled.astype(np.intp)
        number -= (number >= 0) & (x < edges[np.maximum(number, 0)])
        number += (number < last) & (x >= edges[np.minimum(number + 1, last)])
    else:
        number = np.searchsorted(edges, x, side="right") - 1
    number[x == edges[-1]] = last - 1
    return number


def ratio(numerator: Histogram, denominator: Histogram) -> Histogram:
    """Return the ratio bin by bin with the error of the numerator only; NaN where the denominator is not positive.

    By convention the denominator's error is drawn as a band around 1 and not added to the points.
    """
    below = np.where(denominator.sumw > 0, denominator.sumw, np.nan)
    return Histogram(numerator.edges, numerator.sumw / below, numerator.sumw2 / below**2)


def choose_edges(arrays: Sequence[ArrayLike], *, bins: int = 25, tail: float = 0.005) -> Floats:
    """Choose round edges for one feature from all its arrays, so that every sample is drawn in the same bins.

    Whole numbers with few different values get one centred bin per value. Others get about `bins` bins with a width of
    1, 2, 2.5 or 5 times a power of ten between the quantiles `tail` and 1 - `tail`; values beyond are folded into the
    end bins.

    Args:
        arrays: values of the feature in each sample.
        bins: approximate number of bins.
        tail: share of the values beyond each end.

    Raises:
        DataError: there is no finite value at all.

    """
    finite = [a[np.isfinite(a)] for a in (np.asarray(array, dtype=np.float64).ravel() for array in arrays)]
    finite = [a for a in finite if a.size]
    if not finite:
        raise DataError("a feature without a single finite value cannot be drawn; leave it out of the figures")
    low = min(float(np.quantile(a, tail)) for a in finite)
    high = max(float(np.quantile(a, 1 - tail)) for a in finite)
    least = max(1e-9 * max(abs(low), abs(high)), 1e-300)  # on a narrower axis, floating-point numbers do not differ
    if all(np.array_equal(a, np.round(a)) for a in finite) and least <= high - low + 1 <= 31:
        return np.arange(np.floor(low), np.ceil(high) + 2) - 0.5
    if high <= low or high - low < least:
        low, high = low - max(0.5, least), high + max(0.5, least)
    step = _round_up((high - low) / bins)
    first, last = np.floor(low / step), np.ceil(high / step)
    return np.arange(first, last + 1) * step


def _round_up(width: float) -> float:
    power = 10.0 ** np.floor(np.log10(width))
    return float(next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= width * 0.999))


def hidden_bins(edges: Floats, blind: tuple[float, float] | None) -> NDArray[np.bool_]:
    """Return which bins [b] contain any of the hidden values low <= x < high: such a bin is hidden completely.

    A bin contains its lower edge, and the last bin its upper edge too.
    """
    if blind is None:
        return np.zeros(len(edges) - 1, dtype=np.bool_)
    low, high = blind
    exact = np.round(edges, 12)  # an edge meant to be 0.7 may be 0.7000000000000001
    hidden: NDArray[np.bool_] = (exact[1:] > low) & (exact[:-1] < high)
    hidden[-1] |= low <= exact[-1] < high
    return hidden
