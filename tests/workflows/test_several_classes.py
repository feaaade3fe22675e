"""Three classes by every command: trained, continued after a discriminant that divides by zero, evaluated, applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot

from hepda.config import load_config
from hepda.errors import DataError
from hepda.events.dataset.splits import event_key
from hepda.events.resolve import dataset_spec
from hepda.events.results import figures
from hepda.events.results.saved_scores import read_scored
from hepda.runtime.plots import PlotOptions, Plots
from hepda.runtime.run_directory import read_json
from hepda.workflows import apply, train
from tests.factory import Silent, heard, several_classes, write_analysis

SHAPE = {"jes": {"kind": "shape", "up": {"jet_pt": "jet_pt_jes_up"}, "samples": ["ttH", "busy", "calm"]}}
MODELS = {
    "network": {"kind": "network", "encoder": [8], "score": "d"},
    "bdt": {"kind": "bdt", "iterations": 5},
    "pair": {"kind": "bdt", "iterations": 5, "classes": "binary"},
}
COLUMNS = [
    *("network", "network.p_ttH", "network.p_busy", "network.p_calm", "network.d"),
    *("bdt", "bdt.p_ttH", "bdt.p_busy", "bdt.p_calm", "bdt.d", "pair"),
]


@pytest.fixture(autouse=True)
def none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is drawn: figures cost more than all else."""
    monkeypatch.setattr(figures, "drawings", lambda data: [])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    evaluation = {"probes": False, "bootstrap": 0, "blind": None, "bias": {"between": ["simulation", "alternative"]}}
    more = {"models": MODELS, "features": ["ht", "n_jets", "m_bb"], "systematics": SHAPE, "evaluation": evaluation}
    training = {"epochs": 1, "processes": 1, "patience": None}
    return write_analysis(folder, n=1000, **several_classes(**more, training=training))


@pytest.fixture(scope="module")
def run(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, which was interrupted by a discriminant and continued."""
    run = tmp_path_factory.mktemp("run") / "run"
    kept: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "drawings", lambda data: [])
        # As if it were finite at the mixtures that are looked at beforehand, but not for these events.
        bad = (
            "discriminants.d=p_ttH / (p_ttH + 0.7 * p_busy + 0.3 * p_calm) + where(p_calm < p_ttH, 0 / (p_calm * 0), 0)"
        )
        patch.setattr("hepda.events.training.probabilities.check_discriminants", lambda models: [])
        with pytest.raises(
            DataError, match=r"discriminants.d: is not a finite number for \d+ of \d+ events scored by net"
        ):
            train.train(load_config(page, [bad]), run, PlotOptions(Plots.NONE), Silent())
        kept |= {path.name: path.stat().st_mtime_ns for path in run.rglob("*.npz")}
        with heard() as lines:
            train.train(load_config(page), run, PlotOptions(Plots.NONE), Silent(), resume=True)
    assert len(kept) == 6 and not any("nothing to resume" in line or "has changed" in line for line in lines)
    return run


def test_scores_are_a_column_for_each_class_and_discriminant(run: Path) -> None:
    table = pq.read_table(run / "scores.parquet").to_pandas()
    assert list(table.columns) == ["key", "run", "event", "sample", "domain", "fold", "weight", "label", *COLUMNS]
    for model in ("network", "bdt"):
        total = sum(table[f"{model}.p_{name}"] for name in ("ttH", "busy", "calm"))
        np.testing.assert_allclose(total, 1.0, atol=1e-5)
    np.testing.assert_array_equal(table["network"], table["network.d"])
    np.testing.assert_array_equal(table["bdt"], table["bdt.p_ttH"])
    assert (table["label"] == 1).sum() == table["sample"].isin(["ttH", "ttH_alt"]).sum()


def test_numbers_are_those_of_the_primary_score(run: Path) -> None:
    metrics = read_json(run / "metrics.json")
    assert list(metrics["models"]) == ["network", "bdt", "pair"]
    assert metrics["models"]["network"]["setup"]["kind"] == "network 8, 3 classes, score d"
    assert {name: of["class"] for name, of in metrics["samples"].items() if of["domain"] == "simulation"} == {
        "ttH": "ttH", "busy": "busy", "calm": "calm",
    }  # fmt: skip


def test_evaluate_gives_the_same_numbers_from_the_saved_columns(run: Path) -> None:
    before = read_json(run / "metrics.json")
    train.evaluate(run, PlotOptions(Plots.NONE), Silent())
    after = read_json(run / "metrics.json")
    assert after["models"] == before["models"]


def test_friends_have_a_branch_for_each_class_and_discriminant(page: Path, run: Path, tmp_path: Path) -> None:
    apply.apply(run, [str(page.parent / "background.root")], tmp_path / "out", Silent(), processes=1)
    with uproot.open(tmp_path / "out" / "background.root") as file:
        got = file["hepda"].arrays(library="np")
    branches = [f"score_{name.replace('.', '_')}" for name in COLUMNS]
    assert list(got) == [
        "run",
        "event",
        "fold",
        "selected",
        *branches,
        "selected_jes_up",
        *(f"{b}_jes_up" for b in branches),
    ]
    saved = pq.read_table(run / "scores.parquet").to_pandas()
    saved = (
        saved[saved["sample"].isin(["busy", "calm"])]
        .set_index("key")
        .loc[event_key(got["run"], got["event"])[got["selected"]]]
    )
    for name, branch in zip(COLUMNS, branches, strict=True):
        np.testing.assert_allclose(got[branch][got["selected"]], saved[name], rtol=1e-5, atol=1e-7)
        assert np.isnan(got[branch][~got["selected"]]).all()
    moved = got["score_bdt_p_busy_jes_up"][got["selected"]] != got["score_bdt_p_busy"][got["selected"]]
    assert moved.mean() > 0.02


def test_saved_scores_are_read_by_column(page: Path, run: Path) -> None:
    config = load_config(page)
    table, scores = read_scored(dataset_spec(config), run)
    assert list(scores) == COLUMNS and all(values.shape == (len(table),) for values in scores.values())
