import numpy as np
import pytest

from hepda.evaluation import bootstrap
from hepda.evaluation.bootstrap import ScoreBins, count_blocks, poisson_counts
from hepda.evaluation.roc import area, areas_of, auc, rocs


def test_counts_are_poisson_and_repeat_with_the_seed():
    counts = np.concatenate(list(poisson_counts(100_000, 5, seed=4)))
    assert counts.mean() == pytest.approx(1, abs=0.006)
    assert counts.var() == pytest.approx(1, abs=0.012)
    assert (counts == 0).mean() == pytest.approx(np.exp(-1), abs=0.003)
    np.testing.assert_array_equal(counts, np.concatenate(list(poisson_counts(100_000, 5, seed=4))))
    assert not np.array_equal(counts, np.concatenate(list(poisson_counts(100_000, 5, seed=5))))


def test_bins_keep_every_weight_and_ties_together():
    generator = np.random.default_rng(0)
    score = np.round(generator.normal(size=20_000), 4)
    category = generator.integers(0, 3, 20_000)
    weight = generator.normal(1, 1, 20_000)
    bins = ScoreBins(score, category, 3, bins=300)
    sums = bins.sums(weight)
    assert sums.shape == (3, bins.bins)
    np.testing.assert_allclose(sums.sum(axis=1), [weight[category == c].sum() for c in range(3)])
    for k in (10, 100, 200):
        passed = weight[(score >= bins.lower[k]) & (category == 1)].sum()
        assert sums[1, k:].sum() == pytest.approx(passed)


def test_replicas_at_once_are_those_one_by_one(monkeypatch):
    """In sorted order and in blocks of some replicas, with the same counts in one byte."""
    generator = np.random.default_rng(2)
    score, label = generator.normal(size=3000), generator.integers(0, 2, 3000)
    weight = np.where(generator.random(3000) < 0.15, -1.0, 2.0)
    bins = ScoreBins(score, label, 2, bins=100)
    counts = np.stack(list(count_blocks(3000, 7, seed=5)))
    drawn = list(poisson_counts(3000, 7, seed=5))
    np.testing.assert_array_equal(counts, drawn)
    each = [bins.sums(weight * count) for count in drawn]
    monkeypatch.setattr(bootstrap, "_BLOCK", 6500)  # two at a time, and one
    together = bins.replicas(weight, counts)
    np.testing.assert_allclose(together, each, atol=1e-11)
    np.testing.assert_allclose(areas_of(together), [area(signal, background) for background, signal in each])
    together[3, 0] *= -1
    assert np.isnan(areas_of(together)).tolist() == [False, False, False, True, False, False, False]


def test_binned_replicas_err_by_less_than_the_intervals_rounding():
    """The approximation that is made for speed, against exact replicas."""
    generator = np.random.default_rng(1)
    n = 30_000
    label = (generator.random(n) < 0.5).astype(int)
    score = 1 / (1 + np.exp(-generator.normal(label, 1)))
    weight = np.where(generator.random(n) < 0.15, -1.0, 1.0)
    assert len(np.unique(score)) == n  # so that they are binned
    result = rocs({"m": score}, label, weight, replicas=40, seed=3)["m"][0].auc
    value = auc(score, label, weight)
    exact = [auc(score, label, weight * c) for c in poisson_counts(n, 40, seed=3)]
    low, high = np.quantile(exact, [0.5 * (1 - 0.6827), 0.5 * (1 + 0.6827)])
    assert result.value == value
    assert abs(result.low - low) < 0.01 * result.error
    assert abs(result.high - high) < 0.01 * result.error
