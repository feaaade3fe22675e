"""`hepda export --format onnx`: the scores of every kind of model in onnxruntime."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import uproot
from numpy.typing import NDArray

from hepda.adversarial import Network, mlp
from hepda.baselines import bdt
from hepda.baselines.forest import DecisionTree, Forest, forest_of, not_above
from hepda.cli import main
from hepda.config import BdtConfig, load_config
from hepda.events.dataset.splits import event_key, fold_of
from hepda.events.resolve import dataset_spec, model_specs
from hepda.export.onnx import check
from hepda.export.onnx.check import drawn_events, expected_outputs, outputs_of
from hepda.export.onnx.discriminants import discriminant
from hepda.export.onnx.folds import fold
from hepda.export.onnx.graph import FLOAT, INTEGER, OnnxGraph
from hepda.export.onnx.layers import mlp as exported_mlp
from hepda.export.onnx.model import exported_model, onnx_model
from tests.export import cpp
from tests.factory import several_classes, write_analysis

onnxruntime = pytest.importorskip("onnxruntime")

COLLECTIONS = {
    "jets": {
        "max": 4,
        "features": {"pt": "jet_pt", "eta": "jet_eta", "phi": "jet_phi", "mass": "jet_mass", "tag": "jet_b"},
        "four_momentum": ["pt", "eta", "phi", "mass"],
    },
    "lepton": {"features": {"pt": "lepton_pt", "eta": "lepton_eta"}, "four_momentum": ["pt", "eta", 0, 0]},
}
MODELS: dict[str, Any] = {
    "network": {"kind": "network", "encoder": [8], "score": "d", "ensemble": 2},
    "flat": {"kind": "network", "encoder": [6], "activation": "gelu", "classes": "binary"},
    "trees": {"kind": "bdt", "iterations": 5},
    "pair": {"kind": "bdt", "iterations": 5, "classes": "binary"},
    "xgb": {"kind": "bdt", "library": "xgboost", "iterations": 4},
    "xgb_pair": {"kind": "bdt", "library": "xgboost", "iterations": 4, "classes": "binary"},
    "lgbm": {"kind": "bdt", "library": "lightgbm", "iterations": 4, "min_samples": 5},
    "lgbm_pair": {"kind": "bdt", "library": "lightgbm", "iterations": 4, "classes": "binary", "min_samples": 5},
    "deep": {"kind": "network", "encoder": {"kind": "deepsets", "collections": ["jets"], "width": 6, "layers": 1,
                                            "pooling": "mean", "features": ["ht"]}},
    "attention": {"kind": "network", "classes": "binary", "activation": "gelu", "encoder": {
        "kind": "transformer", "collections": ["jets", "lepton"], "width": 8, "layers": 2, "heads": 2,
        "pairwise": True, "features": ["ht", "m_bb"]}},
    "both": {"kind": "fusion", "of": ["deep", "trees", "network"], "score": "d"},
    "stack": {"kind": "fusion", "of": ["pair", "attention"], "method": "logistic"},
    "rise": {"kind": "fusion", "of": ["trees", "xgb"], "method": "isotonic"},
    "rise_pair": {"kind": "fusion", "of": ["pair", "flat"], "method": "isotonic"},
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every kind of model, and its files of ONNX beside it."""
    folder = tmp_path_factory.mktemp("onnx")
    evaluation = {"probes": False, "bootstrap": 0, "blind": None, "bias": {"between": ["simulation", "alternative"]}}
    path = write_analysis(
        folder,
        n=600,
        **several_classes(
            models=MODELS, collections=COLLECTIONS, features=["ht", "n_jets", "m_bb"], evaluation=evaluation,
            split={"key": ["run", "event"], "folds": 3, "validation": 0.2},
            training={"epochs": 1, "processes": 1, "patience": None},
        ),
    )  # fmt: skip
    assert main(["train", "--config", str(path), "--output", str(folder / "run"), "--plots", "none"]) == 0
    assert main(["export", str(folder / "run"), "--format", "onnx"]) == 0
    return folder / "run"


