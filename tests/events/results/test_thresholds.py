"""Named working points from training to fit: chosen on validation events, judged on others, carried and used."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import hepda
from hepda.cli import main
from hepda.config import load_config
from hepda.errors import ConfigError
from hepda.evaluation.efficiency import cut_at_efficiency
from hepda.events.dataset.splits import chooses_threshold, is_validation
from hepda.results.events import EventMetrics
from tests.factory import analysis, several_classes, write_analysis

POINTS = {
    "best": {"objective": "significance", "background_uncertainty": 0.2, "min_n_eff": 5},
    "balanced": {"objective": "f1", "share": 0.5},
    "same": {"objective": "equal_background", "signal_efficiency": [0.2, 0.9], "min_n_eff": 5},
    "loose": {"objective": "efficiency", "efficiency": 0.8, "models": "bdt"},
    "half": {"objective": "fixed", "threshold": 0.5},
}
SHAPE = {"jes": {"kind": "shape", "up": {"jet_pt": "jet_pt_jes_up"}, "down": {"jet_pt": "jet_pt_jes_down"}}}
REGIONS = {
    "signal_region": {"passes": "half", "bins": 3},
    "control_region": {"fails": "half", "bins": 2, "role": "control"},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("points")
    path = write_analysis(
        folder, 1200, working_points=POINTS, systematics=SHAPE, fit={"regions": REGIONS},
        models={"bdt": {"kind": "bdt", "iterations": 15}, "trees": {"kind": "bdt", "iterations": 5}},
    )  # fmt: skip
    content = path.read_text().replace("bootstrap: 10", "bootstrap: 20\n  probes: false\n  blind: null")
    path.write_text(content.replace("  blind: score > 0.7\n", ""))
    assert main(["train", "--config", str(path), "--output", str(folder / "run"), "--plots", "none"]) == 0
    return folder / "run"


def entries(run, model="bdt"):
    metrics = EventMetrics.from_json(json.loads((run / "metrics.json").read_text()))
    return metrics.models[model].thresholds


def test_every_working_point_has_its_threshold_and_numbers(run):
    points = entries(run)
    assert list(points) == list(POINTS) and list(entries(run, "trees")) == ["best", "balanced", "same", "half"]
    for name, entry in points.items():
        assert entry.objective == POINTS[name]["objective"] and entry.selects == "signal", name
        assert entry.value.value is not None and entry.value.low <= entry.value.value <= entry.value.high, name
        assert set(entry.domains) == {"simulation", "alternative"}
    assert points["half"].threshold.value == 0.5 and points["half"].chosen_on == "stated"
    assert points["half"].value_on_choosing_events is None
    assert points["same"].domain == "alternative"
    assert points["balanced"].chosen_on == "50 % of the events, by their key"


def test_the_choosing_events_are_not_the_ones_that_judge(run):
    """The efficiency by hand: chosen on validation events, measured on all others."""
    scores = hepda.load(run).scores
    signal = scores[(scores["domain"] == "simulation") & (scores["label"] == 1)]
    validation = is_validation(signal["key"].to_numpy(), 0.2)
    weight, score = signal["weight"].to_numpy(), signal["bdt"].to_numpy().astype(float)
    entry = entries(run)["loose"]
    threshold = cut_at_efficiency(score[validation], weight[validation], 0.8)
    assert entry.threshold.value == pytest.approx(threshold)
    passed = score >= threshold
    others = weight[~validation][passed[~validation]].sum() / weight[~validation].sum()
    assert entry.value.value == pytest.approx(others)
    assert entry.domains["simulation"].class_efficiency == pytest.approx(others)
    assert 0.4 < np.mean(chooses_threshold(signal["key"].to_numpy(), 0.5)) < 0.6


def test_load_shows_thresholds_and_which_events_pass(run):
    loaded = hepda.load(run)
    points, passes = loaded.working_points, loaded.passes
    assert points.loc[("bdt", "half"), "threshold"] == 0.5
    assert np.isnan(points.loc[("bdt", "half"), "value_on_choosing_events"])
    assert len(passes) == len(loaded.scores)
    assert np.array_equal(passes["bdt_half"], loaded.scores["bdt"].astype(float) >= 0.5)
    table = loaded.tables["named_working_points"]
    assert "bdt, loose" in table.index


def test_the_report_and_the_log_have_them(run):
    page, log = (run / "report.html").read_text(), (run / "log.txt").read_text()
    assert "Named working points" in page and "What passes the named working points, alternative" in page
    assert "working point best of bdt: score >= " in log and "on those that chose it" in log


def test_evaluate_chooses_the_same_again(run):
    before = (run / "metrics.json").read_text()
    assert main(["evaluate", str(run), "--plots", "none"]) == 0
    after = json.loads((run / "metrics.json").read_text())
    for model in ("bdt", "trees"):
        assert after["models"][model]["thresholds"] == json.loads(before)["models"][model]["thresholds"]


def test_apply_has_a_branch_for_each_also_under_systematics(run, tmp_path):
    folder = run.parent
    assert main(["apply", str(run), str(folder / "signal.root"), "--output", str(tmp_path), "--format", "parquet"]) == 0
    table = pq.read_table(tmp_path / "signal.parquet").to_pandas()
    selected = table["selected"].to_numpy()
    for ending in ("", "_jes_up", "_jes_down"):
        for model, point in (("bdt", "best"), ("trees", "half"), ("bdt", "loose")):
            cut = entries(run, model)[point].threshold.value
            passes = table[f"pass_{model}_{point}{ending}"]
            assert passes.dtype == bool
            assert np.array_equal(passes, table[f"score_{model}{ending}"].astype(float) >= cut), (model, point, ending)
    assert not table["pass_bdt_half"][~selected].any() and table["pass_bdt_half"].any()
    assert "pass_trees_loose" not in table
    frame = hepda.load(run).score(folder / "signal.root")
    assert np.array_equal(frame["pass_bdt_best"], table["pass_bdt_best"][selected])


@pytest.mark.slow
def test_regions_of_the_fit_are_the_two_sides_of_a_threshold(run):
    assert main(["fit", str(run), "--models", "bdt", "--toys", "0", "--plots", "none"]) == 0
    fits = json.loads((run / "fit.json").read_text())
    scores = hepda.load(run).scores
    nominal = scores[scores["domain"] == "simulation"]
    inside = nominal["bdt"].astype(float) >= 0.5
    workspace = json.loads((run / "workspace-bdt.json").read_text())
    yields = {c["name"]: sum(sum(s["data"]) for s in c["samples"]) for c in workspace["channels"]}
    expected = {"signal_region": nominal["weight"][inside].sum(), "control_region": nominal["weight"][~inside].sum()}
    for name, total in expected.items():
        assert yields[name] == pytest.approx(total, rel=1e-3), name
    assert fits["models"]["bdt"]["expected"]["error"] > 0


def test_onnx_carries_the_thresholds(run, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    assert main(["export", str(run), "--format", "onnx", "--output", str(tmp_path / "onnx")]) == 0
    about = {p.key: p.value for p in onnx.load(tmp_path / "onnx" / "bdt.onnx").metadata_props}
    cut = entries(run)["best"].threshold.value
    assert json.loads(about["working_points"])["best"] == {"output": "score", "threshold": cut}


def refused(folder: Path, **keys):
    import yaml

    path = folder / "a.yaml"
    path.write_text(yaml.safe_dump(analysis(**keys), sort_keys=False))
    with pytest.raises(ConfigError) as error:
        load_config(path)
    return str(error.value)


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ({"objective": "f2"}, "f1"),
        ({"objective": "f1", "models": "bdtt"}, "'bdt'"),
        ({"objective": "f1", "output": "p_ttb"}, "score"),
        ({"objective": "f1", "selects": "ttb"}, "signal"),
        ({"objective": "f1", "efficiency": 0.5}, "efficiency"),
        ({"objective": "equal_background", "domain": "third"}, "kept for the evaluation"),
        ({"objective": "equal_background", "domain": "simulation"}, "the nominal domain"),
        ({"objective": "equal_background", "signal_efficiency": [0.7, 0.3]}, "from a smaller to a larger share"),
        ({"objective": "efficiency", "efficiency": 1.5}, "less than 1"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key(tmp_path, point, said):
    text = refused(tmp_path, working_points={"x": point})
    assert "working_points.x" in text and said in text


def test_regions_and_names_are_checked(tmp_path):
    half = {"objective": "fixed", "threshold": 0.5}
    text = refused(tmp_path, fit={"regions": {"a": {"passes": "tight"}}}, working_points={"half": half})
    assert "fit.regions.a.passes" in text and "'tight'" in text
    one = {"half": half | {"models": "bdt"}}
    text = refused(tmp_path, fit={"regions": {"a": {"passes": "half"}}}, working_points=one)
    assert "'network' has no working point 'half'" in text
    text = refused(tmp_path, fit={"regions": {"a": {"passes": "half", "fails": "half"}}}, working_points={"half": half})
    assert "no event passes and fails 'half'" in text
    twins = {"b_c": half, "c": half}
    models = {name: {"kind": "bdt", "iterations": 3} for name in ("a", "a_b")}
    text = refused(tmp_path, working_points=twins, models=models)
    assert "one branch, 'pass_a_b_c'" in text


def test_a_run_without_thresholds_says_to_evaluate_it(run, tmp_path):
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    content = json.loads((copy / "metrics.json").read_text())
    del content["models"]["bdt"]["thresholds"]
    (copy / "metrics.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"no threshold of the working point 'best' of bdt; run `hepda evaluate"):
        _ = hepda.load(copy).passes


@pytest.mark.slow
def test_classes_and_discriminants_have_working_points(tmp_path):
    classes = several_classes()
    models = {name: classes["models"][name] for name in ("bdt", "pair")}
    points = {
        "busy": {"objective": "f1", "output": "p_busy"},
        "wanted": {"objective": "f1", "output": "d", "selects": "ttH"},
        "any": {"objective": "efficiency", "efficiency": 0.5},
    }
    path = write_analysis(tmp_path, 900, **classes | {"models": models, "working_points": points})
    path.write_text(path.read_text().replace("bootstrap: 10", "bootstrap: 5\n  probes: false"))
    run = tmp_path / "run"
    assert main(["train", "--config", str(path), "--output", str(run), "--plots", "none"]) == 0
    assert list(entries(run)) == ["busy", "wanted", "any"] and list(entries(run, "pair")) == ["any"]
    of_class = entries(run)["busy"]
    assert of_class.selects == "busy" and of_class.value.value > 0.3
    assert "third" in of_class.domains  # two classes of background are there: busy against the rest
    assert set(hepda.load(run).passes) == {"bdt_busy", "bdt_wanted", "bdt_any", "pair_any"}
