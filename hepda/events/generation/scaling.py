"""Coordinates of events as numbers of a normal distribution, each by itself, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hepda.errors import DataError

Floats = NDArray[np.float64]
_POINTS = 400
_END = 5.0
"""Where the smallest and the largest value are, in standard deviations."""


@dataclass(frozen=True, slots=True, eq=False)
class NormalScaling:
    """Monotonic maps of columns to a standard normal distribution: the normal quantile of the fraction below a value.

    Heavy tails and bounds are gone after it: a network learns what is left, how columns depend on each other.

    values, normal: the points of each map [columns, points], both rising; between them it is linear, outside it ends.
    """

    values: Floats
    normal: Floats

    @classmethod
    def of(cls, values: Floats, weight: Floats, mask: NDArray[np.bool_], like: int | None = None) -> NormalScaling:
        """Return the maps of values [n, c].

        Args:
            values: of events.
            weight: of each event [n], at least 0.
            mask: which values there are [n, c].
            like: a column with fewer than two different values, such as that of a jet which hardly any event has, has
                the map of the column that is so many places before it; None: there must not be any.

        Raises:
            DataError: a column has fewer than two different values, and none before it that it is like.

        """
        points: list[tuple[Floats, Floats]] = []
        for number, (column, there) in enumerate(zip(values.T, mask.T, strict=True)):
            known = column[there]
            if len(known) and known.min() < known.max():
                points.append(_points(known, weight[there]))
            elif like is not None and number >= like:
                points.append(points[number - like])
            else:
                raise DataError("objects of the events have a coordinate with one value only; a generator needs more.")
        return cls(*(np.stack(parts) for parts in zip(*points, strict=True)))

    def forward(self, values: Floats, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return normal numbers of values [n, c]; 0 where there is none."""
        return np.where(mask, self._mapped(values, self.values, self.normal), 0.0).astype(np.float32)

    def backward(self, normal: NDArray[np.floating], mask: NDArray[np.bool_]) -> Floats:
        """Return the values of normal numbers [n, c]; 0 where there is none."""
        return np.where(mask, self._mapped(normal.astype(np.float64), self.normal, self.values), 0.0)

    @staticmethod
    def _mapped(values: Floats, of: Floats, to: Floats) -> Floats:
        return np.stack([np.interp(column, x, y) for column, x, y in zip(values.T, of, to, strict=True)], axis=1)


def _points(values: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Return the points of the map of one column [POINTS + 2], twice."""
    share = (np.arange(_POINTS) + 0.5) / _POINTS
    order = np.argsort(values)
    values, weight = values[order], weight[order]
    below = (np.cumsum(weight) - 0.5 * weight) / weight.sum()
    known = np.interp(share, below, values)
    normal = torch.special.ndtri(torch.tensor(share)).numpy()
    x = np.concatenate([values[:1], known, values[-1:]])
    z = np.concatenate([[-_END], normal, [_END]])
    # equal values have one number, in the middle of theirs, and both rise strictly
    distinct, first, number = np.unique(x, return_index=True, return_counts=True)
    middle = z[(first + (number - 1) // 2)]
    full = np.linspace(0.0, 1.0, len(x))
    place = np.linspace(0.0, 1.0, len(distinct))
    return np.interp(full, place, distinct), np.interp(full, place, middle)
