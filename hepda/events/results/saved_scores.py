"""The events of a finished run as stored in scores.parquet: without features, but with all that a fit needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import ConfigError
from hepda.events.dataset.splits import is_validation
from hepda.events.results.scores_file import ScoresFile
from hepda.events.specs import DatasetSpec
from hepda.events.table.feature_table import FeatureTable
from hepda.runtime import run_directory


def kinds_of(scores: Iterable[str]) -> dict[str, str]:
    """Return the columns of scores.parquet and the kinds of values that `read_scores` requires.

    Args:
        scores: the score columns of all models.

    """
    columns = {
        "key": "u",
        "weight": "f",
        "label": "i",
        "fold": "i",
        "sample": run_directory.NAMES,
        "domain": run_directory.NAMES,
    }
    return columns | dict.fromkeys(scores, "f")


@dataclass(frozen=True, slots=True, eq=False)
class SavedScores(Mapping[str, NDArray[Any]]):
    """The score columns [n] of all models of a run by name; a column is read whenever it is asked for."""

    file: ScoresFile
    names: tuple[str, ...]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self.names:
            raise KeyError(name)
        return self.file[name]


def read_scored(spec: DatasetSpec, run: Path) -> tuple[FeatureTable, SavedScores]:
    """Read the events (features [n, 0]) of a run, and open the score columns [n] of all models.

    The events have the columns of the regions that the run has saved. A score column is read when it is asked for.

    Args:
        spec: the samples, domains, models and the split of the run's analysis file.
        run: the run directory.

    Raises:
        ConfigError: the run has no scores, or they are not those of its analysis file.

    """
    names = [name for model in spec.models.values() for name in model.columns]
    saved, page = ScoresFile(run, kinds_of(names)), run / "config.yaml"
    sample, sample_names = saved.codes("sample")
    domain, domain_names = saved.codes("domain")
    if sample_names != tuple(spec.samples) or domain_names != spec.domains:
        raise ConfigError(f"{saved.path} has not the samples and domains of {page}: it was changed. Train again.")
    key = saved["key"]
    table = FeatureTable(
        features=np.zeros((len(key), 0), dtype=np.float32),
        names=(),
        weight=saved["weight"],
        label=saved["label"],
        domain=domain,
        domain_names=domain_names,
        sample=sample,
        sample_names=sample_names,
        fold=saved["fold"],
        validation=is_validation(key, spec.split.validation),
        key=key,
        columns={name: saved[name] for name in spec.region_columns if name in saved},
    )
    return table, SavedScores(saved, tuple(names))
