"""Means and standard deviations over seeds, and the choice among points without labels of the target.

Criterion `physics`: of the points whose source loss is within a tolerance of the smallest, the one on whose score a
fresh probe finds least (AUC nearest to 0.5 from above; among equal ones, the smallest loss). Criterion `loss`: the
point with the smallest source loss; `physics` becomes `loss` if there is no second domain. Any other criterion is a
scorer of hepda.adversarial.training.selection: the point with the largest mean. All of them use choosing events only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hepda.errors import ConfigError, nearest
from hepda.workflows.scan.measuring import LOSS, PHYSICS
from hepda.workflows.scan.points import Point


@dataclass(frozen=True, slots=True)
class Criterion:
    """The rule of the choice. tolerance: of the criterion `physics`, relative, on the loss of the source."""

    name: str = PHYSICS
    tolerance: float = 0.05

    @property
    def rule(self) -> str:
        """The rule as text."""
        if self.name == PHYSICS:
            return (
                f"of the points whose source loss is within {100 * self.tolerance:g} % of the smallest, the one with "
                "the lowest AUC of a fresh domain probe on the score"
            )
        if self.name == LOSS:
            return "the point with the smallest source loss"
        return f"the point with the largest {self.name}"


def check_criterion(criterion: Criterion, networks_only: bool) -> None:
    """Raise ConfigError if the criterion does not exist or cannot be used with these models.

    Args:
        criterion: the name and the tolerance to check.
        networks_only: whether all scanned models are networks; the scorers need networks.

    Raises:
        ConfigError: there is no such criterion, it needs networks, or the tolerance is negative.

    """
    from hepda.adversarial.training.selection import SCORERS

    criteria = [PHYSICS, LOSS, *SCORERS]
    if criterion.name not in criteria:
        hint = nearest(criterion.name, criteria) or f" There are: {', '.join(criteria)}."
        raise ConfigError(f"--criterion {criterion.name}: there is no such criterion.{hint}")
    if criterion.name not in (PHYSICS, LOSS) and not networks_only:
        raise ConfigError(
            f"--criterion {criterion.name}: needs a network, which trees are not; use {PHYSICS} or {LOSS}."
        )
    if not criterion.tolerance >= 0.0:
        raise ConfigError(f"--tolerance {criterion.tolerance:g}: must be 0 or more.")


@dataclass(slots=True)
class Result:
    """A point with the numbers of its seeds. rows: the evaluation of each seed, in the order of the seeds."""

    point: Point
    seeds: Sequence[int]
    rows: Sequence[Mapping[str, Any]]
    mean: dict[str, float | None] = field(default_factory=dict)
    std: dict[str, float | None] = field(default_factory=dict)
    count: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in dict.fromkeys(name for row in self.rows for name in row["numbers"]):
            values = [row["numbers"][name] for row in self.rows if row["numbers"].get(name) is not None]
            self.mean[name] = sum(values) / len(values) if values else None
            self.std[name] = deviation(values)
            self.count[name] = len(values)

    @property
    def failed(self) -> int:
        """Seeds whose training failed: such a point is never chosen, and its means are those of the other seeds."""
        return sum(bool(row["failed"]) for row in self.rows)

    @property
    def why(self) -> list[str]:
        """What is missing at any seed, and the reason."""
        return list(dict.fromkeys(text for row in self.rows for text in row["why"]))


def deviation(values: Sequence[float]) -> float | None:
    """Return the standard deviation (n - 1) of the values, None for fewer than two."""
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def choose(results: Sequence[Result], criterion: Criterion, best_loss: float | None = None) -> Result | None:
    """Return the chosen point, or None if no point has what the criterion needs.

    Args:
        results: the points to choose from.
        criterion: the rule of the choice.
        best_loss: the smallest loss, from which the tolerance counts; None takes that of `results` (points of other
            curves may have a smaller one).

    """
    column = f"choice_{criterion.name}"
    if criterion.name == LOSS:
        candidates = [r for r in results if not r.failed and r.mean.get(column) is not None]
        return min(candidates, key=lambda r: _value(r, column), default=None)
    if criterion.name != PHYSICS:
        candidates = [r for r in results if not r.failed and r.mean.get(column) is not None]
        return max(candidates, key=lambda r: _value(r, column), default=None)
    candidates = eligible(results)
    best = smallest_loss(candidates) if best_loss is None else best_loss
    within_tolerance = [
        r for r in candidates if best is not None and _value(r, "choice_loss") <= best * (1.0 + criterion.tolerance)
    ]
    return min(
        within_tolerance, key=lambda r: (max(_value(r, "choice_probe"), 0.5), _value(r, "choice_loss")), default=None
    )


def eligible(results: Sequence[Result]) -> list[Result]:
    """Return the points that have a loss and a probe and none of whose trainings failed."""
    names = ("choice_loss", "choice_probe")
    return [r for r in results if not r.failed and all(r.mean.get(name) is not None for name in names)]


def smallest_loss(results: Sequence[Result]) -> float | None:
    """Return the smallest mean source loss of the points that may be chosen, None if there are none."""
    return min((_value(r, "choice_loss") for r in eligible(results)), default=None)


def objective(result: Result, earlier: Sequence[Result], criterion: Criterion) -> float | None:
    """Return one number for a guided search, the larger the better; None if the point failed or lacks the numbers.

    For `physics`: minus what the probe finds above 0.5, minus the relative excess of the loss over the tolerance. The
    smallest loss is that of the points so far.

    Args:
        result: the point.
        earlier: the points so far.
        criterion: the rule of the choice.

    """
    if result.failed:
        return None
    if criterion.name != PHYSICS:
        value = result.mean.get(f"choice_{criterion.name}")
        return -value if criterion.name == LOSS and value is not None else value
    best = smallest_loss([*earlier, result])
    if best is None or not eligible([result]):
        return None
    excess = _value(result, "choice_loss") / best - 1.0 - criterion.tolerance
    return -max(_value(result, "choice_probe") - 0.5, 0.0) - max(excess, 0.0)


def _value(result: Result, name: str) -> float:
    value = result.mean.get(name)
    return math.nan if value is None else value
