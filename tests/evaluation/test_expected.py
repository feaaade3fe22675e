import numpy as np
import pytest

from hepda.errors import DataError
from hepda.evaluation.expected import Counting, binned_significance, scan_cuts, significance_at
from hepda.evaluation.significance import asimov

SCORE = np.array([0.9, 0.8, 0.2, 0.85, 0.6, 0.3, 0.1])
LABEL = np.array([1, 1, 1, 0, 0, 0, 0])
WEIGHT = np.array([2.0, 1.0, 1.0, 5.0, 10.0, 20.0, 30.0])


def small(**options):
    return Counting(SCORE, LABEL, WEIGHT, **options)


def test_one_cut_by_hand():
    result = significance_at(small(relative_uncertainty=0.1), 0.5)
    assert (result.signal, result.background, result.cut) == (3, 15, 0.5)
    assert result.background_uncertainty == pytest.approx(np.sqrt(1.5**2 + 125))
    assert result.value == pytest.approx(float(asimov(3, 15, np.sqrt(1.5**2 + 125))))
    baseline = significance_at(small(mc_statistics=False), 0.5)
    assert baseline.value == pytest.approx(float(asimov(3, 15)))


def test_bias_is_the_difference_at_equal_yields():
    other_score, other_weight = (
        [0.9, 0.7, 0.2, 0.1],
        [1.0, 1.0, 1.0, 2.0],
    )  # 2/5 above the cut, of a yield of 65
    result = significance_at(small(mc_statistics=False, other_score=other_score, other_weight=other_weight), 0.5)
    assert result.background_uncertainty == pytest.approx(abs(15 - 0.4 * 65))
    scaled = significance_at(small(mc_statistics=False, other_score=other_score, other_weight=[7, 7, 7, 14]), 0.5)
    assert scaled == result


def test_what_cannot_be_computed_says_why():
    none = significance_at(small(), 0.87)
    assert none.value is None and "not positive" in none.why and none.signal == 2
    weight = WEIGHT.copy()
    weight[:2] = [-0.5, 0.2]
    negative = significance_at(Counting(SCORE, LABEL, weight), 0.5)
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
    experiment = Counting(score, label, weight, relative_uncertainty=0.1, other_score=other)
    scan = scan_cuts(experiment)
    for i in (0, 50, 150):
        at_cut = significance_at(experiment, scan.cut[i])
        assert at_cut.value == pytest.approx(scan.asimov_with_bias[i])
        assert at_cut.background == pytest.approx(weight[(label == 0) & (score >= scan.cut[i])].sum())
        assert scan.bias[i] == pytest.approx(
            abs(at_cut.background - (other >= scan.cut[i]).mean() * weight[label == 0].sum())
        )
    usable = scan.background_n_eff >= 25
    assert usable.sum() < len(usable) or scan.background_n_eff.min() >= 25
    assert scan.best.value == np.max(scan.asimov[usable])
    assert scan.best_with_bias.value < scan.best_with_uncertainty.value < scan.best.value
    assert scan.cut[np.nanargmax(np.where(usable, scan.asimov, np.nan))] == scan.best.cut
    bare = scan_cuts(Counting(score, label, weight))
    assert bare.bias is None and bare.best_with_bias is None and bare.asimov_with_bias is None


def test_scan_without_enough_background_has_no_best_cut_and_nan_where_none_is_left():
    scan = scan_cuts(small(), cuts=[0.5, 0.87])
    assert np.isnan(scan.asimov[1]) and np.isfinite(scan.asimov[0])
    assert scan.best.value is None and "n_eff >= 25" in scan.best.why
    assert scan_cuts(small(), cuts=[0.5, 0.87], min_n_eff=1).best.cut == 0.5
    with pytest.raises(DataError, match="finite cut"):
        scan_cuts(small(), cuts=[np.nan])


