import numpy as np
import pytest

from hepda.errors import DataError
from hepda.evaluation.classes import Resampling
from hepda.evaluation.efficiency import cut_at_efficiency
from hepda.evaluation.significance import asimov
from hepda.evaluation.working_points.objectives import (
    F1,
    AsimovSignificance,
    EqualBackground,
    FixedEfficiency,
    FixedThreshold,
    labelled_scores,
)
from hepda.evaluation.working_points.thresholds import choose, judge, macro_f1

NONE = Resampling(replicas=0)
SCORE = [0.9, 0.8, 0.2, 0.85, 0.6, 0.3, 0.1]
POSITIVE = [1, 1, 1, 0, 0, 0, 0]
WEIGHT = [2.0, 1.0, 1.0, 1.0, 2.0, 4.0, 8.0]


def toy(n, seed, negative=0.0, separation=1.5, share=0.3):
    generator = np.random.default_rng(seed)
    positive = generator.random(n) < share
    score = 1 / (1 + np.exp(-generator.normal(separation * positive - 1, 1)))
    weight = np.where(generator.random(n) < negative, -1.0, 1.0)
    return score, positive, weight


def test_f1_by_hand():
    chosen = choose(F1(), labelled_scores(SCORE, POSITIVE, WEIGHT), NONE)
    assert chosen.threshold.value == 0.8  # TP 3, FP 1, FN 1
    assert chosen.on_choosing == pytest.approx(6 / 8)
    by_threshold = {}
    for threshold in SCORE:
        passed = np.asarray(SCORE) >= threshold
        tp = np.sum(np.asarray(WEIGHT) * passed * np.asarray(POSITIVE))
        by_threshold[threshold] = 2 * tp / (np.sum(np.asarray(WEIGHT) * passed) + 4)
    assert max(by_threshold.values()) == pytest.approx(chosen.on_choosing)


def test_f1_is_that_of_scikit_learn_at_every_threshold():
    from sklearn.metrics import f1_score

    score, positive, _ = toy(120, 1)
    weight = np.random.default_rng(2).uniform(0.1, 2, 120)
    events = labelled_scores(score, positive, weight)
    for threshold in (0.2, 0.5, 0.7):
        expected = f1_score(positive, score >= threshold, sample_weight=weight)
        assert judge(F1(), threshold, events, NONE).value == pytest.approx(expected)
    thresholds = np.unique(score)
    best = max(f1_score(positive, score >= t, sample_weight=weight) for t in thresholds)
    assert choose(F1(), events, NONE).on_choosing == pytest.approx(best)


def test_the_significance_has_its_systematic_and_a_floor_of_background():
    score, positive, weight = toy(4000, 3)
    events = labelled_scores(score, positive, weight * np.where(positive, 0.05, 1.0))
    loose, tight = (choose(AsimovSignificance(u), events, NONE) for u in (0.0, 0.5))
    assert tight.threshold.value > loose.threshold.value  # a systematic asks for purity
    for chosen, uncertainty in ((loose, 0.0), (tight, 0.5)):
        passed = score >= chosen.threshold.value
        s, b = 0.05 * np.sum(passed & positive), np.sum(passed & ~positive)
        assert chosen.on_choosing == pytest.approx(float(asimov(s, b, uncertainty * b)))
        assert b >= 25
    none = choose(AsimovSignificance(0.1, min_n_eff=1e9), events, NONE)
    assert none.threshold is None and none.on_choosing is None and "no threshold may be chosen" in none.why


def test_the_efficiency_is_that_of_the_working_points():
    score, positive, weight = toy(3000, 4, negative=0.2)
    chosen = choose(FixedEfficiency(0.6), labelled_scores(score, positive, weight), NONE)
    assert chosen.threshold.value == cut_at_efficiency(score[positive], weight[positive], 0.6)
    assert chosen.on_choosing == pytest.approx(0.6, abs=2e-3)


def test_a_stated_threshold_is_not_chosen():
    score, positive, weight = toy(300, 5)
    chosen = choose(FixedThreshold(0.4), labelled_scores(score, positive, weight))
    assert (chosen.threshold.value, chosen.threshold.low, chosen.threshold.high) == (0.4, 0.4, 0.4)


def test_background_efficiencies_are_equal_where_the_distributions_cross():
    """The other background is wider with the same median: its efficiency is larger above it, smaller below."""
    generator = np.random.default_rng(6)
    signal, here, there = (
        generator.normal(0.2, 1, 10_000),
        generator.normal(0, 1, 20_000),
        generator.normal(0, 2, 20_000),
    )
    score, positive = np.concatenate([signal, here]), np.repeat([True, False], [10_000, 20_000])
    events = labelled_scores(score, positive, other=(there, np.ones(20_000)))
    chosen = choose(EqualBackground((0.2, 0.9)), events, Resampling(20))
    assert chosen.threshold.value == pytest.approx(0.0, abs=0.1)
    assert chosen.threshold.low <= chosen.threshold.value <= chosen.threshold.high
    assert abs(chosen.on_choosing) < 1e-3
    elsewhere = choose(EqualBackground((0.05, 0.3)), events, NONE)
    assert elsewhere.on_choosing > 0.1  # there is no crossing in this range: the smallest difference is not 0
    passed = lambda values: float(np.mean(values >= elsewhere.threshold.value))  # noqa: E731
    assert elsewhere.on_choosing == pytest.approx(passed(there) / passed(here) - 1)


