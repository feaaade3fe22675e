import numpy as np
import pytest

from hepda.errors import DataError
from hepda.evaluation.arrays import histogram
from hepda.evaluation.fits.binning import automatic_edges, bin_contents


def toy(n=20_000, seed=0):
    generator = np.random.default_rng(seed)
    label = (generator.random(n) < 0.3).astype(int)
    score = 1 / (1 + np.exp(-generator.normal(2.0 * label - 1, 1.2)))
    weight = np.where(generator.random(n) < 0.15, -1.0, 1.0)
    return score, label, weight


@pytest.mark.parametrize("max_bins", [1, 4, 10, 30])
@pytest.mark.parametrize("min_n_eff", [5, 100, 1000])
def test_bins_keep_the_floor_and_rise_in_purity(max_bins, min_n_eff):
    score, label, weight = toy()
    edges = automatic_edges(score, label, weight, max_bins=max_bins, min_n_eff=min_n_eff)
    assert 2 <= len(edges) <= max_bins + 1
    s, _ = histogram(score[label == 1], weight[label == 1], edges)
    b, b2 = histogram(score[label == 0], weight[label == 0], edges)
    assert np.all(b > 0) and np.all(s > 0)
    assert np.all(b**2 / b2 >= min_n_eff)
    assert np.all(np.diff(s / b) > 0)
    assert edges[0] == score.min() and edges[-1] > score.max()
    if max_bins == 10 and min_n_eff == 5:
        assert len(edges) > 6


def test_ties_and_hopeless_samples():
    score, label, weight = toy()
    coarse = np.round(score, 1)
    edges = automatic_edges(coarse, label, weight)
    assert set(edges[:-1]) <= set(coarse)
    with pytest.raises(DataError, match="n_eff of 1e\\+06"):
        automatic_edges(score, label, weight, min_n_eff=1e6)
    with pytest.raises(DataError, match="nothing to bin"):
        automatic_edges(np.zeros(len(score)), label, weight)
    with pytest.raises(ValueError, match="at least one bin"):
        automatic_edges(score, label, weight, max_bins=0)


def test_empty_and_negative_bins_are_counted():
    score, weight = [0.1, 0.1, 0.3, 0.3, 0.9, 1.5], [1.0, 1.0, -1.0, 0.5, 2.0, 1.0]
    result = bin_contents(score, weight, [0.0, 0.2, 0.4, 0.6, 1.0], class_name="background")
    assert (result.class_name, result.bins, result.empty, result.negative) == ("background", 4, 1, 1)
    assert result.lowest_n_eff == 0  # of the empty one
    full = bin_contents(score, weight, [0.0, 0.5, 1.0], class_name="signal")
    assert (full.empty, full.negative) == (0, 0) and full.lowest_n_eff == pytest.approx(1.5**2 / 3.25)