def test_each_part_is_cut_where_the_others_are_best():
    score, label, weight = toy()
    generator = np.random.default_rng(2)
    other = generator.normal(0.1, 1, 8000)
    groups, theirs = generator.integers(0, 2, len(score)), generator.integers(0, 2, len(other))
    experiment = Counting(score, label, weight, 0.1, other_score=other)
    scan = scan_cuts(experiment, groups=groups, other_groups=theirs)
    baseline = scan_cuts(experiment)
    np.testing.assert_allclose(scan.asimov, baseline.asimov)  # the curve is of all events
    parts = [
        scan_cuts(Counting(score[groups == g], label[groups == g], 2 * weight[groups == g]), cuts=scan.cut)
        for g in (0, 1)
    ]
    kept = score >= np.where(groups == 0, parts[1].best.cut, parts[0].best.cut)
    for result, expected in ((scan.best.signal, 1), (scan.best.background, 0)):
        assert result == pytest.approx(weight[kept & (label == expected)].sum())
    assert scan.best.value == pytest.approx(float(asimov(scan.best.signal, scan.best.background)))
    assert scan.best.cut == pytest.approx(np.median([part.best.cut for part in parts]))
    # events of a part choose no cut for themselves: the others' cut stays, whatever their scores
    shuffled = np.where(groups == 0, score, generator.permutation(score))
    again = scan_cuts(Counting(shuffled, label, weight, 0.1), cuts=scan.cut, groups=groups)
    assert again.best.value < scan.best.value


def test_a_cut_chosen_elsewhere_is_not_quoted_too_high():
    """Score that says nothing, background known to 20 %: every cut is as good, and only luck makes one better."""
    same, apart = [], []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        label, score = (generator.random(2000) < 0.5).astype(int), generator.random(2000)
        experiment = Counting(score, label, np.ones(2000), 0.2, mc_statistics=False)
        for result, masks in ((same, {}), (apart, {"groups": generator.integers(0, 20, 2000)})):
            best = scan_cuts(experiment, **masks, cuts=np.linspace(0.02, 0.9, 89)).best_with_uncertainty
            s, b = (np.sum(label == c) * (1 - best.cut) for c in (1, 0))
            result.append(best.value / float(asimov(s, b, 0.2 * b)) - 1)
    assert np.mean(same) > 0.05
    assert abs(np.mean(apart)) < 3 * np.std(apart) / np.sqrt(60)


