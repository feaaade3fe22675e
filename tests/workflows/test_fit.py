"""`hepda fit` from end to end: a run directory in, numbers that other programs find as well out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from hepda import cli
from hepda.config import load_config
from hepda.events.results.tables.fit import fit_tables
from hepda.results.fit_file import FitFile
from hepda.results.schema import fit_schema
from hepda.runtime import run_directory
from hepda.runtime.plots import PlotOptions, Plots
from hepda.workflows import train
from tests.factory import Silent, write_analysis

SYSTEMATICS = {
    "jes": {"kind": "shape", "up": {"jet_pt": "jet_pt_jes_up"}, "down": {"jet_pt": "jet_pt_jes_down"}},
    "b_tag": {"kind": "weight", "up": "b_weight_up / b_weight", "down": "b_weight_down / b_weight"},
    "null": {"kind": "weight", "up": "b_weight / b_weight"},
    "rate": {"kind": "norm", "value": 0.3, "samples": ["background"]},
    "generator": {"kind": "two_point", "domain": "alternative"},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two models on small files, without its figures, which cost more than all else."""
    folder = tmp_path_factory.mktemp("fit")
    small = {"kind": "network", "encoder": [4], "parameter": {"simulation": 0.0, "alternative": 1.0},
             "train_on": ["signal", "background", "signal_alt", "background_alt"]}  # fmt: skip
    page = write_analysis(
        folder, n=1500, luminosity=1.0, systematics=SYSTEMATICS,
        models={"bdt": {"kind": "bdt", "iterations": 10}, "small": small},
        evaluation={"probes": False, "bootstrap": 0, "blind": None,
                    "bias": {"between": ["simulation", "alternative", "data"]}},
        training={"epochs": 2, "batch_size": 256, "processes": 1},
    )  # fmt: skip
    train.train(load_config(page), folder / "run", PlotOptions(Plots.NONE), Silent())
    return folder / "run"


