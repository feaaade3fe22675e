import numpy as np
import pytest

from hepda.errors import DataError
from hepda.evaluation.expected import binned_significance, scan_cuts, significance_at
from hepda.evaluation.significance import asimov

SCORE = np.array([0.9, 0.8, 0.2, 0.85, 0.6, 0.3, 0.1])
LABEL = np.array([1, 1, 1, 0, 0, 0, 0])
WEIGHT = np.array([2.0, 1.0, 1.0, 5.0, 10.0, 20.0, 30.0])


def test_one_cut_by_hand():
    found = significance_at(SCORE, LABEL, WEIGHT, 0.5, relative_uncertainty=0.1)
    assert (found.signal, found.background, found.cut) == (3, 15, 0.5)
    assert found.background_uncertainty == pytest.approx(np.sqrt(1.5**2 + 125))
    assert found.value == pytest.approx(float(asimov(3, 15, np.sqrt(1.5**2 + 125))))
    plain = significance_at(SCORE, LABEL, WEIGHT, 0.5, mc_statistics=False)
    assert plain.value == pytest.approx(float(asimov(3, 15)))


def test_bias_is_the_difference_at_equal_yields():
    other_score, other_weight = (
        [0.9, 0.7, 0.2, 0.1],
        [1.0, 1.0, 1.0, 2.0],
    )  # 2/5 above the cut, of a yield of 65
    found = significance_at(
        SCORE, LABEL, WEIGHT, 0.5, mc_statistics=False, other_score=other_score, other_weight=other_weight
    )
    assert found.background_uncertainty == pytest.approx(abs(15 - 0.4 * 65))
    scaled = significance_at(
        SCORE, LABEL, WEIGHT, 0.5, mc_statistics=False, other_score=other_score, other_weight=[7, 7, 7, 14]
    )
    assert scaled == found


def test_what_cannot_be_computed_says_why():
    none = significance_at(SCORE, LABEL, WEIGHT, 0.87)
    assert none.value is None and "not positive" in none.why and none.signal == 2
    weight = WEIGHT.copy()
    weight[:2] = [-0.5, 0.2]
    negative = significance_at(SCORE, LABEL, weight, 0.5)
    assert negative.value is None and "negative" in negative.why


def toy(n=20_000, seed=0):
    generator = np.random.default_rng(seed)
    label = (generator.random(n) < 0.3).astype(int)
    score = generator.normal(1.5 * label, 1)
    weight = np.where(generator.random(n) < 0.15, -1.0, 1.0) * np.where(label == 1, 0.01, 1.0)
    return score, label, weight


def test_scan_agrees_with_each_cut_and_with_its_best():
    score, label, weight = toy()
    generator = np.random.default_rng(1)
    other = generator.normal(0.1, 1, 8000)
    scan = scan_cuts(score, label, weight, relative_uncertainty=0.1, other_score=other)
    for i in (0, 50, 150):
        one = significance_at(score, label, weight, scan.cut[i], relative_uncertainty=0.1, other_score=other)
        assert one.value == pytest.approx(scan.asimov_with_bias[i])
        assert one.background == pytest.approx(weight[(label == 0) & (score >= scan.cut[i])].sum())
        assert scan.bias[i] == pytest.approx(
            abs(one.background - (other >= scan.cut[i]).mean() * weight[label == 0].sum())
        )
    usable = scan.background_n_eff >= 25
    assert usable.sum() < len(usable) or scan.background_n_eff.min() >= 25
    assert scan.best.value == np.max(scan.asimov[usable])
    assert scan.best_with_bias.value < scan.best_with_uncertainty.value < scan.best.value
    assert scan.cut[np.nanargmax(np.where(usable, scan.asimov, np.nan))] == scan.best.cut
    bare = scan_cuts(score, label, weight)
    assert bare.bias is None and bare.best_with_bias is None and bare.asimov_with_bias is None


def test_scan_without_enough_background_has_no_best_cut_and_nan_where_none_is_left():
    scan = scan_cuts(SCORE, LABEL, WEIGHT, cuts=[0.5, 0.87])
    assert np.isnan(scan.asimov[1]) and np.isfinite(scan.asimov[0])
    assert scan.best.value is None and "n_eff >= 25" in scan.best.why
    assert scan_cuts(SCORE, LABEL, WEIGHT, cuts=[0.5, 0.87], min_n_eff=1).best.cut == 0.5
    with pytest.raises(DataError, match="finite cut"):
        scan_cuts(SCORE, LABEL, WEIGHT, cuts=[np.nan])


def test_bins_in_quadrature():
    found = binned_significance(SCORE, LABEL, WEIGHT, [0, 0.5, 1], min_n_eff=1, mc_statistics=False)
    first, second = asimov(1, 50), asimov(3, 15)
    np.testing.assert_allclose(found.per_bin, [first, second])
    assert found.value == pytest.approx(np.hypot(first, second))
    assert found.merged == 0
    other = binned_significance(
        SCORE, LABEL, WEIGHT, [0, 0.5, 1], min_n_eff=1, other_score=[0.4, 0.6], other_weight=[1, 1]
    )
    np.testing.assert_allclose(
        other.background_uncertainty, np.sqrt([20**2 + 30**2 + 17.5**2, 5**2 + 10**2 + 17.5**2])
    )


def test_one_bin_is_the_counting_experiment_and_more_bins_are_not_worse():
    score, label, weight = toy()
    one = binned_significance(score, label, weight, [-np.inf, np.inf], mc_statistics=False)
    assert one.value == pytest.approx(float(asimov(weight[label == 1].sum(), weight[label == 0].sum())))
    more = binned_significance(score, label, weight, [-np.inf, -1, 0, 1, 2, np.inf], mc_statistics=False)
    assert more.value > one.value
    best = scan_cuts(score, label, weight, mc_statistics=False).best
    split = binned_significance(score, label, weight, [-np.inf, best.cut, np.inf], mc_statistics=False)
    assert split.value >= best.value


def test_negative_and_empty_bins_are_merged_and_nothing_is_lost():
    score = np.array([0.05, 0.15, 0.25, 0.35, 0.95, 0.05, 0.25, 0.75])
    label = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    weight = np.array([10.0, 10.0, 10.0, 10.0, -4.0, 1.0, 1.0, 1.0])
    found = binned_significance(score, label, weight, [0, 0.1, 0.2, 0.5, 0.8, 1], min_n_eff=0.5)
    assert np.all(found.background > 0) and np.all(found.signal >= 0)
    assert found.background.sum() == 36 and found.signal.sum() == 3
    assert found.merged == 2 and found.edges.tolist() == [0, 0.1, 0.2, 1]
    hopeless = binned_significance(score, label, weight, [0, 0.5, 1], min_n_eff=1e3)
    assert hopeless.value is None and "floor" in hopeless.why and hopeless.background.tolist() == [36]
