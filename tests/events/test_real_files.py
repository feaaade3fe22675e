"""The config of real collision files of CMS, from TTree and RNTuple to the report."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hepda.config import load_config
from hepda.config.loading import EXAMPLE_CONFIGS
from hepda.runtime.plots import PlotOptions, Plots
from hepda.workflows import train

DATA = Path(os.environ.get("HEPDA_DATA", "")) / "events"
QUICK = ("training.epochs=2", "training.processes=1", "models.bdt.iterations=5", "evaluation.bootstrap=10",
         "features=[n_jets, ht]")  # fmt: skip


class Quiet:
    def stage(self, name: str) -> None: ...
    def step(self, what: str, done: int, total: int) -> None: ...


@pytest.mark.slow
def test_the_config_of_nanoaod_ends_with_a_report(tmp_path: Path) -> None:
    if not (DATA / "nanoAOD_2015_CMS_Open_Data_ttbar.root").is_file():
        pytest.skip("HEPDA_DATA has no files of CMS")
    config = load_config(EXAMPLE_CONFIGS / "nanoaod.yaml", QUICK)
    done = train.train(config, tmp_path / "run", PlotOptions(Plots.ALL, tmp_path / "plots"), Quiet())
    samples = done.metrics.to_json()["samples"]
    assert {name: s["selected"] for name, s in samples.items()} == {
        "ttbb": 17, "ttlight": 139, "ttlight_alt": 10, "data": 10,
    }  # fmt: skip
    assert samples["ttlight_alt"]["yield"] == pytest.approx(10, rel=0.01)  # the luminosity is that of the pseudo-data
    assert done.report.is_file()
    for model in ("network", "bdt"):
        assert 0 <= done.metrics.to_json()["models"][model]["auc"]["simulation"]["value"] <= 1
    drawn = {path.stem for path in (tmp_path / "plots").glob("feature_*.png")}
    assert drawn == {f"feature_{feature}" for feature in config.features}
