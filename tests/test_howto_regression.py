"""Page on models that predict a number: its analysis file is checked and trained, and its fit is loaded."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hepda.cli import main
from hepda.config import load_config
from tests.factory import analysis, write_sample
from tests.howto import PAGES, write_page


@pytest.mark.slow
def test_the_page_is_checked_trained_and_evaluated(tmp_path: Path) -> None:
    for name, seed, shift in (("background", 1, 0.0), ("background_alt", 2, 1.0), ("signal", 3, 0.0)):
        write_sample(tmp_path / f"{name}.root", 500, seed, name == "signal", shift)
    base = analysis(plots={}, evaluation={"bootstrap": 10, "blind": None})
    base["samples"] = {name: base["samples"][name] for name in ("signal", "background", "background_alt")}
    base["models"] = {}
    base["training"] |= {"epochs": 2, "processes": 1}
    path, run = write_page("regression", tmp_path, base), tmp_path / "run"
    assert main(["check", "--config", str(path)]) == 0
    assert main(["train", "--config", str(path), "--output", str(run), "--plots", "none"]) == 0
    models = json.loads((run / "metrics.json").read_text())["models"]
    numbers = {name: model["regression"]["domains"] for name, model in models.items() if "regression" in model}
    assert list(numbers) == ["st", "st_dann", "st_trees"]
    probes = {name: models[name]["probes"]["simulation:alternative"]["background"] for name in numbers}
    assert set(probes["st_dann"]["bdt"]) == {"prediction", "embedding"} and set(probes["st_trees"]["bdt"]) == {
        "prediction"
    }
    assert all(list(of) == ["simulation", "alternative"] for of in numbers.values())
    assert numbers["st_trees"]["simulation"]["correlation"]["value"] > 0.3
    assert numbers["st"]["simulation"]["bins"]["edges"] == [250, 450, 650, 850, 1050, 1250, 1450]
    (fit,) = re.findall(
        r"over analysis.yaml -->\n```yaml\n(.*?)^```", (PAGES / "regression.md").read_text(), re.M | re.S
    )
    (tmp_path / "fit.yaml").write_text(f"include: {tmp_path / 'analysis.yaml'}\n{fit}")
    assert load_config(tmp_path / "fit.yaml").fit.regions["high"].variable == "st"
