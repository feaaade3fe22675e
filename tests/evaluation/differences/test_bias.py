import numpy as np
import pytest

from hepda.evaluation.arrays import sample
from hepda.evaluation.differences.bias import BiasSettings, ModelScores, compare, compare_models, efficiency_shift
from hepda.evaluation.differences.distances import chi2


def signed(generator, n, share=0.15):
    return np.where(generator.random(n) < share, -1.0, 1.0)


def domains(seed=0, n=4000, shift=0.15):
    generator = np.random.default_rng(seed)
    a, b, s = generator.normal(0, 1, n), generator.normal(shift, 1, n), generator.normal(1.2, 1, n)
    return (a, signed(generator, n)), (b, 3 * signed(generator, n)), (s, signed(generator, n))


def test_compare_sees_a_shift_and_not_its_absence():
    a, b, s = domains()
    settings = BiasSettings(permutations=99, null_replicas=99, seed=1)
    result = compare(*a, *b, signal_score=s[0], signal_weight=s[1], settings=settings)
    assert result.ks > result.null.quantile and result.inside_null is False
    assert result.p_value == pytest.approx(0.01)
    assert result.ks_signed < 0  # the other domain scores higher
    assert result.chi2_ndf > 2 and result.ndf == 9
    assert [e.signal_efficiency for e in result.efficiency_shift] == [0.1, 0.2, 0.3, 0.5, 0.7]
    assert result.n_eff_source == pytest.approx(4000 * 0.49, rel=0.05)
    assert result.tests["wasserstein"].value == result.wasserstein
    assert result.tests["ks"].null == result.null.quantile
    for name, test in result.tests.items():
        assert test.null < getattr(result, name), name  # all five see it
    a, b, s = domains(2, shift=0.0)
    same = compare(*a, *b, settings=settings)
    assert same.inside_null and same.p_value > 0.05 and same.efficiency_shift == ()
    baseline = compare(*a, *b, settings=BiasSettings(permutations=0, null_replicas=0))
    assert (
        baseline.p_value is None
        and baseline.null is None
        and baseline.inside_null is None
        and "permutations" in baseline.why
    )
    assert baseline.ks == same.ks


def test_a_constant_score_and_a_tiny_sample_are_answered():
    few = BiasSettings(permutations=20, null_replicas=20)
    result = compare(np.full(50, 0.5), None, np.full(40, 0.5), None, settings=few)
    assert result.ks == result.wasserstein == 0 and result.p_value == 1 and result.inside_null
    assert result.chi2 is None and result.chi2_ndf is None and result.tests["chi2"].p_value is None
    tiny = compare([0.1, 0.2, 0.3], [1.0, -0.9, 0.1], [0.1, 0.3], None, settings=few)
    assert tiny.null is None and tiny.why.startswith("no null") and tiny.ks > 0


def test_models_are_compared_together_as_each_alone():
    """They share random numbers, and events that are the same in the same order of one model are so in another."""
    a, b, s = domains()
    settings = BiasSettings(permutations=20, null_replicas=20, seed=4)
    edges = np.array([-np.inf, -0.5, 0.5, np.inf])
    models = [
        ModelScores(sample(a[0] * f, a[1]), sample(b[0] * f, b[1]), sample(s[0] * f, s[1]), limits)
        for f, limits in ((1.0, edges), (-0.5, None))
    ]
    together = compare_models(models, settings)
    for model, result in zip(models, together, strict=True):
        alone = compare_models([model], settings)[0]
        assert (result.ks, result.p_value, result.tests) == (alone.ks, alone.p_value, alone.tests)
        np.testing.assert_array_equal(result.null.values, alone.null.values)
        assert result.efficiency_shift == alone.efficiency_shift
    assert together[0].ks == pytest.approx(together[1].ks) and together[0].ks_signed * together[1].ks_signed < 0
    with pytest.raises(ValueError, match="different sizes"):
        compare_models([models[0], ModelScores(models[0].source, sample([0.0, 1.0]))], BiasSettings(permutations=1))


def test_given_edges_are_the_bins_of_chi2():
    a, b, _ = domains()
    result = compare(*a, *b, settings=BiasSettings(edges=[-1, 0, 1], permutations=0, null_replicas=0))
    assert (result.chi2, result.ndf) == chi2(sample(*a), sample(*b), np.array([-1.0, 0, 1]))


def test_efficiency_shift_by_hand():
    signal = [0.9, 0.7, 0.5, 0.3]
    (result,) = efficiency_shift(signal, None, [0.8, 0.6, 0.4, 0.2], None, [0.8, 0.75, 0.72, 0.1], [2] * 4, [0.5])
    assert (result.cut, result.source_efficiency, result.other_efficiency) == (0.7, 0.25, 0.75)
    assert result.shift == pytest.approx(2.0)
    relative = np.hypot(np.sqrt(0.25 * 0.75 / 4) / 0.25, np.sqrt(0.25 * 0.75 / 4) / 0.75)
    assert result.error == pytest.approx(3 * relative)
    (none,) = efficiency_shift(signal, None, [0.1, 0.2], None, [0.8, 0.1], None, [0.5])
    assert none.shift is None and none.error is None and "no ratio" in none.why


def test_error_of_the_shift_is_its_spread():
    shifts, errors = [], []
    for seed in range(200):
        a, b, s = domains(seed, n=1500, shift=0.0)
        (result,) = efficiency_shift(*s, *a, *b, [0.3])
        shifts.append(result.shift)
        errors.append(result.error)
    # the cut, fixed by the signal, fluctuates too, but for both domains alike
    assert np.mean(errors) == pytest.approx(np.std(shifts), rel=0.15)
    assert abs(np.mean(shifts)) < 3 * np.std(shifts) / np.sqrt(200) + 0.02


def test_where_no_event_passes_there_is_a_limit_and_no_shift():
    """-100 % with no error is a statement that no finite sample can make."""
    generator = np.random.default_rng(0)
    signal, source = generator.normal(2, 1, 2000), generator.normal(0, 1, 5000)
    other = np.minimum(generator.normal(0, 1, 300), 1.5)
    (result,) = efficiency_shift(signal, None, source, None, other, None, (0.3,))
    assert result.shift is None and result.error is None and "no event of the other domain" in result.why
    assert result.upper == pytest.approx(-np.log(0.05) / 300 / result.source_efficiency - 1)
    (heavy,) = efficiency_shift(signal, None, source, None, other, np.full(300, 7.0), (0.3,))
    assert heavy.upper == pytest.approx(result.upper)  # a common factor is none of its business


def test_the_limit_covers():
    """Of many samples with a true efficiency at the limit, 5 % have no event that passes."""
    generator = np.random.default_rng(1)
    n = 400
    none = [not np.any(generator.random(n) < -np.log(0.05) / n) for _ in range(4000)]
    assert np.mean(none) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 4000))


def test_the_error_of_the_ks_distance_is_its_spread_over_samples():
    generator = np.random.default_rng(5)
    found = []
    for _ in range(200):
        source, other = generator.normal(0.0, 1.0, 400), generator.normal(0.7, 1.0, 600)
        weight = np.where(generator.random(600) < 0.15, -1.0, 1.0)
        settings = BiasSettings(permutations=0, null_replicas=0)
        result = compare(source, None, other, weight, settings=settings)
        found.append((result.ks, result.ks_error))
    distances, errors = np.transpose(found)
    assert np.std(distances) == pytest.approx(np.mean(errors), rel=0.15)
