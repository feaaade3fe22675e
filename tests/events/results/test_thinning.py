"""Fewer events for the evaluation: which, with what weight, and that numbers are those of all events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from hepda.config import load_config
from hepda.evaluation.roc import auc
from hepda.events.dataset.load import load_table
from hepda.events.resolve import dataset_spec
from hepda.events.results import thinning
from hepda.events.results.saved_scores import read_scored
from hepda.events.table.feature_table import FeatureTable
from hepda.runtime import run_directory
from hepda.runtime.plots import PlotOptions, Plots
from hepda.workflows import train
from tests.factory import write_analysis

N = 3000
SMALL = ("models.network.ensemble=1", "models.bdt.iterations=5", "training.epochs=1", "evaluation.bootstrap=10",
         "evaluation.probes=false", "evaluation.events=1000", "training.processes=1")  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_analysis(tmp_path_factory.mktemp("thin"), N)


def sums(table: FeatureTable) -> dict[str, tuple[int, float]]:
    result = {}
    for name in table.sample_names:
        mask = table.of_samples([name])
        result[name] = int(mask.sum()), float(table.weight[mask].sum())
    return result


def test_as_many_events_as_are_asked_for_with_the_weight_of_all(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thinning, "_BLOCK", 700)
    config = load_config(path, SMALL)
    table = load_table(dataset_spec(config)).table
    scores = {"one": np.random.default_rng(1).random(len(table), np.float32)}
    shares = thinning.shares_of(config.evaluation.events, table)
    assert ("simulation", "background") in shares and not any(domain == "data" for domain, _ in shares)
    small, small_scores = thinning.thinned(table, scores, shares, tmp_path / "part")
    before, after = sums(table), sums(small)
    for name, (count, total) in before.items():
        sample = config.samples[name]
        share = shares.get((sample.domain, str(sample.class_)), 1.0)
        assert after[name][0] == pytest.approx(count * share, rel=0.1)
        assert after[name][1] == pytest.approx(total, rel=0.1)
        if share == 1:
            assert after[name] == (count, pytest.approx(total))
    # In the order of the table, each with its own score, by keys alone.
    places = {key: i for i, key in enumerate(table.key.tolist())}
    rows = np.array([places[key] for key in small.key.tolist()])
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(small_scores["one"], scores["one"][rows])
    np.testing.assert_array_equal(small.features, table.features[rows])
    again, _ = thinning.thinned(table, scores, shares, tmp_path / "again")
    np.testing.assert_array_equal(again.key, small.key)


class Quiet:
    def stage(self, name: str) -> None: ...
    def step(self, what: str, done: int, total: int) -> None: ...


@pytest.mark.slow
def test_a_run_says_so_and_its_numbers_are_those_of_all_events_within_their_errors(path: Path, tmp_path: Path) -> None:
    text = yaml.safe_load(path.read_text())
    text |= {"features": ["ht", "n_b"], "models": {"bdt": {"kind": "bdt", "iterations": 5}}, "plots": {}}
    path = path.with_name("few.yaml")
    path.write_text(yaml.safe_dump(text))
    few = [text for text in SMALL if not text.startswith("models.")]
    thin = train.train(load_config(path, few), tmp_path / "run", PlotOptions(Plots.NONE), Quiet())
    selected = sum(sample.selected for sample in thin.metrics.samples.values())
    assert run_directory.read_scores(thin.folder).num_rows == selected
    assert 0 < thin.metrics.judged["simulation:background"] < 1
    assert "selected by hash of the event key" in thin.report.read_text()
    assert not (thin.folder / ".work").exists()
    table, scores = read_scored(dataset_spec(load_config(path, few)), thin.folder)
    complete = table.of_domain("simulation") & (table.label >= 0)
    for model, score in scores.items():
        part = thin.metrics.models[model].auc["simulation"].value
        all_ = auc(score[complete], table.label[complete], table.weight[complete])
        assert part != all_ and part == pytest.approx(all_, abs=0.03)
