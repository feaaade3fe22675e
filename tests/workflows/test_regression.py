"""Models that predict a number by every command: trained, continued, applied, exported, fitted, compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import uproot

import hepda
from hepda.adversarial import Network
from hepda.cli import main
from hepda.config import load_config
from hepda.errors import ConfigError, DataError
from hepda.events.check import check_events
from hepda.events.results import figures
from hepda.events.results.comparison import changes_table, panels
from hepda.export.hepdata import tables_of
from hepda.plotting.base.plot import Plot
from hepda.results.events import EventMetrics
from hepda.runtime.plots import PlotOptions, Plots
from hepda.workflows import train
from tests.factory import Silent, write_analysis

TARGET = {"target": "st", "unit": "GeV", "label": "$S_T$"}
NUMBER = {"train_on": ["background"], "regress": TARGET}
DOMAIN = {"source": ["background"], "target": ["background_alt"], "head": [8]}
MODELS: dict[str, Any] = {
    "classes": {"kind": "bdt", "iterations": 30},
    "net": {"kind": "network", "encoder": [16], "ensemble": 2, **NUMBER, "training": {"epochs": 12, "patience": 12}},
    "dann": {"kind": "network", "encoder": [16], "domain": DOMAIN, **NUMBER},
    "trees": {"kind": "bdt", "iterations": 30, **NUMBER},
    "robust": {"kind": "bdt", "iterations": 30, "train_on": ["background"],
               "regress": {**TARGET, "loss": "absolute", "selection": "n_b >= 3", "range": [300, 1500], "bins": 4}},
    "sets": {"kind": "network", "encoder": {"kind": "deepsets", "collections": ["jets"], "width": 6, "layers": 1},
             **NUMBER},
}  # fmt: skip
NUMBERS = ["net", "dann", "trees", "robust", "sets"]
DEFAULTS: dict[str, Any] = {
    "features": ["ht", "n_jets", "met"],
    "models": MODELS,
    "collections": {"jets": {"max": 6, "features": {"pt": "jet_pt", "eta": "jet_eta"}}},
    "training": {"epochs": 2, "batch_size": 128, "learning_rate": 0.01, "processes": 1, "patience": None},
    "evaluation": {"probes": False, "bootstrap": 20, "blind": None},
    "fit": {"regions": {"low": {"selection": "n_jets < 7", "bins": 2, "min_n_eff": 20},
                        "high": {"selection": "n_jets >= 7", "variable": "trees", "bins": 2, "min_n_eff": 8,
                                 "role": "control"}}},
}  # fmt: skip


def analysis_in(folder: Path, n: int = 500, **changes: Any) -> Path:
    from tests.factory import VARIABLES

    variables = {**VARIABLES, "st": "sum(jet_pt) + met + lepton_pt"}
    return write_analysis(folder, n=n, variables=variables, **{**DEFAULTS, **changes})


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return analysis_in(tmp_path_factory.mktemp("numbers"))


@pytest.fixture(scope="module")
def run(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, and the data of its figures."""
    run = tmp_path_factory.mktemp("run") / "run"
    train.train(load_config(page), run, PlotOptions(Plots.NONE), Silent())
    return run


@pytest.fixture(scope="module")
def metrics(run: Path) -> EventMetrics:
    return EventMetrics.from_json(json.loads((run / "metrics.json").read_text()))


def test_predictions_have_the_units_of_the_target_and_follow_it(run: Path) -> None:
    scores = pd.read_parquet(run / "scores.parquet")
    background = scores[(scores["sample"] == "background") & scores["target:trees"].notna()]
    for model, least in {"net": 0.8, "trees": 0.9, "sets": 0.1}.items():
        assert np.corrcoef(background[model], background[f"target:{model}"])[0, 1] > least, model
        assert abs(np.average(background[model] - background["target:trees"], weights=background["weight"])) < 80
    assert scores["target:robust"].isna().sum() > scores["target:trees"].isna().sum()  # `selection`
    assert scores[scores["sample"] == "data"]["target:trees"].isna().all()
    assert scores[NUMBERS].notna().all(axis=None)  # every event has a prediction, data too


