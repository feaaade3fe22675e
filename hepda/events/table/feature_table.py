"""FeatureTable: the events as models, evaluation and figures use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import DataError


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """A table with one row per event.

    features: float32 [n, k], row-major (training gathers rows), finite; names: the k features; weight: float64 [n],
    physical: expected events at the stated luminosity, sign kept; 1 for data; label: int8 [n], 1 signal, 0 background,
    -1 unknown; domain, sample: int16 [n], indices of their names; fold: int8 [n]; validation: bool [n], the part of the
    training events that decides when to stop; key: uint64 [n], hash of run and event; columns: further numbers [n] by
    name; collections: float32 [n, c] by name, row-major: the number of objects, then the features of the first object,
    of the second, ...; where there is no object, they are those of a missing value.
    """

    features: NDArray[np.float32]
    names: tuple[str, ...]
    weight: NDArray[np.float64]
    label: NDArray[np.int8]
    domain: NDArray[np.int16]
    domain_names: tuple[str, ...]
    sample: NDArray[np.int16]
    sample_names: tuple[str, ...]
    fold: NDArray[np.int8]
    validation: NDArray[np.bool_]
    key: NDArray[np.uint64]
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    collections: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.features)
        if self.features.ndim != 2 or self.features.shape[1] != len(self.names):
            raise DataError(
                f"FeatureTable: features of shape {self.features.shape} do not fit {len(self.names)} names."
            )
        for name, values in (*self._rows().items(), *self.columns.items(), *self.collections.items()):
            if len(values) != n:
                raise DataError(f"FeatureTable: {name} has {len(values)} rows, the features have {n}.")

    def __len__(self) -> int:
        return len(self.features)

    def _rows(self) -> dict[str, NDArray[Any]]:
        names = ("weight", "label", "domain", "sample", "fold", "validation", "key")
        return {name: getattr(self, name) for name in names}

    def select(self, mask: NDArray[Any]) -> FeatureTable:
        """Return the rows of a mask, or at indices; names stay."""
        return FeatureTable(
            features=np.ascontiguousarray(self.features[mask]),
            names=self.names,
            domain_names=self.domain_names,
            sample_names=self.sample_names,
            columns={name: values[mask] for name, values in self.columns.items()},
            collections={name: np.ascontiguousarray(values[mask]) for name, values in self.collections.items()},
            **{name: values[mask] for name, values in self._rows().items()},
        )

    def of_samples(
        self, names: Sequence[str], rows: slice | NDArray[np.integer[Any]] = slice(None)
    ) -> NDArray[np.bool_]:
        """Return the mask of the events of the named samples.

        Args:
            names: the samples.
            rows: the events that the mask is for; all by default.

        Raises:
            DataError: a name is not that of a sample.

        """
        for name in names:
            if name not in self.sample_names:
                raise DataError(f"{name!r} is not a sample of this table: {', '.join(self.sample_names)}.")
        chosen = np.isin(np.arange(len(self.sample_names)), [self.sample_names.index(name) for name in names])
        return np.asarray(chosen[self.sample[rows]])

    def of_domain(self, name: str) -> NDArray[np.bool_]:
        """Return the mask of the events of a domain.

        Raises:
            DataError: there is no domain of this name.

        """
        if name not in self.domain_names:
            raise DataError(f"{name!r} is not a domain of this table: {', '.join(self.domain_names)}.")
        return np.asarray(self.domain == self.domain_names.index(name))
