"""Page on categorical features: its analysis file is checked, trained, scored again and exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import uproot

from hepda.cli import main
from hepda.config import load_config, validate
from hepda.errors import ConfigError
from hepda.events.check import check_events
from tests.factory import analysis, write_sample
from tests.howto import write_page


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("categories")
    for name, seed in (("signal", 1), ("background", 2)):
        third = np.arange(800) % 3 == 0
        flavour = np.where(third, 13, 11) if name == "signal" else np.where(third, 11, 13)
        spoil = {"lepton_flavour": flavour.astype(np.int8)}
        write_sample(folder / f"{name}.root", 800, seed, name == "signal", cross_section=1.0, spoil=spoil)
    base = analysis(plots={}, evaluation={"bootstrap": 10, "probes": False})
    base["samples"] = {name: base["samples"][name] for name in ("signal", "background")}
    base["models"] = {}
    base["training"] |= {"epochs": 2, "processes": 1}
    write_page("categories", folder, base)
    return folder


def test_values_that_are_not_listed_are_told(folder: Path) -> None:
    config = load_config(folder / "categories.yaml", ["categories={lepton_flavour: [11, 15], n_b: [2, 3, 4]}"])
    warnings = "\n".join(check_events(config, lambda *_: None).warnings)
    assert "lepton_flavour has values that `categories` does not list in " in warnings
    assert "of the selected events: 13" in warnings
    assert "lepton_flavour has no event with 15" in warnings


def test_networks_and_trees_score_events_again_as_they_did(folder: Path) -> None:
    run, config = folder / "run", str(folder / "categories.yaml")
    assert main(["train", "--config", config, "--output", str(run), "--plots", "none"]) == 0
    models = json.loads((run / "metrics.json").read_text())["models"]
    areas = {name: model["auc"]["simulation"]["value"] for name, model in models.items()}
    assert min(areas.values()) > 0.6  # by the flavour alone
    assert main(["apply", str(run), str(folder / "signal.root"), "--output", str(folder / "friends")]) == 0
    (path,) = (folder / "friends").glob("*.root")
    scores = pd.read_parquet(run / "scores.parquet")
    with uproot.open(path) as file:
        friends = next(iter(file.values())).arrays(library="np")
    for model in models:
        again = friends[f"score_{model}"][friends["selected"] != 0]
        before = scores[model][scores["sample"] == "signal"]
        np.testing.assert_allclose(again, before, atol=1e-6)


def test_networks_are_exported_and_trees_are_left_out_with_the_reason(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    run = folder / "run"
    if not run.is_dir():
        pytest.skip("the training has failed")
    command = ["export", str(run), "--format", "onnx", "--output"]
    assert main([*command, str(tmp_path / "all")]) == 3  # compares with torch before it writes
    written = capsys.readouterr()
    assert [path.name for path in (tmp_path / "all").iterdir()] == ["network.onnx"]
    assert "models.bdt is left out: trees of sklearn with categorical features" in " ".join(written.err.split())
    assert "network.onnx" in written.out
    assert main([*command, str(tmp_path / "named"), "--models", "network"]) == 0
    assert [path.name for path in (tmp_path / "named").iterdir()] == ["network.onnx"]
    capsys.readouterr()
    assert main([*command, str(tmp_path / "trees"), "--models", "network,bdt"]) == 2  # what is asked for by name
    assert "models.bdt: trees of sklearn with categorical" in " ".join(capsys.readouterr().err.split())
    assert main([*command, str(tmp_path / "trees"), "--models", "networ"]) == 2
    assert "'networ' is no model of this run. Did you mean" in " ".join(capsys.readouterr().err.split())
    assert main(["export", str(run), "--format", "csv", "--models", "network"]) == 2
    assert "--models: is for --format onnx" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "trees").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": {"n_bb": [1, 2]}}, "categories: .*n_bb"),
        ({"categories": {"n_b": [1, 1]}}, "categories.n_b: 1 is listed twice"),
        ({"categories": {"n_b": [1]}}, "categories.n_b"),
        ({"categories": {"n_b": [1.5, 2]}}, "categories.n_b"),
        (
            {
                "categories": {"n_b": [2, 3]},
                "models": {
                    "v": {
                        "kind": "network",
                        "domain": {"source": ["background"], "target": ["background_alt"], "method": "vat"},
                    }
                },
            },
            "models.v.domain.method: 'vat' moves every input",
        ),
    ],
)
def test_what_categories_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(analysis(**changes))
