import numpy as np
import pytest
from scipy import stats

from hepda.errors import DataError
from hepda.evaluation.differences.flatness import CVM_LIMIT, KS_LIMIT, flatness
from tests.reference import evaluation as reference

NAMES = {"name": "mass", "class_name": "background"}


def toy(seed, n=4000, slope=0.0):
    generator = np.random.default_rng(seed)
    variable = generator.exponential(1, n)
    score = 1 / (1 + np.exp(-(generator.normal(0, 1, n) + slope * variable)))
    return variable, score, generator


@pytest.mark.parametrize("slope", [0.0, 0.1, 0.5])
def test_is_the_distance_of_the_challenge(slope):
    variable, score, _ = toy(1, slope=slope)
    result = flatness(variable, score, permutations=9, **NAMES)
    assert result.cvm == pytest.approx(reference.cvm(score, variable), rel=0.03)


def test_a_score_that_knows_nothing_has_what_is_expected_of_it_and_one_that_knows_has_more():
    flat = [flatness(*toy(s)[:2], permutations=9, **NAMES) for s in range(30)]
    mean = np.mean([f.cvm for f in flat])
    assert mean == pytest.approx(flat[0].cvm_expected, rel=0.06)
    assert mean < CVM_LIMIT and max(f.ks for f in flat) < KS_LIMIT
    variable, score, _ = toy(1, slope=0.5)
    shaped = flatness(variable, score, permutations=19, **NAMES)
    assert shaped.cvm > CVM_LIMIT and shaped.ks > KS_LIMIT and shaped.p_value == 1 / 20
    mapped = flatness(variable**3, score**3, permutations=19, **NAMES)
    assert (mapped.cvm, mapped.ks) == (shaped.cvm, shaped.ks)  # ranks alone count


def test_signed_weights_leave_the_meaning_of_the_limit():
    result = []
    for seed in range(30):
        variable, score, generator = toy(seed, n=6000)
        weight = np.where(generator.random(6000) < 0.15, -3.0, 3.0)
        result.append(flatness(variable, score, weight, permutations=1, **NAMES))
    assert result[0].n_eff == pytest.approx(6000 * 0.49, rel=0.1)
    assert np.mean([f.cvm for f in result]) == pytest.approx(1 / 1200, rel=0.1)


def test_p_values_are_flat_where_there_is_nothing_and_ties_are_in_random_order():
    values = []
    for seed in range(80):
        variable, score, generator = toy(seed, n=900)
        # counts, of events that are sorted by score: an order that kept ties as they come would see it
        variable, score = np.floor(variable), np.sort(score)
        variable = generator.permutation(variable)
        result = flatness(variable, score, permutations=19, seed=seed, **NAMES).p_value
        values.append(result - np.random.default_rng(seed).random() / 20)
    assert stats.kstest(values, "uniform").pvalue > 0.01


def test_the_largest_ks_by_hand():
    """The upper tenth of the variable has score 1, the others 0: F differs by 1 - 1/10 at 0."""
    variable = np.arange(1000.0)
    result = flatness(variable, variable >= 900, permutations=1, **NAMES)
    assert result.ks == pytest.approx(0.9)


def test_too_few_events_are_an_error():
    with pytest.raises(DataError, match="fewer than two windows"):
        flatness(np.arange(300.0), np.linspace(0, 1, 300), **NAMES)
