"""FeatureTable: the events as models, evaluation and figures use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_PREFIX = "column:"


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """A table with one row per event.

    features: float32 [n, k], row-major (training gathers rows), finite; names: the k features; weight: float64 [n],
    physical: expected events at the stated luminosity, sign kept; 1 for data; label: int8 [n], 1 signal, 0 background,
    -1 unknown; domain, sample: int16 [n], indices of their names; fold: int8 [n]; validation: bool [n], the part of the
    training events that decides when to stop; key: uint64 [n], hash of run and event; columns: further numbers [n] by
    name.
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

    def __post_init__(self) -> None:
        n = len(self.features)
        if self.features.ndim != 2 or self.features.shape[1] != len(self.names):
            raise DataError(
                f"FeatureTable: features of shape {self.features.shape} do not fit {len(self.names)} names."
            )
        for name, values in (*self._rows().items(), *self.columns.items()):
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

    def to_pandas(self) -> pd.DataFrame:
        """Return features by name, then weight, label, domain and sample (categorical), fold, validation, key.

        Raises:
            DataError: a feature has the name of one of these columns.

        """
        import pandas as pd

        data: dict[str, Any] = {name: self.features[:, i] for i, name in enumerate(self.names)}
        for clash in set(data) & set(self._rows()):
            raise DataError(f"The feature {clash!r} has the name of a column of the table; rename it.")
        data |= self._rows()
        data["domain"] = pd.Categorical.from_codes(self.domain, pd.Index(self.domain_names))
        data["sample"] = pd.Categorical.from_codes(self.sample, pd.Index(self.sample_names))
        data |= {_PREFIX + name: values for name, values in self.columns.items()}
        return pd.DataFrame(data)

    @classmethod
    def from_pandas(cls, frame: pd.DataFrame) -> FeatureTable:
        """Return the table of a frame that `to_pandas` returned.

        Raises:
            DataError: a column is missing.

        """
        columns = ["weight", "label", "domain", "sample", "fold", "validation", "key"]
        lost = [name for name in columns if name not in frame]
        if lost:
            raise DataError(f"The frame lacks {', '.join(lost)}; it was not written by FeatureTable.to_pandas.")
        extra = [str(name) for name in frame if str(name).startswith(_PREFIX)]
        names = tuple(str(name) for name in frame if name not in columns and name not in extra)
        domain, sample = frame["domain"].cat, frame["sample"].cat
        return cls(
            features=np.ascontiguousarray(frame[list(names)].to_numpy(dtype=np.float32)),
            names=names,
            weight=frame["weight"].to_numpy(dtype=np.float64),
            label=frame["label"].to_numpy(dtype=np.int8),
            domain=domain.codes.to_numpy().astype(np.int16),
            domain_names=tuple(domain.categories),
            sample=sample.codes.to_numpy().astype(np.int16),
            sample_names=tuple(sample.categories),
            fold=frame["fold"].to_numpy(dtype=np.int8),
            validation=frame["validation"].to_numpy(dtype=np.bool_),
            key=frame["key"].to_numpy(dtype=np.uint64),
            columns={name.removeprefix(_PREFIX): frame[name].to_numpy() for name in extra},
        )
