import numpy as np
import pytest

from hepda.errors import DataError
from hepda.evaluation.fits.channels import SampleTemplate, rebin, two_point, usable_bins
from hepda.evaluation.fits.templates import Templates
from tests.evaluation.fits.regions import region

EDGES = np.array([0.0, 0.5, 1.0, 2.0])
S, B = np.array([1.0, 2.0, 3.0]), np.array([30.0, 20.0, 10.0])


def templates(signal=S, background=B, sumw2=None, **background_options):
    return Templates.of_one(
        "score",
        EDGES,
        (
            SampleTemplate("ttH", True, signal, 0.1 * np.abs(signal)),
            SampleTemplate("tt", False, background, B if sumw2 is None else sumw2, **background_options),
        ),
    )


def test_totals_and_statistical_errors():
    result = templates()
    np.testing.assert_allclose(result.total(2.0), [32, 24, 16])
    np.testing.assert_allclose(result.signal, S)
    np.testing.assert_allclose(result.statistical_error, np.sqrt(B + 0.1 * S) / (B + S))
    np.testing.assert_allclose(result.uncertainty(), np.sqrt(B + 0.1 * S))
    result.check()


def test_systematics_move_what_they_name():
    up, down = B * [1.1, 1.0, 0.9], B * [0.8, 1.0, 1.1]
    result = templates(shapes={"jes": (up, down)}, norms={"rate": (1.2, 0.9)})
    assert result.systematics == ("jes", "rate") == result.active
    np.testing.assert_allclose(result.expected(0.0, {"jes": 1.0}), up)
    np.testing.assert_allclose(result.expected(0.0, {"jes": -1.0}), down)
    np.testing.assert_allclose(result.expected(1.0, {"rate": 1.0}), S + 1.2 * B)
    np.testing.assert_allclose(result.expected(1.0, {"rate": -2.0}), S + 0.9**2 * B)
    np.testing.assert_allclose(result.varied("jes")[0], S + up)
    shift = np.maximum(np.abs(up - B), np.abs(down - B))
    np.testing.assert_allclose(result.uncertainty() ** 2, B + 0.1 * S + shift**2 + (0.2 * B) ** 2)


def test_a_shape_is_split_into_rate_and_shape_of_the_nominal_sum():
    up, down = B * [1.3, 1.2, 1.0], B * [0.9, 0.8, 1.0]
    sample = templates(shapes={"jes": (up, down)}, norms={"jes": (1.1, 0.9)}).channels[0].samples[1]
    (rate_up, rate_down), (shape_up, shape_down) = sample.split("jes")
    assert rate_up == pytest.approx(1.1 * up.sum() / B.sum())
    assert rate_down == pytest.approx(0.9 * down.sum() / B.sum())
    assert shape_up.sum() == pytest.approx(B.sum()) == shape_down.sum()
    np.testing.assert_allclose(shape_up * up.sum() / B.sum(), up)


def test_what_changes_nothing_is_not_active():
    result = templates(shapes={"still": (B, B), "jes": (1.1 * B, 0.9 * B)}, norms={"one": (1.0, 1.0)})
    assert result.systematics == ("still", "jes", "one")
    assert result.active == ("jes",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"background": [1.0, np.nan, 1.0]}, "1 of 3 values that are not finite"),
        ({"background": [1.0, 1.0]}, "squared weights has 3 entries where 2"),
        ({"background": [-1.0, -1.0, 1.0]}, r"tt \(nominal\) sums to -1"),
        ({"sumw2": -B}, "negative sum of squared weights"),
        ({"shapes": {"jes": (B, B[:2])}}, "jes down has 2 entries"),
        ({"shapes": {"jes": (B, -B)}}, "jes down"),
        ({"norms": {"rate": (1.1, -0.1)}}, "positive numbers"),
        ({"norms": {"mu": (1.1, 0.9)}}, "must not be called 'mu'"),
        ({"norms": {"staterror_x": (1.1, 0.9)}}, "must not be called"),
    ],
)
def test_impossible_templates_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        templates(**{k: np.array(v) if k == "background" else v for k, v in change.items()})


def test_impossible_regions_are_refused():
    sample = SampleTemplate("tt", False, B, B)
    signal = SampleTemplate("ttH", True, S, S)
    with pytest.raises(DataError, match="signal and one of background"):
        Templates.of_one("score", EDGES, (sample,))
    with pytest.raises(DataError, match="same name"):
        Templates.of_one("score", EDGES, (sample, sample, signal))
    with pytest.raises(DataError, match="3 bins where the edges bound 2"):
        Templates.of_one("score", EDGES[:3], (sample, signal))
    with pytest.raises(DataError, match="rising"):
        Templates.of_one("score", EDGES[::-1], (sample, signal))


def test_bins_that_cannot_be_fitted_are_named_and_merged():
    result = templates(background=np.array([30.0, 20.0, -1.0]), sumw2=np.array([30.0, 20.0, 1.0]))
    with pytest.raises(DataError, match=r"bins \[2\] .* no positive background; merge"):
        result.check()
    kept = usable_bins(result.channels[0])
    assert kept.tolist() == [0, 1, 3]
    merged = result.channels[0].merged(kept)
    merged.check()
    np.testing.assert_allclose(merged.background, [30, 19])
    np.testing.assert_allclose(merged.sumw2, [30.1, 21.5])
    np.testing.assert_allclose(rebin([1.0, 2.0, 3.0], kept), [1, 5])


def test_a_variation_without_background_and_negative_signals_or_data_are_merged():
    varied = templates(shapes={"jes": (B, np.array([30.0, 20.0, 0.0]))})
    with pytest.raises(DataError, match="with jes down"):
        varied.check()
    assert usable_bins(varied.channels[0], min_n_eff=5).tolist() == [0, 1, 3]
    negative = templates(signal=np.array([-1.0, 2.0, 3.0]))
    with pytest.raises(DataError, match="negative signal"):
        negative.check()
    assert usable_bins(negative.channels[0], min_n_eff=5).tolist() == [0, 2, 3]
    assert usable_bins(templates().channels[0], min_n_eff=5, others=[[1.0, -1.0, 5.0]]).tolist() == [0, 2, 3]
    assert usable_bins(templates().channels[0], min_n_eff=25).tolist() == [0, 1, 3]
    with pytest.raises(DataError, match="even all bins"):
        usable_bins(templates().channels[0], min_n_eff=1e3)


def test_a_two_point_variation_mirrors_the_other_generator():
    up, down = two_point(B, B * [1.5, 1.0, 0.5], rate=True)
    np.testing.assert_allclose(up + down, 2 * B)
    up, down = two_point(B, 3 * B * [1.1, 1.0, 0.9])
    assert up.sum() == pytest.approx(B.sum()) == down.sum()
    np.testing.assert_allclose(two_point(B, 3 * B)[0], B)
    _, down = two_point(B, B * [1.0, 1.0, 4.0], rate=True)
    np.testing.assert_allclose(down, B * [1, 1, 0.25])  # 2 - 4 would be negative
    with pytest.raises(DataError, match="positive sums"):
        two_point(B, -B)


def test_counts_are_checked():
    with pytest.raises(DataError, match="2 entries where 8"):
        region().counts([1.0, 2.0])
    with pytest.raises(DataError, match=r"bins \[0\] of the data are negative"):
        region().counts([-1.0] + 7 * [1.0], "the data")
