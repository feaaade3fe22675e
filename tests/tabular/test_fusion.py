"""Fusions of models of a table: of trees and a network, three classes, learned out of fold."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hepda.baselines.fusion import Fusion
from hepda.cli import main
from hepda.tabular import figures
from tests.tabular.factory import frame, write_analysis

FUSIONS = {
    "both": {"kind": "fusion", "of": ["trees", "plain"], "title": "Both"},
    "stack": {"kind": "fusion", "of": ["trees", "dann"], "method": "logistic"},
    "iso": {"kind": "fusion", "of": ["trees", "plain"], "method": "isotonic"},
}
MODELS = {
    "trees": {"kind": "bdt", "iterations": 10},
    "plain": {"kind": "network", "encoder": [8]},
    "dann": {"kind": "network", "encoder": [8], "domain": {"method": "dann", "head": [8]}},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fused")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "FIGURES", {})
        evaluation = {"bootstrap": 20, "permutations": 20, "probes": False}
        path = write_analysis(folder, frame(classes=3), models=MODELS | FUSIONS, evaluation=evaluation)
        assert main(["train", "--config", str(path), "--output", str(folder / "run")]) == 0
    return folder / "run"


@pytest.mark.parametrize("name", FUSIONS)
def test_each_row_is_fused_by_what_the_other_folds_taught(run: Path, name: str) -> None:
    saved = pq.read_table(run / "scores.parquet").to_pandas()

    def of(model: str) -> np.ndarray:
        return saved[[f"{model}:{animal}" for animal in ("cat", "dog", "fox")]].to_numpy()

    for fold in (0, 1):
        rows = saved["fold"] == fold
        fusion = Fusion.load(run / "models" / name / f"fold{fold}-fusion.json")
        np.testing.assert_allclose(fusion([of(part)[rows] for part in FUSIONS[name]["of"]]), of(name)[rows], atol=1e-6)
        learned = saved["fold"] != fold
        expected = int((learned & (saved["domain"] == "home")).sum())
        assert fusion.rows == (0 if name == "both" else expected)


@pytest.mark.slow
def test_it_has_its_rows_and_its_weights(run: Path, tmp_path: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    entry = metrics["models"]["stack"]
    assert entry["adapted"] and not metrics["models"]["both"]["adapted"]
    assert set(entry["fusion"]["folds"][0]["weights"]) == {"trees", "dann"}
    assert metrics["models"]["both"]["title"] == "Both" and entry["auc"]["home"]["value"] > 0.6
    assert metrics["baseline"] == "plain" and "Fusions" in (run / "report.html").read_text()
    assert main(["evaluate", str(run)]) == 0
    assert json.loads((run / "metrics.json").read_text()) == metrics
