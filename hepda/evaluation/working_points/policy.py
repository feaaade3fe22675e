"""A policy that learns by trial: a vector of numbers, drawn from a Gaussian whose mean follows the reward (REINFORCE).

The rule is that of Williams (Machine Learning 8, 229, 1992): after an action a ~ N(m, s^2) with reward R,

    m <- m + rate (R - b) (a - m) / s^2

with a running mean b of the rewards as baseline, which reduces the variance and not the expectation of a step. Wu,
Xiong and Wang (arXiv:1909.04176) learn the weights of labels in a training and the thresholds of their predictions by
it; where the best value can be searched directly, as that of a threshold, it needs many trials for what a search gives
at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hepda.evaluation.arrays import vector
from hepda.results.evaluation import FloatArray

Reward = Callable[[FloatArray], float]
_MEMORY = 0.95  # of the running mean of rewards and of their spread


@dataclass(frozen=True, slots=True, eq=False)
class LearnedPolicy:
    """A policy after its trials.

    Attributes:
        mean: the learned numbers [k], the mean of the last policy: not the best of its trials, whose reward would be
            too good.
        rewards: of all trials, in their order [trials].

    """

    mean: FloatArray
    rewards: FloatArray


def reinforce(
    reward: Reward, start: ArrayLike, *, trials: int = 1000, width: float = 0.3, rate: float = 0.02, seed: int = 0
) -> LearnedPolicy:
    """Learn a vector of numbers by REINFORCE with a running baseline.

    Rewards are divided by their running spread, so that the rate does not depend on their unit. A reward that is not
    a number counts as the baseline: it teaches nothing.

    Args:
        reward: from the numbers [k] of a trial to what is to be large.
        start: the numbers [k] at the beginning, such as logits of thresholds and logarithms of weights.
        trials: number of trials.
        width: standard deviation of the trials, in the unit of the numbers.
        rate: of the steps, in units of the width squared.
        seed: of the trials.

    Raises:
        ValueError: there is no trial, or width or rate is not positive.

    Example:
        >>> from hepda.evaluation.working_points.policy import reinforce
        >>> learned = reinforce(lambda x: -abs(x[0] - 2.0), [0.0], trials=3000)
        >>> round(float(learned.mean[0]), 0)
        2.0

    """
    if trials < 1 or not width > 0 or not rate > 0:
        raise ValueError(f"a policy needs a trial or more, a width and a rate above 0: {trials}, {width}, {rate}")
    mean, generator = vector(start, "start").copy(), np.random.default_rng(seed)
    baseline = float(reward(mean))
    baseline = baseline if np.isfinite(baseline) else 0.0
    spread, rewards = 0.0, np.zeros(trials)
    for trial in range(trials):
        noise = generator.standard_normal(len(mean))
        value = float(reward(mean + width * noise))
        rewards[trial] = value
        if not np.isfinite(value):
            continue
        advantage = value - baseline
        spread = _MEMORY * spread + (1 - _MEMORY) * advantage**2
        mean += rate * width * noise * advantage / np.sqrt(max(spread, 1e-12))
        baseline = _MEMORY * baseline + (1 - _MEMORY) * value
    return LearnedPolicy(mean, rewards)
