"""Numbers of several classes against scikit-learn, closed forms and loops over events."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from hepda.evaluation.classes import (
    Resampling,
    class_calibration,
    class_events,
    class_numbers,
    class_working_point,
    confusion_matrix,
    cuts_of,
    one_against_one,
    one_against_rest,
    score_against_class,
)
from hepda.evaluation.efficiency import weighted_efficiency
from hepda.evaluation.roc import auc

NAMES = ("ttH", "ttb", "ttlight")
FEW = Resampling(replicas=20, seed=1)


def toy(seed=1, n=900, negative=0.0, shares=(0.2, 0.3, 0.5)):
    rng = np.random.default_rng(seed)
    index = rng.choice(3, n, p=shares)
    logits = rng.normal(0, 1, (n, 3)) + 1.2 * np.eye(3)[index]
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    weight = rng.uniform(0.2, 2.0, n) * np.where(rng.random(n) < negative, -1.0, 1.0)
    return class_events(probability, index, weight, NAMES)


def test_one_against_the_rest_is_that_of_scikit_learn() -> None:
    events = toy()
    for k, name in enumerate(NAMES):
        roc, band = one_against_rest(events, name, FEW)
        expected = metrics.roc_auc_score(events.index == k, events.probability[:, k], sample_weight=events.weight)
        assert roc.auc.value == pytest.approx(expected, rel=1e-12)
        assert roc.auc.low < roc.auc.value < roc.auc.high and len(band.low) == 100


def test_one_against_one_is_that_of_scikit_learn_and_symmetric() -> None:
    events = toy(2)
    rows = events.index != 1
    ratio = events.probability[rows, 0] / (events.probability[rows, 0] + events.probability[rows, 2])
    expected = metrics.roc_auc_score(events.index[rows] == 0, ratio, sample_weight=events.weight[rows])
    result = one_against_one(events, "ttH", "ttlight", FEW)
    assert result.value == pytest.approx(expected, rel=1e-12) and result.error > 0
    assert one_against_one(events, "ttlight", "ttH", FEW).value == pytest.approx(expected, rel=1e-12)


def test_with_negative_weights_the_auc_is_the_sum_over_pairs() -> None:
    events = toy(3, 120, negative=0.2)
    signal, other = events.of_class("ttb"), ~events.of_class("ttb")
    score, weight = events.output("ttb"), events.weight
    above = (score[signal][:, None] > score[other]) + 0.5 * (score[signal][:, None] == score[other])
    expected = weight[signal] @ above @ weight[other] / (weight[signal].sum() * weight[other].sum())
    assert one_against_rest(events, "ttb", FEW)[0].auc.value == pytest.approx(expected, rel=1e-12)


def test_the_interval_covers_the_spread_between_samples() -> None:
    values = [one_against_one(toy(100 + i), "ttH", "ttb", Resampling(2)).value for i in range(60)]
    width = one_against_one(toy(4), "ttH", "ttb", Resampling(100)).error
    assert width == pytest.approx(np.std(values), rel=0.35)


def test_the_confusion_matrix_is_that_of_scikit_learn() -> None:
    events = toy(5)
    predicted = events.probability.argmax(axis=1)
    result = confusion_matrix(events)
    for normalise, values in ((None, result.sumw), ("true", result.efficiency), ("pred", result.purity)):
        expected = metrics.confusion_matrix(events.index, predicted, sample_weight=events.weight, normalize=normalise)
        assert values == pytest.approx(expected, rel=1e-12)
    accuracy = metrics.accuracy_score(events.index, predicted, sample_weight=events.weight)
    balanced = metrics.balanced_accuracy_score(events.index, predicted, sample_weight=events.weight)
    assert result.accuracy.value == pytest.approx(accuracy, rel=1e-12)
    assert result.balanced_accuracy.value == pytest.approx(balanced, rel=1e-12)


def test_signs_of_weights_count_and_errors_are_those_of_weighted_efficiencies() -> None:
    events = toy(6, negative=0.15)
    predicted = events.probability.argmax(axis=1)
    result = confusion_matrix(events)
    for t in range(3):
        for p in range(3):
            cell = (events.index == t) & (predicted == p)
            assert result.sumw[t, p] == pytest.approx(sum(events.weight[cell].tolist()))
            of_true, of_predicted = events.index == t, predicted == p
            assert (result.efficiency[t, p], result.efficiency_error[t, p]) == pytest.approx(
                weighted_efficiency(predicted[of_true] == p, events.weight[of_true])
            )
            assert (result.purity[t, p], result.purity_error[t, p]) == pytest.approx(
                weighted_efficiency(events.index[of_predicted] == t, events.weight[of_predicted])
            )
    errors = np.diag(result.efficiency_error)
    assert result.balanced_accuracy.error == pytest.approx(np.sqrt(np.sum(errors**2)) / 3)


def test_an_empty_cell_has_the_limit_as_its_error_and_an_empty_class_no_share() -> None:
    probability = np.tile([0.8, 0.15, 0.05], (40, 1))
    index = np.repeat([0, 1], 20)
    result = confusion_matrix(class_events(probability, index, None, NAMES))
    assert result.efficiency[0].tolist() == [1, 0, 0]
    assert result.efficiency_error[0, 1] == pytest.approx(-np.log(1 - 0.6827) / 20)
    assert np.isnan(result.efficiency[2]).all() and result.balanced_accuracy is None
    assert np.isnan(result.purity[:, 1]).all() and result.purity[0, 0] == 0.5


def test_a_working_point_keeps_its_share_and_rejects_the_others() -> None:
    source, other = toy(7), toy(8, negative=0.1)
    cuts = cuts_of(source, (0.3, 0.7))
    point = class_working_point(source, "ttb", 0.7, cuts["ttb"][0.7])
    kept = point.classes["ttb"].efficiency
    assert 0.7 <= kept < 0.71
    shifted = class_working_point(other, "ttb", 0.7, cuts["ttb"][0.7])
    mask = other.index == 2
    passed = other.probability[mask, 1] >= cuts["ttb"][0.7]
    expected = other.weight[mask][passed].sum() / other.weight[mask].sum()
    light = shifted.classes["ttlight"]
    assert light.efficiency == pytest.approx(expected) and light.rejection == pytest.approx(1 / expected)
    assert light.rejection_error == pytest.approx(light.efficiency_error / expected**2)


def test_where_nothing_passes_there_is_a_limit_and_no_rejection() -> None:
    probability = np.where(np.arange(60)[:, None] < 20, [[0.9, 0.05, 0.05]], [[0.1, 0.8, 0.1]])
    events = class_events(probability, np.repeat([0, 1, 2], 20), None, NAMES)
    light = class_working_point(events, "ttH", 0.5, 0.9).classes["ttlight"]
    assert light.rejection is None and light.limit == pytest.approx(-np.log(0.05) / 20)


def test_outputs_are_calibrated_for_equal_yields_of_the_classes() -> None:
    """Events drawn with the classes that a softmax says, then thinned by class: balance restores the calibration."""
    rng = np.random.default_rng(9)
    probability = rng.dirichlet((1, 1, 1), 60_000)
    index = (probability.cumsum(axis=1) > rng.random((60_000, 1))).argmax(axis=1)
    weight = np.array([0.01, 1.0, 5.0])[index]
    curve = class_calibration(class_events(probability, index, weight, NAMES), "ttb")
    pulls = (curve.fraction - curve.mean_score) / curve.error
    assert np.all(np.abs(pulls) < 4) and curve.expected_error < 0.01
    inside = (probability[:, 1] >= 0.2) & (probability[:, 1] < 0.3)
    scaled = weight / np.bincount(index, weights=weight)[index]
    assert curve.fraction[2] == pytest.approx(scaled[inside & (index == 1)].sum() / scaled[inside].sum())


def test_a_class_without_events_has_reasons_and_the_other_numbers_stand() -> None:
    full = toy(10)
    keep = full.index != 0
    events = class_events(full.probability[keep], full.index[keep], full.weight[keep], NAMES)
    numbers = class_numbers(events, cuts_of(full, (0.5,)), FEW)
    assert numbers.against_rest["ttH"] == "no positive sum of weights in ttH"
    assert numbers.against_one["ttH", "ttb"] == "no positive sum of weights in ttH"
    assert numbers.against_one["ttb", "ttlight"].value > 0.5
    assert numbers.calibration["ttH"] == "no positive sum of weights in ttH"
    assert set(numbers.working["ttH"][0].classes) == {"ttb", "ttlight"}
    assert set(cuts_of(events, (0.5,))) == {"ttb", "ttlight"}


def test_the_score_against_one_class_leaves_the_others_out() -> None:
    events = toy(11)
    score, signal, light = events.output("ttH"), events.of_class("ttH"), events.of_class("ttlight")
    result = score_against_class(score, signal, light, events.weight, FEW)
    rows = signal | light
    assert result.value == pytest.approx(auc(score[rows], signal[rows].astype(int), events.weight[rows]))
    assert "no positive" in score_against_class(score, signal, np.zeros(len(score)), events.weight, FEW)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        class_events(np.ones((4, 2)), [0, 1, 0, 1], None, NAMES)
    with pytest.raises(ValueError, match="not in"):
        class_events(np.ones((2, 3)), [0, -1], None, NAMES)
