"""The numbers of the chosen point without its luck, on trainings made up for it."""

import numpy as np
import pytest

from hepda.workflows.scan.choice import Criterion, Result, choose, smallest_loss
from hepda.workflows.scan.corrected import corrected_numbers, criteria_of, rule_of

SEEDS = 5


def results(generator, points=12, seeds=SEEDS, spread=0.0):
    """Points of equal quality; in each training, a small loss goes with a large AUC."""
    found = []
    for _ in range(points):
        luck, other = generator.normal(size=seeds), generator.normal(size=seeds)
        offset = spread * generator.normal()
        rows = [
            {
                "numbers": {
                    "choice_loss": 0.50 - 0.01 * (a + offset), "choice_probe": 0.55 + 0.01 * b, "choice_entropy": -a,
                    "auc_simulation": 0.80 + 0.01 * (a + offset), "ks_alternative": 0.05 + 0.01 * b,
                    "shift_alternative_0.2": 0.1, "shift_alternative_0.2_error": 0.02,
                },
                "failed": False, "why": [],
            }
            for a, b in zip(luck, other, strict=True)
        ]  # fmt: skip
        found.append(Result(None, list(range(seeds)), rows))
    return found


@pytest.mark.parametrize("name", ["physics", "loss", "entropy"])
def test_the_rule_for_many_is_the_rule_of_the_choice(name):
    criterion = Criterion(name, 0.01)
    for seed in range(30):
        of_model = results(np.random.default_rng(seed), points=8)
        for number, result in enumerate(of_model):  # some below 0.5, where the loss decides
            result.mean["choice_probe"] -= 0.06 * (number % 3)
        part = of_model[2:] if seed % 2 else of_model
        columns = criteria_of(criterion)
        means = np.array([[sign * r.mean[column] for column, sign in columns.items()] for r in of_model])
        rule = rule_of(criterion, np.array([r in part for r in of_model]))
        expected = choose(part, criterion, smallest_loss(of_model))
        if expected is not None:
            assert of_model[int(rule(means))] is expected
            assert rule(np.stack([means, means]))[1] == rule(means)
        else:
            assert of_model[int(rule(means))] in part


def test_the_luck_of_the_chosen_point_is_taken_away():
    naive, value, other = [], [], []
    for seed in range(16):
        of_model = results(np.random.default_rng(seed))
        found = corrected_numbers(of_model, of_model, Criterion("loss"), seed=seed)
        assert set(found) == {"auc_simulation", "ks_alternative", "shift_alternative_0.2"}
        naive.append(found["auc_simulation"].naive)
        value.append(found["auc_simulation"].value)
        other.append(found["ks_alternative"].bias)
        assert found["shift_alternative_0.2"].bias == pytest.approx(0.0, abs=1e-9)
    error = 0.01 / np.sqrt(SEEDS)
    assert np.mean(naive) > 0.80 + 1.1 * error and abs(np.mean(value) - 0.80) < 0.5 * error
    assert abs(np.mean(other)) < 0.3 * error  # what does not belong to the loss was not chosen by it


def test_a_choice_by_the_probe_takes_luck_from_the_bias_and_not_from_the_separation():
    found = [corrected_numbers(r := results(np.random.default_rng(s)), r, Criterion(tolerance=1.0)) for s in range(8)]
    error = 0.01 / np.sqrt(SEEDS)
    assert np.mean([numbers["ks_alternative"].bias for numbers in found]) < -error
    assert abs(np.mean([numbers["auc_simulation"].bias for numbers in found])) < 0.4 * error


def test_without_a_choice_or_with_one_seed_there_is_no_correction():
    generator = np.random.default_rng(1)
    of_model = results(generator)
    assert corrected_numbers(of_model[:1], of_model[:1], Criterion()) == {}
    failed = results(generator)
    for result in failed:
        result.rows[0]["failed"] = True
    assert corrected_numbers(failed, failed, Criterion()) == {}
    single = corrected_numbers(r := results(generator, seeds=1), r, Criterion("loss"))
    assert single["auc_simulation"].value is None and "one seed" in single["auc_simulation"].why
