import numpy as np
import pytest
from scipy.integrate import trapezoid
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc

from hepda.errors import DataError
from hepda.evaluation.roc import auc, purity_band, roc_curve, rocs
from hepda.results.evaluation import RocBand
from tests.reference import evaluation as reference


def toy(n=400, seed=0, negative=0.15, decimals=None):
    """Scores of two classes, signed weights; with `decimals`, many ties."""
    generator = np.random.default_rng(seed)
    label = (generator.random(n) < 0.4).astype(np.int8)
    score = generator.normal(label * 1.0, 1.0)
    if decimals is not None:
        score = np.round(score, decimals)
    weight = generator.exponential(1.0, n) * np.where(generator.random(n) < negative, -1, 1)
    return score, label, weight


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_auc_equals_all_pairs_with_signed_weights_and_ties(decimals):
    score, label, weight = toy(decimals=decimals)
    assert (weight < 0).sum() > 20
    assert auc(score, label, weight) == pytest.approx(reference.auc(score, label, weight), abs=1e-13)


@pytest.mark.parametrize("decimals", [None, 1])
def test_auc_equals_sklearn_for_positive_weights(decimals):
    score, label, weight = toy(5000, negative=0, decimals=decimals)
    assert auc(score, label, weight) == pytest.approx(roc_auc_score(label, score, sample_weight=weight), abs=1e-12)
    assert auc(score, label) == pytest.approx(roc_auc_score(label, score), abs=1e-12)


def test_constant_score_is_one_half_and_order_does_not_matter():
    score, label, weight = toy()
    assert auc(np.zeros(len(score)), label, weight) == pytest.approx(0.5, abs=1e-14)
    shuffled = np.random.default_rng(1).permutation(len(score))
    assert auc(score[shuffled], label[shuffled], weight[shuffled]) == pytest.approx(auc(score, label, weight))
    assert auc(-score, label, weight) == pytest.approx(1 - auc(score, label, weight))


def test_weight_two_is_a_row_twice_and_opposite_weights_cancel():
    score, label, weight = toy()
    twice = auc(np.append(score, score[:50]), np.append(label, label[:50]), np.append(weight, weight[:50]))
    doubled = weight.copy()
    doubled[:50] *= 2
    assert auc(score, label, doubled) == pytest.approx(twice, abs=1e-13)
    extra = np.concatenate([weight, weight[:50], -weight[:50]])
    assert auc(
        np.concatenate([score, score[:50], score[:50]]),
        np.concatenate([label, label[:50], label[:50]]),
        extra,
    ) == pytest.approx(auc(score, label, weight), abs=1e-13)


def test_roc_curve_equals_sklearn_and_its_area_is_the_auc():
    score, label, weight = toy(3000, negative=0, decimals=2)
    threshold, kept_s, kept_b = roc_curve(score, label, weight, points=10**9)
    fpr, tpr, cut = sklearn_roc(label, score, sample_weight=weight, drop_intermediate=False)
    np.testing.assert_allclose(kept_s, tpr, atol=1e-12)
    np.testing.assert_allclose(kept_b, fpr, atol=1e-12)
    np.testing.assert_allclose(threshold[1:], cut[1:])
    assert trapezoid(kept_s, kept_b) == pytest.approx(auc(score, label, weight), abs=1e-12)


def test_signed_curve_has_the_auc_as_its_area_and_thinning_keeps_exact_points():
    score, label, weight = toy(20000)
    threshold, kept_s, kept_b = roc_curve(score, label, weight, points=10**9)
    assert trapezoid(kept_s, kept_b) == pytest.approx(auc(score, label, weight), abs=1e-12)
    thin = roc_curve(score, label, weight, points=500)
    assert 250 < len(thin[0]) <= 502
    full = dict(zip(threshold, zip(kept_s, kept_b, strict=True), strict=True))
    for cut, s, b in zip(*thin, strict=True):
        assert full[cut] == (s, b)
    assert thin[1][0] == thin[2][0] == 0
    assert thin[1][-1] == pytest.approx(1) and thin[2][-1] == pytest.approx(1)


