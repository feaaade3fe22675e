import numpy as np
import pytest
from scipy import stats

from hepda.errors import DataError
from hepda.plotting.base.histogram import Histogram, choose_edges, hidden_bins, histogram, ratio


def test_signed_weights_are_summed_with_their_squares() -> None:
    filled = histogram([0.5, 0.5, 1.5], [2.0, -1.0, 3.0], [0, 1, 2])
    assert filled.sumw.tolist() == [1.0, 3.0]
    assert filled.sumw2.tolist() == [5.0, 9.0]
    assert filled.error == pytest.approx([5**0.5, 3.0])


def test_what_lies_beyond_is_folded_into_the_end_bins() -> None:
    values, edges = [-7.0, 0.5, 1.5, 99.0, 2.0], [0, 1, 2]
    assert histogram(values, None, edges).sumw.tolist() == [2.0, 3.0]
    assert histogram(values, None, edges, fold=False).sumw.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(("values", "weights"), [([np.nan, 1.0], [1.0, 1.0]), ([1.0], [np.inf])])
def test_what_is_not_finite_is_refused_with_a_count(values: list, weights: list) -> None:
    with pytest.raises(DataError, match=f"1 of {len(values)}"):
        histogram(values, weights, [0, 1])


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="2 values and 1 weights"):
        histogram([1.0, 2.0], [1.0], [0, 1])


def test_plain_counts_have_garwood_intervals() -> None:
    down, up = Histogram(np.arange(4.0), np.array([0.0, 1.0, 10.0]), np.array([0.0, 1.0, 10.0])).interval()
    # Garwood's 68.27 % limits as tabulated, e.g. by the PDG's statistics review for n = 0 and 1.
    assert down == pytest.approx([0.0, 0.827, 3.108], abs=1e-3)
    assert up == pytest.approx([1.841, 2.300, 4.267], abs=1e-3)
    assert stats.poisson.cdf(10, 10 + up[2]) == pytest.approx(0.1587, abs=1e-4)


def test_weighted_bins_have_the_root_of_sumw2() -> None:
    down, up = Histogram(np.arange(2.0), np.array([3.0]), np.array([4.0])).interval()
    assert (down[0], up[0]) == (2.0, 2.0)


def test_unit_area_scales_the_squares_too_and_refuses_a_sum_that_is_not_positive() -> None:
    shape = histogram([0.5, 1.5, 1.5], [2.0, 2.0, 4.0], [0, 1, 2]).unit_area()
    assert shape.sumw == pytest.approx([0.25, 0.75])
    assert shape.sumw2 == pytest.approx(np.array([4.0, 20.0]) / 64)
    with pytest.raises(DataError, match="no shape"):
        histogram([0.5, 0.5], [1.0, -1.0], [0, 1]).unit_area()


def test_ratio_is_nan_where_there_is_nothing_to_divide_by() -> None:
    edges = np.arange(4.0)
    above = Histogram(edges, np.array([2.0, 2.0, 2.0]), np.array([4.0, 4.0, 4.0]))
    below = Histogram(edges, np.array([4.0, 0.0, -1.0]), np.ones(3))
    result = ratio(above, below)
    assert result.sumw[0] == 0.5
    assert result.error[0] == 0.5
    assert np.isnan(result.sumw[1:]).all()


def test_edges_of_whole_numbers_are_centred_on_them() -> None:
    edges = choose_edges([np.array([5.0, 6.0, 7.0, 7.0]), np.array([8.0])])
    assert edges.tolist() == [4.5, 5.5, 6.5, 7.5, 8.5]


def test_edges_are_round_and_hold_the_bulk() -> None:
    x = np.random.default_rng(1).gamma(3.0, 80.0, 5000)
    edges = choose_edges([x])
    step = edges[1] - edges[0]
    assert step / 10 ** np.floor(np.log10(step)) in (1.0, 2.0, 2.5, 5.0)
    assert 10 <= len(edges) - 1 <= 30
    assert np.mean((x >= edges[0]) & (x <= edges[-1])) > 0.98


def test_a_constant_feature_still_has_edges_and_an_empty_one_is_refused() -> None:
    edges = choose_edges([np.full(4, 3.25)])
    assert edges[0] < 3.25 < edges[-1]
    with pytest.raises(DataError, match="finite"):
        choose_edges([np.array([np.nan])])


def test_a_bin_that_reaches_into_the_blinded_range_is_hidden_whole() -> None:
    edges = np.linspace(0, 1, 11)
    assert hidden_bins(edges, (0.7, np.inf)).tolist() == [False] * 7 + [True] * 3
    assert hidden_bins(edges, (0.65, np.inf)).tolist() == [False] * 6 + [True] * 4
    assert hidden_bins(edges, (0.3, 0.4)).tolist() == [False] * 3 + [True] + [False] * 6
    assert hidden_bins(edges, (0.3, np.nextafter(0.4, 1))).tolist() == [False] * 3 + [True] * 2 + [False] * 5
    assert hidden_bins(edges, (np.nextafter(0.3, 1), 0.4)).tolist() == [False] * 3 + [True] + [False] * 6
    assert hidden_bins(edges, (1.0, np.inf)).tolist() == [False] * 9 + [True]
    assert not hidden_bins(edges, None).any()


@pytest.mark.parametrize("value", [1.6e18, -3e30, 3.4e38, 284500.0, 1e9 + 7, 3.5, 0.0, 1e-40])
def test_a_constant_of_any_size_has_edges_around_it(value: float) -> None:
    for values in ([value] * 3, [value, np.nextafter(value, np.inf)]):
        edges = choose_edges([np.array(values)])
        assert len(edges) > 1 and (np.diff(edges) > 0).all() and edges[0] < value < edges[-1]


def test_a_narrow_range_far_from_zero_keeps_its_bins() -> None:
    edges = choose_edges([np.linspace(1e6, 1e6 + 0.1, 100)])
    assert 10 < len(edges) < 40 and edges[-1] - edges[0] < 0.2


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("equal", [True, False])
def test_bins_are_those_of_numpy_at_every_edge(equal: bool, fold: bool) -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        ends, bins = np.sort(rng.normal(0, 100, 2)), int(rng.integers(1, 60))
        edges = np.linspace(*ends, bins + 1) if equal else np.sort(rng.normal(0, 100, bins + 1))
        values = np.concatenate([
            edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf), rng.normal(0, 150, 300), [1e300, -1e300],
        ])  # fmt: skip
        weights = rng.normal(0.5, 1.0, len(values))
        result = histogram(values, weights, edges, fold=fold)
        expected = np.clip(values, edges[0], edges[-1]) if fold else values
        np.testing.assert_allclose(result.sumw, np.histogram(expected, edges, weights=weights)[0], atol=1e-9)
        np.testing.assert_allclose(result.sumw2, np.histogram(expected, edges, weights=weights**2)[0], atol=1e-9)