def test_the_scale_of_the_target_is_saved_with_the_network(run: Path) -> None:
    scores = pd.read_parquet(run / "scores.parquet")
    network = Network.load(run / "models" / "dann" / "fold0-member0.safetensors")
    scale = network.target_scale(network.main)
    assert scale is not None and network.main.name == "value"
    target = scores[(scores["sample"] == "background") & (scores["fold"] != 0)]["target:dann"]
    assert float(scale.mean) == pytest.approx(target.mean(), rel=0.05)
    assert float(scale.width) == pytest.approx(target.std(), rel=0.15)
    assert [name for name in network.heads if name != "value"] == ["domain"]


def test_numbers_are_those_of_the_saved_predictions(run: Path, metrics: EventMetrics) -> None:
    scores = pd.read_parquet(run / "scores.parquet")
    entry = metrics.regressions["trees"]
    assert list(entry.domains) == ["simulation", "alternative", "third"]
    for domain, sample in {"simulation": "background", "alternative": "background_alt", "third": "third"}.items():
        rows = scores[scores["sample"] == sample]
        residual, weight = rows["trees"] - rows["target:trees"], rows["weight"]
        numbers = entry.domains[domain]
        assert numbers.bias.value == pytest.approx(np.average(residual, weights=weight), rel=1e-4, abs=1e-3)
        assert numbers.rmse.value == pytest.approx(np.sqrt(np.average(residual**2, weights=weight)), rel=1e-4)
        assert numbers.resolution.value > 0 and 0 < numbers.correlation.value <= 1
    assert metrics.regressions["robust"].domains["simulation"].bins.edges == [300, 600, 900, 1200, 1500]
    assert set(entry.prediction) == {"simulation:alternative", "simulation:third", "simulation:data"}
    assert set(entry.residual) == {"simulation:alternative", "simulation:third"}
    assert all(0 <= difference.ks <= 1 for difference in entry.prediction.values())


def test_no_number_of_a_score_is_given_for_them(run: Path, metrics: EventMetrics) -> None:
    for name in NUMBERS:
        model = metrics.models[name]
        assert not (model.auc or model.bias or model.working_points or model.significance or model.calibration)
        assert "predicts a number and no class" in model.regression.left_out
    assert list(metrics.classifiers) == ["classes"] and metrics.baseline_model == "classes"
    report = (run / "report.html").read_text()
    assert "net predicts a number and no class, so it has no ROC curve and AUC" in report
    assert "Predicted numbers" in report


def test_tables_and_terminal_have_their_rows_and_classifiers_alone_the_others(run: Path) -> None:
    loaded = hepda.load(run)
    assert list(loaded.summary.index) == ["classes"]
    assert {index.partition(",")[0] for index in loaded.tables["predicted_numbers"].index} == set(NUMBERS)
    assert list(loaded.tables["area_under_the_roc_curve"].index) == ["classes"]
    caption = loaded._read.kind.terminal(loaded.metrics).caption
    assert "trees (st [GeV]): simulation bias" in caption


def test_every_figure_is_kept_and_has_a_table(run: Path) -> None:
    files = {path.stem: path for path in (run / "plots" / "data").glob("*.json")}
    for model in NUMBERS:
        for kind in ("response", "resolution", "residual", "prediction"):
            plot = Plot.from_text(files[f"{kind}_{model}"].read_text())
            assert tables_of(plot), f"{kind}_{model}"
    assert not [name for name in files if name.startswith(("score_", "overtraining_")) and name.endswith("net")]


def test_a_model_is_an_estimator_of_numbers(run: Path, page: Path) -> None:
    loaded = hepda.load(run)
    frame = loaded.features(page.parent / "background.root")
    scored = loaded.score(page.parent / "background.root")
    np.testing.assert_allclose(loaded.models["trees"].predict(frame), scored["trees"], rtol=1e-6)
    assert not hasattr(loaded.models["trees"], "predict_proba")
    assert loaded.models["net"].predict(frame[["ht", "n_jets", "met"]]).shape == (len(frame),)  # new events


def test_apply_writes_a_branch_in_units(run: Path, page: Path, tmp_path: Path) -> None:
    assert main(["apply", str(run), str(page.parent / "background.root"), "--output", str(tmp_path / "f")]) == 0
    with uproot.open(tmp_path / "f" / "background.root") as file:
        friends = next(iter(file.values())).arrays(library="np")
    scores = pd.read_parquet(run / "scores.parquet")
    before = scores[scores["sample"] == "background"]
    for model in NUMBERS:
        again = friends[f"prediction_{model}"][friends["selected"] != 0]
        np.testing.assert_allclose(again, before[model], rtol=1e-5, atol=1e-2)
    assert "score_net" not in friends and "score_classes" in friends


