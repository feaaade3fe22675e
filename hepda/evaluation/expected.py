"""Expected significance: one cut, a scan of cuts, bins of the score; with the bias as an uncertainty.

Weights are expected events at the stated luminosity. The background's uncertainty adds in quadrature a share
of the background, the statistics of its simulation (sumw2), and the bias |b_source - b_other|: what the
background above the cut would be if the other generator were right, both normalised to the source's yield.
That last one follows Louppe, Kagan, Cranmer (arXiv:1611.01046); if the model was trained to make the two
domains alike it is too small by construction, so take "other" from a third generator where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hepda.errors import DataError
from hepda.evaluation.arrays import Sample, bin_edges, by_class, histogram, sample
from hepda.evaluation.distances import merge_bins
from hepda.evaluation.results import BinnedSignificance, FloatArray, Significance, SignificanceScan
from hepda.evaluation.significance import asimov


def significance_at(
    score: ArrayLike,
    label: ArrayLike,
    weight: ArrayLike,
    cut: float,
    *,
    relative_uncertainty: float = 0.0,
    mc_statistics: bool = True,
    other_score: ArrayLike | None = None,
    other_weight: ArrayLike | None = None,
) -> Significance:
    """Asimov significance of the events at score >= cut.

    score, label (1 signal, 0 background), weight [n] of the source; other_score, other_weight [m]: background
    of another domain, which adds the bias to the uncertainty. None, with why, where the background is not
    positive or the signal negative.
    """
    yields = _yields(score, label, weight, np.array([cut], dtype=np.float64), other_score, other_weight)
    sigma = yields.uncertainty(relative_uncertainty, mc_statistics, yields.bias)
    return _at(yields, asimov(yields.signal, yields.background, sigma), sigma, 0)


def scan_cuts(
    score: ArrayLike,
    label: ArrayLike,
    weight: ArrayLike,
    *,
    relative_uncertainty: float = 0.0,
    mc_statistics: bool = True,
    other_score: ArrayLike | None = None,
    other_weight: ArrayLike | None = None,
    cuts: ArrayLike | None = None,
    min_n_eff: float = 25.0,
) -> SignificanceScan:
    """Significance at every cut, and the best cut among those whose background has n_eff >= min_n_eff.

    Arguments as `significance_at`; cuts [m], rising (default: 200 quantiles of the signal's score). The best
    value of a scan is biased upwards by the fluctuations it was chosen on: choose the cut on validation
    events and quote `significance_at` on test events.
    """
    signal, _ = by_class(score, label, weight)
    if cuts is None:
        found = np.unique(np.quantile(signal.score, np.linspace(0, 0.995, 200)))
    else:
        found = np.unique(np.asarray(cuts, dtype=np.float64))
    yields = _yields(score, label, weight, found, other_score, other_weight)
    sigmas = [np.zeros(len(found)), yields.uncertainty(relative_uncertainty, mc_statistics, None)]
    if yields.bias is not None:
        sigmas.append(yields.uncertainty(relative_uncertainty, mc_statistics, yields.bias))
    curves = [
        np.where(yields.background > 0, asimov(yields.signal, yields.background, s), np.nan) for s in sigmas
    ]
    best = [_best(yields, z, s, min_n_eff) for z, s in zip(curves, sigmas, strict=True)]
    biased = yields.bias is not None
    return SignificanceScan(
        cut=found,
        signal=yields.signal,
        background=yields.background,
        background_mc_error=yields.mc_error,
        background_n_eff=yields.n_eff,
        bias=yields.bias,
        asimov=curves[0],
        asimov_with_uncertainty=curves[1],
        asimov_with_bias=curves[2] if biased else None,
        best=best[0],
        best_with_uncertainty=best[1],
        best_with_bias=best[2] if biased else None,
    )


def binned_significance(
    score: ArrayLike,
    label: ArrayLike,
    weight: ArrayLike,
    edges: ArrayLike,
    *,
    relative_uncertainty: float = 0.0,
    mc_statistics: bool = True,
    other_score: ArrayLike | None = None,
    other_weight: ArrayLike | None = None,
    min_n_eff: float = 5.0,
) -> BinnedSignificance:
    """sqrt(sum of Z_i^2) over bins of the score; arguments as `significance_at`, edges [b + 1], open ends.

    Uncertainties are taken as independent between bins. For a common normalisation that is optimistic or
    pessimistic as the shape has it; the fit (`closure`) treats it as common. Bins whose background is not
    positive or has n_eff < min_n_eff, or whose signal is negative, are merged with their neighbours from the
    signal end down and counted in `merged`; None with why if that fails for all together.
    """
    signal, background = by_class(score, label, weight)
    limits = bin_edges(edges)
    s, _ = histogram(signal.score, signal.weight, limits)
    b, b2 = histogram(background.score, background.weight, limits)
    content = np.stack(
        [s, b, b2, b if other_score is None else _other_yield(background, other_score, other_weight, limits)]
    )
    kept = merge_bins(content, lambda x: bool(x[0] >= 0 and x[1] > 0 and x[1] ** 2 >= min_n_eff * x[2]))
    if kept is None:
        empty = np.full(1, np.nan)
        why = "all bins together have a negative signal, or a background below the floor of n_eff"
        total = content.sum(axis=1, keepdims=True)
        return BinnedSignificance(
            None, limits[[0, -1]], total[0], total[1], empty, empty, len(limits) - 2, why
        )
    s, b, b2, o = np.add.reduceat(content, kept[:-1], axis=1)
    variance = (relative_uncertainty * b) ** 2 + (b2 if mc_statistics else 0.0) + (b - o) ** 2
    sigma = np.asarray(np.sqrt(variance), dtype=np.float64)
    z = asimov(s, b, sigma)
    merged = len(limits) - len(kept)
    return BinnedSignificance(float(np.sqrt(np.dot(z, z))), limits[kept], s, b, sigma, z, merged)


def _other_yield(
    background: Sample, score: ArrayLike, weight: ArrayLike | None, edges: FloatArray
) -> FloatArray:
    other = sample(score, weight, "background of the other domain")
    return histogram(other.score, other.weight * (background.sumw / other.sumw), edges)[0]


@dataclass(frozen=True, slots=True, eq=False)
class _Yields:
    """Expected events above each cut [m]."""

    cut: FloatArray
    signal: FloatArray
    background: FloatArray
    background2: FloatArray  # sumw2
    bias: FloatArray | None

    @property
    def mc_error(self) -> FloatArray:
        return np.sqrt(self.background2)

    @property
    def n_eff(self) -> FloatArray:
        safe = np.where(self.background2 > 0, self.background2, 1.0)
        return np.asarray(np.where(self.background2 > 0, self.background**2 / safe, 0.0), dtype=np.float64)

    def uncertainty(self, relative: float, mc_statistics: bool, bias: FloatArray | None) -> FloatArray:
        if relative < 0:
            raise ValueError(f"a relative uncertainty is never negative: {relative}")
        variance = (relative * self.background) ** 2 + (self.background2 if mc_statistics else 0.0)
        return np.asarray(np.sqrt(variance + (0.0 if bias is None else bias**2)), dtype=np.float64)


def _yields(
    score: ArrayLike,
    label: ArrayLike,
    weight: ArrayLike,
    cuts: FloatArray,
    other_score: ArrayLike | None,
    other_weight: ArrayLike | None,
) -> _Yields:
    signal, background = by_class(score, label, weight)
    if cuts.ndim != 1 or len(cuts) == 0 or not np.all(np.isfinite(cuts)):
        raise DataError("a scan needs at least one finite cut")
    passed = _above(background.score, background.weight, cuts)
    bias = None
    if other_score is not None:
        other = sample(other_score, other_weight, "background of the other domain")
        scaled = _above(other.score, other.weight * (background.sumw / other.sumw), cuts)
        bias = np.abs(passed - scaled)
    return _Yields(
        cuts,
        _above(signal.score, signal.weight, cuts),
        passed,
        _above(background.score, background.weight**2, cuts),
        bias,
    )


def _above(score: FloatArray, weight: FloatArray, cuts: FloatArray) -> FloatArray:
    """Sum of weight at score >= cut for each cut [m]; exactly 0 where no event passes."""
    order = np.argsort(score)[::-1]
    running = np.concatenate([[0.0], np.cumsum(weight[order])])
    return running[len(score) - np.searchsorted(score[order][::-1], cuts, side="left")]


def _best(yields: _Yields, z: FloatArray, sigma: FloatArray, min_n_eff: float) -> Significance:
    usable = np.isfinite(z) & (yields.n_eff >= min_n_eff) & (yields.background > 0)
    if not usable.any():
        reason = f"no cut leaves signal on a background of n_eff >= {min_n_eff:g}"
        return Significance(None, 0.0, 0.0, 0.0, None, reason)
    return _at(yields, z, sigma, int(np.argmax(np.where(usable, z, -np.inf))))


def _at(yields: _Yields, z: FloatArray, sigma: FloatArray, i: int) -> Significance:
    s, b = float(yields.signal[i]), float(yields.background[i])
    found = (s, b, float(sigma[i]), float(yields.cut[i]))
    if b <= 0:
        return Significance(None, *found, f"background {b:.3g} above the cut is not positive")
    if s < 0:
        return Significance(None, *found, f"signal {s:.3g} above the cut is negative")
    return Significance(float(z[i]), *found)
