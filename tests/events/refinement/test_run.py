"""A whole run of a refinement, from the analysis file to the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hepda.config import load_any
from hepda.errors import ConfigError
from hepda.kinds import kind_of
from hepda.results.entries.refinement import RefinementMetrics
from hepda.runtime.plots import PlotOptions, Plots
from hepda.workflows import train
from tests.events.refinement.toy import analysis, config
from tests.reports import assert_no_table_is_empty
from tests.speech.test_run import Quiet

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def metrics(run: Path) -> RefinementMetrics:
    return RefinementMetrics.from_json(json.loads((run / "metrics.json").read_text()))


def test_a_run_leaves_what_every_run_leaves(run: Path) -> None:
    for name in train.FILES:
        assert (run / name).is_file(), name
    page = (run / "report.html").read_text()
    for text in ("The pair that was learned from", "AUC of the probe", "no difference", "as it is"):
        assert text in page
    assert_no_table_is_empty(run, kind_of(load_any(run / "config.yaml")))
    jets = {f"jets-{name}.png" for name in ("jet_pt", "jet_mass", "jet_tag", "response")}
    assert {path.name for path in (run / "plots").glob("*.png")} >= {"feature-n_jets.png", "feature-ht.png", *jets}
    assert "Where the bias of μ comes from" in page


def test_the_response_is_nearer_to_the_target_than_the_simulation(metrics: RefinementMetrics) -> None:
    pairs = {name: model.pairs["learn"] for name, model in metrics.models.items()}
    probes = {name: float(pair.probe.value or 0.0) for name, pair in pairs.items()}
    null = metrics.pairs["learn"].null
    assert probes["as_is"] > 0.56 and abs(float(null.value or 0.0) - 0.5) < 0.04
    assert probes["response"] < 0.5 + 0.4 * (probes["as_is"] - 0.5)
    assert pairs["response"].n_eff == pytest.approx(1.0) and pairs["weights"].n_eff < 0.95
    biases = {name: abs(float(pair.mu.value or 0.0) - 1.0) for name, pair in pairs.items() if pair.mu}
    assert biases["response"] < 0.4 * biases["as_is"]


def test_the_parts_of_a_bias_add_up_to_it(metrics: RefinementMetrics) -> None:
    for model in metrics.models.values():
        pair = model.pairs["learn"]
        parts = {(part.process, part.part): float(part.bias.value or 0.0) for part in pair.origins}
        assert set(parts) == {(process, part) for process in ("signal", "background") for part in ("rate", "shape")}
        assert pair.mu is not None and pair.mu.value is not None
        if abs(pair.mu.value - 1.0) < 0.3:  # where the fit is nearly linear
            assert sum(parts.values()) == pytest.approx(pair.mu.value - 1.0, abs=0.05)


def test_a_morph_of_features_breaks_what_holds_between_them(metrics: RefinementMetrics) -> None:
    morphed = metrics.models["features"].pairs["learn"].probe
    assert morphed.value is not None and morphed.value > float(
        metrics.models["as_is"].pairs["learn"].probe.value or 1.0
    )


def test_features_are_formed_anew_and_no_event_by_what_it_taught(run: Path) -> None:
    kind = kind_of(load_any(run / "config.yaml"))
    kind.load(Quiet().step)
    table = kind.events.table(run, "response", "bkg")  # type: ignore[attr-defined]
    values = dict(zip(table.names, table.features.T, strict=True))
    np.testing.assert_allclose(values["met_over_ht"], values["met"] / values["ht"], rtol=1e-5)
    learned = kind.events.learned_from()[0]  # type: ignore[attr-defined]
    for fold in range(2):
        side, features, weight = learned.without(fold)
        assert len(side.weight) == (learned.fold != fold).sum()
        assert len(features) == len(weight) == (learned.selected_fold != fold).sum()


def test_numbers_are_made_again_from_the_saved_factors(run: Path, metrics: RefinementMetrics) -> None:
    outcome = train.evaluate(run, PlotOptions(Plots.NONE), Quiet())
    again, before = outcome.metrics.to_json(), metrics.to_json()
    for model in again["models"].values():
        model.pop("training", None)
    for model in before["models"].values():
        model.pop("training", None)
    assert again == before


def test_analysis_may_be_another_file_with_keys_over_it(tmp_path: Path) -> None:
    import yaml

    data = analysis(tmp_path, 200)
    (tmp_path / "events.yaml").write_text(yaml.safe_dump(data["analysis"]))
    by_path = data | {"analysis": "events.yaml"}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(by_path))
    over = data | {
        "analysis": {"include": "events.yaml", "variables": {"pt_1": "jet_pt[1]"}, "samples": {"sig_2": None}}
    }
    over["learn"] = {"source": "bkg", "target": "bkg_2"}
    (tmp_path / "b.yaml").write_text(yaml.safe_dump(over))
    plain, laid = load_any(tmp_path / "a.yaml"), load_any(tmp_path / "b.yaml", ["analysis.missing=-7"])
    assert plain == config(tmp_path, 200)
    assert laid.analysis.variables["pt_1"] == "jet_pt[1]" and laid.analysis.missing == -7  # type: ignore[union-attr]
    assert "sig_2" not in laid.analysis.samples and "sig" in laid.analysis.samples  # type: ignore[union-attr]
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(data | {"analysis": {"include": "event.yaml"}}))
    with pytest.raises(ConfigError, match=r"analysis\.include .*events\.yaml"):
        load_any(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"learn": {"source": "bkgg", "target": "bkg_2"}},
            r"learn\.source: 'bkgg' is not a sample\. Did you mean 'bkg'",
        ),
        ({"learn": {"source": "bkg", "target": "bkg"}}, "names one sample twice"),
        ({"learn": {"source": "bkg", "target": "bkg_2", "signal": "sig"}}, "needs both"),
        ({"judge": {"learn": {"source": "bkg", "target": "bkg_2"}}}, r"judge\.learn: is the name"),
        ({"models": {"w": {"kind": "weights", "of": "respons"}}}, r"models\.w\.of"),
        ({"training": {"patience": 3}}, r"training\.patience: has no effect"),
        ({"objects": {"jets": {"tag": None}, "seen": {"tags": 2}}}, r"objects\.seen\.tags: needs the tag bin"),
    ],
)
def test_wrong_keys_are_told(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(tmp_path, 200, **change)
