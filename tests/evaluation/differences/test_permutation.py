import numpy as np
import pytest
from scipy import stats

from hepda.errors import DataError
from hepda.evaluation.arrays import sample
from hepda.evaluation.differences import distances
from hepda.evaluation.differences.permutation import STATISTICS, permutation_tests, same_generator_nulls

EDGES = np.array([-np.inf, -0.8, 0.0, 0.8, np.inf])


def draw(generator, n, shift=0.0, negative=0.0, scale=1.0):
    weight = scale * np.where(generator.random(n) < negative, -1.0, 1.0)
    return sample(generator.normal(shift, 1, n), weight)


def values(a, b):
    return {
        "ks": abs(distances.kolmogorov_smirnov(a, b)[0]),
        "wasserstein": distances.wasserstein(a, b),
        "energy": distances.energy_distance(a, b),
        "chi2": distances.chi2(a, b, EDGES)[0],
        "jensen_shannon": distances.jensen_shannon(a, b, EDGES),
    }


def p_values(negative, scale, sizes, experiments=150, permutations=40):
    generator = np.random.default_rng(11)
    found = {name: [] for name in STATISTICS}
    for seed in range(experiments):
        a = draw(generator, sizes[0], negative=negative[0])
        b = draw(generator, sizes[1], negative=negative[1], scale=scale)
        tests = permutation_tests(a, b, EDGES, values(a, b), permutations=permutations, seed=seed)
        for name, test in tests.items():
            found[name].append(test.p_value)
    return found


@pytest.mark.parametrize(
    ("negative", "scale", "sizes"),
    [((0.0, 0.0), 1.0, (150, 100)), ((0.15, 0.15), 20.0, (400, 200)), ((0.2, 0.0), 0.1, (900, 300))],
    ids=["unit weights", "signed and scaled", "signed against data"],
)
def test_p_values_are_flat_under_the_null(negative, scale, sizes):
    """The last case has different n_eff per event: it fails without the scaling by n_eff."""
    for name, found in p_values(negative, scale, sizes).items():
        # p takes the values 1/41 .. 41/41: spread each over its step to compare with a continuous law
        spread = np.asarray(found) - np.random.default_rng(0).random(len(found)) / 41
        assert stats.kstest(spread, "uniform").pvalue > 0.01, name


def test_a_real_shift_is_found_and_the_seed_repeats():
    generator = np.random.default_rng(1)
    a, b = draw(generator, 600, negative=0.1), draw(generator, 500, shift=0.4, negative=0.1)
    tests = permutation_tests(a, b, EDGES, values(a, b), permutations=99, seed=3)
    assert all(t.p_value == pytest.approx(0.01) for t in tests.values())
    assert tests["ks"].value == abs(distances.kolmogorov_smirnov(a, b)[0])
    assert tests == permutation_tests(a, b, EDGES, values(a, b), permutations=99, seed=3)


def test_agrees_with_scipys_permutation_of_ks():
    generator = np.random.default_rng(2)
    a, b = draw(generator, 60), draw(generator, 40, shift=0.35)
    found = permutation_tests(a, b, EDGES, values(a, b), permutations=2000, seed=0)["ks"].p_value
    exact = stats.ks_2samp(a.score, b.score, method="exact").pvalue
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 2000))


def test_undefined_statistics_say_why():
    a, b = sample([0.1, 0.2, 0.3]), sample([0.1, 0.2])
    tests = permutation_tests(a, b, [0.0, 1.0], values(a, b) | {"chi2": None, "jensen_shannon": None}, permutations=5)
    assert tests["chi2"].p_value is None and "fewer than two bins" in tests["chi2"].why
    assert tests["ks"].p_value is not None
    with pytest.raises(ValueError, match="at least one"):
        permutation_tests(a, b, [0.0, 1.0], {}, permutations=0)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(("n", "m"), [(1500, 1500), (2000, 500)])
def test_null_is_that_of_two_fresh_samples_of_that_size(statistic, n, m):
    """Splits of one sample, scaled, against pairs of independent samples with signed weights."""
    generator = np.random.default_rng(7)
    fresh = []
    for _ in range(250):
        a, b = draw(generator, n, negative=0.15), draw(generator, m, negative=0.15)
        fresh.append(values(a, b)[statistic])
    a = draw(generator, n, negative=0.15)
    null = same_generator_nulls(a.score, a.weight, 0.49 * n, 0.49 * m, edges=EDGES, replicas=250, seed=1)[statistic]
    assert null.quantile == np.quantile(null.values, 0.95)
    assert null.values.mean() == pytest.approx(np.mean(fresh), rel=0.15)
    assert np.quantile(null.values, 0.9) == pytest.approx(np.quantile(fresh, 0.9), rel=0.15)


def test_null_of_ks_has_kolmogorovs_quantile():
    score = np.random.default_rng(3).random(40_000)
    null = same_generator_nulls(score, None, 40_000, 10_000, replicas=400, seed=2)["ks"]
    assert "chi2" not in same_generator_nulls(score, None, 40_000, 10_000, replicas=2)  # one bin holds no chi2
    assert null.quantile == pytest.approx(1.358 * np.sqrt(1 / 40_000 + 1 / 10_000), rel=0.07)


def test_null_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="positive n_eff"):
        same_generator_nulls([0.1, 0.2], None, 1, 0)
    with pytest.raises(DataError, match="too small for a null"):
        same_generator_nulls([0.1, 0.2, 0.3], [1.0, -0.9, 0.1], 1, 1)
