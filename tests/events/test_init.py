"""`hepda init`: what is guessed of a file, and that `hepda check` takes it once the samples are filled in."""

import os
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from hepda.config import load_config
from hepda.errors import SourceError
from hepda.events import wing
from hepda.events.check import check_events
from hepda.events.dataset.load import load_table
from hepda.events.init import starting_yaml
from tests.factory import write_sample

DATA = Path(os.environ.get("HEPDA_DATA", "")) / "events"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("starter")
    return [write_sample(folder / f"{name}.root", 300, seed, name == "one") for seed, name in enumerate(("one", "two"))]


def test_the_page_passes_the_check_and_can_be_read_once_its_samples_are_real(files, tmp_path):
    text = starting_yaml(str(files[0]))
    _, background = [line for line in text.splitlines() if str(files[0]) in line]
    text = text.replace(background, background.replace(str(files[0]), str(files[1])))
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    config = load_config(path)
    lines, problems = wing.check(config, lambda *_: None)
    assert problems == []
    assert lines[-1].endswith("training may start; no warnings")
    table = load_table(config).table
    assert len(table) == 600
    assert {"n_jet", "sum_pt_jet", "jet_pt_1", "mass_jet", "lepton_pt", "met"} <= set(table.names)
    assert config.weight == "gen_weight"
    keys = {"tree": "metadata", "cross_section": "cross_section", "sum_of_weights": "sum_of_weights"}
    assert config.normalisation is not None and config.normalisation.model_dump(exclude_unset=True) == keys
    assert config.split.key == ("run", "event")


def test_truth_weights_and_variations_are_no_features(files):
    features = starting_yaml(str(files[0])).partition("features:")[2].partition("split:")[0]
    proposed = [line[4:] for line in features.splitlines() if line.startswith("  - ")]
    assert proposed
    for name in proposed:
        assert not any(part in name for part in ("weight", "flavour", "extra", "_up", "_down", "event", "run"))


def test_a_constant_is_named_and_a_file_without_events_is_refused(tmp_path):
    with uproot.recreate(tmp_path / "c.root") as file:
        file.mktree("t", {"x": "f4", "y": "f4", "event": "i8"})
        file["t"].extend({"x": [1.0, 2.0], "y": [3.0, 3.0], "event": [1, 2]})
        file.mktree("empty", {"x": "f4"})
    text = starting_yaml(str(tmp_path / "c.root"), "t")
    assert "  - x\n" in text
    assert "  - y\n" not in text
    assert "constant in the first events: y" in text
    assert "split: {key: [event]," in text
    with pytest.raises(SourceError, match="has no entries"):
        starting_yaml(str(tmp_path / "c.root"), "empty")


def books(path, events, trees=None, histograms=None):
    """A file of events with the bookkeeping of an experiment beside them."""
    with uproot.recreate(path) as file:
        for name, content in ({"Events": events} | (trees or {})).items():
            kinds = {k: f"var * {v.type.content.content}" if v.ndim == 2 else v.dtype for k, v in content.items()}
            file.mktree(name, kinds)
            file[name].extend(content)
        for name, contents in (histograms or {}).items():
            file[name] = np.asarray(contents, float), np.arange(len(contents) + 1.0)
    return str(path)


NANO = {"run": np.ones(400, "u4"), "event": np.arange(400, dtype="u8"), "genWeight": np.full(400, 2.5, "f4"),
        "MET_pt": np.random.default_rng(1).exponential(40, 400).astype("f4")}  # fmt: skip


def book_of_xaod(counts, sums):
    """As MetaData of an xAOD: one entry, a list of bookkeepers."""
    found = {"nAcceptedEvents": counts, "sumOfEventWeights": sums}
    return {f"CutBookkeepersAux.{name}": ak.Array([values]) for name, values in found.items()}


@pytest.mark.parametrize(
    ("trees", "histograms", "keys", "total"),
    [
        ({"Runs": {"run": np.array([1, 2]), "genEventSumw": np.array([700.0, 300.0])}}, {},
         {"tree": "Runs", "sum_of_weights": "genEventSumw"}, 1000.0),
        ({"MetaData": book_of_xaod([50, 4000, 4000], [9.0, 1234.5, 77.0])}, {},
         {"tree": "MetaData",
          "sum_of_weights": "CutBookkeepers.sumOfEventWeights[argmax(CutBookkeepers.nAcceptedEvents)]"}, 1234.5),
        ({"sumWeights": {"totalEventsWeighted": np.array([600.0, 400.0])}}, {},
         {"tree": "sumWeights", "sum_of_weights": "totalEventsWeighted"}, 1000.0),
        ({}, {"CutBookkeeper_410470_284500_NOSYS": [9, 500.0, 7]},
         {"histogram": "CutBookkeeper_*_NOSYS", "bin": 2}, 500.0),
        ({"Runs": {"run": np.array([1, 2])}}, {"met": [1.0, 2.0]}, None, None),  # data: no sum of anything
        ({"Runs": {"genEventSumw": np.array([0.0])}}, {}, None, None),
    ],
)  # fmt: skip
def test_the_sum_of_weights_is_found_and_passes_the_check(tmp_path, trees, histograms, keys, total):
    file = books(tmp_path / "sample.root", NANO, trees, histograms)
    path = tmp_path / "mine.yaml"
    path.write_text(starting_yaml(file))
    config = load_config(path)
    if keys is None:
        assert config.normalisation is None
        return
    assert config.normalisation is not None
    assert config.normalisation.model_dump(exclude_unset=True) == keys
    assert f"found in the file: {total:.6g}" in path.read_text()
    found = check_events(config, lambda *_: None)
    assert found.problems == []
    assert found.samples["signal"].summary.sum_of_weights == total
    assert found.samples["signal"].summary.sums.sumw == pytest.approx(140e3 * 1000.0 / total)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nanoAOD_2015_CMS_Open_Data_ttbar.root", "PHYSLITE_example.root", "uproot-HZZ.root"])
def test_real_files(name, tmp_path):
    if not (DATA / name).is_file():
        pytest.skip(f"{name} is not in HEPDA_DATA")
    text = starting_yaml(str(DATA / name))
    path = tmp_path / "real.yaml"
    path.write_text(text.replace("[TODO]", "[NPrimaryVertices]"))  # the HZZ file has no event number
    looked_at = check_events(load_config(path), lambda *_: None)
    assert looked_at.problems == []
    assert set(looked_at.samples) == {"signal", "background"}