@pytest.fixture(scope="module")
def fitted(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That run after `hepda fit`."""
    run = tmp_path_factory.mktemp("fitted") / "run"
    shutil.copytree(trained, run)
    assert fit(run, "--toys", "30", "--plots", "all") == 0
    return run


def fit(run: Path, *options: str) -> int:
    return cli.main(["fit", str(run), "--plots-folder", str(run.parent / "plots"), *options])


def page_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "fit.json").read_text())


def test_fit_json_is_as_its_schema_says_and_typed_without_a_loss(fitted: Path) -> None:
    text = (fitted / "fit.json").read_text(encoding="utf-8")
    jsonschema.Draft202012Validator(fit_schema()).validate(json.loads(text))
    fits = FitFile.from_json(json.loads(text))
    assert json.dumps(fits.to_json(), indent=1, ensure_ascii=False) + "\n" == text
    assert [table.title for table in fit_tables(fits) if not table.has_values] == []


def refit(run: Path, model: str) -> tuple[float, float]:
    """Mu and its error by pyhf and scipy's optimizer alone, from the workspace."""
    import pyhf

    pyhf.set_backend("numpy", pyhf.optimize.scipy_optimizer(tolerance=1e-10))
    workspace = pyhf.Workspace(json.loads((run / f"workspace-{model}.json").read_text()))
    fitted_model = workspace.model()
    data = workspace.data(fitted_model)
    best, least = pyhf.infer.mle.fit(data, fitted_model, return_fitted_val=True)
    mu = float(best[fitted_model.config.poi_index])
    _, above = pyhf.infer.mle.fixed_poi_fit(0.0, data, fitted_model, return_fitted_val=True)
    return mu, float(np.sqrt(max(above - least, 0.0))) if mu > 0 else 0.0


@pytest.mark.slow
def test_the_observed_fit_is_what_pyhf_finds_in_the_workspace(fitted: Path) -> None:
    result = page_of(fitted)
    for model in ("bdt", "small"):
        mu, significance = refit(fitted, model)
        observed = result["models"][model]["observed"]
        assert observed["mu"] == pytest.approx(mu, abs=0.02 * observed["error"])
        assert observed["significance"] == pytest.approx(significance, abs=0.02)
        assert observed["low"] < mu < observed["high"]


@pytest.mark.slow
def test_counts_and_yields_are_those_of_the_run(fitted: Path) -> None:
    """Templates sum to the yields of metrics.json, data to their events; scores are binned as they were saved."""
    result, metrics = page_of(fitted), json.loads((fitted / "metrics.json").read_text())
    table = pq.read_table(fitted / "scores.parquet").to_pandas()
    for model, entry in result["models"].items():
        region = entry["regions"]["all"]
        for sample, template in region["templates"].items():
            assert sum(template["sumw"]) == pytest.approx(metrics["samples"][sample]["yield"], rel=1e-9)
            of_sample = table[table["sample"] == sample]
            inner = [-np.inf, *region["edges"][1:-1], np.inf]
            by_hand = np.histogram(of_sample[model].to_numpy(float), inner, weights=of_sample["weight"])[0]
            assert template["sumw"] == pytest.approx(by_hand.tolist(), rel=1e-9)
        workspace = json.loads((fitted / f"workspace-{model}.json").read_text())
        assert sum(workspace["observations"][0]["data"]) == metrics["samples"]["data"]["selected"]


@pytest.mark.slow
def test_closure_impacts_and_what_has_no_effect(fitted: Path) -> None:
    result = page_of(fitted)
    assert (result["toys"], result["source"], list(result["models"])) == (30, "simulation", ["bdt", "small"])
    for entry in result["models"].values():
        assert entry["expected"]["mu"] == pytest.approx(1.0, abs=1e-3) and entry["expected"]["error"] > 0
        own = entry["closure"]["without_two_point"]["simulation"]
        assert [e["truth"] for e in own] == [0, 1, 2]
        assert [e["bias"] for e in own] == pytest.approx([0, 0, 0], abs=1e-3)
        assert all(e["toys"]["toys"] == 30 and 0 <= e["toys"]["coverage"] <= 1 for e in own)
        assert entry["closure"]["all"]["third"][1]["mu"] is None and entry["closure"]["all"]["third"][1]["why"]
        assert entry["expected"]["not_fitted"]["null"] == "it changes no template"
        assert "null" not in [impact["name"] for impact in entry["impacts"]]
        assert {"jes", "b_tag", "rate", "generator"} <= {impact["name"] for impact in entry["impacts"]}
    assert "profiled" not in result["models"]["bdt"]
    profiled = result["models"]["small"]["profiled"]
    for own in profiled["simulation"]:  # read at 0, where the templates are those of the data
        assert own["value"] == 0 and own["bias"] == pytest.approx(0, abs=0.02) and own["holds_truth"]
    assert {own["value"] for own in profiled["alternative"]} <= {0, 1} and len(profiled["data"]) == 1


@pytest.mark.slow
def test_figures_and_tables_are_in_the_report_and_stay_there(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = [f for f in json.loads((fitted / "figures.json").read_text()) if f["by"] == "fit"]
    names = ("pulls", "impacts", "correlations", "scan", "origins")
    kinds = [f"fit_{kind}_{model}" for model in ("bdt", "small") for kind in names]
    drawn = {"fit_bias_all", "fit_bias_without_two_point", "fit_strengths", *kinds}
    drawn |= {f"fit_region_{model}_all" for model in ("bdt", "small")}
    assert {Path(f["file"]).stem for f in listed} == drawn
    assert listed[0]["file"] == "plots/fit_bias_without_two_point.png"
    assert all((fitted / f["file"]).is_file() and f["section"] == "fit" for f in listed)
    headline = "Bias of µ without the other generators as systematics"
    text = (fitted / "report.html").read_text()
    assert headline in text and text.count("data:image/png") == len(listed) and "Impacts" in text
    train.evaluate(fitted, PlotOptions(Plots.NONE), Silent())
    again = (fitted / "report.html").read_text()
    assert headline in again and again.count("data:image/png") == len(listed)
    # Another analysis file, such as one that blinds: the old fit is not shown, and the report says so.
    other = fitted.parent / "other"
    shutil.copytree(fitted, other)
    config = yaml.safe_load((other / "config.yaml").read_text())
    config["evaluation"]["blind"] = "score > 0.5"
    (other / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    train.evaluate(other, PlotOptions(Plots.NONE), Silent())
    stale = (other / "report.html").read_text()
    assert headline not in stale and "fit.json is of other scores" in stale and "data:image/png" not in stale


@pytest.mark.slow
def test_blinded_data_give_null_and_one_model_is_enough(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["evaluation"]["blind"] = "score > 0.9"
    config["systematics"] = {"rate": config["systematics"]["rate"]}
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    output = tmp_path / "elsewhere"
    before = sorted(path.name for path in run.iterdir())
    assert fit(run, "--toys", "0", "--models", "bdt", "--output", str(output)) == 0
    assert sorted(path.name for path in run.iterdir()) == before
    written = {"fit.json", "workspace-bdt.json", "figures.json", "report.html", "log.txt", "plots"}
    assert {p.name for p in output.iterdir()} == written
    entry = page_of(output)["models"]["bdt"]
    assert [entry["observed"][key] for key in ("mu", "error", "significance", "limit", "p_value")] == [None] * 5
    assert "blind" in entry["observed"]["why"] and entry["fitted_to"] == "Asimov data"
    assert "data" not in entry["closure"]["without_two_point"] and "blind" in entry["not_played"]["data"]
    assert entry["closure"]["all"] is None and entry["closure"]["why"]
    workspace = json.loads((output / "workspace-bdt.json").read_text())
    total = sum(np.sum([s["sumw"] for s in entry["regions"]["all"]["templates"].values()], axis=0))
    assert sum(workspace["observations"][0]["data"]) == pytest.approx(total)
    assert list(page_of(output)["models"]) == ["bdt"]


@pytest.mark.slow
def test_what_cannot_be_fitted_is_said_with_status_2(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    assert fit(run, "--models", "btd") == 2
    assert "Did you mean 'bdt'?" in capsys.readouterr().err
    shutil.rmtree(run / "models" / "bdt")
    assert fit(run, "--toys", "0", "--models", "bdt") == 2
    assert "fold0-member0" in capsys.readouterr().err
    (run / "scores.parquet").unlink()
    assert fit(run) == 2
    assert "has no scores.parquet" in capsys.readouterr().err
    assert fit(tmp_path) == 2
    assert "is not a run directory" in capsys.readouterr().err
    assert not (run / "fit.json").exists()


def test_runs_that_differ_by_the_seed_are_compared_by_their_mean(fitted: Path, tmp_path: Path) -> None:
    """The page has the mean bias of both; it is not shown where another key differs too."""
    runs = [tmp_path / name for name in ("one", "two", "three")]
    for seed, run in enumerate(runs):
        shutil.copytree(fitted, run)
        config = yaml.safe_load((run / "config.yaml").read_text())
        config |= {"seed": seed} | ({"luminosity": 2.0} if run.name == "three" else {})
        (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        content = json.loads((run / "fit.json").read_text())
        (run / "fit.json").write_text(json.dumps(content | {"stamp": run_directory.stamp(run)}))
    page = tmp_path / "page.html"
    cli.main(["compare", str(runs[0]), str(runs[1]), "--output", str(page)])
    assert "without the other generators as systematics, mean of 2 seeds" in page.read_text()
    cli.main(["compare", *map(str, runs), "--output", str(page)])
    assert "mean of" not in page.read_text()
