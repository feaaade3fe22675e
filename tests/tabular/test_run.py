"""A run from the command line: train, resume, evaluate, compare."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hepda.cli import main
from hepda.config import load_any
from hepda.kinds import kind_of
from hepda.tabular import figures
from tests.reports import assert_no_table_is_empty
from tests.tabular.factory import frame, write_analysis

FEW = {"roc": figures.FIGURES["roc"], "scores": figures.FIGURES["scores"]}
KEYS = {
    "models": {
        "plain": {"kind": "network", "encoder": [8]},
        "dann": {"kind": "network", "encoder": [8], "title": "DANN", "domain": {"method": "dann", "head": [8]}},
    },
    "domain": {"column": "site", "source": "home", "target": "away"}, "weight": None,
    "training": {"epochs": 20, "batch_size": 64, "learning_rate": 0.02, "processes": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tabular")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "FIGURES", FEW)
        path = write_analysis(folder, frame(), **KEYS)
        assert main(["train", "--config", str(path), "--output", str(folder / "run"), "--plots", "all"]) == 0
    return folder / "run"


def test_metrics_are_those_of_the_saved_scores(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["kind"] == "tabular" and metrics["classes"] == ["cat", "dog"]
    assert metrics["samples"]["home"]["rows"] == 294
    saved = pq.read_table(run / "scores.parquet").to_pandas()
    away = saved[saved["domain"] == "away"]
    for model, entry in metrics["models"].items():
        right = (away[f"{model}:dog"] > away[f"{model}:cat"]) == (away["label"] == "dog")
        assert entry["accuracy"]["away"]["value"] == pytest.approx(right.mean())
        assert entry["auc"]["home"]["value"] > 0.6
        assert set(entry["probe"]["away"]) == {"score", "embedding", "inputs"}
    assert np.allclose(saved["dann:cat"] + saved["dann:dog"], 1.0, atol=1e-5)


def test_the_report_has_filled_tables_and_the_figures(run: Path) -> None:
    page = (run / "report.html").read_text()
    for text in ("Accuracy and AUC", "Differences of the score", "AUC of fresh classifiers", "away: ",
                 "ROC curves, away: dog against the rest", "Probability of dog by domain, DANN"):  # fmt: skip
        assert text in page, text
    assert page.count("data:image/png") == 4
    assert_no_table_is_empty(run, kind_of(load_any(run / "config.yaml")))


def test_a_finished_run_is_resumed_at_once_and_evaluated_again_alike(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "FIGURES", {})
    shutil.copytree(run, tmp_path / "run")
    config = str(run.parent / "animals.yaml")
    assert main(["train", "--config", config, "--output", str(tmp_path / "run"), "--resume"]) == 0
    assert "there is nothing to do" in " ".join(capsys.readouterr().out.split())
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    one, two = (json.loads((folder / "metrics.json").read_text()) for folder in (run, tmp_path / "run"))
    assert one == two
    page = tmp_path / "comparison.html"
    assert main(["compare", str(run), str(tmp_path / "run"), "--output", str(page)]) == 0
    text = page.read_text()
    for title in ("Accuracy and AUC", "Classes", "Differences of the score", "All runs compared"):
        assert title in text, title
    assert text.count("data:image/png") == 1 and "no figure" not in text


def test_a_run_whose_table_has_changed_is_not_evaluated(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_analysis(tmp_path, frame(seed=3), **KEYS)
    shutil.copytree(run, tmp_path / "run")
    text = (tmp_path / "run" / "config.yaml").read_text()
    (tmp_path / "run" / "config.yaml").write_text(text.replace(str(run.parent), str(path.parent)))
    assert main(["evaluate", str(tmp_path / "run")]) == 2
    assert "changed" in capsys.readouterr().err
