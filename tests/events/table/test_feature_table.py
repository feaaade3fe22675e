"""FeatureTable: rows by mask."""

from __future__ import annotations

import numpy as np
import pytest

from hepda.errors import DataError
from hepda.events.table.feature_table import FeatureTable


def make_table(n: int = 7) -> FeatureTable:
    rng = np.random.default_rng(1)
    return FeatureTable(
        features=rng.normal(size=(n, 2)).astype(np.float32),
        names=("ht", "n_jets"),
        weight=rng.normal(size=n),
        label=np.array([1, 0, 0, 1, -1, -1, 0][:n], dtype=np.int8),
        domain=np.array([0, 0, 1, 1, 2, 2, 0][:n], dtype=np.int16),
        domain_names=("simulation", "alternative", "data"),
        sample=np.array([0, 1, 2, 2, 3, 3, 1][:n], dtype=np.int16),
        sample_names=("ttH", "ttjets", "alt", "data"),
        fold=np.arange(n, dtype=np.int8) % 2,
        validation=np.arange(n) % 3 == 0,
        key=rng.integers(2**63, 2**64 - 1, n, dtype=np.uint64),
        columns={"domain:dann:mask": np.arange(n) % 2 == 0},
    )


def test_select() -> None:
    table = make_table()
    part = table.select(table.of_samples(["ttjets"]))
    assert len(part) == 2
    assert part.key.tolist() == table.key[[1, 6]].tolist()
    assert part.columns["domain:dann:mask"].tolist() == [False, True]
    assert table.of_domain("data").tolist() == [False] * 4 + [True] * 2 + [False]


def test_mistakes() -> None:
    table = make_table()
    with pytest.raises(DataError, match="'tth' is not a sample"):
        table.of_samples(["tth"])
    with pytest.raises(DataError, match="'nature' is not a domain"):
        table.of_domain("nature")
    with pytest.raises(DataError, match="weight has 2 rows, the features have 7"):
        FeatureTable(
            table.features, table.names, table.weight[:2], table.label, table.domain, table.domain_names,
            table.sample, table.sample_names, table.fold, table.validation, table.key,
        )  # fmt: skip
