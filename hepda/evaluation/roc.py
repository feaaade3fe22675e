"""ROC curve and AUC with signed weights, ties counted half, and bootstrap intervals of several models.

AUC = sum_ij w_i w_j [s_i > s_j + (s_i = s_j) / 2] / (sum_i w_i sum_j w_j), i over signal, j over background:
the Mann-Whitney form of the area, which stays defined for negative weights (the curve is then not monotone,
and the AUC may in principle leave [0, 1]). It is computed from cumulative sums after one sort.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hepda.errors import DataError
from hepda.evaluation.arrays import by_class, signal_mask, vector
from hepda.evaluation.bootstrap import ScoreBins, check_bootstrap, interval, poisson_counts
from hepda.results.evaluation import FloatArray, Interval, PurityBand, Roc, RocBand

_GRID = tuple(np.round(np.linspace(0.01, 1.0, 100), 2).tolist())


def auc(score: ArrayLike, label: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Return the area under the ROC curve.

    Args:
        score: scores [n].
        label: labels [n] (1 signal, 0 background).
        weight: signed weights [n]; None means ones.

    Raises:
        DataError: a class is absent or its weights do not sum to a positive number, or values are not finite.
        ValueError: the lengths differ.

    Example:
        >>> from hepda.evaluation.roc import auc
        >>> auc([0.1, 0.4, 0.6, 0.9], [0, 1, 0, 1])
        0.75

    """
    _, signal, background = _group_sums(score, label, weight)
    return area(signal, background)


