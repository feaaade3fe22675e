"""Expected significance: one cut, a scan of cuts, bins of the score; with the bias as an uncertainty.

Weights are expected events at the stated luminosity. The uncertainty of the background is the sum in quadrature of a
share of the background, the statistics of its simulation (sumw2), and the bias |b_source - b_other|, where b_other is
the background above the cut if the other generator were right, both normalised to the source's yield.
The bias follows Louppe, Kagan, Cranmer (arXiv:1611.01046). If the model was trained to make the two domains alike
it is too small by construction, so "other" should be a held-out generator where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepda.errors import DataError
from hepda.evaluation.arrays import bin_edges, by_class, histogram, sample
from hepda.evaluation.bootstrap import poisson_counts
from hepda.evaluation.differences.distances import merge_bins
from hepda.evaluation.significance import asimov
from hepda.results.evaluation import BinnedSignificance, FloatArray, Significance, SignificanceScan

_GROUPS, _WAYS = 5, 10  # in a cross-fit: number of groups of events, and number of random divisions that are averaged
_OTHER = "background of the other domain"
_SIGNAL, _UNMATCHED, _MATCHED = 0, 1, 2  # events of the source: background with or without a counterpart elsewhere


@dataclass(frozen=True, slots=True, eq=False)
class Counting:
    """Inputs of a counting experiment and the uncertainties of its background.

    Attributes:
        score: scores of the source [n].
        label: labels of the source [n] (1 signal, 0 background).
        weight: signed weights of the source [n].
        relative_uncertainty: relative uncertainty of the background.
        mc_statistics: whether the statistics of its simulation count.
        other_score: scores [m] of the background of another domain, which adds the bias; None adds none.
        other_weight: signed weights [m] of that background.
        matched: mask [n] of the source's events whose background is compared with it, the others having no
            counterpart there; None means all.

    """

    score: ArrayLike
    label: ArrayLike
    weight: ArrayLike
    relative_uncertainty: float = 0.0
    mc_statistics: bool = True
    other_score: ArrayLike | None = None
    other_weight: ArrayLike | None = None
    matched: ArrayLike | None = None


def significance_at(experiment: Counting, cut: float) -> Significance:
    """Return the Asimov significance of the events at score >= cut.

    It is None, with a reason in `why`, where the background is not positive or the signal is negative.
    """
    yields = _Above(experiment, np.array([cut], dtype=np.float64)).yields().total()
    z, sigma = (float(curve[0]) for curve in yields.curves(experiment)[-1])
    return _significance(z, float(yields.signal[0]), float(yields.background[0]), sigma, float(cut))


def scan_cuts(
    experiment: Counting,
    *,
    cuts: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    other_groups: ArrayLike | None = None,
    min_n_eff: float = 25.0,
    replicas: int = 0,
    seed: int = 0,
    level: float = 0.6827,
) -> SignificanceScan:
    """Return the significance at every cut, and the best cut among those whose background has n_eff >= min_n_eff.

    With `groups`, the cuts are chosen in a cross-fit: the cut of each part is the best of all other parts, and the
    significance is that of the selected events of all parts together, so that no event chooses the cut at which it is
    counted, and every event is counted. More than five parts are joined to five in ten ways, and the significance is
    the mean over those, so that it hardly depends on which events choose; the cut that is returned is the median of
    all. Without groups the best cut is biased upwards by the fluctuations on which it was chosen, as is the number
    `naive`, the largest value of the curve. The curves use all events.

    Args:
        experiment: the events and their uncertainties.
        cuts: cuts [m], rising; by default 200 quantiles of the signal's score.
        groups: parts 0, 1, ... of the events of the source [n] for a cross-fit.
        other_groups: parts of the events of the other domain [m].
        min_n_eff: smallest effective number of background events above a cut that may be chosen.
        replicas: number of replicas of a bootstrap over all events, including the choice of the cuts, for the
            interval of the significance; 0 omits it.
        seed: seed of divisions and replicas.
        level: coverage of the interval.

    """
    signal, _ = by_class(experiment.score, experiment.label, experiment.weight)
    if cuts is None:
        cut_values = np.unique(np.quantile(signal.score, np.linspace(0, 0.995, 200)))
    else:
        cut_values = np.unique(np.asarray(cuts, dtype=np.float64))
    above = _Above(experiment, cut_values, groups, other_groups)
    parts = above.yields()
    yields = parts.total()
    curves = yields.curves(experiment)
    divisions = _divisions(above.parts, seed)
    fits = _cross_fit(experiment, parts.each(lambda x: np.einsum("dgp,pm->dgm", divisions, x)), min_n_eff)
    naive = _largest(yields, [z for z, _ in curves], min_n_eff)
    best = [replace(_averaged(fit, min_n_eff), naive=z) for fit, z in zip(fits, naive, strict=True)]
    bands: dict[str, tuple[FloatArray, FloatArray]] = {}
    if replicas:
        one_each = divisions[np.arange(replicas) % len(divisions)]
        all_parts = above.replicas(replicas, seed)
        bands = _bands(experiment, all_parts.total(), level)
        resampled = all_parts.each(lambda x: np.einsum("rgp,rpm->rgm", one_each, x))
        drawn = _cross_fit(experiment, resampled, min_n_eff)
        best = [_with_interval(significance, fit.z, level) for significance, fit in zip(best, drawn, strict=True)]
    biased = yields.bias is not None
    return SignificanceScan(
        cut=cut_values,
        signal=yields.signal,
        background=yields.background,
        background_mc_error=yields.mc_error,
        background_n_eff=yields.n_eff,
        bias=yields.bias,
        asimov=curves[0][0],
        asimov_with_uncertainty=curves[1][0],
        asimov_with_bias=curves[2][0] if biased else None,
        best=best[0],
        best_with_uncertainty=best[1],
        best_with_bias=best[2] if biased else None,
        bands=bands,
    )


CURVES = ("asimov", "asimov_with_uncertainty", "asimov_with_bias")
"""Names of the curves of a scan, in the order of `_Yields.curves`."""


def _bands(experiment: Counting, replicas: _Yields, level: float) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return the ends [m] of each curve over replicas [r, m]; NaN where any replica has no background."""
    ends = [0.5 * (1 - level), 0.5 * (1 + level)]
    bands = {}
    for name, (z, _) in zip(CURVES, replicas.curves(experiment), strict=False):
        low, high = np.quantile(z, ends, axis=0)
        bands[name] = (low, high)
    return bands


