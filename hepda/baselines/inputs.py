"""What trees are trained with: their settings, and events whose features are in memory or in a table on the disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int8]
Loss = Literal["classes", "squared", "absolute"]
"""What trees minimise: the cross entropy of classes, or the squared or absolute difference of a number."""
Weights = NDArray[np.float64]
ROWS = 65_536
"""Number of rows of a block."""


class BdtSettings(Protocol):
    """Settings of a BDT, with the descriptions of `hepda.config.BdtConfig`."""

    @property
    def library(self) -> str:
        """sklearn, xgboost or lightgbm."""

    @property
    def iterations(self) -> int:
        """Largest number of trees."""

    @property
    def learning_rate(self) -> float:
        """Factor on the contribution of each tree."""

    @property
    def max_leaves(self) -> int | None:
        """Largest number of leaves of a tree."""

    @property
    def max_depth(self) -> int | None:
        """Largest depth of a tree."""

    @property
    def min_samples(self) -> int:
        """Smallest number of events in a leaf."""

    @property
    def l2(self) -> float:
        """L2 penalty on the leaves' values."""

    @property
    def patience(self) -> int | None:
        """Iterations without improvement after which the training stops."""


Categories = Mapping[int, tuple[int, ...]]
"""The values of each categorical feature, by its column."""


def coded(features: NDArray[np.float32], categories: Categories) -> NDArray[np.float32]:
    """Return features [..., k] with each category as its position in its list of values.

    A value that is not listed is NaN, which trees take as missing.

    Args:
        features: the features; they are not changed.
        categories: the values of categorical features.

    """
    if not categories:
        return features
    result = np.array(features, dtype=np.float32, order="C")
    for column, values in categories.items():
        order = np.argsort(values)
        ordered = np.asarray(values, dtype=np.float32)[order]
        place = np.minimum(np.searchsorted(ordered, features[..., column]), len(values) - 1)
        result[..., column] = np.where(ordered[place] == features[..., column], order[place], np.nan)
    return result


@dataclass(frozen=True, slots=True, eq=False)
class StoredFeatures:
    """Features [n, k] that stay in a memory-mapped table; an index reads its rows into an array.

    Attributes:
        table: all features [rows, k], float32.
        index: the ascending numbers of the n rows of the table.
        categories: the values of categorical features, which are read as their codes (`coded`).

    """

    table: NDArray[np.float32]
    index: NDArray[np.integer[Any]]
    categories: Categories = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """Return the number of rows and of features."""
        return len(self.index), self.table.shape[1]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: slice | NDArray[Any]) -> NDArray[np.float32]:
        return coded(np.asarray(self.table[self.index[rows]]), self.categories)

    def of(self, mask: NDArray[np.bool_]) -> StoredFeatures:
        """Return the rows that a mask [n] selects, without reading them."""
        return StoredFeatures(self.table, self.index[mask], self.categories)


Features = NDArray[np.float32] | StoredFeatures


@dataclass(frozen=True, slots=True)
class TrainingEvents:
    """Features [n, k], float32, in memory or in a table, labels [n] and training weights [n].

    Labels are 1 for signal and 0 for background, or the numbers 0, 1, 2, ... of three classes or more; or, if `loss` is
    not `classes`, the numbers that trees shall predict, float64, of which it is minimised.
    """

    features: Features
    label: Labels | Weights
    weight: Weights
    loss: Loss = "classes"

    @property
    def classes(self) -> int:
        """Return the number of classes, at least two."""
        return max(2, int(self.label.max(initial=0)) + 1)


def selected(features: Features, mask: NDArray[np.bool_]) -> Features:
    """Return the rows of features that a mask [n] selects; those of a table are not read."""
    return features.of(mask) if isinstance(features, StoredFeatures) else features[mask]


def with_codes(features: Features, categories: Categories) -> Features:
    """Return features whose categories are codes; those of a table are not read."""
    if isinstance(features, StoredFeatures):
        return StoredFeatures(features.table, features.index, categories)
    return coded(features, categories)


def blocks(features: Features, rows: int = ROWS) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield the features in blocks: the slice of the rows, and the contiguous array of their features."""
    for start in range(0, len(features), rows):
        block = slice(start, min(start + rows, len(features)))
        yield block, np.ascontiguousarray(features[block])


@dataclass(frozen=True, slots=True, eq=False)
class TreeTraining:
    """A training of trees, as every library gets it.

    settings: of the trees; train: events with positive weights; validation: events for early stopping; seed: of the
    library; categories: how many values each categorical feature has, by its column; features are then codes from 0.
    """

    settings: BdtSettings
    train: TrainingEvents
    validation: TrainingEvents | None = None
    seed: int = 0
    categories: Mapping[int, int] = field(default_factory=dict)

    @property
    def held_out(self) -> TrainingEvents | None:
        """Return the events that decide when to stop; None if nothing stops the training before its last tree."""
        return None if self.settings.patience is None else self.validation
