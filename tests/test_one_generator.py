"""An analysis of one generator, signal and background and no second domain: every verb, with and without data."""

import json
import re

import pytest

from tests.factory import analysis, write_analysis
from tests.test_cli import nulls_without_why, run_cli

pytestmark = pytest.mark.slow

CASES = {"no data": (), "blinded data": ("data",), "open data": ("data",)}


def write(folder, with_data, blind, **more):
    base = analysis()
    names = ("signal", "background", *with_data)
    models = {name: base["models"][name] for name in ("network", "bdt")}
    return write_analysis(
        folder, n=700,
        samples={name: base["samples"][name] for name in names}, models=models,
        features=["ht", "m_bb"], plots={}, evaluation={"bootstrap": 5, "blind": blind},
        training={"epochs": 1, "batch_size": 256, "processes": 1}, **more,
    )  # fmt: skip


@pytest.fixture(scope="module", params=CASES)
def trained(request, tmp_path_factory):
    """A finished run of each case: its name, the analysis file, the run directory, and what was printed."""
    folder = tmp_path_factory.mktemp("one")
    path = write(folder, CASES[request.param], None if request.param == "open data" else "score > 0.7")
    status, out, err = run_cli("train", "--config", path, "--output", folder / "run", "--plots", "all")
    assert (status, err) == (0, "")
    return request.param, path, folder / "run", out


def test_check_says_that_there_is_one_domain(trained):
    _, path, _, _ = trained
    status, out, err = run_cli("check", "--config", path)
    assert (status, err) == (0, "")
    assert "Only one domain, simulation, is simulated" in out and "training may start" in out


def test_it_ends_with_metrics_figures_and_a_report_that_has_nothing_empty(trained):
    case, _, run, out = trained
    metrics = json.loads((run / "metrics.json").read_text())
    assert list(nulls_without_why(metrics)) == []
    for model in ("network", "bdt"):
        found = metrics["models"][model]
        assert set(found["auc"]) == ({"simulation"} if case == "no data" else {"simulation", "data"})
        assert found["auc"]["simulation"]["value"] is not None
        assert found["significance"]["asimov"] > 0 and found["significance"]["asimov_with_bias"] is None
    page = (run / "report.html").read_text()
    text = re.sub(r"<script.*|<pre>.*?</pre>|data:image[^\"]*", "", page, flags=re.S)
    assert "Only one domain, simulation, is simulated" in text
    assert "Score, simulation" in text and "Score of the background by domain" not in text
    if case == "no data":
        for word in ("with bias", "other generators", "data with Poisson errors", "Pseudo-data", "Label shift"):
            assert word not in text, word
        assert 'id="domains"' not in text and 'id="adaptation"' not in text
    for table in re.findall(r"<tbody>(.*?)</tbody>", text, flags=re.S):  # no column says nothing at all
        rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, flags=re.S) for row in table.split("</tr>") if "<td" in row]
        assert rows and all(set(column) - {"–", ""} for column in zip(*rows, strict=True)), table
    assert "Z (stat.) [σ]" in out and "with bias" not in out and "Shifts" not in out


def test_evaluate_fit_and_apply_follow(trained, tmp_path):
    _, path, run, _ = trained
    before = json.loads((run / "metrics.json").read_text())
    assert run_cli("evaluate", run, "--plots", "none")[::2] == (0, "")
    assert json.loads((run / "metrics.json").read_text())["models"] == before["models"]
    status, _, err = run_cli("fit", run, "--toys", 5, "--processes", 1, "--plots", "all")
    assert (status, err) == (0, "")
    fitted = json.loads((run / "fit.json").read_text())
    assert list(nulls_without_why(fitted)) == []
    assert "Fit of the signal strength" in (run / "report.html").read_text()
    file = path.parent / "data.root"
    assert run_cli("apply", run, file, "--output", tmp_path / "out.root")[::2] == (0, "")


def test_runs_are_compared(trained, tmp_path):
    case, path, run, _ = trained
    again = ("train", "--config", path, "--output", tmp_path / "again", "--plots", "none", "--set", "seed=2")
    if case != "no data":
        pytest.skip("one case will do")
    assert run_cli(*again)[0] == 0
    status, out, err = run_cli("compare", run, tmp_path / "again", "--output", tmp_path / "compare.html")
    assert status == 0 and "AUC simulation" in out and "Shifts" not in out
    assert "no figure" not in err


def test_a_scan_chooses_by_the_loss(tmp_path):
    path = write(tmp_path, (), None)
    status, _, err = run_cli(
        "scan", "--config", path, "--output", tmp_path / "scan", "--vary", "training.learning_rate=0.001,0.02",
        "--models", "network", "--seeds", 1, "--processes", 1,
    )  # fmt: skip
    assert (status, err) == (0, "")
    found = json.loads((tmp_path / "scan" / "scan.json").read_text())
    assert found["criterion"]["rule"] == "the point with the smallest source loss"
    losses = {point["values"]["training.learning_rate"]: point["mean"]["choice_loss"] for point in found["points"]}
    assert found["chosen"]["network"]["values"]["training.learning_rate"] == min(losses, key=losses.get)
    page = (tmp_path / "scan" / "scan.html").read_text()
    assert "Probe" not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.S)