def binned_significance(experiment: Counting, edges: ArrayLike, *, min_n_eff: float = 5.0) -> BinnedSignificance:
    """Return sqrt(sum of Z_i^2) over bins of the score, whose end bins are open.

    Uncertainties are treated as independent between bins. For a common normalisation that is optimistic or
    pessimistic, depending on the shape; the fit (`closure`) treats it as common. Bins whose background is not
    positive or has n_eff < min_n_eff, or whose signal is negative, are merged with their neighbours from the
    signal end down and counted in `merged`. If even all bins together fail, the value is None with a reason in `why`.

    Args:
        experiment: the events and their uncertainties.
        edges: edges of the bins [b + 1].
        min_n_eff: smallest effective number of background events in a bin.

    """
    signal, background = by_class(experiment.score, experiment.label, experiment.weight)
    limits = bin_edges(edges)
    s, _ = histogram(signal.score, signal.weight, limits)
    b, b2 = histogram(background.score, background.weight, limits)
    other = b
    if experiment.other_score is not None:
        other_events = sample(experiment.other_score, experiment.other_weight, _OTHER)
        mask = np.asarray(experiment.label) == 0
        if experiment.matched is not None:
            mask = mask & np.asarray(experiment.matched, bool)
        source_score, weight = (np.asarray(x, np.float64)[mask] for x in (experiment.score, experiment.weight))
        source_content, scale = histogram(source_score, weight, limits)[0], weight.sum() / other_events.sumw
        other = b - source_content + histogram(other_events.score, other_events.weight * scale, limits)[0]
    content = np.stack([s, b, b2, other])
    remaining = merge_bins(content, lambda x: bool(x[0] >= 0 and x[1] > 0 and x[1] ** 2 >= min_n_eff * x[2]))
    if remaining is None:
        empty = np.full(1, np.nan)
        why = "all bins together have a negative signal, or a background below the smallest n_eff"
        total = content.sum(axis=1, keepdims=True)
        return BinnedSignificance(None, limits[[0, -1]], total[0], total[1], empty, empty, len(limits) - 2, why)
    s, b, b2, other = np.add.reduceat(content, remaining[:-1], axis=1)
    sigma = _uncertainty(experiment, b, b2, b - other)
    z = asimov(s, b, sigma)
    merged = len(limits) - len(remaining)
    return BinnedSignificance(float(np.sqrt(np.dot(z, z))), limits[remaining], s, b, sigma, z, merged)


