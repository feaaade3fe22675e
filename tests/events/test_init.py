"""`hepda init`: what is guessed of a file, and that `hepda check` takes it once the samples are filled in."""

import os
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from hepda.cli import main
from hepda.config import load_config
from hepda.errors import ConfigError, SourceError
from hepda.events import init, steps
from hepda.events.check import check_events
from hepda.events.dataset.load import load_table
from hepda.events.identifiers import role_of
from hepda.events.init import starting_yaml
from hepda.events.resolve import dataset_spec
from tests.factory import write_sample

DATA = Path(os.environ.get("HEPDA_DATA", "")) / "events"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("starter")
    return [write_sample(folder / f"{name}.root", 500, seed, name == "one") for seed, name in enumerate(("one", "two"))]


def test_the_page_passes_the_check_and_can_be_read_once_its_samples_are_real(files, tmp_path):
    text = starting_yaml(str(files[0]))
    _, background = [line for line in text.splitlines() if str(files[0]) in line]
    text = text.replace(background, background.replace(str(files[0]), str(files[1])))
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    config = load_config(path)
    lines, problems = steps.check(config, lambda *_: None)
    assert problems == []
    assert lines[-1].endswith("training may start; no warnings")
    table = load_table(dataset_spec(config)).table
    assert len(table) == 1000
    assert {"n_jet", "sum_pt_jet", "jet_pt_1", "mass_jet", "lepton_pt", "met"} <= set(table.names)
    assert config.weight == "gen_weight"
    keys = {"tree": "metadata", "cross_section": "cross_section", "sum_of_weights": "sum_of_weights"}
    assert config.normalisation is not None and config.normalisation.model_dump(exclude_unset=True) == keys
    assert config.split.key == ("run", "event")


def test_several_trees_are_listed_with_their_entries_and_the_likely_one_is_named(files, tmp_path):
    assert "tree: events   # the likely one; --tree chooses: metadata (1 entries)" in starting_yaml(str(files[0]))
    with uproot.recreate(tmp_path / "several.root") as file:
        for name, number in (("Runs", 9), ("jes_up", 2), ("nominal", 4)):
            file.mktree(name, {"x": "f4", "event": "i8"})
            file[name].extend({"x": np.arange(number), "event": np.arange(number)})
    pattern = r"several\.root: .*Runs \(9 entries\), jes_up \(2 entries\), nominal \(4 entries\)\. Choose by --tree; "
    with pytest.raises(SourceError, match=pattern + "nominal is the likely one"):
        starting_yaml(str(tmp_path / "several.root"))
    text = starting_yaml(str(tmp_path / "several.root"), "jes_up")
    assert "tree: jes_up   # the likely one" not in text
    assert "tree: jes_up   # --tree chooses others: Runs (9 entries), nominal (4 entries)" in text


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
    result = {"nAcceptedEvents": counts, "sumOfEventWeights": sums}
    return {f"CutBookkeepersAux.{name}": ak.Array([values]) for name, values in result.items()}


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
    result = check_events(config, lambda *_: None)
    assert result.problems == []
    assert result.samples["signal"].summary.sum_of_weights == total
    assert result.samples["signal"].summary.sums.sumw == pytest.approx(140e3 * 1000.0 / total)


def written(path, **branches):
    with uproot.recreate(path) as file:
        lists = {k: f"var * {v.type.content.content}" for k, v in branches.items() if isinstance(v, ak.Array)}
        kinds = {k: lists.get(k) or v.dtype for k, v in branches.items()}
        file.mktree("t", kinds)
        file["t"].extend(branches)
    return str(path)


def loads(text, folder):
    """The text, once it is written into `folder` and loaded: nothing that init writes may be refused by the config."""
    path = folder / "started.yaml"
    path.write_text(text)
    return load_config(path)


RNG = np.random.default_rng(3)
X = RNG.normal(size=400)


def test_numbers_of_events_samples_and_labels_are_no_features(tmp_path):
    names = ("event_id", "entry", "lumi", "luminosityBlock", "bx", "dsid", "mcChannelNumber", "isSignal", "label",
             "target", "puWgt", "lepton_sf", "w", "RandomRunNumber", "someHash", "process")  # fmt: skip
    integers = {name: RNG.integers(0, 50, 400) for name in names}
    counter = {"mystery": RNG.permutation(400) + 7}  # whole numbers that never repeat
    many = {"nTracks": RNG.integers(0, 30, 400), "pt": np.abs(X)}
    keys = {"evtNum": np.arange(400), "RunNo": np.ones(400, "i4")}
    path = written(tmp_path / "ids.root", **integers, **counter, **many, **keys)
    text = starting_yaml(path)
    config = loads(text, tmp_path)
    assert config.features == ("nTracks", "pt")
    assert config.split.key == ("RunNo", "evtNum")
    (ids,) = (line for line in text.splitlines() if "identifiers of events or samples" in line)
    assert all(name in ids for name in ("event_id", "dsid", "isSignal", "mystery"))


def test_of_several_numbers_of_events_the_usual_one_that_varies_is_taken(tmp_path):
    numbers = {"mcEventNumber": np.full(400, 3), "evtNumber": np.arange(400), "event": np.arange(400), "x": X}
    assert loads(starting_yaml(written(tmp_path / "a.root", **numbers)), tmp_path).split.key == ("event",)
    numbers["event"] = np.zeros(400, int)
    assert loads(starting_yaml(written(tmp_path / "b.root", **numbers)), tmp_path).split.key == ("evtNumber",)


