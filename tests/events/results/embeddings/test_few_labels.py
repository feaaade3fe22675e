"""Few labels of another domain in a run: the numbers and the table; what the analysis file may not ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hepda
from hepda.config import load_config, validate
from hepda.errors import ConfigError
from hepda.events.results.tables import few_labels_table
from hepda.results.events import EventMetrics
from hepda.results.record import quantity_in
from hepda.runtime.plots import PlotOptions, Plots
from hepda.workflows import train
from tests.factory import Silent, analysis, write_analysis

MODELS: dict[str, Any] = {
    "net": {"kind": "network", "encoder": [12], "ensemble": 2, "training": {"epochs": 4}},
    "bdt": {"kind": "bdt", "iterations": 20},
}


def evaluation(**few_labels: Any) -> dict[str, Any]:
    return {"bootstrap": 20, "probes": False, "few_labels": {"domain": "alternative", "draws": 5, **few_labels}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few")
    config = load_config(write_analysis(folder, 1500, models=MODELS, evaluation=evaluation(events=[1, 20, 10_000])))
    train.train(config, folder / "run", PlotOptions(Plots.NONE), Silent())
    return folder / "run"


def test_networks_have_the_numbers_and_trees_have_none(run: Path) -> None:
    metrics = hepda.load(run).metrics
    assert isinstance(metrics, EventMetrics)
    assert metrics.models["bdt"].few_labels is None
    entry = metrics.models["net"].few_labels
    assert entry is not None
    assert entry.domain == "alternative" and entry.too_many == [10_000]
    trained = entry.quantity("trained").value
    of_all_folds = quantity_in(metrics.models["net"].auc, "alternative").value
    assert trained is not None and trained == pytest.approx(of_all_folds, abs=0.12)
    for method in entry.methods.values():
        assert list(method.auc) == ["1", "20"]
        area = quantity_in(method.auc, "20").value
        assert area is not None and 0.4 < area < 1
    # With one labelled event of each class a corrected layer is still the trained one; a new one is not.
    assert quantity_in(entry.methods["correction"].auc, "1").value == pytest.approx(trained, abs=0.05)
    table = few_labels_table(metrics)
    assert table.head == ["Model", "As trained", "Last layer", "1", "20", "Better from"]
    assert [row[2].text for row in table.rows] == ["correction", "refit", "prototypes"]


@pytest.mark.parametrize(
    ("domain", "message"),
    [("other", "few_labels.domain.*'other'"), ("simulation", "is the nominal domain"), ("data", "no labels to draw")],
)
def test_a_domain_without_use_is_refused_before_the_training(domain: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(analysis(models=MODELS, evaluation=evaluation(domain=domain)))
