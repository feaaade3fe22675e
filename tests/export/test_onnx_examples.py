"""The example with RDataFrame of docs/onnx.md, where ROOT is installed; that in C++ is tested with exported models."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import uproot

from hepda.adversarial import mlp
from hepda.export.onnx.folds import fold
from hepda.export.onnx.graph import FLOAT, INTEGER, OnnxGraph
from hepda.export.onnx.layers import mlp as exported_mlp

pytest.importorskip("onnxruntime")
EXAMPLES = Path(__file__).parents[2] / "examples" / "onnx"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file with the inputs and outputs of an exported model."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layers = mlp(2, [4], 1).eval()
    graph = OnnxGraph()
    columns = [graph.column(graph.input(name, FLOAT)) for name in ("ht", "met")]
    keys = [graph.input(name, INTEGER) for name in ("run", "event")]
    raw = graph.add("Sigmoid", exported_mlp(graph, graph.concatenated(columns), layers))
    for name in ("score", "average_score"):
        graph.output(graph.of_column(raw, 0), name, FLOAT)
    graph.output(fold(graph, keys, 2), "fold", INTEGER)
    about = {"hepda": "test", "features": '["ht", "met"]', "key": '["run", "event"]'}
    path = tmp_path / "model.onnx"
    path.write_bytes(graph.model("model", about, "").SerializeToString())
    return path


def scores(model: Path, ht: np.ndarray, met: np.ndarray, event: np.ndarray) -> np.ndarray:
    import onnxruntime

    inputs = {"ht": ht, "met": met, "run": np.ones_like(event), "event": event}
    (result,) = onnxruntime.InferenceSession(model).run(["score"], inputs)
    return np.asarray(result)


@pytest.mark.skipif(find_spec("ROOT") is None, reason="ROOT is not installed")
def test_friends_of_rdataframe_have_the_scores(model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    events = {
        "ht": rng.uniform(0, 1, 50),
        "met": rng.uniform(0, 1, 50),
        "event": np.arange(50),
        "run": np.ones(50, int),
    }
    with uproot.recreate(tmp_path / "events.root") as file:
        file.mktree("events", {name: values.dtype for name, values in events.items()}).extend(events)
    script = [sys.executable, str(EXAMPLES / "friends_with_rdataframe.py")]
    files = [str(model), str(tmp_path / "events.root"), "events", str(tmp_path / "friends.root")]
    subprocess.run([*script, *files], check=True, timeout=300)
    friends = uproot.open(tmp_path / "friends.root")["hepda"].arrays(library="np")
    ht, met = (events[name].astype(np.float32) for name in ("ht", "met"))
    np.testing.assert_allclose(friends["score"], scores(model, ht, met, events["event"]), rtol=1e-6)
    assert list(friends["event"]) == list(range(50)) and set(friends["fold"]) == {0, 1}
