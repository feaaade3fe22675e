import numpy as np
import pytest

from hepda.evaluation.working_points.policy import reinforce


def test_a_policy_finds_the_maximum_of_a_noisy_reward():
    generator = np.random.default_rng(1)
    target = np.array([1.0, -2.0])
    learned = reinforce(lambda x: -np.sum((x - target) ** 2) + 0.1 * generator.normal(), [0.0, 0.0], trials=4000)
    assert np.allclose(learned.mean, target, atol=0.2)
    assert len(learned.rewards) == 4000 and learned.rewards[-200:].mean() > learned.rewards[:200].mean() + 2.5


def test_the_step_is_in_the_direction_of_better_trials_on_average():
    """One step from many seeds: its mean is along the gradient, and vanishes across it."""
    steps = np.array([reinforce(lambda x: 3.0 * x[0], [0.0, 0.0], trials=1, seed=s).mean for s in range(400)])
    error = steps.std(axis=0) / np.sqrt(400)
    assert steps[:, 0].mean() > 5 * error[0] and abs(steps[:, 1].mean()) < 4 * error[1]


def test_the_unit_of_the_reward_does_not_matter_and_equal_seeds_are_equal():
    def reward(x):
        return -abs(x[0] - 1.0)

    one, two = reinforce(reward, [0.0], trials=200), reinforce(lambda x: 1000 * reward(x), [0.0], trials=200)
    assert np.allclose(one.mean, two.mean, atol=1e-3)
    assert np.array_equal(one.rewards, reinforce(reward, [0.0], trials=200).rewards)


def test_a_reward_that_is_no_number_teaches_nothing():
    learned = reinforce(lambda x: np.nan, [0.5], trials=20)
    assert learned.mean[0] == 0.5


def test_settings_are_checked():
    with pytest.raises(ValueError, match="a trial or more"):
        reinforce(lambda x: 0.0, [0.0], trials=0)
