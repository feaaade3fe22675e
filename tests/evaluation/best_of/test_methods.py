"""`best_of`: the number of the chosen point is that of a new measurement, whichever way the points differ."""

import numpy as np
import pytest

from hepda.evaluation.best_of import METHODS, best_of, best_of_choice, best_of_values, largest

POINTS, SEEDS = 20, 5
ERROR = 1 / np.sqrt(SEEDS)


def measured(true, generator, common=0.0):
    return true[:, None] + generator.normal(size=(len(true), SEEDS)) + common * generator.normal(size=SEEDS)


def pulls(method, spread, number, **settings):
    """What the estimate of many choices is too large by, in errors of a mean, and how often the interval covers."""
    generator = np.random.default_rng(11)
    off, covered = [], []
    for n in range(number):
        true = spread * ERROR * generator.normal(size=POINTS)
        best = best_of(measured(true, generator), method, draws=150, seed=n, **settings)
        off.append((best.value - true[best.point]) / ERROR)
        covered.append(best.low <= true[best.point] <= best.high)
    return np.mean(off), np.mean(covered)


@pytest.mark.parametrize(("spread", "naive"), [(0.0, 1.87), (1.0, 1.32), (4.0, 0.46)])
def test_the_bootstrap_removes_the_bias_of_the_naive_number(spread, naive):
    off, covered = pulls("bootstrap", spread, 150)
    assert abs(off) < 0.3 and 0.53 < covered < 0.92  # benchmarks/best_of.py has the same with small errors
    assert pulls("naive", spread, 200)[0] == pytest.approx(naive, abs=0.2)


def test_split_has_no_bias_and_self_correction_a_smaller_one():
    assert abs(pulls("split", 0.0, 400)[0]) < 0.2 and abs(pulls("double", 0.0, 50)[0]) < 0.4
    assert 0.0 < pulls("self_correcting", 0.0, 200)[0] < 1.0


def test_smaller_values_are_better_if_asked_for():
    values = measured(np.zeros(POINTS), np.random.default_rng(1))
    for method in METHODS:
        up, down = best_of(-values, method), best_of(values, method, larger=False)
        assert up.point == down.point and up.value == pytest.approx(-down.value) and up.low == pytest.approx(-down.high)
    assert down.bias < 0 < up.bias


def test_an_effect_in_common_widens_the_interval_and_leaves_the_correction():
    values = measured(np.zeros(POINTS), np.random.default_rng(1))
    shift = np.array([3.0, -4.0, 0.5, 2.0, -1.5])
    alone, shifted = best_of(values), best_of(values + shift)
    assert shifted.point == alone.point and shifted.bias == pytest.approx(alone.bias, abs=0.2)
    assert shifted.high - shifted.low > 2 * (alone.high - alone.low)


def test_a_point_far_above_the_others_among_points_that_differ_needs_no_correction():
    true = np.array([0.0, 20.0, 40.0, 60.0, 80.0])
    best = best_of(measured(true, np.random.default_rng(2)))
    assert best.point == 4 and abs(best.bias) < 0.15 * ERROR


def test_missing_seeds_and_points_are_left_out():
    values = measured(np.zeros(POINTS), np.random.default_rng(3))
    values[np.nanargmax(np.nanmean(values, axis=1))] = np.nan
    values[4, 1:] = values[9, :2] = np.nan
    for method in METHODS:
        best = best_of(values, method)
        assert np.isfinite([best.value, best.low, best.high]).all() and best.points == POINTS - 1
        assert best.naive == pytest.approx(np.nanmean(values[best.point]))


