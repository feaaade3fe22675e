"""The result of a choice among several points: which one, and how good it is to be expected."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BestOf:
    """The chosen one of some points: its number as measured, and corrected for being the chosen one.

    Attributes:
        point: index of the chosen point, None if no point could be chosen.
        naive: mean of its values, which is too good: among equal points that of the luckiest is chosen.
        value: estimate of its expected value, None with the reason in `why`.
        low: lower end of the interval of the expected value.
        high: upper end.
        method: name of the estimator.
        points: number of points that could be chosen.
        seeds: largest number of seeds of a point.
        level: coverage of the interval.
        why: what is missing, and the reason.

    """

    point: int | None
    naive: float | None
    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = "bootstrap"
    points: int = 0
    seeds: int = 0
    level: float = 0.6827
    why: str | None = None

    @property
    def bias(self) -> float | None:
        """How much the choice moved the measured number, naive minus corrected; None if that is unknown."""
        return None if self.naive is None or self.value is None else self.naive - self.value
