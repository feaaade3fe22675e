import numpy as np
import pytest
from scipy import stats

from hepda.errors import DataError
from hepda.evaluation.arrays import sample
from hepda.evaluation.differences import distances
from hepda.evaluation.differences.permutation import (
    STATISTICS,
    TwoSamples,
    _subset,
    permutation_tests,
    permute,
    same_generator_nulls,
    shift_nulls,
)

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
    result = {name: [] for name in STATISTICS}
    for seed in range(experiments):
        a = draw(generator, sizes[0], negative=negative[0])
        b = draw(generator, sizes[1], negative=negative[1], scale=scale)
        tests = permutation_tests(a, b, EDGES, values(a, b), permutations=permutations, seed=seed)
        for name, test in tests.items():
            result[name].append(test.p_value)
    return result


@pytest.mark.slow
@pytest.mark.parametrize(
    ("negative", "scale", "sizes"),
    [((0.0, 0.0), 1.0, (150, 100)), ((0.15, 0.15), 20.0, (400, 200)), ((0.2, 0.0), 0.1, (900, 300))],
    ids=["unit weights", "signed and scaled", "signed against data"],
)
def test_p_values_are_flat_under_the_null(negative, scale, sizes):
    """The last case has different n_eff per event: it fails without the scaling by n_eff."""
    for name, result in p_values(negative, scale, sizes).items():
        # p takes the values 1/41 .. 41/41: spread each over its step to compare with a continuous law
        spread = np.asarray(result) - np.random.default_rng(0).random(len(result)) / 41
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
    result = permutation_tests(a, b, EDGES, values(a, b), permutations=2000, seed=0)["ks"].p_value
    exact = stats.ks_2samp(a.score, b.score, method="exact").pvalue
    assert result == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 2000))


def test_undefined_statistics_say_why():
    a, b = sample([0.1, 0.2, 0.3]), sample([0.1, 0.2])
    tests = permutation_tests(a, b, [0.0, 1.0], values(a, b) | {"chi2": None, "jensen_shannon": None}, permutations=5)
    assert tests["chi2"].p_value is None and "fewer than two bins" in tests["chi2"].why
    assert tests["ks"].p_value is not None
    with pytest.raises(ValueError, match="at least one"):
        permutation_tests(a, b, [0.0, 1.0], {}, permutations=0)


@pytest.mark.slow
@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(("n", "m"), [(1500, 1500), (2000, 500)])
def test_null_is_that_of_two_fresh_samples_of_that_size(statistic, n, m):
    """Of one pair of samples, against pairs of independent samples with signed weights."""
    generator = np.random.default_rng(7)
    fresh = []
    for _ in range(250):
        a, b = draw(generator, n, negative=0.15), draw(generator, m, negative=0.15)
        fresh.append(values(a, b)[statistic])
    a, b = draw(generator, n, negative=0.15), draw(generator, m, negative=0.15)
    null = same_generator_nulls(a, b, EDGES, replicas=250, seed=1)[statistic]
    assert null.values.mean() == pytest.approx(np.mean(fresh), rel=0.15)
    assert np.quantile(null.values, 0.9) == pytest.approx(np.quantile(fresh, 0.9), rel=0.15)


def test_null_of_ks_has_kolmogorovs_quantile():
    score = np.random.default_rng(3).random(20_000)
    pair = (sample(score[:16_000]), sample(score[16_000:]))
    null = same_generator_nulls(*pair, replicas=400, seed=2)["ks"]
    assert "chi2" not in same_generator_nulls(*pair, replicas=2)  # one bin holds no chi2
    assert null.quantile == pytest.approx(1.358 * np.sqrt(1 / 16_000 + 1 / 4_000), rel=0.1)


def test_null_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="two replicas"):
        same_generator_nulls(sample([0.1, 0.2]), sample([0.1]), replicas=1)
    with pytest.raises(DataError, match="too small for a null"):
        same_generator_nulls(sample([0.1, 0.2, 0.3], [1.0, -0.9, 0.1]), sample([0.4, 0.5], [1.0, -0.9]))


