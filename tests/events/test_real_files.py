"""The config of real collision files of CMS, from TTree and RNTuple to the report."""

from __future__ import annotations

import json
import os
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from hepda.config import load_config
from hepda.config.loading import EXAMPLE_CONFIGS
from hepda.events.dataset.inputs import open_inputs
from hepda.events.dataset.plan import make_plan
from hepda.events.dataset.reading import read_rows
from hepda.events.dataset.samples import normalisation_of
from hepda.events.dataset.skipped_files import Skips
from hepda.events.resolve import dataset_spec
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


SCALE_FACTORS = {
    "schema_version": 2,
    "corrections": [
        {
            "name": "jet_sf",
            "version": 1,
            "inputs": [{"name": "abseta", "type": "real"}, {"name": "flavour", "type": "int"}],
            "output": {"name": "weight", "type": "real"},
            "data": {
                "nodetype": "binning",
                "input": "abseta",
                "edges": [0.0, 1.0, 6.0],
                "content": [1.1, 0.9],
                "flow": "error",
            },
        }
    ],
}


def test_weights_and_selections_of_analysts_on_events_of_cms(tmp_path: Path) -> None:
    """Triggers of which one is not in files of 2015, good blocks, k factors and scale factors, against sums by hand."""
    pytest.importorskip("correctionlib")
    path = DATA / "nanoAOD_2015_CMS_Open_Data_ttbar.root"
    if not path.is_file():
        pytest.skip("HEPDA_DATA has no files of CMS")
    (tmp_path / "golden.json").write_text(json.dumps({"1": [[2272915, 2272917]]}))
    (tmp_path / "jets.json").write_text(json.dumps(SCALE_FACTORS))
    (tmp_path / "analysis.yaml").write_text((EXAMPLE_CONFIGS / "nanoaod.yaml").read_text())
    (tmp_path / "changed.yaml").write_text(
        "include: analysis.yaml\n"
        "variables: {top_pt: 'default(max(GenPart.pt[abs(GenPart.pdgId) == 6]), 0)'}\n"
        "samples:\n"
        "  ttlight: {selection: 'good_lumi(\"golden.json\", run, luminosityBlock)', class: background}\n"
        "selection: HLT_IsoMu20 | (has(HLT_IsoMu24) & HLT_IsoMu24)\n"
        "weight: genWeight * lookup(top_pt, [0, 100, 500], [1.2, 0.8])"
        ' * prod(correction("jets.json", "jet_sf", abs(Jet.eta), Jet.hadronFlavour))\n'
        "features: [ht]\n"
    )
    spec = dataset_spec(load_config(tmp_path / "changed.yaml", ["plots={}"]))
    plan = make_plan(spec)
    rows = read_rows(spec, plan, "ttlight", open_inputs(spec, plan, "ttlight", Skips(spec)), lambda *_: None).rows
    with uproot.open(path) as file:
        names = ["luminosityBlock", "HLT_IsoMu20", "genWeight", "Jet_eta", "GenPart_pt", "GenPart_pdgId"]
        events = file["Events"].arrays(names)
        assert "HLT_IsoMu24" not in file["Events"]
    events = events[events.HLT_IsoMu20 & (events.luminosityBlock <= 2272917)]
    top = np.asarray(ak.fill_none(ak.max(events.GenPart_pt[abs(events.GenPart_pdgId) == 6], axis=1), 0))
    jets = np.asarray(ak.prod(ak.where(abs(events.Jet_eta) < 1, 1.1, 0.9), axis=1))
    factor = normalisation_of(spec, "ttlight", [f.metadata for f in open_inputs(spec, plan, "ttlight", Skips(spec))])
    expected = np.asarray(events.genWeight, float) * np.where(top < 100, 1.2, 0.8) * jets * factor.factor
    assert 5 < len(expected) < 33
    np.testing.assert_allclose(np.concatenate([part.weight for part in rows]), expected)


@pytest.mark.slow
def test_eras_of_real_events_are_normalised_each_by_its_own_sum_of_weights(tmp_path: Path) -> None:
    """Two files of CMS as the files of two eras; the whole sample is not normalised by the sum of both."""
    names = ("nanoAOD_2015_CMS_Open_Data_ttbar", "cmsopendata2015_ttbar_19980_NANOAOD_RNTupleImporter_rntuple_v1-0-0-1")
    if not all((DATA / f"{name}.root").is_file() for name in names):
        pytest.skip("HEPDA_DATA has no files of CMS")
    (tmp_path / "analysis.yaml").write_text((EXAMPLE_CONFIGS / "nanoaod.yaml").read_text())
    files = ", ".join(f"{era}: $HEPDA_DATA/events/{name}.root" for era, name in zip((2015, 2016), names, strict=True))
    (tmp_path / "eras.yaml").write_text(
        "include: analysis.yaml\n"
        "luminosity: {2015: 1.0e-5, 2016: 3.0e-5}\n"
        f"samples:\n  ttlight: {{files: {{{files}}}}}\n"
        "systematics:\n  lumi: {kind: norm, value: {2015: 0.02, 2016: 0.03}, samples: ttlight}\n"
    )
    config = load_config(tmp_path / "eras.yaml")
    spec = dataset_spec(config)
    plan = make_plan(spec)
    for era, name, luminosity in zip((2015, 2016), names, (1e-5, 3e-5), strict=True):
        files_of_era = open_inputs(spec, plan, f"ttlight_{era}", Skips(spec))
        with uproot.open(DATA / f"{name}.root") as file:
            total = float(np.sum(np.asarray(file["Events"].arrays(["genWeight"]).genWeight, float)))
        found = normalisation_of(spec, f"ttlight_{era}", [file.metadata for file in files_of_era])
        assert found.factor == pytest.approx(luminosity * 1000 * 831.8 / total)
    assert spec.systematics.varied_samples("lumi_2016") == ("ttlight_2016",)


@pytest.mark.slow
def test_the_flavour_of_a_jet_of_real_files_as_a_category(tmp_path: Path) -> None:
    if not (DATA / "nanoAOD_2015_CMS_Open_Data_ttbar.root").is_file():
        pytest.skip("HEPDA_DATA has no files of CMS")
    changes = (
        "variables.lead_flavour=default(Jet.hadronFlavour[0], -1)", "features=[ht, lead_flavour]", "plots={}",
        "categories={lead_flavour: [5, 4, 0, -1]}", "samples.data=null", "samples.ttlight_alt=null",
    )  # fmt: skip
    config = load_config(EXAMPLE_CONFIGS / "nanoaod.yaml", (*QUICK[:-1], *changes))
    done = train.train(config, tmp_path / "run", PlotOptions(Plots.NONE, tmp_path / "plots"), Quiet())
    for model in ("network", "bdt"):
        assert 0 <= done.metrics.to_json()["models"][model]["auc"]["simulation"]["value"] <= 1
    metadata = json.loads((tmp_path / "run" / "models" / "bdt" / "fold0-member0.metadata.json").read_text())
    assert metadata["categorical_columns"] == {"1": [5, 4, 0, -1]}