def test_one_seed_and_no_values_say_why_and_two_seeds_are_enough():
    values = measured(np.zeros(POINTS), np.random.default_rng(3))
    for method in METHODS:
        one = best_of(values[:, :1], method)
        assert one.value is None and one.naive == values[:, 0].max() and "one seed" in one.why
        nothing = best_of(np.full((3, 4), np.nan), method)
        assert (nothing.point, nothing.naive, nothing.value) == (None, None, None) and nothing.why
        assert best_of(values[:, :2], method).value < values[:, :2].mean(axis=1).max() + 1e-9
    single = best_of(values[:1])
    assert single.point == 0 and single.value == pytest.approx(single.naive, abs=0.1)
    flat = best_of(np.ones((4, 3)))
    assert (flat.value, flat.low, flat.high) == (1.0, 1.0, 1.0)


def test_the_same_seed_gives_the_same_numbers():
    values = measured(np.zeros(POINTS), np.random.default_rng(3))
    assert best_of(values, seed=5) == best_of(values, seed=5) != best_of(values, seed=6)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="split"):
        best_of(np.ones((3, 3)), "best")
    with pytest.raises(ValueError, match="points, seeds"):
        best_of(np.ones(3))
    with pytest.raises(ValueError, match="errors"):
        best_of_values(np.ones(3))


def test_a_number_that_does_not_choose_is_corrected_as_far_as_it_belongs_to_the_choice():
    generator = np.random.default_rng(4)
    values = measured(np.zeros(POINTS), generator)
    independent = generator.normal(size=values.shape)
    reported = np.stack([values, independent, -values], axis=2)
    same, other, opposite = best_of_choice(values[..., None], reported)
    assert same.bias > 1.2 * ERROR and abs(other.bias) < 0.4 * ERROR and opposite.bias < -1.2 * ERROR


def test_a_rule_with_a_limit_chooses_among_those_allowed():
    generator = np.random.default_rng(5)
    loss, probe = measured(np.zeros(POINTS), generator), measured(np.zeros(POINTS), generator)

    def rule(means):
        allowed = means[..., 0] >= means[..., 0].max(axis=-1, keepdims=True) - 0.8 * ERROR
        return np.where(allowed, means[..., 1], -np.inf).argmax(axis=-1)

    criteria = np.stack([loss, probe], axis=2)
    of_loss, of_probe = best_of_choice(criteria, criteria, rule)
    unlimited = best_of_choice(criteria, criteria, lambda means: means[..., 1].argmax(axis=-1))
    assert of_loss.point == of_probe.point == rule(criteria.mean(axis=1))
    assert of_loss.bias > ERROR  # among the best of the loss
    assert 0 < of_probe.bias < unlimited[1].bias and abs(unlimited[0].bias) < 0.5 * ERROR


def test_a_point_without_the_reported_number_has_none():
    values = measured(np.arange(6.0), np.random.default_rng(6))
    missing = values.copy()
    missing[5] = np.nan
    (best,) = best_of_choice(values[..., None], missing[..., None])
    assert best.point == 5 and best.value is None and best.why
    missing[5] = values[5]
    missing[0] = np.nan
    (best,) = best_of_choice(values[..., None], missing[..., None])
    assert best.point == 5 and best.value == pytest.approx(best.naive, abs=ERROR)


def test_single_values_with_known_errors():
    generator = np.random.default_rng(7)
    off = []
    for n in range(150):
        values = generator.normal(size=8)
        by_error, by_replicas = (
            best_of_values(values, errors=np.ones(8), draws=150, seed=n),
            best_of_values(values, replicas=values + generator.normal(size=(400, 8)), draws=150, seed=n),
        )
        off.append((by_error.naive, by_error.value, by_replicas.value))
        assert by_error.point == values.argmax() and by_error.low < by_error.value < by_error.high
    naive, by_errors, by_replicas = np.mean(off, axis=0)
    assert naive == pytest.approx(1.42, abs=0.15) and abs(by_errors) < 0.25 and abs(by_replicas) < 0.25


def test_the_rule_of_the_largest_looks_at_the_first_criterion():
    assert largest(np.array([[[1.0, 9.0], [2.0, 0.0]]])).tolist() == [1]
