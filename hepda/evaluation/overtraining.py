"""Overtraining: the score of one class on training and on test events."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hepda.evaluation.arrays import WeightedScores, bin_edges, histogram, sample
from hepda.evaluation.differences import distances
from hepda.evaluation.differences.permutation import permutation_tests
from hepda.results.evaluation import FloatArray, OvertrainingTest


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
    """Return the KS distance between scores of training and test events of one class, with a permutation p-value.

    The densities are per unit of score, each of unit sum, with errors from sumw2; events beyond the ends count in the
    outermost bins. A small p-value means that the score has another shape on events that were used in the training; it
    does not mean that the network is bad on other events.

    Args:
        train_score: scores of training events [n].
        train_weight: signed weights of training events [n]; None means ones.
        test_score: scores of test events [m].
        test_weight: signed weights of test events [m]; None means ones.
        class_name: name of the class.
        edges: edges of the bins; by default 30 equal bins over all scores.
        permutations: number of permutations.
        seed: seed of the permutations.

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