def test_names_that_no_expression_can_say_get_aliases(tmp_path):
    lists = ak.Array([[1.0, 2.0, 3.0]] * 400)
    branches = {"evt/fPx": X, "evt/evtNum": np.arange(400), "evt/run": np.ones(400, "i4"), "lambda": X**2, "pi": X + 1,
                "2nd-x": X + 2, "other/fPx": X + 3, "trk/trk.fPx": lists, "trk/trk.fPy": lists,
                "evt/genWeight": np.abs(X)}  # fmt: skip
    config = loads(starting_yaml(written(tmp_path / "names.root", **branches)), tmp_path)
    aliases = config.samples["signal"].aliases
    assert aliases == config.samples["background"].aliases
    assert aliases["fPx"] == "evt/fPx"
    assert aliases["other_fPx"] == "other/fPx"
    assert config.split.key == ("run", "evtNum")
    assert config.weight == "genWeight"
    assert {"evt/fPx", "lambda", "pi", "2nd-x", "other/fPx"} <= {aliases.get(name, name) for name in config.features}
    table = load_table(dataset_spec(config)).table
    px = table.features[table.sample == 0, table.names.index("fPx")]
    np.testing.assert_array_equal(px, X.astype("f4"))
    assert (table.features[:, table.names.index("n_trk")] == 3).all()
    assert check_events(config, lambda *_: None).problems == []


@pytest.mark.parametrize(
    ("branches", "features"),
    [
        ({"hits": ak.Array([[1.0, 2.0], [3.0]] * 200)}, ["n_hits"]),
        ({"genThing": X, "flag": np.ones(400)}, ["genThing"]),
        ({"flag": np.ones(400)}, ["flag"]),
    ],
)
def test_features_are_never_empty(tmp_path, branches, features):
    config = loads(starting_yaml(written(tmp_path / "few.root", **branches, event=np.arange(400))), tmp_path)
    assert list(config.features) == features


def test_a_tree_without_numbers_for_a_model_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"has no branch of numbers that a model could read; it has .*event"):
        starting_yaml(written(tmp_path / "none.root", event=np.arange(400), run=np.ones(400, "i4")))


@pytest.mark.parametrize("output", ["here.yaml", "other/there.yaml", "other/deep/er.yaml", "link/there.yaml"])
def test_paths_are_right_where_the_text_is_written(tmp_path, monkeypatch, output):
    for folder in ("data", "other/deep", "elsewhere/far"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "far")
    written(tmp_path / "data" / "x.root", event=np.arange(400), x=X)
    monkeypatch.chdir(tmp_path)
    assert main(["init", "data/x.root", "--output", output]) == 0
    files = load_config(output).samples["signal"].files
    assert Path(files[0]).samefile("data/x.root")
    assert str(tmp_path) not in (tmp_path / output).read_text()  # it may be moved together with its files


def test_a_file_of_a_strange_name_and_a_url(tmp_path):
    name = 'a "strange", name: {x} \\ #1 ' + "n" * 120 + ".root"
    config = loads(starting_yaml(written(tmp_path / name, event=np.arange(400), x=X)), tmp_path)
    assert config.samples["signal"].files == (str(tmp_path / name),)
    url = f"file://{tmp_path / name}"
    assert init._seen_from(url, tmp_path) == url


def test_more_than_two_branches_may_identify_an_event(tmp_path):
    keys = {"run": np.ones(400, "i4"), "lumi": np.arange(400) // 100, "event": np.arange(400) % 100}
    text = starting_yaml(written(tmp_path / "k.root", **keys, x=X))
    assert any("lumi" in warning or "split.key" in warning for warning in check_events(
        loads(text, tmp_path), lambda *_: None).warnings)  # fmt: skip
    config = loads(text.replace("[run, event]", "[run, lumi, event]"), tmp_path)
    assert not any("split.key" in warning for warning in check_events(config, lambda *_: None).warnings)
    with pytest.raises(ConfigError, match="'run' is listed twice"):
        loads(text.replace("[run, event]", "[run, run]"), tmp_path)


def test_an_empty_list_is_told_as_one(tmp_path):
    text = starting_yaml(written(tmp_path / "e.root", event=np.arange(400), x=X))
    with pytest.raises(ConfigError, match=r"features \(line \d+\): is empty; give a list"):
        loads(text.replace("  - x\n", ""), tmp_path)


REAL = sorted(DATA.glob("*.root")) if DATA.is_dir() else []


@pytest.mark.slow
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem[:30])
def test_every_file_of_the_experiments_gives_a_text_that_loads(path, tmp_path):
    config = loads(starting_yaml(str(path)), tmp_path)
    assert not {name for name in config.features if role_of(name)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nanoAOD_2015_CMS_Open_Data_ttbar.root", "PHYSLITE_example.root", "uproot-HZZ.root"])
def test_real_files(name, tmp_path):
    if not (DATA / name).is_file():
        pytest.skip(f"{name} is not in HEPDA_DATA")
    text = starting_yaml(str(DATA / name))
    path = tmp_path / "real.yaml"
    path.write_text(text.replace("[TODO]", "[NPrimaryVertices]"))  # the HZZ file has no event number
    looked_at = check_events(load_config(path), lambda *_: None)
    assert all("(n_eff)" in problem for problem in looked_at.problems)  # a hundred events are too few to be judged
    assert set(looked_at.samples) == {"signal", "background"}
