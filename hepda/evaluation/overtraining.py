"""Does a network remember its training events? The score of one class on training and on test events."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hepda.evaluation.arrays import WeightedScores, bin_edges, histogram, sample
from hepda.evaluation.differences import distances
from hepda.evaluation.differences.permutation import permutation_tests
from hepda.evaluation.results import FloatArray, OvertrainingTest


def overtraining_test(
    train_score: ArrayLike,
    train_weight: ArrayLike | None,
    test_score: ArrayLike,
    test_weight: ArrayLike | None,
    *,
    class_name: str,
    edges: ArrayLike | None = None,
    permutations: int = 200,
    seed: int = 0,
) -> OvertrainingTest:
    """KS between scores of training events [n] and test events [m] of one class, with permutation p-value.

    edges: 30 equal bins over all scores if not given; the densities are per unit of score, each of unit sum,
    with errors from sumw2; events beyond the ends count to the outermost bins. A small p-value says that the
    score has another shape on events that were trained on; it does not say that the network is bad on others.
    """
    train = sample(train_score, train_weight, f"{class_name} in training")
    test = sample(test_score, test_weight, f"{class_name} in test")
    low = min(train.score.min(), test.score.min())
    high = max(train.score.max(), test.score.max())
    high = high if high > low else low + 1.0
    limits = np.linspace(low, high, 31) if edges is None else bin_edges(edges)
    ks = abs(distances.kolmogorov_smirnov(train, test)[0])
    tests = permutation_tests(train, test, limits, {"ks": ks}, permutations=permutations, seed=seed)
    p_value = tests["ks"].p_value
    return OvertrainingTest(
        class_name,
        limits,
        *_density(train, limits),
        *_density(test, limits),
        ks,
        float("nan") if p_value is None else p_value,
        tests["ks"].p_is_limit,
    )


def _density(events: WeightedScores, edges: FloatArray) -> tuple[FloatArray, FloatArray]:
    sumw, sumw2 = histogram(events.score, events.weight, edges)
    scale = events.sumw * np.diff(edges)
    return sumw / scale, np.sqrt(sumw2) / scale
