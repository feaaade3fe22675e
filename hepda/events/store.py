"""A FeatureTable as a folder of .npy files: written once, memory-mapped by every training process."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hepda.events.table import FeatureTable

_ROWS = ("features", "weight", "label", "domain", "sample", "fold", "validation", "key")


def write_table(table: FeatureTable, folder: Path) -> None:
    """Write the table to `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _ROWS:
        np.save(folder / f"{name}.npy", getattr(table, name), allow_pickle=False)
    for number, values in enumerate(table.columns.values()):
        np.save(folder / f"column{number}.npy", values, allow_pickle=False)
    names = {
        "names": table.names,
        "domain_names": table.domain_names,
        "sample_names": table.sample_names,
        "columns": list(table.columns),
    }
    (folder / "names.json").write_text(json.dumps(names))


def open_table(folder: Path) -> FeatureTable:
    """The table that `write_table` wrote, memory-mapped and read-only."""
    names = json.loads((folder / "names.json").read_text())
    rows = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ROWS}
    columns = {
        name: np.load(folder / f"column{number}.npy", mmap_mode="r", allow_pickle=False)
        for number, name in enumerate(names["columns"])
    }
    return FeatureTable(
        names=tuple(names["names"]),
        domain_names=tuple(names["domain_names"]),
        sample_names=tuple(names["sample_names"]),
        columns=columns,
        **rows,
    )