def _uncertainty(
    experiment: Counting, background: FloatArray, background2: FloatArray, bias: FloatArray | None
) -> FloatArray:
    """Return one standard deviation of the background [m], all sources in quadrature."""
    if experiment.relative_uncertainty < 0:
        raise ValueError(f"a relative uncertainty is never negative: {experiment.relative_uncertainty}")
    variance = (experiment.relative_uncertainty * background) ** 2
    variance = variance + (background2 if experiment.mc_statistics else 0.0)
    return np.asarray(np.sqrt(variance + (0.0 if bias is None else bias**2)), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Counterpart:
    """Background above each cut [..., m] in both domains, and the totals.

    `source` is the background of the source that has a counterpart in the other domain.
    """

    source: FloatArray
    other: FloatArray
    source_total: FloatArray  # [..., 1]
    other_total: FloatArray

    @property
    def difference(self) -> FloatArray:
        """Difference at equal normalisation: a difference in rate belongs to the cross section, not to the score."""
        has_events = self.other_total > 0
        scale = np.where(has_events, self.source_total / np.where(has_events, self.other_total, 1.0), np.nan)
        return self.source - scale * self.other

    def each(self, function: Callable[[FloatArray], FloatArray]) -> _Counterpart:
        return _Counterpart(*map(function, (self.source, self.other, self.source_total, self.other_total)))


@dataclass(frozen=True, slots=True, eq=False)
class _Yields:
    """Expected events above each cut [m], or of parts and replicas [..., m]."""

    cut: FloatArray  # [m]
    signal: FloatArray
    background: FloatArray
    background2: FloatArray  # sumw2
    counterpart: _Counterpart | None

    @property
    def mc_error(self) -> FloatArray:
        return np.sqrt(self.background2)

    @property
    def difference(self) -> FloatArray | None:
        return None if self.counterpart is None else self.counterpart.difference

    @property
    def bias(self) -> FloatArray | None:
        return None if self.counterpart is None else np.abs(self.counterpart.difference)

    @property
    def n_eff(self) -> FloatArray:
        has_events = self.background2 > 0
        return np.where(has_events, self.background**2 / np.where(has_events, self.background2, 1.0), 0.0)

    def curves(self, experiment: Counting) -> list[tuple[FloatArray, FloatArray]]:
        """Return pairs of significance (NaN without background) and uncertainty: none, without bias, with bias."""
        return _curves(experiment, self.signal, self.background, self.background2, self.difference)

    def each(self, function: Callable[[FloatArray], FloatArray]) -> _Yields:
        """Apply the same function to all sums."""
        return _Yields(
            self.cut,
            function(self.signal),
            function(self.background),
            function(self.background2),
            None if self.counterpart is None else self.counterpart.each(function),
        )

    def total(self) -> _Yields:
        """Return the sum of all parts [..., parts, m]."""
        return self.each(lambda x: x.sum(axis=-2))


def _curves(
    experiment: Counting,
    signal: FloatArray,
    background: FloatArray,
    background2: FloatArray,
    difference: FloatArray | None,
) -> list[tuple[FloatArray, FloatArray]]:
    """Return pairs of significance (NaN without background) and uncertainty: none, without bias, with bias."""
    sigmas = [np.zeros_like(background), _uncertainty(experiment, background, background2, None)]
    if difference is not None:
        sigmas.append(_uncertainty(experiment, background, background2, difference))
    return [(np.where(background > 0, asimov(signal, background, sigma), np.nan), sigma) for sigma in sigmas]


class _Above:
    """Which events pass which of the cuts; yields for any multiplicities of the events take one pass over them."""

    def __init__(
        self,
        experiment: Counting,
        cuts: FloatArray,
        groups: ArrayLike | None = None,
        other_groups: ArrayLike | None = None,
    ) -> None:
        if cuts.ndim != 1 or len(cuts) == 0 or not np.all(np.isfinite(cuts)):
            raise DataError("a scan needs at least one finite cut")
        by_class(experiment.score, experiment.label, experiment.weight)  # called for its checks
        self.cuts = cuts
        self.weight = np.asarray(experiment.weight, dtype=np.float64)
        signal = np.asarray(experiment.label) == 1
        kind = np.where(signal, _SIGNAL, _MATCHED)
        if experiment.matched is not None:
            kind[~signal & ~np.asarray(experiment.matched, dtype=bool)] = _UNMATCHED
        self.other: FloatArray | None = None
        group = np.zeros(len(self.weight), np.intp) if groups is None else np.asarray(groups, dtype=np.intp)
        self.parts = int(group.max()) + 1
        if experiment.other_score is not None:
            other = sample(experiment.other_score, experiment.other_weight, _OTHER)
            self.other = other.weight
            other_group = (
                np.zeros(len(other.weight), np.intp) if other_groups is None else np.asarray(other_groups, np.intp)
            )
            self.parts = max(self.parts, int(other_group.max()) + 1)
            self._other_place = self._places(other.score, other_group)
        self._place = self._places(np.asarray(experiment.score, dtype=np.float64), group)
        self._place += kind * (self.parts * (len(cuts) + 1))

    def _places(self, score: FloatArray, group: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return one number that encodes the group of an event and the number of cuts that it passes."""
        return np.asarray(group * (len(self.cuts) + 1) + np.searchsorted(self.cuts, score, side="right"))

    def yields(self, count: FloatArray | None = None, other_count: FloatArray | None = None) -> _Yields:
        """Return the yields [parts, m] above each cut of each part of the events, each event taken `count` times."""
        weight = self.weight if count is None else self.weight * count
        sums, squares = (self._sums(self._place, w, 3) for w in (weight, weight * self.weight))
        background, background2 = (_above(x[_UNMATCHED] + x[_MATCHED]) for x in (sums, squares))
        counterpart = None
        if self.other is not None:
            other_weight = self.other if other_count is None else self.other * other_count
            both = sums[_MATCHED], self._sums(self._other_place, other_weight, 1)[0]
            counterpart = _Counterpart(*map(_above, both), *(x.sum(axis=1, keepdims=True) for x in both))
        return _Yields(self.cuts, _above(sums[_SIGNAL]), background, background2, counterpart)

    def replicas(self, number: int, seed: int) -> _Yields:
        """Return the yields [number, parts, m] of events with Poisson multiplicities."""
        other_counts: Iterator[FloatArray | None] = repeat(None, number)
        if self.other is not None:
            other_counts = poisson_counts(len(self.other), number, seed + 1)
        source_counts = poisson_counts(len(self.weight), number, seed)
        drawn = [self.yields(*counts) for counts in zip(source_counts, other_counts, strict=True)]
        signal, background, background2 = (
            np.stack([getattr(y, name) for y in drawn]) for name in ("signal", "background", "background2")
        )
        pairs = [y.counterpart for y in drawn if y.counterpart is not None]
        counterpart = None
        if pairs:
            names = ("source", "other", "source_total", "other_total")
            counterpart = _Counterpart(*(np.stack([getattr(pair, name) for pair in pairs]) for name in names))
        return _Yields(self.cuts, signal, background, background2, counterpart)

    def _sums(self, place: NDArray[np.intp], weight: FloatArray, kinds: int) -> FloatArray:
        """Return the sums of weights [kinds, parts, m + 1] of the events that pass so many cuts."""
        shape = (kinds, self.parts, len(self.cuts) + 1)
        flat = np.bincount(place, weights=weight, minlength=int(np.prod(shape)))
        return np.asarray(flat, dtype=np.float64).reshape(shape)


def _above(sums: FloatArray) -> FloatArray:
    """Return the sums above each cut [parts, m] from `_Above._sums`; exactly 0 where no event passes."""
    return np.asarray(np.cumsum(sums[:, ::-1], axis=1)[:, ::-1][:, 1:])


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """Result of a cross-fit, [...] of replicas: NaN where a part has no cut with enough background."""

    z: FloatArray
    signal: FloatArray
    background: FloatArray
    sigma: FloatArray
    cut: FloatArray
    enough: NDArray[np.bool_]


def _cross_fit(experiment: Counting, parts: _Yields, min_n_eff: float) -> list[_Fit]:
    """Return the best significance for each set of uncertainties, of parts [..., parts, m].

    A single part uses its own best cut.
    """
    count = parts.signal.shape[-2]
    other_parts = np.ones((count, count)) - np.eye(count) if count > 1 else np.ones((1, 1))
    choosing = parts.each(lambda x: np.einsum("gh,...hm->...gm", other_parts, x))
    enough = (choosing.n_eff >= min_n_eff) & (choosing.background > 0)
    # Scaled as if they were all events: a part's share of the yield is about its share of the parts.
    factor = count / max(count - 1, 1)
    fits = []
    for what, (z, _) in enumerate(choosing.each(lambda x: factor * x).curves(experiment)):
        usable = enough & np.isfinite(z)
        at = np.argmax(np.where(usable, z, -np.inf), axis=-1)[..., None]
        # The two domains are normalised alike within each part: by chance, parts have different shares of both.
        columns = (parts.signal, parts.background, parts.background2, parts.difference)
        s, b, b2, bias = (None if x is None else np.take_along_axis(x, at, -1)[..., 0].sum(axis=-1) for x in columns)
        value, sigma = _curves(experiment, s, b, b2, bias)[what]  # type: ignore[arg-type]
        ok = usable.any(axis=-1).all(axis=-1)
        cut = np.median(parts.cut[at[..., 0]], axis=-1)
        fits.append(_Fit(np.where(ok, value, np.nan), s, b, sigma, cut, np.asarray(ok)))  # type: ignore[arg-type]
    return fits


def _divisions(parts: int, seed: int) -> FloatArray:
    """Return which parts [divisions, groups, parts] form a group: one each, or five groups in ten random ways."""
    if parts <= _GROUPS:
        return np.eye(parts)[None]
    generator = np.random.default_rng(seed)
    groups = np.stack([generator.permutation(np.arange(parts) % _GROUPS) for _ in range(_WAYS)])
    return np.asarray(groups[:, None, :] == np.arange(_GROUPS)[None, :, None], dtype=np.float64)


def _largest(yields: _Yields, curves: list[FloatArray], min_n_eff: float) -> list[float | None]:
    """Return the largest value of each curve [m] at a cut that may be chosen, None if there is no such cut."""
    allowed = (yields.n_eff >= min_n_eff) & (yields.background > 0)
    usable = [z[allowed & np.isfinite(z)] for z in curves]
    return [float(z.max()) if len(z) else None for z in usable]


def _averaged(fit: _Fit, min_n_eff: float) -> Significance:
    """Return the mean over cross-fits [divisions] of the observed events."""
    if not fit.enough.all():
        reason = f"no cut leaves signal on a background of n_eff >= {min_n_eff:g}"
        return Significance(None, 0.0, 0.0, 0.0, None, reason)
    s, b, sigma = (float(np.mean(x)) for x in (fit.signal, fit.background, fit.sigma))
    cut = float(np.median(fit.cut))
    if s >= 0 and b > 0 and not np.isfinite(fit.z).all():
        has_sigma = np.isfinite(sigma)
        why = "a fifth of the events " + (
            "has no positive background above the cut chosen on the others"
            if has_sigma
            else "has no positive sum of weights of the other domain: too few to determine the bias"
        )
        return Significance(None, s, b, sigma if has_sigma else 0.0, cut, why)
    return _significance(float(np.mean(fit.z)), s, b, sigma, cut)


def _with_interval(significance: Significance, replicas: FloatArray, level: float) -> Significance:
    """Add the interval that covers `level` of the replicas and includes the value; add none for too few replicas."""
    good = replicas[np.isfinite(replicas)]
    if significance.value is None or len(good) < 2 or len(good) < 0.95 * len(replicas):
        return significance
    low, high = np.quantile(good, [0.5 * (1 - level), 0.5 * (1 + level)])
    return replace(significance, low=min(float(low), significance.value), high=max(float(high), significance.value))


def _significance(z: float, signal: float, background: float, sigma: float, cut: float) -> Significance:
    yields = (signal, background, sigma, cut)
    if background <= 0:
        return Significance(None, *yields, f"background {background:.3g} above the cut is not positive")
    if signal < 0:
        return Significance(None, *yields, f"signal {signal:.3g} above the cut is negative")
    return Significance(z, *yields)
