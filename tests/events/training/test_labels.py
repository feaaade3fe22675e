"""Networks that answer several questions about an event: from the analysis file to apply, fit, load and ONNX."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

import hepda
from hepda.cli import main
from hepda.config import load_config
from hepda.errors import ConfigError, DataError
from hepda.events import steps
from hepda.events.resolve import classes_of, model_specs
from hepda.events.table.truth import truth_of
from hepda.events.training.tensors import network_part
from hepda.results.events import EventMetrics
from tests.factory import analysis, write_analysis

LABELS = {"extra_b": "n_extra_b > 0", "busy": "n_jets >= 7"}
SMALL = {"kind": "network", "encoder": [16, 16]}
DOMAIN = {"source": ["background"], "target": ["background_alt"], "head": [16]}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    path = write_analysis(
        folder, 1000, labels=LABELS,
        models={
            "several": SMALL | {"labels": ["signal", "extra_b", "busy"], "ensemble": 2},
            "dann": SMALL | {"labels": "busy", "domain": DOMAIN, "label_strength": 0.5, "label_balance": False},
        },
        training={"epochs": 8, "batch_size": 128, "patience": None, "learning_rate": 5e-3},
        working_points={"crowded": {"objective": "f1", "output": "p_busy"}},
        fit={"regions": {"all": {"variable": "p_busy", "bins": 3}}},
    )  # fmt: skip
    path.write_text(path.read_text().replace("bootstrap: 10", "bootstrap: 10\n  probes: false"))
    assert main(["train", "--config", str(path), "--output", str(folder / "run"), "--plots", "none"]) == 0
    return folder / "run"


def test_every_label_has_a_score_and_numbers(run):
    scores = hepda.load(run).scores
    for name in ("several.p_signal", "several.p_extra_b", "several.p_busy", "dann.p_busy"):
        assert scores[name].between(0, 1).all(), name
    assert "dann.p_extra_b" not in scores
    entry = EventMetrics.from_json(json.loads((run / "metrics.json").read_text())).models["several"].labels
    assert set(entry.thresholds) == {"signal", "extra_b", "busy"}
    numbers = entry.domains["simulation"]
    assert numbers.auc["busy"].value > 0.9  # a function of the inputs
    assert numbers.auc["signal"].value > 0.65
    chosen = numbers.f1["chosen"]
    assert chosen.macro.value == pytest.approx(np.mean([chosen.labels[n].value for n in entry.thresholds]))
    half = numbers.f1["half"].macro.value
    assert chosen.difference.value == pytest.approx(chosen.macro.value - half)
    tables = hepda.load(run).tables
    assert "several" in tables["auc_of_the_labels_simulation"].index
    assert list(tables["f1_of_the_labels_simulation"]) == [
        "signal",
        "extra_b",
        "busy",
        "Mean",
        "Mean at 0.5",
        "Difference",
    ]


def test_no_number_is_taken_from_blinded_data_whose_label_is_known(run):
    """The number of jets is known in data; the file blinds them."""
    of_model = EventMetrics.from_json(json.loads((run / "metrics.json").read_text())).models["dann"]
    assert list(of_model.labels.domains) == ["simulation", "alternative", "third"]
    assert set(of_model.thresholds["crowded"].domains) == {"simulation", "alternative", "third"}


def test_f1_is_that_of_the_events_that_did_not_choose(run):
    from sklearn.metrics import f1_score

    from hepda.events.dataset.splits import is_validation

    scores = hepda.load(run).scores
    rows = scores[scores["domain"] == "simulation"]
    rows = rows[~is_validation(rows["key"].to_numpy(), 0.2)]
    entry = EventMetrics.from_json(json.loads((run / "metrics.json").read_text())).models["several"].labels
    threshold = entry.thresholds["busy"].value
    predicted, truth = rows["several.p_busy"].astype(float) >= threshold, rows["label:busy"] == 1
    passed, wanted = (np.sum(rows["weight"] * mask) for mask in (predicted, truth))
    expected = 2 * np.sum(rows["weight"] * (predicted & truth)) / (passed + wanted)
    assert entry.domains["simulation"].f1["chosen"].labels["busy"].value == pytest.approx(expected)
    positive = rows[rows["weight"] > 0]  # scikit-learn does not take signed weights
    assert f1_score(positive["label:busy"] == 1, positive["several.p_busy"] >= threshold) > 0.5


def test_what_is_not_known_does_not_count(tmp_path):
    """Of a sample without the branch, in data: the answer is unknown, its weight is 0."""
    models = {"several": SMALL | {"labels": ["extra_b", "busy", "signal"]}}
    config = load_config(write_analysis(tmp_path, 300, labels=LABELS, models=models))
    table = steps.load(config, lambda *_: None).table
    classes, data = classes_of(config), table.of_domain("data")
    assert np.all(truth_of(table, classes, "extra_b")[data] == -1)
    assert set(np.unique(truth_of(table, classes, "busy")[data])) == {0, 1}
    assert np.all(truth_of(table, classes, "signal")[data] == -1)
    table.columns["label:extra_b"][::2] = np.nan
    model = model_specs(config)["several"]
    rows = network_part(model, table, 0).source
    index = np.flatnonzero(table.of_samples(model.samples) & (table.fold != 0) & ~table.validation)
    unknown = np.isnan(table.columns["label:extra_b"][index])
    weight, target = np.asarray(rows.weights["label_extra_b"]), np.asarray(rows.targets["label_extra_b"])
    assert np.all(weight[unknown] == 0) and unknown.any()
    assert weight[target == 1].sum() == pytest.approx(weight[(target == 0) & ~unknown].sum())
    assert np.array_equal(np.asarray(rows.targets["label_signal"]), table.label[index])


def test_an_answer_without_events_is_an_error_with_its_label(tmp_path):
    models = {"several": SMALL | {"labels": "never"}}
    config = load_config(write_analysis(tmp_path, 200, labels={"never": "n_jets > 99"}, models=models))
    table = steps.load(config, lambda *_: None).table
    with pytest.raises(DataError, match=r"models\.several\.labels, never: the training rows hold the classes \[0\]"):
        network_part(model_specs(config)["several"], table, 0)


def test_apply_load_and_models_have_the_labels(run, tmp_path):
    signal = run.parent / "signal.root"
    assert main(["apply", str(run), str(signal), "--output", str(tmp_path), "--format", "parquet"]) == 0
    table = pq.read_table(tmp_path / "signal.parquet").to_pandas()
    table = table[table["selected"]]
    loaded = hepda.load(run)
    saved = loaded.scores[loaded.scores["sample"] == "signal"]
    assert np.allclose(np.sort(table["score_several_p_busy"]), np.sort(saved["several.p_busy"]), atol=1e-6)
    assert {"pass_several_crowded", "pass_dann_crowded"} <= set(table)
    frame = loaded.features(signal)
    model = loaded.models["several"]
    assert model.predict_proba(frame).shape == (len(frame), 2)
    assert np.allclose(model.predict_proba(frame).sum(axis=1), 1)
    assert set(model.scores(frame)) == {"several", "several.p_signal", "several.p_extra_b", "several.p_busy"}


def test_a_region_of_the_fit_may_use_a_label(tmp_path):
    base = {"labels": LABELS, "fit": {"regions": {"all": {"variable": "p_busy", "bins": 3}}}}
    labels = {"labels": ["busy", "extra_b"]}
    load_config(write_file(tmp_path, **base, models={"a": SMALL | labels}))
    with pytest.raises(ConfigError, match="'b' does not learn the label of 'p_busy'"):
        load_config(write_file(tmp_path, **base, models={"a": SMALL | labels, "b": SMALL}))


def test_onnx_has_the_labels(run, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    assert main(["export", str(run), "--format", "onnx", "--output", str(tmp_path / "onnx")]) == 0  # checked there
    outputs = [output.name for output in onnx.load(tmp_path / "onnx" / "several.onnx").graph.output]
    assert {"score", "p_signal", "p_extra_b", "p_busy", "average_p_busy"} <= set(outputs)


def write_file(folder, **keys):
    path = folder / "a.yaml"
    path.write_text(yaml.safe_dump(analysis(**keys), sort_keys=False))
    return path


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"models": {"a": SMALL | {"labels": "extra_bb"}}}, "extra_b"),
        ({"models": {"a": {"kind": "bdt", "labels": "extra_b"}}}, "trees answer one question"),
        ({"models": {"a": SMALL}}, "no model learns it"),
        ({"labels": {"signal": "n_jets > 6"}, "models": {"a": SMALL}}, "is a class already"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, keys, said):
    with pytest.raises(ConfigError) as error:
        load_config(write_file(tmp_path, **({"labels": LABELS} | keys)))
    assert said in str(error.value)
