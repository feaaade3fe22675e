"""Features that give the class, the domain or the event away are told by name, and honest ones are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hepda.config import load_config
from hepda.events.check import check_events
from hepda.events.dataset.load import load_table
from hepda.events.identifiers import role_of
from hepda.events.leaks import leaks
from hepda.events.resolve import dataset_spec
from hepda.kinds import kind_of
from tests.factory import analysis, several_classes, write_analysis, write_sample

N = 400
SAMPLES = (("signal", True), ("background", False), ("signal_alt", True), ("background_alt", False), ("third", False))


def told(folder: Path, features: list[str], **changes: Any) -> dict[str, str]:
    """The warnings of `leaks` by feature, for six samples with branches that are no features."""
    rng = np.random.default_rng(5)
    for number, (name, signal) in enumerate((*SAMPLES, ("data", False))):
        spoil = {
            "evtNum": rng.permutation(N).astype("i4"),
            "counter_x": (rng.permutation(N) + 3_000_000_000 + 1000 * number).astype("i8"),
            "station": np.full(N, 40 + number, "i4"),
            "kind": np.where(signal, rng.choice([3, 7], N), rng.choice([5, 9], N)).astype("i4"),
            "answer": rng.normal(5.0 * signal, 0.5, N).astype("f4"),
            "tune": rng.normal(10.0 if name.endswith("alt") else 0.0, 1.0, N).astype("f4"),
            "quality": rng.integers(0, 5000, N).astype("i4"),
            "mt_w": rng.exponential(50, N).astype("f4"),
        }
        write_sample(folder / f"{name}.root", N, number + 1, signal, data=name == "data", spoil=spoil)
    path = folder / "leaks.yaml"
    path.write_text(yaml.safe_dump(analysis(features=["ht", *features], plots={}, **changes)))
    config = load_config(path)
    lines = leaks(dataset_spec(config), load_table(dataset_spec(config)).table)
    return {line.split()[2]: line for line in lines}


def test_each_leak_is_named_with_its_reason(tmp_path: Path) -> None:
    variables = analysis()["variables"] | {"parity": "evtNum % 2", "copy": "counter_x"}
    features = ["evtNum", "copy", "parity", "station", "kind", "answer", "tune", "quality", "mt_w", "n_jets"]
    result = told(tmp_path, features, variables=variables)
    assert set(result) == {"evtNum", "copy", "parity", "station", "kind", "answer", "tune"}
    assert "is the branch evtNum, by its name the number of an event" in result["evtNum"]
    assert "never repeats within a sample" in result["evtNum"]
    assert "never repeats within a sample" in result["copy"]  # above 2**24, where float32 rounds
    assert "is computed from the branch evtNum" in result["parity"]
    assert "has one value in each sample" in result["station"]
    assert "separates signal from background by itself (AUC 1.0000)" in result["kind"]  # in no order of its values
    assert "separates signal from background by itself (AUC " in result["answer"]
    assert "separates the domain alternative from simulation (signal) by itself (AUC 1.0000)" in result["tune"]
    assert all("remove it from `features`" in line for line in result.values())


def test_weights_keys_and_aliases_are_seen_through(tmp_path: Path) -> None:
    samples = {name: about | {"aliases": {"tidy": "evtNum"}} for name, about in analysis()["samples"].items()}
    del samples["data"]
    changes = {"samples": samples, "weight": "b_weight * mt_w", "split": {"key": ["run", "quality"]},
               "evaluation": {}}  # fmt: skip
    result = told(tmp_path, ["tidy", "b_weight", "mt_w", "quality", "met"], **changes)
    assert "is the branch evtNum, by its name the number of an event" in result["tidy"]
    assert "is the branch b_weight, by its name an event weight" in result["b_weight"]
    assert "is the branch mt_w, a factor of `weight`" in result["mt_w"]
    assert "is the branch quality, a branch of `split.key`" in result["quality"]
    assert set(result) == {"tidy", "b_weight", "mt_w", "quality"}


def test_check_and_train_warn_alike(tmp_path: Path) -> None:
    result = told(tmp_path, ["answer"])
    config = load_config(tmp_path / "leaks.yaml")
    assert result["answer"] in check_events(config, lambda *_: None).warnings
    kind = kind_of(config)
    assert result["answer"] in kind.load(lambda *_: None)
    assert result["answer"] in kind.warnings()  # those of the report


@pytest.mark.parametrize(
    ("names", "role"),
    [
        ("evtNum event_id EventNumber EventInfoAuxDyn.eventNumber evt_idx eventno nEvent", "event"),
        ("run runNumber Run_No RunId", "run"),
        ("lumi luminosityBlock lumi_block LumiSec lb", "lumi"),
        ("entry index rdfentry_ Unnamed:_0 row_id uuid", "entry"),
        ("bx bunchCrossing orbitNumber timestamp", "time"),
        ("dsid DSID mcChannelNumber sample_id process isMC xsec", "sample"),
        ("label is_signal isSig target truth_label class_id", "label"),
        ("weight genWeight evt_wgt puWeightUp lepton_sf scaleFactor_PILEUP w btagSF", "weight"),
        ("pt_w m_w mt_w Jet_puppiWeight event_shape n_jets run_length jet_pt met sumet truth_pt lumps", None),
    ],
)
def test_roles_by_name(names: str, role: str | None) -> None:
    assert {name: role_of(name) for name in names.split()} == dict.fromkeys(names.split(), role)


def test_a_feature_that_gives_one_of_several_classes_away_is_named(tmp_path: Path) -> None:
    """Of signal and background it tells nothing: it has the same two values in both."""
    content = several_classes(features=["ht", "n_extra_b"], models={"bdt": {"kind": "bdt"}}, plots={}, evaluation={})
    samples = {
        "ttH": {"files": "signal.root", "class": "ttH", "selection": "n_extra_b < 2"},
        "busy": {"files": "background.root", "class": "busy", "selection": "n_extra_b == 2"},
        "calm": {"files": "background.root", "class": "calm", "selection": "n_extra_b < 2"},
    }
    content["samples"] = {name: sample | {"domain": "simulation"} for name, sample in samples.items()}
    del content["discriminants"]
    config = load_config(write_analysis(tmp_path, n=N, **content))
    spec = dataset_spec(config)
    (line,) = leaks(spec, load_table(spec).table)
    assert "the feature n_extra_b separates busy from the other classes by itself (AUC 1.0000)" in line
    assert "signal from background" not in line and "ttH from" not in line
