"""Ratios of shifts: closed forms, paired intervals, and what they allow to say."""

import numpy as np
import pytest

from hepda.errors import DataError
from hepda.evaluation.differences.bias import efficiency_shift
from hepda.evaluation.differences.ratios import DomainComparison, RatioSettings, judge, shift_ratios, verdict
from hepda.results.evaluation import Interval, ShiftRatio


def events(seed=0, n=20_000, left=0.04):
    """B is shifted in the plain score, by `left` in the adapted one; C by the same in both."""
    generator = np.random.default_rng(seed)
    label = (generator.random(n) < 0.4).astype(int)
    domain = np.array(["A", "B", "C"])[generator.integers(0, 3, n)]
    weight = np.where(generator.random(n) < 0.1, -1.0, 1.0)
    base = generator.normal(label * 1.0, 1)
    baseline = base + 0.4 * (domain == "B") + 0.4 * (domain == "C")
    adapted = base + left * (domain == "B") + 0.4 * (domain == "C")
    return {"plain": baseline, "adapted": adapted}, label, domain, weight


def ratios(data, **options):
    scores, label, domain, weight = data
    comparison = DomainComparison("A", options.pop("others", ["B", "C"]), options.pop("compared", "background"))
    settings = RatioSettings(seed=1, **options)
    return shift_ratios(scores, "plain", label, domain, weight, comparison=comparison, settings=settings)["adapted"]


def by_hand(data, model, other, efficiency, label_of=0):
    scores, label, domain, weight = data
    score = scores[model]
    masks = [
        (label == 1) & (domain == "A"),
        (label == label_of) & (domain == "A"),
        (label == label_of) & (domain == other),
    ]
    parts = [part for mask in masks for part in (score[mask], weight[mask])]
    (result,) = efficiency_shift(*parts, [efficiency])
    return result


def test_the_ratio_to_b_falls_and_that_to_c_does_not():
    data = events()
    result = ratios(data)
    assert [r.signal_efficiency for r in result["B"]] == [0.3, 0.2, 0.1]
    for trained, third in zip(result["B"], result["C"], strict=True):
        assert trained.resolved and trained.ratio.high < 0.6
        # the score is the same there, so the pairing leaves nothing but the cut
        assert third.ratio.value == pytest.approx(1.0) and third.ratio.error < 1e-9
        assert judge(trained, third) == "apparent only" and verdict(trained, third).startswith("WARNING")
        for model, shift in (("plain", trained.baseline), ("adapted", trained.adapted)):
            direct = by_hand(data, model, "B", trained.signal_efficiency)
            assert shift.value == direct.shift
            assert shift.error == pytest.approx(direct.error, rel=0.35)  # which takes the cut as exact
        assert trained.ratio.value == pytest.approx(abs(trained.adapted.value / trained.baseline.value))
    assert result == ratios(data)


@pytest.mark.slow
def test_the_interval_of_the_ratio_is_its_spread():
    result = [ratios(events(seed, 6000, 0.2), others=["B"], efficiencies=[0.3], replicas=60)["B"][0].ratio
             for seed in range(80)]  # fmt: skip
    assert np.mean([r.error for r in result]) == pytest.approx(np.std([r.value for r in result]), rel=0.25)


def test_a_domain_without_classes_is_held_against_all_of_the_source():
    scores, label, domain, weight = events()
    label = np.where(domain == "C", -1, label)
    result = ratios((scores, label, domain, weight), others=["C"], efficiencies=[0.3])["C"][0]
    a, c = domain == "A", domain == "C"
    signal = a & (label == 1)
    score = scores["plain"]
    (direct,) = efficiency_shift(score[signal], weight[signal], score[a], weight[a], score[c], weight[c], [0.3])
    assert result.baseline.value == direct.shift


def test_signal_may_be_what_is_compared():
    data = events()
    result = ratios(data, compared="signal", efficiencies=[0.3])["B"][0]
    assert result.baseline.value == by_hand(data, "plain", "B", 0.3, label_of=1).shift


def test_absent_domains_and_models_are_errors_and_no_events_above_the_cut_a_reason():
    with pytest.raises(DataError, match="background of D"):
        ratios(events(n=500), others=["D"])
    with pytest.raises(ValueError, match="none of the models"):
        shift_ratios({"m": [0.1]}, "plain", [1], ["A"], comparison=DomainComparison("A", ["B"]))
    score = np.array([0.9, 0.8, 0.1, 0.2, 0.85, 0.3])
    label, domain = np.array([1, 1, 0, 0, 0, 0]), np.array(["A", "A", "A", "A", "B", "B"])
    (result,) = shift_ratios(
        {"plain": score, "adapted": score},
        "plain",
        label,
        domain,
        comparison=DomainComparison("A", ["B"]),
        settings=RatioSettings([0.5]),
    )["adapted"]["B"]
    assert result.ratio is None and result.baseline is None and "no ratio" in result.why


def ratio(other, value, width=0.1, resolved=True):
    some = Interval(0.2, 0.19, 0.21)
    result = Interval(value, value - width, value + width)
    return ShiftRatio(other, 0.3, some, some, result, resolved, None if resolved else "too few events")


@pytest.mark.parametrize(
    ("trained", "third", "judgement", "words"),
    [
        (ratio("B", 0.3, resolved=False), None, "unresolved", "not resolved"),
        (ratio("B", 0.95), None, "not fallen", "did not decrease"),
        (ratio("B", 0.92, 0.01), None, "not fallen", "did not decrease"),
        (ratio("B", 0.3), None, "untested", "must not be quoted as a systematic"),
        (ratio("B", 0.3), ratio("C", 0.5, resolved=False), "cannot tell", "gives no answer: too few events"),
        (ratio("B", 0.3), ratio("C", 1.0), "apparent only", "WARNING"),
        (ratio("B", 0.3), ratio("C", 0.95, 0.01), "apparent only", "WARNING"),
        (ratio("B", 0.3), ratio("C", 0.8), "fell less", "the decrease is mostly in the apparent difference"),
        (ratio("B", 0.3), ratio("C", 0.5), "fell", "the bias decreased"),
    ],
)
def test_what_may_be_said(trained, third, judgement, words):
    assert judge(trained, third) == judgement
    assert words in verdict(trained, third) and "apparent difference" in verdict(trained, third)


def test_a_shift_that_is_only_a_limit_is_not_resolved():
    """No event of the other domain passes the plain model's cut: -100 % +- 0 was called resolved."""
    generator = np.random.default_rng(3)
    label = np.r_[np.ones(2000), np.zeros(3000), np.zeros(200)].astype(int)
    domain = np.r_[np.zeros(5000), np.ones(200)].astype(int)
    score = generator.normal(2.0 * label, 1)
    score[5000:] = np.minimum(score[5000:], 1.0)
    result = shift_ratios(
        {"plain": score, "other": score + generator.normal(0, 0.1, 5200)}, "plain", label, domain,
        comparison=DomainComparison(0, [1]), settings=RatioSettings(replicas=20),
    )["other"]["1"]  # fmt: skip
    assert all(not point.resolved and point.ratio is None and "no event of the other" in point.why for point in result)