def test_an_exported_file_predicts_in_units_too(run: Path, page: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert main(["export", str(copy), "--format", "onnx"]) == 0  # each is compared with the trained one
    session = onnxruntime.InferenceSession(str(tmp_path / "run-onnx" / "net.onnx"))
    assert [o.name for o in session.get_outputs()] == ["prediction", "average_prediction", "fold", "by_fold"]
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["target"]) == "st" and json.loads(about["unit"]) == "GeV"
    for runtime in ("torch", "onnx"):
        command = ["apply", str(copy), str(page.parent / "signal.root"), "--output", str(tmp_path / runtime)]
        assert main([*command, "--runtime", runtime]) == 0
    frames = []
    for runtime in ("torch", "onnx"):
        with uproot.open(tmp_path / runtime / "signal.root") as file:
            frames.append(next(iter(file.values())).arrays(library="np"))
    for model in NUMBERS:
        np.testing.assert_allclose(frames[0][f"prediction_{model}"], frames[1][f"prediction_{model}"], rtol=1e-4)


def test_a_fit_is_of_scores_and_takes_a_prediction_as_variable(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert main(["fit", str(copy), "--toys", "0", "--plots", "none"]) == 0
    fits = json.loads((copy / "fit.json").read_text())
    assert list(fits["models"]) == ["classes"]
    regions = fits["models"]["classes"]["regions"]
    edges = regions["high"]["edges"]
    assert edges[-1] > 100 and regions["low"]["edges"][-1] <= 1.0  # GeV, and a score


def test_a_fit_or_a_scan_of_a_number_is_refused(run: Path, page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(run), "--models", "net"]) == 2
    assert "'net' predicts a number (`regress`) and has no score" in " ".join(capsys.readouterr().err.split())
    command = ["scan", "--config", str(page), "--vary", "models.dann.domain.strength=0,1", "--seeds", "1"]
    assert main([*command, "--output", str(page.parent / "scan")]) == 2
    assert "models.dann: predicts a number" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_numbers_are_the_same_when_they_are_evaluated_again(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert main(["evaluate", str(copy), "--plots", "none"]) == 0
    before, again = (json.loads((folder / "metrics.json").read_text())["models"] for folder in (run, copy))
    assert [again[name]["regression"] for name in NUMBERS] == [before[name]["regression"] for name in NUMBERS]


def test_runs_are_compared_by_bias_and_resolution(run: Path, metrics: EventMetrics) -> None:
    from hepda.kinds import FinishedRun

    kind = hepda.load(run)._read.kind
    first, second = (FinishedRun(name, run, metrics, {"files": []}, {}, kind) for name in "ab")
    (row,) = changes_table([first, second]).rows
    assert row[0].text == "classes, b"
    names = [panel.name for group in panels([first, second]) for panel in group]
    assert names[-2:] == ["Bias of $S_T$ [GeV]", "Resolution of $S_T$ [GeV]"]


def test_a_training_is_resumed_with_the_scale_of_its_target(page: Path, run: Path, tmp_path: Path) -> None:
    """A network that was interrupted after an epoch ends with the numbers of one that was not."""
    from hepda.adversarial import Trainer

    config = load_config(page, ["fit=null", *(f"models.{name}=null" for name in MODELS if name != "dann")])
    original = Trainer.fit
    with pytest.MonkeyPatch.context() as patch:

        def interrupted(self: Trainer, *args: Any, **options: Any) -> Any:
            def stop(history: Any) -> None:
                raise KeyboardInterrupt

            return original(self, *args, **{**options, "on_epoch": stop})

        patch.setattr(Trainer, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train.train(config, tmp_path / "run", PlotOptions(Plots.NONE), Silent())
    assert list((tmp_path / "run").rglob("*.checkpoint"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "drawings", lambda data: [])
        train.train(config, tmp_path / "run", PlotOptions(Plots.NONE), Silent(), resume=True)
    again = pd.read_parquet(tmp_path / "run" / "scores.parquet")
    np.testing.assert_array_equal(again["dann"], pd.read_parquet(run / "scores.parquet")["dann"])
    # and a run without any classifier has its numbers, tables and report
    content = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert content["baseline"] == "" and content["models"]["dann"]["regression"]["domains"]["simulation"]["bias"]


def test_check_shows_the_range_of_the_target_and_copies_of_it(page: Path) -> None:
    config = load_config(page, ["variables.copy=2 * st + 1", "features=[ht, met, copy]"])
    result = check_events(config, lambda *_: None)
    ranges = {(entry.model, entry.sample): entry for entry in result.targets}
    assert ranges["net", "background"].trained and not ranges["net", "background_alt"].trained
    assert ("net", "data") not in ranges
    entry = ranges["net", "background"]
    assert 150 < entry.low < entry.median < entry.high
    assert any("copy is nearly the target of net (correlation 1.0000)" in line for line in result.warnings)


def test_a_target_that_is_missing_or_not_finite_is_a_fault_of_an_event(tmp_path: Path) -> None:
    page = analysis_in(tmp_path, 300, fit=None)
    broken = {"net": {**MODELS["net"], "regress": {"target": "log(lepton_charge)"}}}
    with pytest.raises(DataError, match=r"models.net.regress.target.*\n?.*in entry \d+ of .*background.root"):
        train.train(load_config(page, [f"models={json.dumps(broken)}"]), tmp_path / "run", PlotOptions(), Silent())
    guarded = {"net": {**MODELS["net"], "regress": {"target": "log(lepton_charge)", "selection": "lepton_charge > 0"}}}
    with pytest.raises(DataError, match=r"is 0 in all .* events; nothing can be learnt"):
        train.train(load_config(page, [f"models={json.dumps(guarded)}"]), tmp_path / "run", PlotOptions(), Silent())


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("net", {"regress": {"target": "ht"}}, "models.net.regress.target: 'ht' is among `features`"),
        ("net", {"classes": "binary"}, "models.net.classes: is about classes"),
        ("net", {"score": "d"}, "models.net.score: is about classes"),
        ("net", {"training": {"scorer": "entropy"}}, "models.net.training.scorer: 'entropy' uses the probabilities"),
        ("dann", {"domain": {**DOMAIN, "method": "cdan"}}, "models.dann.domain.method: 'cdan' uses the probabilities"),
        ("dann", {"domain": {**DOMAIN, "method": "conditional"}}, "'conditional' uses the probabilities"),
        ("dann", {"domain": {**DOMAIN, "tail": 0.3}}, "models.dann.domain.tail: is a cut on the score"),
        ("dann", {"domain": {**DOMAIN, "input": "features*score"}}, "models.dann.domain.input"),
    ],
)
def test_what_has_no_meaning_for_a_number_is_refused(
    page: Path, model: str, changes: dict[str, Any], message: str
) -> None:
    section = {**MODELS[model], **changes}
    with pytest.raises(ConfigError) as error:
        load_config(page, [f"models.{model}={json.dumps(section)}"])
    assert message in str(error.value).replace(" (--set)", "")


def test_a_baseline_and_a_copy_under_another_name_are_refused(page: Path) -> None:
    with pytest.raises(ConfigError, match="'net' predicts a number, with which"):
        load_config(page, ["baseline=net"])
    config = load_config(page, ["variables.twin=st", "features=[ht, twin]"])
    with pytest.raises(ConfigError, match=r"models.net.regress.target: 'st' is the feature 'twin'"):
        check_events(config, lambda *_: None)


def test_an_analysis_of_numbers_alone_needs_no_signal(tmp_path: Path) -> None:
    samples = {
        "jets": {"files": "background.root", "class": "background", "domain": "simulation"},
        "jets_alt": {"files": "background_alt.root", "class": "background", "domain": "alternative"},
        "data": {"files": "data.root", "domain": "data"},
    }
    models = {"st": {"kind": "bdt", "iterations": 20, "regress": {"target": "st"}}}
    page = analysis_in(tmp_path, 300, samples=samples, models=models, fit=None, collections={})
    assert main(["check", "--config", str(page)]) == 0
    train.train(load_config(page), tmp_path / "run", PlotOptions(Plots.NONE), Silent())
    content = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert set(content["models"]["st"]["regression"]["domains"]) == {"simulation", "alternative"}
    assert content["models"]["st"]["regression"]["prediction"]["simulation:data"]["ks"] > 0
    drawn = json.loads((tmp_path / "run" / "figures.json").read_text())
    assert "response_st" in json.dumps(drawn)
    # and what needs a signal says so
    with pytest.raises(ConfigError, match="none has `class: signal`"):
        load_config(page, ['models.classes={"kind": "bdt"}'])
