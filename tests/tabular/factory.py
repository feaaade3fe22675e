"""A small table for tests: classes that differ in two measures and a colour, and a second site whose scale drifts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml


def frame(n: int = 600, classes: int = 2, seed: int = 0, unlabelled: bool = False) -> pd.DataFrame:
    """Rows of two sites and a third, held out; the true AUC of the first measure alone is about 0.8."""
    rng = np.random.default_rng(seed)
    label, site = rng.integers(0, classes, n), rng.choice(["home", "away", "far"], n, p=[0.5, 0.4, 0.1])
    drift = (site != "home") * 0.7
    table = pd.DataFrame({
        "length": rng.normal(1.2 * label + drift, 1.0),
        "width": rng.normal(0.4 * label, 1.0),
        "colour": np.where(rng.random(n) < 0.3 + 0.2 * (label == 0), "red", "blue"),
        "patient": np.arange(n) // 2,
        "site": site,
        "kind": np.array(["cat", "dog", "fox"])[label],
        "w": rng.choice([1.0, 1.0, 1.0, -0.2], n),
    })  # fmt: skip
    table.loc[::50, "width"] = np.nan
    if unlabelled:
        table.loc[table["site"] != "home", "kind"] = None
    return table


def write_analysis(folder: Path, table: pd.DataFrame | None = None, **keys: Any) -> Path:
    """Write table.csv and an analysis of it that trains in seconds; returns the path of the YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    (frame() if table is None else table).to_csv(folder / "table.csv", index=False)
    text: dict[str, Any] = {
        "name": "animals", "kind": "tabular", "files": "table.csv", "label": "kind", "weight": "w",
        "domain": {"column": "site", "source": "home", "target": "away", "held_out": "far"},
        "categorical": ["colour"], "split": {"key": "patient"},
        "models": {
            "trees": {"kind": "bdt", "iterations": 10},
            "plain": {"kind": "network", "encoder": [8]},
            "dann": {"kind": "network", "encoder": [8], "title": "DANN", "domain": {"method": "dann", "head": [8]}},
        },
        "training": {"epochs": 3, "batch_size": 64, "learning_rate": 0.02, "processes": 1},
        "evaluation": {"bootstrap": 20, "permutations": 20},
    }  # fmt: skip
    path = folder / "animals.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in (text | keys).items() if v is not None}, sort_keys=False))
    return path
