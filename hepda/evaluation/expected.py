"""Expected significance: one cut, a scan of cuts, bins of the score; with the bias as an uncertainty.

Weights are expected events at the stated luminosity. The background's uncertainty adds in quadrature a share
of the background, the statistics of its simulation (sumw2), and the bias |b_source - b_other|: what the
background above the cut would be if the other generator were right, both normalised to the source's yield.
That last one follows Louppe, Kagan, Cranmer (arXiv:1611.01046); if the model was trained to make the two
domains alike it is too small by construction, so take "other" from a third generator where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from hepda.errors import DataError
from hepda.evaluation.arrays import BoolArray, bin_edges, by_class, histogram, sample
from hepda.evaluation.differences.distances import merge_bins
from hepda.evaluation.results import BinnedSignificance, FloatArray, Significance, SignificanceScan
from hepda.evaluation.significance import asimov

_OTHER = "background of the other domain"


@dataclass(frozen=True, slots=True, eq=False)
class Counting:
    """What a counting experiment is expected to see, and how well its background is known.

    score, label (1 signal, 0 background), weight [n] of the source; relative_uncertainty: of the background;
    mc_statistics: whether the statistics of its simulation count; other_score, other_weight [m]: background of
    another domain, which adds the bias.
    """

    score: ArrayLike
    label: ArrayLike
    weight: ArrayLike
    relative_uncertainty: float = 0.0
    mc_statistics: bool = True
    other_score: ArrayLike | None = None
    other_weight: ArrayLike | None = None

    def select(self, mask: BoolArray | None, other_mask: BoolArray | None) -> Counting:
        """The events of the masks [n] and [m] alone (None: all), with their own sums of weights."""

        def part(values: ArrayLike, chosen: BoolArray | None) -> ArrayLike:
            return values if chosen is None else np.asarray(values)[chosen]

        return replace(
            self,
            score=part(self.score, mask),
            label=part(self.label, mask),
            weight=part(self.weight, mask),
            other_score=None if self.other_score is None else part(self.other_score, other_mask),
            other_weight=None if self.other_weight is None else part(self.other_weight, other_mask),
        )


def significance_at(experiment: Counting, cut: float) -> Significance:
    """Asimov significance of the events at score >= cut.

    None, with why, where the background is not positive or the signal negative.
    """
    yields = _yields(experiment, np.array([cut], dtype=np.float64))
    return _at(yields, yields.curves(experiment)[-1], 0)


def scan_cuts(
    experiment: Counting,
    *,
    cuts: ArrayLike | None = None,
    choosers: ArrayLike | None = None,
    other_choosers: ArrayLike | None = None,
    min_n_eff: float = 25.0,
) -> SignificanceScan:
    """Significance at every cut, and the best cut among those whose background has n_eff >= min_n_eff.

    cuts [m], rising (default: 200 quantiles of the signal's score). choosers, other_choosers: masks of the
    experiment's events that choose the best cut; its significance is then that of all other events, scaled
    to the full yields. Without them it is biased upwards by the fluctuations that it was chosen on. The curves
    are of all events.
    """
    signal, _ = by_class(experiment.score, experiment.label, experiment.weight)
    if cuts is None:
        found = np.unique(np.quantile(signal.score, np.linspace(0, 0.995, 200)))
    else:
        found = np.unique(np.asarray(cuts, dtype=np.float64))
    yields = _yields(experiment, found)
    chosen, quoted = yields, yields
    if choosers is not None:
        masks = [None if m is None else np.asarray(m, dtype=bool) for m in (choosers, other_choosers)]
        chosen = _part(experiment, found, masks)
        quoted = _part(experiment, found, [None if mask is None else ~mask for mask in masks])
    curves = [z for z, _ in yields.curves(experiment)]
    best = [
        _best(chosen, z, quoted, said, min_n_eff)
        for (z, _), said in zip(chosen.curves(experiment), quoted.curves(experiment), strict=True)
    ]
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


def binned_significance(experiment: Counting, edges: ArrayLike, *, min_n_eff: float = 5.0) -> BinnedSignificance:
    """sqrt(sum of Z_i^2) over bins of the score, edges [b + 1], open ends.

    Uncertainties are taken as independent between bins. For a common normalisation that is optimistic or
    pessimistic as the shape has it; the fit (`closure`) treats it as common. Bins whose background is not
    positive or has n_eff < min_n_eff, or whose signal is negative, are merged with their neighbours from the
    signal end down and counted in `merged`; None with why if that fails for all together.
    """
    signal, background = by_class(experiment.score, experiment.label, experiment.weight)
    limits = bin_edges(edges)
    s, _ = histogram(signal.score, signal.weight, limits)
    b, b2 = histogram(background.score, background.weight, limits)
    other = b
    if experiment.other_score is not None:
        theirs = sample(experiment.other_score, experiment.other_weight, _OTHER)
        other = histogram(theirs.score, theirs.weight * (background.sumw / theirs.sumw), limits)[0]
    content = np.stack([s, b, b2, other])
    kept = merge_bins(content, lambda x: bool(x[0] >= 0 and x[1] > 0 and x[1] ** 2 >= min_n_eff * x[2]))
    if kept is None:
        empty = np.full(1, np.nan)
        why = "all bins together have a negative signal, or a background below the floor of n_eff"
        total = content.sum(axis=1, keepdims=True)
        return BinnedSignificance(None, limits[[0, -1]], total[0], total[1], empty, empty, len(limits) - 2, why)
    s, b, b2, other = np.add.reduceat(content, kept[:-1], axis=1)
    sigma = _uncertainty(experiment, b, b2, b - other)
    z = asimov(s, b, sigma)
    merged = len(limits) - len(kept)
    return BinnedSignificance(float(np.sqrt(np.dot(z, z))), limits[kept], s, b, sigma, z, merged)


def _uncertainty(
    experiment: Counting, background: FloatArray, background2: FloatArray, bias: FloatArray | None
) -> FloatArray:
    """One standard deviation of the background [m], all sources in quadrature."""
    if experiment.relative_uncertainty < 0:
        raise ValueError(f"a relative uncertainty is never negative: {experiment.relative_uncertainty}")
    variance = (experiment.relative_uncertainty * background) ** 2
    variance = variance + (background2 if experiment.mc_statistics else 0.0)
    return np.asarray(np.sqrt(variance + (0.0 if bias is None else bias**2)), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Yields:
    """Expected events above each cut [m]."""

    cut: FloatArray
    signal: FloatArray
    background: FloatArray
    background2: FloatArray  # sumw2
    bias: FloatArray | None
    n_eff: FloatArray  # of the events that were counted

    @property
    def mc_error(self) -> FloatArray:
        return np.sqrt(self.background2)

    def curves(self, experiment: Counting) -> list[tuple[FloatArray, FloatArray]]:
        """Significance [m] (NaN without background) and its uncertainty [m]: none, without bias, with it."""
        sigmas = [np.zeros(len(self.cut)), _uncertainty(experiment, self.background, self.background2, None)]
        if self.bias is not None:
            sigmas.append(_uncertainty(experiment, self.background, self.background2, self.bias))
        return [(np.where(self.background > 0, asimov(self.signal, self.background, s), np.nan), s) for s in sigmas]

    def scaled(self, signal: float, background: float) -> _Yields:
        """As all events would give them of which these are 1 / factor: sumw2 grows as sumw does."""
        bias = None if self.bias is None else self.bias * background
        return _Yields(
            self.cut,
            self.signal * signal,
            self.background * background,
            self.background2 * background,
            bias,
            self.n_eff,
        )


def _yields(experiment: Counting, cuts: FloatArray) -> _Yields:
    signal, background = by_class(experiment.score, experiment.label, experiment.weight)
    if cuts.ndim != 1 or len(cuts) == 0 or not np.all(np.isfinite(cuts)):
        raise DataError("a scan needs at least one finite cut")
    passed = _above(background.score, background.weight, cuts)
    passed2 = _above(background.score, background.weight**2, cuts)
    bias = None
    if experiment.other_score is not None:
        other = sample(experiment.other_score, experiment.other_weight, _OTHER)
        scaled = _above(other.score, other.weight * (background.sumw / other.sumw), cuts)
        bias = np.abs(passed - scaled)
    n_eff = np.where(passed2 > 0, passed**2 / np.where(passed2 > 0, passed2, 1.0), 0.0)
    return _Yields(cuts, _above(signal.score, signal.weight, cuts), passed, passed2, bias, n_eff)


def _part(experiment: Counting, cuts: FloatArray, masks: Sequence[BoolArray | None]) -> _Yields:
    """Yields above each cut of a part of the events (own, other's), scaled to those of all of them."""
    part = experiment.select(*masks)
    whole, own = (by_class(e.score, e.label, e.weight) for e in (experiment, part))
    return _yields(part, cuts).scaled(*(every.sumw / some.sumw for every, some in zip(whole, own, strict=True)))


def _above(score: FloatArray, weight: FloatArray, cuts: FloatArray) -> FloatArray:
    """Sum of weight at score >= cut for each cut [m]; exactly 0 where no event passes."""
    order = np.argsort(score)[::-1]
    running = np.concatenate([[0.0], np.cumsum(weight[order])])
    return running[len(score) - np.searchsorted(score[order][::-1], cuts, side="left")]


def _best(
    chosen: _Yields, z: FloatArray, quoted: _Yields, said: tuple[FloatArray, FloatArray], min_n_eff: float
) -> Significance:
    """What `quoted` says at the cut that is best by the significance z of `chosen`."""
    usable = np.isfinite(z) & (chosen.n_eff >= min_n_eff) & (chosen.background > 0)
    if not usable.any():
        reason = f"no cut leaves signal on a background of n_eff >= {min_n_eff:g}"
        return Significance(None, 0.0, 0.0, 0.0, None, reason)
    return _at(quoted, said, int(np.argmax(np.where(usable, z, -np.inf))))


def _at(yields: _Yields, said: tuple[FloatArray, FloatArray], i: int) -> Significance:
    z, sigma = said
    s, b = float(yields.signal[i]), float(yields.background[i])
    found = (s, b, float(sigma[i]), float(yields.cut[i]))
    if b <= 0:
        return Significance(None, *found, f"background {b:.3g} above the cut is not positive")
    if s < 0:
        return Significance(None, *found, f"signal {s:.3g} above the cut is negative")
    return Significance(float(z[i]), *found)