def folder_of(run: Path) -> Path:
    return run.parent / "run-onnx"


@pytest.mark.parametrize("model", MODELS)
def test_a_file_has_the_scores_of_the_trained_models(run: Path, model: str) -> None:
    """Other events than those of the check at the export."""
    config = load_config(run / "config.yaml")
    exported = exported_model(model_specs(config)[model], dataset_spec(config), run)
    events = drawn_events(exported, 400, seed=7)
    found = outputs_of((folder_of(run) / f"{model}.onnx").read_bytes(), events.inputs)
    for name, values in expected_outputs(exported, events, found).items():
        assert np.abs(found[name] - values).max() < 1e-5, name
    assert len(set(np.round(found["score"].tolist(), 6))) > 3
    total = found["by_fold"].sum(axis=2)
    assert exported.spec.classes == () or np.abs(total - 1).max() < 1e-5


def test_a_file_says_what_it_reads(run: Path) -> None:
    session = onnxruntime.InferenceSession(folder_of(run) / "attention.onnx")
    names = [(part.name, part.type, part.shape) for part in session.get_inputs()]
    assert names == [
        ("jets", "tensor(float)", ["n", 4, 5]), ("jets_count", "tensor(int64)", ["n"]),
        ("lepton", "tensor(float)", ["n", 1, 2]), ("lepton_count", "tensor(int64)", ["n"]),
        ("ht", "tensor(float)", ["n"]), ("m_bb", "tensor(float)", ["n"]),
        ("run", "tensor(int64)", ["n"]), ("event", "tensor(int64)", ["n"]),
    ]  # fmt: skip
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["features"]) == ["ht", "m_bb"] and json.loads(about["folds"]) == 3
    assert about["model"] == "attention" and about["hepda"] and about["opset"]
    outputs = {part.name for part in onnxruntime.InferenceSession(folder_of(run) / "network.onnx").get_outputs()}
    assert {"score", "p_ttH", "d", "average_score", "average_p_busy", "fold", "by_fold"} <= outputs


def test_a_file_of_a_fusion_has_the_predictions_of_its_models(run: Path) -> None:
    """Those of the files of the models, for the same events."""
    config = load_config(run / "config.yaml")
    dataset, specs = dataset_spec(config), model_specs(config)
    events = drawn_events(exported_model(specs["both"], dataset, run), 50, seed=3)
    found = outputs_of((folder_of(run) / "both.onnx").read_bytes(), events.inputs)
    for name in MODELS["both"]["of"]:
        session = onnxruntime.InferenceSession(folder_of(run) / f"{name}.onnx")
        inputs = {part.name: events.inputs[part.name] for part in session.get_inputs()}
        np.testing.assert_allclose(found[f"by_fold_{name}"], session.run(["by_fold"], inputs)[0], atol=1e-6)
    logits = np.mean([np.log(np.clip(found[f"by_fold_{n}"], 2.0**-20, 1)) for n in MODELS["both"]["of"]], axis=0)
    expected = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(found["by_fold"], expected, atol=1e-5)


def test_apply_gives_the_same_friends(run: Path, tmp_path: Path) -> None:
    file = next(run.parent.rglob("signal.root"))
    for runtime in ("torch", "onnx"):
        arguments = ["apply", str(run), str(file), "--output", str(tmp_path / runtime), "--runtime", runtime]
        assert main([*arguments, "--processes", "1"]) == 0
    first, second = (
        uproot.open(next((tmp_path / runtime).glob("*.root")))["hepda"].arrays(library="np")
        for runtime in ("torch", "onnx")
    )
    assert list(first) == list(second)
    for name, values in first.items():
        np.testing.assert_allclose(second[name], values, atol=1e-5, err_msg=name)
    assert np.isfinite(first["score_network"]).sum() > 50


