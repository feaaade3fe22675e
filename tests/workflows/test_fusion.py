"""A fusion in every command: train, evaluate, fit, apply, check, export, scan; in Python; under varied events."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot
import yaml

import hepda
from hepda.baselines.fusion import Fusion
from hepda.cli import main
from hepda.errors import SourceError
from hepda.events.dataset.splits import event_key
from tests.factory import analysis, write_analysis

JES = {"kind": "shape", "up": {"jet_pt": "jet_pt_jes_up"}, "down": {"jet_pt": "jet_pt_jes_down"}}
MODELS: dict[str, Any] = {
    "network": {"kind": "network", "encoder": [6]},
    "dann": analysis()["models"]["dann"],
    "bdt": {"kind": "bdt", "iterations": 8},
    "both": {"kind": "fusion", "of": ["bdt", "network"]},
    "stack": {"kind": "fusion", "of": ["bdt", "dann"], "method": "logistic"},
    "iso": {"kind": "fusion", "of": ["bdt", "network"], "method": "isotonic"},
}
FUSIONS = [name for name, section in MODELS.items() if section["kind"] == "fusion"]


def run_cli(*arguments: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    return status, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fused")
    path = write_analysis(
        folder, n=700, models=MODELS, systematics={"jes": JES}, features=["ht", "n_jets", "n_b", "m_bb"],
        evaluation={"probes": False, "bootstrap": 0, "blind": None, "bias": {"between": ["simulation", "alternative"]}},
        training={"epochs": 1, "batch_size": 256, "patience": None, "processes": 1},
    )  # fmt: skip
    status, _, error = run_cli("train", "--config", path, "--output", folder / "run", "--plots", "none")
    assert status == 0, error
    return folder / "run"


def test_it_has_its_own_rows_in_numbers_and_tables(run: Path) -> None:
    finished = hepda.load(run)
    models: Any = finished.metrics.models
    assert list(models) == list(MODELS)
    for name in FUSIONS:
        entry = models[name]
        assert entry.auc["simulation"].value > 0.5 and "simulation:alternative" in entry.bias
        assert entry.fusion.of == MODELS[name]["of"] and len(entry.fusion.folds) == 2
        assert entry.training.trainings == 0 and entry.significance.asimov is not None
    assert models["both"].fusion.folds[0].weights == {"bdt": 0.5, "network": 0.5}
    assert models["stack"].fusion.folds[0].events > 200 and models["network"].fusion is None
    assert models["stack"].setup.adaptation == "of dann" and models["stack"].verdict.adapted
    assert models["both"].setup.kind == "mean of the logits of bdt + network"
    assert not models["both"].setup.class_loss and models["stack"].setup.class_loss == ["signal", "background"]
    weights = finished.tables["fusions"]
    assert list(weights["Part"]) == [
        "bdt", "network", "bdt", "dann", "constant, signal", "bdt", "network",
    ]  # fmt: skip
    assert list(finished.summary.index) == list(MODELS)
    assert "Fusions" in (run / "report.html").read_text()


def test_scores_are_those_of_the_fusion_of_its_models_out_of_fold(run: Path) -> None:
    scores = hepda.load(run).scores
    logits = [np.log(scores[name] / (1 - scores[name])) for name in ("bdt", "network")]
    np.testing.assert_allclose(scores["both"], 1 / (1 + np.exp(-np.mean(logits, axis=0))), atol=1e-5)
    for name in FUSIONS:
        for fold in (0, 1):
            fusion, rows = Fusion.load(run / "models" / name / f"fold{fold}-fusion.json"), scores["fold"] == fold
            parts = [scores.loc[rows, part].to_numpy() for part in MODELS[name]["of"]]
            np.testing.assert_array_equal(fusion(parts), scores.loc[rows, name])


@pytest.fixture(scope="module")
def friends(run: Path) -> dict[str, Any]:
    output = run.parent / "friends"
    status, _, error = run_cli("apply", run, run.parent / "signal.root", "--output", output, "--processes", 1)
    assert status == 0, error
    columns: dict[str, Any] = uproot.open(output / "signal.root")["hepda"].arrays(library="np")
    return columns


def test_apply_gives_events_of_the_run_their_scores(run: Path, friends: dict[str, Any]) -> None:
    saved = pq.read_table(run / "scores.parquet").to_pandas()
    saved = saved[saved["sample"] == "signal"].set_index("key")
    key = event_key(friends["run"], friends["event"])[friends["selected"]]
    for name in FUSIONS:
        np.testing.assert_allclose(friends[f"score_{name}"][friends["selected"]], saved.loc[key, name], atol=1e-6)


@pytest.mark.parametrize("name", FUSIONS)
def test_the_fusion_of_varied_events_is_that_of_the_varied_scores(
    run: Path, friends: dict[str, Any], name: str
) -> None:
    for side in ("up", "down"):
        rows = friends[f"selected_jes_{side}"]
        parts = [friends[f"score_{part}_jes_{side}"] for part in MODELS[name]["of"]]
        varied = friends[f"score_{name}_jes_{side}"]
        for fold in (0, 1):
            of_fold = rows & (friends["fold"] == fold)
            fusion = Fusion.load(run / "models" / name / f"fold{fold}-fusion.json")
            np.testing.assert_array_equal(varied[of_fold], fusion([part[of_fold] for part in parts]))
        both = rows & friends["selected"]
        assert np.abs(varied - friends[f"score_{name}"])[both].max() > 1e-3


def test_events_that_no_training_saw_get_the_mean_over_the_folds(run: Path) -> None:
    frame = hepda.load(run).features(str(run.parent / "signal.root")).drop(columns=["run", "event"])
    models = hepda.load(run).models
    expected = []
    for fold in (0, 1):
        key = next(k for k in range(1000) if event_fold(k) == fold)
        parts = [
            models[name].predict_proba(frame, key=np.full(len(frame), key, np.uint64))[:, 1]
            for name in MODELS["stack"]["of"]
        ]
        expected.append(Fusion.load(run / "models" / "stack" / f"fold{fold}-fusion.json")(parts))
    new = models["stack"].predict_proba(frame)
    np.testing.assert_allclose(new[:, 1], np.mean(expected, axis=0), atol=1e-6)
    np.testing.assert_allclose(new.sum(axis=1), 1.0, atol=1e-6)
    assert list(models["stack"].feature_names_in_) == ["ht", "n_jets", "n_b", "m_bb"]


def event_fold(key: int) -> int:
    from hepda.events.dataset.splits import fold_of

    return int(fold_of(np.array([key], np.uint64), 2)[0])


@pytest.mark.slow
def test_a_fit_has_its_own_results_of_a_fusion(run: Path, tmp_path: Path) -> None:
    status, _, error = run_cli(
        "fit", run, "--output", tmp_path / "fit", "--plots", "none", "--toys", 0, "--bootstrap", 0
    )
    assert status == 0, error
    fits = json.loads((tmp_path / "fit" / "fit.json").read_text())
    assert {"both", "stack", "iso"} <= set(fits["models"])


@pytest.mark.slow
def test_evaluate_and_check_read_it_and_name_a_file_that_is_damaged(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    assert run_cli("evaluate", tmp_path / "run", "--plots", "none")[0] == 0
    status, output, error = run_cli("check", tmp_path / "run")
    assert status == 0, output + error
    (tmp_path / "run" / "models" / "iso" / "fold1-fusion.json").write_text("{}")
    status, output, error = run_cli("check", tmp_path / "run")
    assert status == 2 and "models/iso/fold1-fusion.json" in output + error
    with pytest.raises(SourceError, match=r"fold1-fusion\.json: cannot be read as a fusion of models"):
        frame = hepda.load(run).features(str(run.parent / "signal.root"))
        hepda.load(tmp_path / "run").models["iso"].predict_proba(frame)


@pytest.mark.slow
def test_resume_computes_a_changed_fusion_and_trains_nothing_again(run: Path, tmp_path: Path) -> None:
    """A run that failed in a training: the fusion is changed before the training is done again."""
    path = run.parent / "small.yaml"
    content = yaml.safe_load(path.read_text())
    content["models"]["network"]["training"] = {"learning_rate": 1e30}  # its loss is not finite
    changed = run.parent / "changed.yaml"
    changed.write_text(yaml.safe_dump(content, sort_keys=False))
    output = tmp_path / "run"
    assert run_cli("train", "--config", changed, "--output", output, "--plots", "none")[0] == 2
    done = next(output.rglob("bdt-fold0-member0.npz"))
    seconds = json.loads(np.load(done)["text"].tobytes())["about"]["seconds"]
    del content["models"]["network"]["training"]
    content["models"]["iso"]["method"] = "logistic"
    changed.write_text(yaml.safe_dump(content, sort_keys=False))
    status, _, error = run_cli("train", "--config", changed, "--output", output, "--plots", "none", "--resume")
    assert status == 0, error
    assert hepda.load(output).manifest["training"]["bdt-fold0-member0"]["seconds"] == seconds
    first, second = hepda.load(run), hepda.load(output)
    np.testing.assert_array_equal(first.scores["stack"], second.scores["stack"])
    assert second.metrics.models["iso"].fusion.method == "logistic"  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_dry_run_says_that_nothing_is_trained_of_it(run: Path, tmp_path: Path) -> None:
    _, output, _ = run_cli(
        "train", "--config", run.parent / "small.yaml", "--output", tmp_path / "new", "--dry-run"
    )  # fmt: skip
    assert "both (fusion): no training, its scores are made of those of other models" in output
    assert "models: 6 trained models" in output


@pytest.mark.parametrize("option", [["--models", "both"], ["--vary", "models.both.method=mean,logistic"]])
def test_a_scan_of_a_fusion_is_refused_with_the_models_to_scan(run: Path, option: list[str]) -> None:
    vary = [] if "--vary" in option else ["--vary", "training.learning_rate=0.001,0.01"]
    status, _, error = run_cli("scan", "--config", run.parent / "small.yaml", *vary, *option, "--seeds", 1)
    assert (
        status == 2 and "'both' is a fusion, which has no trainings; scan the models that it fuses: bdt, net" in error
    )
