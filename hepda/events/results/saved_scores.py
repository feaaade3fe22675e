"""The events of a finished run as stored in scores.parquet: without features, but with all that a fit needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig
from hepda.errors import ConfigError
from hepda.events.dataset.splits import is_validation
from hepda.events.table.feature_table import FeatureTable
from hepda.runtime import run_directory


def kinds_of(config: AnalysisConfig) -> dict[str, str]:
    """Return the columns of scores.parquet and the kinds of values that `read_scores` requires."""
    own = {
        "key": "u",
        "weight": "f",
        "label": "i",
        "fold": "i",
        "sample": run_directory.NAMES,
        "domain": run_directory.NAMES,
    }
    return own | dict.fromkeys(config.models, "f")


def read_scored(config: AnalysisConfig, run: Path) -> tuple[FeatureTable, dict[str, NDArray[np.float32]]]:
    """Read the events (features [n, 0]) and the score [n] of each model from a run.

    Args:
        config: the analysis file of the run.
        run: the run directory.

    Raises:
        ConfigError: the run has no scores, or they are not those of its analysis file.

    """
    saved, path, page = run_directory.read_scores(run, kinds_of(config)), run / "scores.parquet", run / "config.yaml"
    sample, names = _codes(saved["sample"])
    domain, domains = _codes(saved["domain"])
    if names != tuple(config.samples) or domains != config.domains:
        raise ConfigError(f"{path} has not the samples and domains of {page}: it was changed. Train again.")
    key = saved["key"].to_numpy()
    table = FeatureTable(
        features=np.zeros((len(key), 0), dtype=np.float32),
        names=(),
        weight=saved["weight"].to_numpy(),
        label=saved["label"].to_numpy(),
        domain=domain,
        domain_names=domains,
        sample=sample,
        sample_names=names,
        fold=saved["fold"].to_numpy(),
        validation=is_validation(key, config.split.validation),
        key=key,
    )
    return table, {model: saved[model].to_numpy() for model in config.models}


def _codes(column: Any) -> tuple[NDArray[np.int16], tuple[str, ...]]:
    """Return a column of names as numbers, and the names."""
    whole = column.combine_chunks()
    whole = whole.chunk(0) if hasattr(whole, "chunk") else whole
    return np.asarray(whole.indices).astype(np.int16), tuple(whole.dictionary.to_pylist())