def test_interval_is_the_width_of_repeated_experiments():
    values = [auc(*toy(2000, seed=s)) for s in range(150)]
    widths = [rocs({"m": toy(2000, seed=s)[0]}, *toy(2000, seed=s)[1:], seed=s)["m"][0].auc.error for s in range(8)]
    assert np.mean(widths) == pytest.approx(np.std(values), rel=0.2)


def test_paired_difference_is_narrower_than_the_intervals():
    score, label, weight = toy(4000)
    near = score + np.random.default_rng(3).normal(0, 0.1, len(score))
    models = {"plain": score, "near": near}
    curves = {model: roc for model, (roc, _) in rocs(models, label, weight, reference="plain", seed=5).items()}
    difference = curves["near"].difference
    assert curves["plain"].difference is None
    assert difference.value == pytest.approx(curves["near"].auc.value - curves["plain"].auc.value)
    assert difference.error < 0.4 * curves["near"].auc.error
    with pytest.raises(ValueError, match="none of the models"):
        rocs(models, label, weight, reference="absent")


def test_rocs_band_holds_the_curve_and_seeds_repeat():
    score, label, weight = toy(4000)
    first = rocs({"m": score}, label, weight, replicas=100, seed=2)["m"]
    again = rocs({"m": score}, label, weight, replicas=100, seed=2)["m"]
    roc, band = first
    assert roc.auc == again[0].auc
    np.testing.assert_array_equal(band.low, again[1].low)
    assert np.all(band.low <= band.high)
    inside = (band.low <= band.background_efficiency) & (band.background_efficiency <= band.high)
    assert inside.mean() > 0.9
    order = np.interp(band.signal_efficiency, np.maximum.accumulate(roc.signal_efficiency), roc.background_efficiency)
    np.testing.assert_allclose(band.background_efficiency, order, atol=0.01)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"score": [0.1, np.nan, 0.2]}, DataError, "1 of 3 values that are not finite"),
        ({"label": [1, 1, 1]}, DataError, "no background"),
        ({"label": [1, 0, -1]}, DataError, r"label holds \[-1\]"),
        ({"label": [1, 0]}, ValueError, "label has shape"),
        ({"weight": [1.0, -1.0, 0.5]}, DataError, "weights of background"),
        ({"weight": [1.0, 2.0]}, ValueError, "weight of sample has 2 entries"),
        ({"score": []}, DataError, "empty"),
        ({"score": [[0.1], [0.2], [0.3]]}, ValueError, "one-dimensional"),
    ],
)
def test_unusable_input_is_named(change, error, message):
    arguments = {"score": [0.1, 0.5, 0.2], "label": [1, 0, 0], "weight": [1.0, 1.0, 1.0]} | change
    with pytest.raises(error, match=message):
        auc(**arguments)


def test_too_small_a_sample_for_a_bootstrap_is_an_error():
    with pytest.raises(DataError, match="too few effective events"):
        rocs({"m": [0.1, 0.9]}, [0, 1], [1.0, 1.0])
    with pytest.raises(ValueError, match="level"):
        rocs({"m": [0.1, 0.9]}, [0, 1], [1.0, 1.0], level=2.0)


def test_purity_is_that_of_the_events_above_the_cut():
    signal, background = np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.1, 1.0])
    band = purity_band(RocBand(signal, background, 0.5 * background, 2 * background), 0.2)
    assert np.isnan(band.purity[0])  # no event is left
    assert band.purity[1:] == pytest.approx([0.1 / (0.1 + 0.08), 0.2])
    assert band.low[1] == pytest.approx(0.1 / (0.1 + 0.16)) and band.high[1] == pytest.approx(0.1 / (0.1 + 0.04))
    for share in (0.0, 1.0, -0.1):
        with pytest.raises(DataError, match="share of signal between 0 and 1"):
            purity_band(RocBand(signal, background, background, background), share)
