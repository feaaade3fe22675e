"""Pages on branches that files lack, good runs, scale factors and k factors: their analysis files on small files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from hepda.config import AnalysisConfig, load_config
from hepda.events.dataset.load import LoadedEvents, load_table
from hepda.events.resolve import dataset_spec
from hepda.events.table.fingerprint import table_identity
from tests.factory import VARIABLES, analysis, write_sample
from tests.howto import write_page

N = 300
RNG = np.random.default_rng(5)
TOP_PT = RNG.exponential(150, N).astype(np.float32)
FIRED = RNG.random(N) < 0.5
BLOCK = RNG.integers(1, 100, N).astype(np.uint32)
PREFIRE = np.linspace(0.9, 1, N).astype(np.float32)
SMALL: dict[str, Any] = {
    "models": {"network": {"kind": "network", "encoder": [4]}},
    "variables": {**VARIABLES, "top_pt": "gen_top_pt"},
    "selection": "n_jets >= 5",
    "features": ["met"],
    "plots": {},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples of the small analysis, with a trigger that only some have."""
    folder = tmp_path_factory.mktemp("howto")
    seeds = {"signal": 1, "background": 2, "signal_alt": 3, "background_alt": 4, "third": 5, "data": 6}
    for name, seed in seeds.items():
        further: dict[str, Any] = {"HLT_a": FIRED, "luminosityBlock": BLOCK}
        further |= {"HLT_b": ~FIRED, "prefire_weight": PREFIRE} if name == "background" else {}
        further |= {} if name == "data" else {"gen_top_pt": TOP_PT}
        write_sample(folder / f"{name}.root", N, seed, "signal" in name, data=name == "data", spoil=further)
    return folder


def loaded(name: str, folder: Path, **changes: Any) -> tuple[AnalysisConfig, LoadedEvents]:
    config = load_config(write_page(name, folder, analysis(**(SMALL | changes))))
    return config, load_table(dataset_spec(config))


def gen_weights(folder: Path, sample: str) -> np.ndarray:
    with uproot.open(folder / f"{sample}.root") as file:
        return np.asarray(file["events"]["gen_weight"].array(), float)


def test_triggers(folder: Path) -> None:
    _, events = loaded("triggers", folder)
    assert events.samples["background"].sums.entries == N
    assert events.samples["signal"].sums.entries == FIRED.sum() == events.samples["data"].sums.entries
    summary = events.samples["background"]
    assert summary.sums.sumw / summary.normalisation == pytest.approx(
        (gen_weights(folder, "background") * PREFIRE).sum()
    )


def test_good_runs(folder: Path) -> None:
    golden = folder / "Cert_294927-306462_13TeV_UL2017_GoldenJSON.txt"
    golden.write_text(json.dumps({"284500": [[1, 50], [60, 70]], "284501": [[1, 100]]}))
    config, events = loaded("good-runs", folder)
    assert events.samples["data"].sums.entries == np.sum((BLOCK <= 50) | ((BLOCK >= 60) & (BLOCK <= 70)))
    assert events.samples["signal"].sums.entries == N
    before = table_identity(dataset_spec(config))
    assert table_identity(dataset_spec(config)) == before
    golden.write_text(json.dumps({"284500": [[1, 50]]}))
    assert table_identity(dataset_spec(config)) != before  # a table of the cache is not of this file any more


def test_scale_factors(folder: Path) -> None:
    schema = pytest.importorskip("correctionlib.schemav2")

    def write(path: str, name: str, inputs: list[tuple[str, str]], data: Any) -> None:
        correction = {
            "name": name,
            "version": 1,
            "inputs": [{"name": key, "type": kind} for key, kind in inputs],
            "output": {"name": "weight", "type": "real"},
            "data": data,
        }
        text = schema.CorrectionSet(schema_version=2, corrections=[correction]).model_dump_json()
        import gzip

        (folder / path).write_bytes(gzip.compress(text.encode()) if path.endswith("gz") else text.encode())

    by_pt = {"nodetype": "formula", "expression": "0.9+x/1000", "parser": "TFormula", "variables": ["pt"]}
    items = [{"key": "nominal", "value": by_pt}, {"key": "systup", "value": 1.5}]
    keys = [("abseta", "real"), ("pt", "real"), ("scale_factors", "string")]
    name = "NUM_TightID_DEN_TrackerMuons"
    write("muon_Z.json.gz", name, keys, {"nodetype": "category", "input": "scale_factors", "content": items})
    flavours = [{"key": 0, "value": 1.0}, {"key": 5, "value": 0.9}]
    keys = [("flavour", "int"), ("abseta", "real"), ("pt", "real")]
    write("btagging.json", "working_point", keys, {"nodetype": "category", "input": "flavour", "content": flavours})
    _, events = loaded("scale-factors", folder)
    with uproot.open(folder / "background.root") as file:
        arrays = file["events"].arrays(["gen_weight", "lepton_pt", "jet_flavour"])
    lepton = 0.9 + np.clip(np.asarray(arrays.lepton_pt, float), 15, 199) / 1000
    weight = np.asarray(arrays.gen_weight, float) * lepton * 0.9 ** np.asarray(ak.sum(arrays.jet_flavour == 5, axis=1))
    summary = events.samples["background"]
    assert summary.sums.sumw / summary.normalisation == pytest.approx(weight.sum())
    assert summary.sums.sumw2 / summary.normalisation**2 == pytest.approx((weight**2).sum())


def test_k_factors(folder: Path) -> None:
    _, events = loaded("k-factors", folder)
    pt = np.asarray(TOP_PT, float)
    factors = {
        "background": np.select([pt < 100, pt < 200], [1.05, 1.0], 0.92),
        "background_alt": np.interp(pt, [0, 200, 500], [1.05, 0.95, 0.8]),
        "third": np.exp(0.0615 - 0.0005 * np.minimum(pt, 500)),
    }
    for name, factor in factors.items():
        summary = events.samples[name]
        by_hand = (gen_weights(folder, name) * factor).sum()
        assert summary.sums.sumw / summary.normalisation == pytest.approx(by_hand)
