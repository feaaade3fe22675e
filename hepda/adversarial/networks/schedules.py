"""How the strength of a reversal and the learning rate change over a run.

Every schedule is a function of `progress`, the fraction of the run that is done (0 to 1), so a run of other
length follows the same curve.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from hepda.errors import ConfigError, nearest

Schedule = Callable[[float], float]


def ganin_strength(progress: float, gamma: float = 10.0) -> float:
    """Rise from 0 to almost 1: `2 / (1 + exp(-gamma p)) - 1` (Ganin & Lempitsky 2015, gamma = 10).

    Example:
        >>> from hepda.adversarial.networks.schedules import ganin_strength
        >>> [round(ganin_strength(progress), 3) for progress in (0.0, 0.1, 1.0)]
        [0.0, 0.462, 1.0]

    """
    return 2.0 / (1.0 + math.exp(-gamma * progress)) - 1.0


def linear_strength(progress: float) -> float:
    """Rise linearly over the run: p."""
    return progress


def cosine_strength(progress: float) -> float:
    """Half a cosine from 0 to 1: slow at both ends."""
    return 0.5 * (1.0 - math.cos(math.pi * progress))


def constant(progress: float) -> float:
    """One value for the entire run: 1."""
    return 1.0


def ganin_rate(progress: float, alpha: float = 10.0, beta: float = 0.75) -> float:
    """Fall as `(1 + alpha p)^-beta` (Ganin & Lempitsky 2015, alpha = 10, beta = 0.75)."""
    return float((1.0 + alpha * progress) ** -beta)


def cosine_rate(progress: float) -> float:
    """Fall from 1 to 0 along half a cosine (Loshchilov & Hutter 2017, without restarts)."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def one_cycle_rate(progress: float, rise: float = 0.3, start: float = 0.04, end: float = 1e-4) -> float:
    """Rise from `start` to 1 in the first 30 % of the run, then fall to `end` (Smith & Topin 2018)."""
    if progress < rise:
        return start + (1.0 - start) * cosine_strength(progress / rise)
    return end + (1.0 - end) * cosine_rate((progress - rise) / (1.0 - rise))


STRENGTH_SCHEDULES: dict[str, Schedule] = {
    "ganin": ganin_strength,
    "linear": linear_strength,
    "cosine": cosine_strength,
    "constant": constant,
}
RATE_SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "one-cycle": one_cycle_rate,
    "cosine": cosine_rate,
    "ganin": ganin_rate,
}


def find_schedule(name: str, table: dict[str, Schedule], what: str) -> Schedule:
    """Return the schedule of that name, or a `ConfigError` that lists the names there are."""
    if name not in table:
        raise ConfigError(f"unknown schedule {name!r} of the {what}; one of {', '.join(table)}.{nearest(name, table)}")
    return table[name]