def test_the_score_of_a_file_is_that_of_the_fold_in_scores_parquet(run: Path) -> None:
    """With the key and the features of the ntuple, the outputs are the out-of-fold scores of the run."""
    events = uproot.open(next(run.parent.rglob("signal.root")))["events"].arrays(
        ["run", "event", "jet_pt"], library="np"
    )
    key = event_key(events["run"], events["event"])
    saved = pq.read_table(run / "scores.parquet").to_pandas()
    saved = saved[saved["sample"] == "ttH"].set_index("key")
    rows = np.isin(key, saved.index.to_numpy())
    assert rows.sum() > 50
    np.testing.assert_array_equal(fold_of(key, 3)[rows], saved.loc[key[rows], "fold"])
    content = _fold_of_keys(3)
    found = outputs_of(content, {"run": events["run"].astype(np.int64), "event": events["event"].astype(np.int64)})
    np.testing.assert_array_equal(found["fold"][rows], saved.loc[key[rows], "fold"])


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cpp.compiled(tmp_path_factory.mktemp("cpp"))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["network", "flat", "pair", "xgb", "xgb_pair", "lgbm"])
def test_a_program_in_c_plus_plus_has_the_scores(run: Path, program: Path, model: str) -> None:
    path = folder_of(run) / f"{model}.onnx"
    config = load_config(run / "config.yaml")
    events = drawn_events(exported_model(model_specs(config)[model], dataset_spec(config), run), 3, seed=5)
    found = outputs_of(path.read_bytes(), events.inputs)
    for n in range(3):
        arguments = [f"{name}={values[n]!r}" for name, values in events.inputs.items() if np.isfinite(values[n])]
        arguments = [argument.replace("np.float32(", "").replace("np.int64(", "").rstrip(")") for argument in arguments]
        for output in ("score", "average_score"):
            result = cpp.run(program, path, output, *arguments)
            assert result.returncode == 0, result.stderr
            assert float(result.stdout) == pytest.approx(float(found[output][n]), abs=1e-6)


@pytest.mark.slow
def test_a_program_in_c_plus_plus_refuses_what_it_does_not_know(run: Path, program: Path) -> None:
    flat, sets = folder_of(run) / "flat.onnx", folder_of(run) / "deep.onnx"
    for model, arguments, message in (
        (flat, ["score", "run=1", "event=2", "hat=3"], "hat is no input of the model"),
        (flat, ["score", "run=1"], "event identifies the event and is not given"),
        (flat, ["scre", "run=1", "event=2"], "scre"),
        (sets, ["score", "run=1", "event=2"], "jets is a set of objects"),
        (folder_of(run) / "none.onnx", ["score"], "none.onnx"),
    ):
        result = cpp.run(program, model, *arguments)
        assert result.returncode == 2 and message in result.stderr


def test_xgboost_leaves_its_own_json_beside_the_run(run: Path) -> None:
    import xgboost

    files = sorted((run / "models" / "xgb_pair").glob("fold?-member0.json"))
    assert len(files) == 3
    booster = xgboost.Booster(model_file=str(files[0]))
    assert booster.num_boosted_rounds() >= 1 and booster.num_features() == 3


def _fold_of_keys(folds: int) -> bytes:
    graph = OnnxGraph()
    keys = [graph.input(name, INTEGER) for name in ("run", "event")]
    graph.output(fold(graph, keys, folds), "fold", INTEGER)
    return graph.model("fold", {"hepda": "test"}, "").SerializeToString()


@pytest.mark.parametrize("folds", [1, 2, 5, 127])
def test_the_fold_of_any_key(folds: int) -> None:
    rng = np.random.default_rng(folds)
    limits = np.iinfo(np.int64)
    keys = {name: rng.integers(limits.min, limits.max, 5000, endpoint=True) for name in ("run", "event")}
    keys["run"][:4] = 0, -1, limits.max, limits.min
    found = outputs_of(_fold_of_keys(folds), keys)["fold"]
    np.testing.assert_array_equal(found, fold_of(event_key(keys["run"], keys["event"]), folds))