def roc_curve(
    score: ArrayLike, label: ArrayLike, weight: ArrayLike | None = None, points: int = 2000
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return thresholds [m], signal efficiency [m] and background efficiency [m], from the tightest cut down.

    The curve starts at (inf, 0, 0) and ends at (lowest score, 1, 1). Errors as in `auc`.

    Args:
        score: scores [n].
        label: labels [n] (1 signal, 0 background).
        weight: signed weights [n]; None means ones.
        points: curves with more points are thinned evenly in both efficiencies; every point kept is exact.

    """
    return _curve(*_group_sums(score, label, weight), points)


def _curve(
    value: FloatArray, signal: FloatArray, background: FloatArray, points: int = 2000
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return `roc_curve` from the sums of weights at rising scores."""
    threshold = np.concatenate([[np.inf], value[::-1]])
    passed_signal = np.concatenate([[0.0], np.cumsum(signal[::-1])]) / signal.sum()
    passed_background = np.concatenate([[0.0], np.cumsum(background[::-1])]) / background.sum()
    if len(threshold) > points:
        path = np.cumsum(np.abs(np.diff(passed_signal, prepend=0)) + np.abs(np.diff(passed_background, prepend=0)))
        chosen = np.searchsorted(path, np.linspace(0, path[-1], points))
        chosen = np.unique(np.concatenate([[0], np.minimum(chosen, len(path) - 1), [len(path) - 1]]))
        threshold, passed_signal, passed_background = (
            threshold[chosen],
            passed_signal[chosen],
            passed_background[chosen],
        )
    return threshold, passed_signal, passed_background


def rocs(
    scores: Mapping[str, ArrayLike],
    label: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    reference: str | None = None,
    replicas: int = 200,
    seed: int = 0,
    level: float = 0.6827,
    grid: Sequence[float] = _GRID,
) -> dict[str, tuple[Roc, RocBand]]:
    """Return ROC, AUC with interval, and the band of background efficiency at the signal efficiencies `grid`.

    All models use the same Poisson replicas. With negative weights, a signal efficiency is taken where it is first
    reached as the cut is loosened.

    Args:
        scores: one array [n] per model, over the same events.
        label: labels [n] (1 signal, 0 background).
        weight: signed weights [n]; None means ones.
        reference: the model whose AUC is subtracted in `Roc.difference`, replica by replica.
        replicas: number of bootstrap replicas.
        seed: seed of the replicas.
        level: coverage of the intervals.
        grid: signal efficiencies of the band.

    """
    efficiencies = np.asarray(grid, dtype=np.float64)
    areas = _Areas.draw(scores, label, weight, replicas, seed, level, efficiencies)
    result = {}
    for model in scores:
        background, signal = areas.sums[model]
        band = _background_at(efficiencies, signal, background)
        low, high = np.nanquantile(areas.curves[model], [0.5 * (1 - level), 0.5 * (1 + level)], axis=0)
        difference = None if reference in (None, model) else areas.difference(model, str(reference))
        curve = Roc(*areas.curve[model], areas.interval(model), difference)
        result[model] = curve, RocBand(efficiencies, band, low, high, level)
    return result


@dataclass(frozen=True, slots=True, eq=False)
class _Areas:
    """The AUC of each model: exact, from bins, and its replicas, which are the same for all models."""

    exact: Mapping[str, float]
    curve: Mapping[str, tuple[FloatArray, FloatArray, FloatArray]]  # of all events, as `roc_curve`
    centre: Mapping[str, float]
    areas: Mapping[str, FloatArray]  # [replicas]
    curves: Mapping[str, FloatArray]  # [replicas, g], background efficiencies
    sums: Mapping[str, FloatArray]  # [2, bins], background and signal
    level: float

    @classmethod
    def draw(
        cls,
        scores: Mapping[str, ArrayLike],
        label: ArrayLike,
        weight: ArrayLike | None,
        replicas: int,
        seed: int,
        level: float,
        grid: FloatArray,
    ) -> _Areas:
        """Resample all events."""
        check_bootstrap(replicas, level)
        binned, weights = _bin_models(scores, label, weight)
        areas = {m: np.full(replicas, np.nan) for m in scores}
        curves = {m: np.full((replicas, len(grid)), np.nan) for m in scores}
        for r, count in enumerate(poisson_counts(len(weights), replicas, seed)):
            drawn = weights * count
            for model, bins in binned.items():
                background, signal = bins.sums(drawn)
                if signal.sum() > 0 and background.sum() > 0:
                    areas[model][r] = area(signal, background)
                    curves[model][r] = _background_at(grid, signal, background)
        sums = {m: b.sums(weights) for m, b in binned.items()}
        centre = {m: area(signal, background) for m, (background, signal) in sums.items()}
        exact: dict[str, float] = {}
        curve: dict[str, tuple[FloatArray, FloatArray, FloatArray]] = {}
        for model, score in scores.items():
            value, signal, background = _group_sums(score, label, weight)
            exact[model], curve[model] = area(signal, background), _curve(value, signal, background)
        return cls(exact, curve, centre, areas, curves, sums, level)

    def interval(self, model: str) -> Interval:
        """Return the AUC of a model with its interval."""
        return interval(self.exact[model], self.centre[model], self.areas[model], self.level)

    def difference(self, model: str, reference: str) -> Interval:
        """Return the AUC of a model minus that of another one, with its interval."""
        if reference not in self.exact:
            raise ValueError(f"{reference!r} is none of the models {sorted(self.exact)}")
        exact, centre = (x[model] - x[reference] for x in (self.exact, self.centre))
        return interval(exact, centre, self.areas[model] - self.areas[reference], self.level)


def _bin_models(
    scores: Mapping[str, ArrayLike], label: ArrayLike, weight: ArrayLike | None
) -> tuple[dict[str, ScoreBins], FloatArray]:
    """Return every model's scores in bins (category 0 background, 1 signal), and the weights [n]."""
    if not scores:
        raise ValueError("there is no model to evaluate")
    binned = {}
    length = len(np.asarray(label))
    for model, score in scores.items():
        by_class(score, label, weight, model)  # called for its checks
        category = signal_mask(label, length).astype(np.intp)
        binned[model] = ScoreBins(vector(score, f"score of {model}", length), category, 2)
    return binned, np.ones(length) if weight is None else vector(weight, "weight", length)


def _group_sums(
    score: ArrayLike, label: ArrayLike, weight: ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return different scores [u], rising, and the sums of weights of signal [u] and background [u] at each."""
    signal, background = by_class(score, label, weight)
    values = np.concatenate([signal.score, background.score])
    order = np.argsort(values)
    ordered = values[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-np.inf))
    signal_weight, background_weight = np.zeros(len(values)), np.zeros(len(values))
    signal_weight[: len(signal.weight)] = signal.weight
    background_weight[len(signal.weight) :] = background.weight
    sums = [np.add.reduceat(weights[order], starts) for weights in (signal_weight, background_weight)]
    return ordered[starts], np.asarray(sums[0]), np.asarray(sums[1])


def area(signal: FloatArray, background: FloatArray) -> float:
    """Return the AUC from sums of weights [u] at rising scores: lower background counts one, equal one half."""
    below = np.cumsum(background) - 0.5 * background
    return float(np.dot(signal, below) / (signal.sum() * background.sum()))


def areas_of(sums: FloatArray) -> FloatArray:
    """Return the AUC [r] of replicas from sums [r, 2, bins] of background and signal; NaN where a sum is not positive.

    It is that of `area`.
    """
    background, signal = sums[:, 0], sums[:, 1]
    below = np.cumsum(background, axis=1) - 0.5 * background
    totals = sums.sum(axis=2)
    usable = (totals > 0).all(axis=1)
    product = np.where(usable, totals.prod(axis=1), 1.0)
    return np.asarray(np.where(usable, np.einsum("rb,rb->r", signal, below) / product, np.nan))


def _background_at(efficiencies: FloatArray, signal: FloatArray, background: FloatArray) -> FloatArray:
    """Return the background efficiency where the signal efficiency first reaches `wanted` [g], linear within a bin."""
    passed_signal = np.concatenate([[0.0], np.cumsum(signal[::-1])]) / signal.sum()
    passed_background = np.concatenate([[0.0], np.cumsum(background[::-1])]) / background.sum()
    reached = np.maximum.accumulate(passed_signal)
    return np.asarray(np.interp(efficiencies, reached, passed_background), dtype=np.float64)


def purity_band(band: RocBand, signal_share: float) -> PurityBand:
    """Return the share of signal above each cut, r e_s / (r e_s + (1 - r) e_b) with the share r before the cut.

    Args:
        band: background efficiencies at signal efficiencies.
        signal_share: share of signal in the yield before the cut.

    Raises:
        DataError: the share is not between 0 and 1.

    """
    if not 0 < signal_share < 1:
        raise DataError(f"a purity needs a share of signal between 0 and 1, not {signal_share:g}")
    kept = signal_share * band.signal_efficiency

    def purity(background: FloatArray) -> FloatArray:
        total = kept + (1 - signal_share) * background
        return np.asarray(np.where(total > 0, kept / np.where(total > 0, total, 1.0), np.nan))

    central, low, high = (purity(of) for of in (band.background_efficiency, band.high, band.low))
    return PurityBand(band.signal_efficiency, central, low, high, signal_share, band.level)
