"""Bins of the score for templates: with enough simulation, ordered in purity, without negative yields."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hepda.errors import DataError
from hepda.evaluation.arrays import WeightedScores, bin_edges, by_class, histogram, sample
from hepda.evaluation.differences.distances import merge_bins
from hepda.results.evaluation import BinContents, FloatArray

MIN_N_EFF = 25.0
"""Smallest number of effective background events in a bin."""


def automatic_edges(
    score: ArrayLike,
    label: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    max_bins: int = 10,
    min_n_eff: float = MIN_N_EFF,
) -> FloatArray:
    """Return edges [b + 1] of at most `max_bins` bins, built from the signal end of the score downwards.

    Each class is normalised to one half, so that both tails are resolved. A bin is complete once it contains 1 /
    max_bins of their sum, if its sums are positive and its background has an n_eff of at least min_n_eff. Neighbours
    whose S/B does not rise with the score are then merged (pool adjacent violators). The ends are the extreme scores.
    Choose the bins on other events than those that are evaluated: otherwise a bin that ends at an upward fluctuation of
    S/B is biased, because it was chosen on it.

    Args:
        score: scores [n].
        label: labels [n] (1 signal, 0 background).
        weight: signed weights [n]; None means ones.
        max_bins: largest number of bins.
        min_n_eff: smallest effective number of background events in a bin.

    Raises:
        DataError: not even one bin has enough effective background events.

    """
    if max_bins < 1:
        raise ValueError(f"at least one bin is needed, not {max_bins}")
    signal, background = by_class(score, label, weight)
    fine = _fine_edges(signal, background, 50 * max_bins)
    content = np.stack(
        [
            histogram(signal.score, signal.weight, fine)[0] / signal.sumw,
            histogram(background.score, background.weight, fine)[0] / background.sumw,
            histogram(background.score, background.weight, fine)[1] / background.sumw**2,
        ]
    )

    def closed(sums: FloatArray) -> bool:
        s, b, b2 = sums
        return bool(s > 0 and b > 0 and b * b >= min_n_eff * b2 and 0.5 * (s + b) >= 1 / max_bins)

    indices = merge_bins(content, closed)
    if indices is None:
        raise DataError(
            f"no bin of the score reaches a background n_eff of {min_n_eff:g} (all events: "
            f"{background.n_eff:.3g}); lower the floor or use more events"
        )
    merged = np.add.reduceat(content, indices[:-1], axis=1)
    return fine[_monotone(indices, merged[0], merged[1])]


def _fine_edges(signal: WeightedScores, background: WeightedScores, bins: int) -> FloatArray:
    """Return quantiles of both classes; they are scores, so that ties stay together, with the extremes as ends."""
    share = np.linspace(0, 1, bins + 1)
    values = [np.sort(s.score)[(share * (len(s.score) - 1)).astype(np.intp)] for s in (signal, background)]
    edges = np.unique(np.concatenate(values))
    if len(edges) < 2:
        raise DataError(f"every event has the score {edges[0]:g}; there is nothing to bin")
    return np.append(edges[:-1], np.nextafter(edges[-1], np.inf))


def _monotone(
    indices: np.ndarray[tuple[int], np.dtype[np.intp]], signal: FloatArray, background: FloatArray
) -> list[int]:
    """Return the indices of the edges after merging neighbours until S/B rises with the bin."""
    pools: list[list[float]] = []  # first edge, signal, background
    for start, s, b in zip(indices[:-1].tolist(), signal.tolist(), background.tolist(), strict=True):
        pools.append([start, s, b])
        while len(pools) > 1 and pools[-2][1] * pools[-1][2] >= pools[-1][1] * pools[-2][2]:
            _, s_top, b_top = pools.pop()
            pools[-1][1] += s_top
            pools[-1][2] += b_top
    return [int(pool[0]) for pool in pools] + [int(indices[-1])]


def bin_contents(score: ArrayLike, weight: ArrayLike | None, edges: ArrayLike, *, class_name: str) -> BinContents:
    """Count the bins [b + 1 edges, open ends] that are empty or have a negative sum, for one class with scores [n]."""
    events, limits = sample(score, weight, class_name), bin_edges(edges)
    sumw, sumw2 = histogram(events.score, events.weight, limits)
    filled = sumw2 > 0
    n_eff = np.divide(sumw**2, sumw2, out=np.zeros_like(sumw), where=filled)
    return BinContents(
        class_name, len(sumw), int(np.sum(~filled)), int(np.sum(filled & (sumw <= 0))), float(n_eff.min())
    )