def weighted(kind, n, generator):
    """A sample whose weighted score has the density of a Gaussian about 1, whatever its weights are."""
    x = generator.normal(0, 1, n)
    weight = {
        "one": np.ones(n), "by score": np.exp(x), "heavy": generator.lognormal(0, 1.5, n),
        "signed by score": np.exp(0.7 * x) * np.where(generator.random(n) < 0.15, -1.0, 1.0),
    }[kind]  # fmt: skip
    if kind in ("one", "heavy"):
        x = x + 1
    return sample(x + (0.3 if kind == "signed by score" else 0.0), weight)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "other"),
    [
        ("one", "one"), ("by score", "by score"), ("heavy", "heavy"), ("signed by score", "signed by score"),
        ("one", "by score"), ("by score", "one"), ("heavy", "one"),
    ],
)  # fmt: skip
def test_one_generator_exceeds_the_null_in_5_per_cent_of_cases(source, other):
    """Also where weights are heavy, depend on the score, or differ between the samples."""
    generator = np.random.default_rng(17)
    experiments, beyond = 100, 0
    for seed in range(experiments):
        a, b = weighted(source, 500, generator), weighted(other, 300, generator)
        null = same_generator_nulls(a, b, replicas=59, seed=seed)["ks"]
        beyond += abs(distances.kolmogorov_smirnov(a, b)[0]) > null.quantile
    assert abs(beyond / experiments - 0.05) < 3 * np.sqrt(0.05 * 0.95 / experiments)


def test_a_value_that_no_permutation_reaches_has_a_limit_on_its_p_value():
    generator = np.random.default_rng(1)
    a, b = draw(generator, 300), draw(generator, 300, shift=2.0)
    tests = permutation_tests(a, b, EDGES, values(a, b), permutations=50)
    assert all(test.p_is_limit and test.p_value == pytest.approx(1 / 51) for test in tests.values())
    near = draw(generator, 300)
    assert not any(test.p_is_limit for test in permutation_tests(a, near, EDGES, values(a, near)).values())


def shift_of(first, second, weight, score, cut):
    """The relative difference of the efficiencies of a cut, by definition."""
    efficiency = [weight[side & (score >= cut)].sum() / weight[side].sum() for side in (first, second)]
    return efficiency[1] / efficiency[0] - 1


def test_shifts_of_exchanged_labels_are_those_by_definition_and_change_no_other_statistic():
    generator = np.random.default_rng(4)
    a, b = draw(generator, 3000, negative=0.1), draw(generator, 2500, shift=0.1, scale=3.0)
    cuts = (0.25, 1.3, 9.0)
    [with_cuts], [without] = (permute([TwoSamples(a, b, EDGES, c)], 5, 7, replicas=5) for c in (cuts, ()))
    for name in STATISTICS:
        np.testing.assert_allclose(with_cuts.drawn[name], without.drawn[name], rtol=1e-9)
    score = np.concatenate([a.score, b.score])
    order = np.argsort(score, kind="stable")
    weight = np.concatenate([s.weight * len(s.weight) / s.sumw for s in (a, b)])[order]
    labels = np.random.default_rng(7)
    for shifts in with_cuts.shifts:
        first = _subset(len(score), len(a.score), labels)
        expected = [shift_of(first, ~first, weight, score[order], cut) for cut in cuts[:2]]
        np.testing.assert_allclose(shifts[:2], expected, rtol=1e-9)
    assert np.isnan(with_cuts.shifts[:, 2]).all() and shift_nulls(with_cuts)[2] is None  # no event passes


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_null_of_a_shift_is_as_wide_as_its_spread_without_a_difference(shift):
    """Whether there is a difference or not: 1.96 standard deviations of the shifts of equal samples."""
    generator, cut = np.random.default_rng(6), 0.8
    a, b = draw(generator, 4000, negative=0.1), draw(generator, 3000, shift=shift, negative=0.1)
    [null] = shift_nulls(permute([TwoSamples(a, b, EDGES, (cut,))], 400, 1, replicas=400, bootstrap_seed=2)[0])
    spread = []
    for _ in range(400):
        pair = [draw(generator, n, negative=0.1) for n in (4000, 3000)]
        first, second = (s.weight[s.score >= cut].sum() / s.weight.sum() for s in pair)
        spread.append(second / first - 1)
    assert null.low < 0 < null.high and null.level == 0.95
    # with a difference more events of the other sample pass, and these fluctuate more
    widest = 1.25 if shift == 0 else 1.8
    assert 0.8 < null.error / (1.96 * np.std(spread)) < widest
