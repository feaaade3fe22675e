"""`hepda init`: what is guessed of a file, and that `hepda check` takes it once the samples are filled in."""

import os
from pathlib import Path

import pytest
import uproot

from hepda.config import load_config
from hepda.errors import SourceError
from hepda.events import wing
from hepda.events.checking import check_events
from hepda.events.load import load_table
from hepda.events.starter import starting_yaml
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