def biased(seed, n=4000):
    """Few events, and another domain that differs: what the best cut with bias is worth."""
    score, label, weight = toy(n, seed)
    other = np.random.default_rng(seed + 1000).normal(0.05, 1, n // 2)
    return Counting(score, label, np.abs(weight), 0.05, other_score=other)


def test_the_interval_holds_the_spread_over_samples_and_the_parts_matter_less():
    """Samples drawn anew spread as the interval says; other parts of one sample spread less than it."""
    values, widths = [], []
    for seed in range(25):
        experiment = biased(seed)
        parts = np.random.default_rng(seed).integers(0, 20, 4000)
        theirs = np.random.default_rng(seed + 1).integers(0, 20, 2000)
        best = scan_cuts(experiment, groups=parts, other_groups=theirs, replicas=20, seed=seed).best_with_bias
        values.append(best.value)
        widths.append(0.5 * (best.high - best.low))
        assert best.low <= best.value <= best.high
    assert 0.5 < np.mean(widths) / np.std(values) < 1.6
    again = []
    for seed in range(10):
        parts = np.random.default_rng(100 + seed).integers(0, 20, 6000)
        result = scan_cuts(biased(0), groups=parts[:4000], other_groups=parts[4000:]).best_with_bias
        again.append(result.value)
    assert np.std(again) < 0.5 * np.mean(widths)


def test_the_best_cut_of_the_same_events_is_too_good_and_the_cross_fitted_one_is_not():
    """Both against what the same score is worth on very many events."""
    score, label, weight = toy(400_000, 999)
    scale = 400_000 / 1500
    truth = scan_cuts(Counting(score, label, np.abs(weight) / scale, mc_statistics=False)).best.value
    naive, apart = [], []
    for seed in range(60):
        score, label, weight = toy(1500, seed)
        groups = np.random.default_rng(seed).integers(0, 20, 1500)
        best = scan_cuts(Counting(score, label, np.abs(weight), mc_statistics=False), groups=groups).best
        naive.append(best.naive)
        apart.append(best.value)
    error = np.std(naive)
    assert np.mean(naive) - truth > 0.2 * error
    assert abs(np.mean(apart) - truth) < 0.2 * error + 2 * np.std(apart) / np.sqrt(60)
    alone = scan_cuts(Counting(score, label, np.abs(weight))).best
    assert alone.value == pytest.approx(alone.naive)  # without parts, the events choose that are counted


def test_too_few_events_of_the_other_domain_say_why():
    score, label, weight = toy(2000)
    few = Counting(score, label, np.abs(weight), 0.1, other_score=[0.1, 0.5, 1.0])
    groups = np.random.default_rng(0).integers(0, 20, 2000)
    scan = scan_cuts(few, groups=groups, other_groups=[0, 1, 2], replicas=5)
    assert scan.best.value > 0 and scan.best.low is not None
    assert scan.best_with_bias.value is None and "other domain" in scan.best_with_bias.why
    assert np.isfinite(scan.best_with_bias.background_uncertainty) and scan.best_with_bias.low is None


def test_what_has_no_counterpart_adds_to_the_background_and_not_to_the_bias():
    score, label, weight = toy(2000)
    extra = np.random.default_rng(4).normal(-1, 1, 500)
    both = Counting(
        np.append(score, extra), np.append(label, np.zeros(500)), np.append(weight, np.ones(500)), 0.1,
        other_score=score[label == 0], other_weight=weight[label == 0], matched=np.arange(2500) < 2000,
    )  # fmt: skip
    scan = scan_cuts(both)
    assert scan.bias == pytest.approx(0, abs=1e-9)
    assert scan.asimov_with_bias == pytest.approx(scan.asimov_with_uncertainty, nan_ok=True)
    edges = [-np.inf, 0, 1, np.inf]
    without = Counting(both.score, both.label, both.weight, 0.1)
    assert binned_significance(both, edges).value == pytest.approx(binned_significance(without, edges).value)


def test_bins_in_quadrature():
    result = binned_significance(small(mc_statistics=False), [0, 0.5, 1], min_n_eff=1)
    first, second = asimov(1, 50), asimov(3, 15)
    np.testing.assert_allclose(result.per_bin, [first, second])
    assert result.value == pytest.approx(np.hypot(first, second))
    assert result.merged == 0
    other = binned_significance(small(other_score=[0.4, 0.6], other_weight=[1, 1]), [0, 0.5, 1], min_n_eff=1)
    np.testing.assert_allclose(other.background_uncertainty, np.sqrt([20**2 + 30**2 + 17.5**2, 5**2 + 10**2 + 17.5**2]))


def test_one_bin_is_the_counting_experiment_and_more_bins_are_not_worse():
    score, label, weight = toy()
    experiment = Counting(score, label, weight, mc_statistics=False)
    one_bin = binned_significance(experiment, [-np.inf, np.inf])
    assert one_bin.value == pytest.approx(float(asimov(weight[label == 1].sum(), weight[label == 0].sum())))
    more = binned_significance(experiment, [-np.inf, -1, 0, 1, 2, np.inf])
    assert more.value > one_bin.value
    best = scan_cuts(experiment).best
    split = binned_significance(experiment, [-np.inf, best.cut, np.inf])
    assert split.value >= best.value


def test_negative_and_empty_bins_are_merged_and_nothing_is_lost():
    score = np.array([0.05, 0.15, 0.25, 0.35, 0.95, 0.05, 0.25, 0.75])
    label = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    weight = np.array([10.0, 10.0, 10.0, 10.0, -4.0, 1.0, 1.0, 1.0])
    result = binned_significance(Counting(score, label, weight), [0, 0.1, 0.2, 0.5, 0.8, 1], min_n_eff=0.5)
    assert np.all(result.background > 0) and np.all(result.signal >= 0)
    assert result.background.sum() == 36 and result.signal.sum() == 3
    assert result.merged == 2 and result.edges.tolist() == [0, 0.1, 0.2, 1]
    hopeless = binned_significance(Counting(score, label, weight), [0, 0.5, 1], min_n_eff=1e3)
    assert hopeless.value is None and "smallest n_eff" in hopeless.why and hopeless.background.tolist() == [36]


def test_bands_hold_the_curves_and_shrink_with_more_events():
    def scan(size):
        generator = np.random.default_rng(3)
        label = np.arange(size) % 2
        score = np.clip(generator.normal(0.4 + 0.2 * label, 0.15), 0, 1)
        weight = np.where(label == 1, 50 / size, 1000 / size)
        return scan_cuts(Counting(score, label, weight, relative_uncertainty=0.1), cuts=[0.3, 0.5], replicas=60, seed=1)

    small, large = scan(400), scan(40_000)
    assert set(small.bands) == {"asimov", "asimov_with_uncertainty"}
    for result in (small, large):
        low, high = result.bands["asimov"]
        assert np.all(low < result.asimov) and np.all(result.asimov < high)
    width = [np.diff(result.bands["asimov"], axis=0)[0] for result in (small, large)]
    assert width[0] == pytest.approx(10 * width[1], rel=0.5)
