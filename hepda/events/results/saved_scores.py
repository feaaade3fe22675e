"""The events of a finished run as stored in scores.parquet: without features, but with all that a fit needs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.errors import ConfigError
from hepda.events.dataset.splits import is_validation
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


def read_scored(spec: DatasetSpec, run: Path) -> tuple[FeatureTable, dict[str, NDArray[np.float32]]]:
    """Read the events (features [n, 0]) and the score columns [n] of all models from a run.

    The events have the columns of the regions that the run has saved.

    Args:
        spec: the samples, domains, models and the split of the run's analysis file.
        run: the run directory.

    Raises:
        ConfigError: the run has no scores, or they are not those of its analysis file.

    """
    names = [name for model in spec.models.values() for name in model.columns]
    saved, path, page = (
        run_directory.read_scores(run, kinds_of(names)),
        run / "scores.parquet",
        run / "config.yaml",
    )
    sample, sample_names = _codes(saved["sample"])
    domain, domain_names = _codes(saved["domain"])
    if sample_names != tuple(spec.samples) or domain_names != spec.domains:
        raise ConfigError(f"{path} has not the samples and domains of {page}: it was changed. Train again.")
    key = saved["key"].to_numpy()
    table = FeatureTable(
        features=np.zeros((len(key), 0), dtype=np.float32),
        names=(),
        weight=saved["weight"].to_numpy(),
        label=saved["label"].to_numpy(),
        domain=domain,
        domain_names=domain_names,
        sample=sample,
        sample_names=sample_names,
        fold=saved["fold"].to_numpy(),
        validation=is_validation(key, spec.split.validation),
        key=key,
        columns={name: saved[name].to_numpy() for name in spec.region_columns if name in saved.column_names},
    )
    return table, {name: saved[name].to_numpy() for name in names}


def _codes(column: Any) -> tuple[NDArray[np.int16], tuple[str, ...]]:
    """Return a column of names as numbers, and the names."""
    codes = column.combine_chunks()
    codes = codes.chunk(0) if hasattr(codes, "chunk") else codes
    return np.asarray(codes.indices).astype(np.int16), tuple(codes.dictionary.to_pylist())