def test_only_background_with_a_counterpart_is_compared():
    score, positive = [0.9, 0.8, 0.7, 0.1, 0.2], [True, False, False, False, True]
    other = ([0.75, 0.3], [1.0, 1.0])
    events = labelled_scores(score, positive, other=other, counterpart=[True, False, True, True, True])
    value = judge(EqualBackground(), 0.6, events, NONE)
    assert value.value == pytest.approx((1 / 2) / (1 / 2) - 1)
    whole = judge(EqualBackground(), 0.6, labelled_scores(score, positive, other=other), NONE)
    assert whole.value == pytest.approx((1 / 2) / (2 / 3) - 1)


def test_the_number_of_the_choosing_events_is_too_good_and_that_of_others_is_not():
    """The mean over many small samples, against a large one: the choice is biased upwards, the judgement unbiased."""
    truth = labelled_scores(*toy(100_000, 7))
    objective, on_choosing, judged, expected = AsimovSignificance(0.0, min_n_eff=1.0), [], [], []
    for seed in range(60):
        score, positive, weight = toy(400, 100 + seed)
        other = toy(400, 900 + seed)
        chosen = choose(objective, labelled_scores(score, positive, weight), NONE)
        on_choosing.append(chosen.on_choosing)
        judged.append(judge(objective, chosen.threshold.value, labelled_scores(*other), NONE).value)
        expected.append(judge(objective, chosen.threshold.value, truth, NONE).value * np.sqrt(400 / 100_000))
    error = np.std(judged) / np.sqrt(60)
    assert np.mean(on_choosing) - np.mean(expected) > 3 * error
    assert abs(np.mean(judged) - np.mean(expected)) < 3 * error


def test_the_interval_of_the_judgement_covers():
    truth = labelled_scores(*toy(100_000, 8))
    expected = judge(F1(), 0.4, truth, NONE).value
    inside = 0
    for seed in range(60):
        result = judge(F1(), 0.4, labelled_scores(*toy(500, 200 + seed)), Resampling(100, seed))
        inside += result.low <= expected <= result.high
    assert 0.5 < inside / 60 < 0.85


def test_signed_weights_never_choose_a_negative_sum():
    score, positive = np.array([0.9, 0.8, 0.7, 0.5, 0.3]), np.array([True, False, True, False, False])
    events = labelled_scores(score, positive, [1.0, -3.0, 1.0, 3.5, 1.0])
    chosen = choose(F1(), events, NONE)
    assert chosen.threshold.value in (0.9, 0.5, 0.3)  # at 0.8 and 0.7 the rest sums to -3
    assert isinstance(judge(F1(), 0.75, events, NONE), str)


def test_events_that_cannot_be_used_say_why():
    with pytest.raises(DataError, match="wanted class"):
        labelled_scores([0.1, 0.2], [False, False])
    with pytest.raises(DataError, match="other domain"):
        labelled_scores([0.1, 0.2], [True, False], other=([0.1], [-1.0]))
    with pytest.raises(ValueError, match="positive has shape"):
        labelled_scores([0.1, 0.2], [True])


def test_macro_f1_is_the_mean_of_scikit_learns_and_masks_unknown_labels():
    from sklearn.metrics import f1_score

    generator = np.random.default_rng(9)
    n = 2000
    truth = {"a": (generator.random(n) < 0.3).astype(int), "b": (generator.random(n) < 0.1).astype(int)}
    scores = {name: np.clip(0.3 * t + generator.random(n) * 0.7, 0, 1) for name, t in truth.items()}
    truth["b"][:500] = -1
    weight = generator.uniform(0.5, 1.5, n)
    sets = {"half": {"a": 0.5, "b": 0.5}, "tuned": {"a": 0.45, "b": 0.65}}
    predicted = {name: {label: scores[label] >= t for label, t in of.items()} for name, of in sets.items()}
    results = macro_f1(predicted, truth, weight, Resampling(50))
    for name, thresholds in sets.items():
        expected = []
        for label in ("a", "b"):
            known = truth[label] >= 0
            passed = scores[label][known] >= thresholds[label]
            expected.append(f1_score(truth[label][known], passed, sample_weight=weight[known]))
            assert results[name].labels[label].value == pytest.approx(expected[-1])
        assert results[name].macro.value == pytest.approx(np.mean(expected))
    difference = results["tuned"].difference
    assert results["half"].difference is None
    assert difference.value == pytest.approx(results["tuned"].macro.value - results["half"].macro.value)
    assert difference.high - difference.low < results["tuned"].macro.high - results["half"].macro.low
    with pytest.raises(ValueError, match="one: no prediction of the label 'b'"):
        macro_f1({"one": {"a": predicted["half"]["a"]}}, truth, weight)
