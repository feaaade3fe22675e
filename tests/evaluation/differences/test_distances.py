import numpy as np
import pytest
from scipy import stats

from hepda.evaluation.arrays import sample
from hepda.evaluation.differences import distances
from tests.reference import evaluation as reference


def pair(seed=0, n=300, m=200, decimals=None, signed=True):
    generator = np.random.default_rng(seed)
    a, b = generator.normal(0, 1, n), generator.normal(0.3, 1.1, m)
    if decimals is not None:
        a, b = np.round(a, decimals), np.round(b, decimals)
    weights = [generator.exponential(1, k) * np.where(generator.random(k) < 0.15 * signed, -1, 1) for k in (n, m)]
    return sample(a, weights[0]), sample(b, weights[1])


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("signed", [True, False])
def test_equal_to_the_slow_reference(decimals, signed):
    a, b = pair(decimals=decimals, signed=signed)
    raw = (a.score, a.weight, b.score, b.weight)
    assert distances.kolmogorov_smirnov(a, b)[0] == pytest.approx(reference.ks(*raw), abs=1e-13)
    assert distances.wasserstein(a, b) == pytest.approx(reference.wasserstein(*raw), abs=1e-13)
    assert distances.energy_distance(a, b) == pytest.approx(reference.energy_distance(*raw), abs=1e-7)


@pytest.mark.parametrize("decimals", [None, 1])
def test_equal_to_scipy_without_and_with_positive_weights(decimals):
    a, b = pair(decimals=decimals, signed=False)
    result = stats.ks_2samp(a.score, b.score)
    signed, location = distances.kolmogorov_smirnov(sample(a.score), sample(b.score))
    assert abs(signed) == pytest.approx(result.statistic, abs=1e-13)
    assert location == result.statistic_location
    assert np.sign(signed) == -result.statistic_sign  # scipy takes first minus second
    weights = (a.score, b.score, a.weight, b.weight)
    assert distances.wasserstein(a, b) == pytest.approx(stats.wasserstein_distance(*weights), abs=1e-12)
    assert distances.energy_distance(a, b) == pytest.approx(stats.energy_distance(*weights), abs=1e-12)


def test_yields_do_not_matter_and_opposite_events_cancel():
    a, b = pair()
    scaled = sample(b.score, 1000 * b.weight)
    assert distances.kolmogorov_smirnov(a, scaled) == pytest.approx(distances.kolmogorov_smirnov(a, b))
    assert distances.wasserstein(a, scaled) == pytest.approx(distances.wasserstein(a, b))
    extended = sample(np.append(b.score, [5.0, 5.0]), np.append(b.weight, [3.0, -3.0]))
    assert distances.kolmogorov_smirnov(a, extended) == pytest.approx(distances.kolmogorov_smirnov(a, b))
    assert abs(distances.kolmogorov_smirnov(a, a)[0]) < 1e-15


def test_ks_sign():
    low, high = sample([0.0, 0.1, 0.2]), sample([0.8, 0.9])
    assert distances.kolmogorov_smirnov(high, low) == (pytest.approx(1.0), 0.2)  # other lies lower: positive
    assert distances.kolmogorov_smirnov(low, high)[0] == pytest.approx(-1.0)


def test_chi2_by_hand_and_is_chi2_distributed_under_the_null():
    edges = np.array([0.0, 1.0, 2.0])
    a, b = sample([0.5, 0.5, 1.5], [1.0, 1.0, 2.0]), sample([0.5, 1.5, 1.5], [2.0, 1.0, -1.0])
    p, q = np.array([2, 2]) / 4, np.array([2, 0]) / 2
    variance = np.array([2, 4]) / 16 + np.array([4, 2]) / 4
    assert distances.chi2(a, b, edges) == (pytest.approx(np.sum((p - q) ** 2 / variance)), 1)
    generator = np.random.default_rng(5)
    edges = np.array([-np.inf, -1, -0.3, 0.3, 1, np.inf])
    values = []
    for _ in range(300):
        x, y = (sample(generator.normal(size=k), np.where(generator.random(k) < 0.1, -1, 1)) for k in (2000, 1500))
        values.append(distances.chi2(x, y, edges)[0])
    assert stats.kstest(values, stats.chi2(4).cdf).pvalue > 0.01
    assert distances.chi2(a, b, np.array([-5.0, 0.0, 10.0])) == (None, 0)


def test_jensen_shannon_limits():
    edges = np.array([0.0, 1.0, 2.0, 3.0])
    a = sample([0.5, 1.5])
    assert distances.jensen_shannon(a, a, edges) == 0
    assert distances.jensen_shannon(a, sample([2.5]), edges) == pytest.approx(1)
    b = sample([0.5, 0.5, 0.5, 1.5])
    expected = 0.5 * sum(
        p * np.log2(p / ((p + q) / 2)) + q * np.log2(q / ((p + q) / 2)) for p, q in ((0.5, 0.75), (0.5, 0.25))
    )
    assert distances.jensen_shannon(a, b, edges) == pytest.approx(expected)
    negative = sample([0.5, 1.5, 2.5], [1.0, -0.2, 1.0])
    merged = sample([0.5, 2.5], [0.8, 1.0])  # the negative bin joins the one below it
    assert distances.jensen_shannon(a, negative, edges) == pytest.approx(
        distances.jensen_shannon(a, merged, np.array([0.0, 2.0, 3.0]))
    )
    assert distances.jensen_shannon(a, sample([0.5, 2.5], [-1.0, 2.0]), edges) is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([1, 1, 1], [0, 1, 2, 3]),
        ([2, -1, 1], [0, 2, 3]),
        ([1, 2, -1], [0, 1, 3]),
        ([1, 1, -1], [0, 3]),
        ([-0.5, 1, 1], [0, 2, 3]),
        ([-5, 1, 1, 3.5], [0, 4]),
        ([-9, 1, 1], None),
    ],
)
def test_bins_merge_from_above(content, expected):
    result = distances.merge_bins(np.array([content], dtype=float), lambda s: bool(s[0] > 0))
    assert (None if result is None else result.tolist()) == expected