@pytest.mark.parametrize("activation", ["relu", "tanh", "elu", "silu", "gelu", "leaky_relu"])
def test_every_activation_has_its_form(activation: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layers = mlp(3, [5], 2, activation=activation, dropout=0.3, spectral_norm=True).eval()
        x = 5 * torch.randn(200, 3)
    graph = OnnxGraph()
    columns = [graph.column(graph.input(name, FLOAT)) for name in "abc"]
    graph.output(exported_mlp(graph, graph.concatenated(columns), layers), "y", FLOAT, 2)
    content = graph.model("layers", {"hepda": "test"}, "").SerializeToString()
    found = outputs_of(content, {name: x[:, i].numpy() for i, name in enumerate("abc")})["y"]
    with torch.no_grad():
        np.testing.assert_allclose(found, layers(x).numpy(), atol=1e-5)


def test_discriminants_are_written_or_refused() -> None:
    rng = np.random.default_rng(2)
    p = rng.dirichlet([1, 1], 300).astype(np.float32)
    texts = {
        "p_a / (p_a + 0.3 * p_b)": p[:, 0] / (p[:, 0] + 0.3 * p[:, 1]),
        "log10(p_a + 0.1) - log1p(p_b) ** 2": np.log10(p[:, 0] + 0.1) - np.log1p(p[:, 1]) ** 2,
        "where((p_a > 0.5) & ~(p_b > 0.4), -p_a, clip(p_b, 0.6, 0.7))": np.where(
            (p[:, 0] > 0.5) & ~(p[:, 1] > 0.4), -p[:, 0], np.clip(p[:, 1], 0.6, 0.7)
        ),
        "minimum(p_a, p_b) + maximum(abs(p_a - 0.5), 0.2) + tanh(sqrt(exp(p_b)))": np.minimum(p[:, 0], p[:, 1])
        + np.maximum(np.abs(p[:, 0] - 0.5), 0.2) + np.tanh(np.sqrt(np.exp(p[:, 1]))),
    }  # fmt: skip
    for text, expected in texts.items():
        graph = OnnxGraph()
        known = {f"p_{name}": graph.input(f"p_{name}", FLOAT) for name in "ab"}
        graph.output(discriminant(graph, "d", text, known), "d", FLOAT)
        content = graph.model("d", {"hepda": "test"}, "").SerializeToString()
        found = outputs_of(content, {"p_a": p[:, 0].copy(), "p_b": p[:, 1].copy()})["d"]
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=text)
    with pytest.raises(Exception, match=r"discriminants.d: .* has no form in ONNX here"):
        discriminant(OnnxGraph(), "d", "p_a // p_b", {"p_a": "a", "p_b": "b"})


def raw_outputs(forest: Forest, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the raw outputs [n, k] of features [n, f], followed node by node.

    Args:
        forest: the trees.
        features: the features; NaN is missing.

    """
    total = np.tile(forest.start, (len(features), 1))
    for tree in forest.trees:
        total[:, tree.output] += tree.value[_leaves(tree, features, or_equal=forest.or_equal)]
    return total


def _leaves(tree: DecisionTree, features: NDArray[np.float32], *, or_equal: bool) -> NDArray[np.int64]:
    """Return the leaf [n] of each row."""
    node, rows = np.zeros(len(features), dtype=np.int64), np.arange(len(features))
    while (inner := tree.left[node] >= 0).any():
        at = node[inner]
        x, t = features[rows[inner], tree.feature[at]], tree.threshold[at]
        goes_left = np.where(np.isnan(x), tree.missing_left[at], x <= t if or_equal else x < t)
        node[inner] = np.where(goes_left, tree.left[at], tree.right[at])
    return node


@pytest.mark.parametrize("library", ["sklearn", "xgboost", "lightgbm"])
@pytest.mark.parametrize("classes", [2, 3])
def test_trees_in_one_form_have_the_predictions_of_their_library(library: str, classes: int) -> None:
    """Features at the thresholds themselves and next to them: no rounding decides another branch."""
    rng = np.random.default_rng(4)
    x = rng.integers(-20, 20, (2000, 3)).astype(np.float32) / 7
    label = (np.digitize(x[:, 0] + 0.5 * rng.normal(size=2000), np.linspace(-1, 1, classes - 1))).astype(np.int8)
    section = BdtConfig(kind="bdt", library=library, iterations=6, min_samples=5)
    trained = bdt.fit(section, bdt.TrainingEvents(x, label, np.ones(2000)), seed=1)
    forest = forest_of(trained)
    cuts = np.concatenate([tree.threshold[tree.left >= 0] for tree in forest.trees])
    near = np.concatenate([cuts, np.nextafter(cuts, np.float32(9)), np.nextafter(cuts, np.float32(-9))])
    probed = np.concatenate([x, rng.choice(near, (3000, 3))]).astype(np.float32)
    raw = raw_outputs(forest, probed)
    if classes == 2:
        mine = 1 / (1 + np.exp(-raw[:, 0]))
    else:
        mine = np.exp(raw - raw.max(axis=1, keepdims=True))
        mine /= mine.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(mine, trained.predict(probed), atol=1e-6)


def test_a_threshold_is_not_rounded_up() -> None:
    exact = np.array([0.1, 1 / 3, -0.1, 5.0, 1e300, -1e300, 1e-300])
    lower = not_above(exact)
    assert lower.dtype == np.float32 and (lower.astype(np.float64) <= exact).all()
    assert (np.nextafter(lower[:4], np.float32(np.inf)).astype(np.float64) > exact[:4]).all()


def test_a_file_that_differs_is_not_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    predict = Network.predict
    monkeypatch.setattr(Network, "predict", lambda self, x, head=None: predict(self, x, head) + 1e-3)
    assert main(["export", str(run), "--format", "onnx", "--output", str(tmp_path / "onnx")]) == 2
    text = re.sub(r"\s+", " ", capsys.readouterr().err)
    assert "models.network: the output" in text and "nothing is written" in text
    assert not (tmp_path / "onnx").exists()
    assert check.TOLERANCE == 1e-5


def test_apply_needs_files_of_these_trainings(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    other = tmp_path / "run"
    shutil.copytree(run, other)
    file = str(next(run.parent.rglob("signal.root")))
    arguments = ["apply", str(other), file, "--output", str(tmp_path / "friends"), "--runtime"]
    assert main([*arguments, "onnx"]) == 2
    assert "hepda export" in re.sub(r"\s+", " ", capsys.readouterr().err)
    assert main([*arguments, "cuda"]) == 2 and "must be torch or onnx" in capsys.readouterr().err
    shutil.copytree(folder_of(run), tmp_path / "run-onnx")
    shutil.copy(tmp_path / "run-onnx" / "pair.onnx", tmp_path / "run-onnx" / "trees.onnx")
    assert main([*arguments, "onnx"]) == 2
    assert "trees.onnx is not of the trainings of this run" in re.sub(r"\s+", " ", capsys.readouterr().err)
    shutil.copy(folder_of(run) / "trees.onnx", tmp_path / "run-onnx" / "trees.onnx")


def test_a_model_of_an_unknown_encoder_is_refused() -> None:
    """Its name and kind are in the message, whatever the encoder is."""
    from hepda.adversarial import Head
    from hepda.errors import ConfigError
    from hepda.export.onnx.networks import network
    from hepda.export.onnx.sets import Events

    trained = Network(torch.nn.Conv1d(1, 1, 1), [Head("class", mlp(1, [], 1))])
    with pytest.raises(ConfigError, match="encoder of the kind Conv1d cannot be written as ONNX"):
        network(OnnxGraph(), Events((), (), "x"), trained, ["class"])
    assert onnx_model.__doc__
