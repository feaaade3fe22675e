"""Branches that are described one by one are what uproot makes of them, and only those that are needed are read."""

import os
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml
from uproot.deserialization import DeserializationError

from hepda.config import load_config
from hepda.events.check import check_events
from hepda.events.dataset.load import load_table
from hepda.events.files import tree_branches
from hepda.events.files.opening import kept_open, open_tree
from hepda.events.init import starting_yaml
from hepda.events.resolve import dataset_spec
from tests.root_files import write_split

DATA = Path(os.environ.get("HEPDA_DATA", "")) / "events"
REAL = {
    "nanoAOD_2015_CMS_Open_Data_ttbar.root": "Events",
    "uproot-HZZ.root": "events",
    "uproot-Zmumu.root": "events",
}


def by_uproot(path, tree):
    branches = uproot.open(path, object_cache=None)[tree].items(filter_branch=lambda branch: not branch.branches)
    return dict(branches)


def one_by_one(path, tree, order):
    """The names of all branches, those that `order` takes in their order, described, and the tree."""
    read = uproot.open(path, object_cache=None, custom_classes=tree_branches.FileClasses())[tree]
    found = dict(tree_branches.leaves(read))
    names = list(found)
    return names, {names[i]: tree_branches.described(found[names[i]]) for i in order(len(names))}, read


@pytest.mark.parametrize("name", REAL)
def test_branches_of_real_files_are_those_of_uproot_in_any_order(name):
    if not (DATA / name).is_file():
        pytest.skip("HEPDA_DATA has no such file")
    expected = by_uproot(DATA / name, REAL[name])
    names, found, tree = one_by_one(
        DATA / name, REAL[name], lambda n: np.random.default_rng(1).permutation(n)[: max(n // 5, 20)]
    )
    assert tree.member("fBranches").scanned
    assert names == list(expected)
    for path, same in found.items():
        branch = expected[path]
        assert (same.typename, repr(same.interpretation)) == (branch.typename, repr(branch.interpretation))
        assert (same.cache_key, same.object_path) == (branch.cache_key, branch.object_path)
        assert list(same.entry_offsets) == list(branch.entry_offsets)
        counter = None if branch.count_branch is None else branch.count_branch.name
        assert (None if same.count_branch is None else same.count_branch.name) == counter
    for path in list(found)[:20]:
        assert ak.array_equal(found[path].array(), expected[path].array(), equal_nan=True)


def test_branches_inside_of_others_are_found_and_read(tmp_path):
    values = {"first": np.arange(9.0), "inner": np.arange(9) * 2, "outer": np.ones(9)}
    path = write_split(
        tmp_path / "split.root", values, {k: v.dtype for k, v in values.items()}, {"outer": ["inner"]}, {}
    )
    expected = by_uproot(path, "events")
    names, _, _ = one_by_one(path, "events", range)
    assert names == list(expected) == ["first", "outer/inner"]
    with open_tree(str(path)) as tree:
        assert tree.read(["inner"])["inner"].values.tolist() == values["inner"].tolist()


def wide(path, branches=60, events=400):
    """A tree of many branches, of which one is a list and few are used."""
    rng = np.random.default_rng(3)
    content = {f"unused_{i}": rng.normal(size=events).astype("f4") for i in range(branches)}
    content |= {f"HLT_path{i}": rng.random(events) < 0.1 for i in range(branches)}
    content |= {"run": np.ones(events, "u4"), "event": np.arange(events, dtype="u8")}
    content |= {"met": rng.exponential(40, events).astype("f4"), "good": rng.random(events) < 0.9}
    jets = ak.unflatten(rng.exponential(40, 3 * events).astype("f4"), np.full(events, 3))
    with uproot.recreate(path) as file:
        file.mktree("Events", {k: v.dtype for k, v in content.items()} | {"jet_pt": "var * float32"})
        file["Events"].extend(content | {"jet_pt": jets})
    return path


def analysis(folder, files, **changes):
    samples = {
        name: {"files": str(path), "class": name, "domain": "simulation"}
        for name, path in zip(("signal", "background"), files, strict=True)
    }
    text = {
        "name": "wide", "luminosity": 1.0, "normalisation": None, "samples": samples, "selection": "good",
        "variables": {"ht": "sum(jet_pt)"}, "features": ["met", "ht"], "split": {"key": ["run", "event"]},
        "models": {"bdt": {"kind": "bdt"}},
    } | changes  # fmt: skip
    (folder / "wide.yaml").write_text(yaml.safe_dump(text, sort_keys=False))
    return load_config(folder / "wide.yaml")


@pytest.fixture
def branches_read(monkeypatch):
    """A function that returns the branches of a file whose baskets were read from the disk."""
    ranges = []
    original = uproot.source.file.FileResource.get

    def get(self, start, stop):
        ranges.append((self._file_path, start, stop))
        return original(self, start, stop)

    monkeypatch.setattr(uproot.source.file.FileResource, "get", get)

    def touched(path):
        mine = {start for name, start, _ in ranges if name == str(path)}
        assert mine  # the file was read through what is watched
        return {
            name
            for name, branch in by_uproot(path, "Events").items()
            if not mine.isdisjoint(branch.member("fBasketSeek")[: branch.num_baskets].tolist())
        }

    return touched


USED = {"run", "event", "met", "good", "jet_pt"}


def test_check_and_load_read_the_baskets_of_the_branches_that_are_used_and_no_others(tmp_path, branches_read):
    files = [wide(tmp_path / name) for name in ("one.root", "two.root")]
    config = analysis(tmp_path, files)
    result = check_events(config, lambda *_: None)
    assert result.problems == []
    assert result.samples["signal"].branches == len(USED)
    load_table(dataset_spec(config))
    assert [branches_read(path) for path in files] == [USED, USED]


def test_init_reads_no_baskets_of_branches_whose_names_and_types_decide(tmp_path, branches_read):
    path = wide(tmp_path / "one.root", branches=20)
    text = starting_yaml(str(path))
    read = branches_read(path)
    assert not any(name.startswith("HLT_") or name in ("run", "jet_pt") for name in read)
    assert {"event", "met", "good"} | {f"unused_{i}" for i in range(20)} == read
    assert "split: {key: [run, event]" in text
    assert "  - sum_pt_jet\n" in text
    assert "  - met\n" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": ["mett", "ht"]}, "Did you mean 'met'?"),
        ({"features": ["jet_pt"]}, "jet_pt"),
        ({"selection": "jet_pt > 20"}, "list"),
        ({"variables": {"ht": "sum(met)"}}, "met"),
        ({"split": {"key": ["run", "met"]}}, "must be one integer per event"),
    ],
)
def test_wrong_names_and_types_are_reported_as_before(tmp_path, changes, message):
    path = wide(tmp_path / "one.root", branches=20)
    problems = check_events(analysis(tmp_path, [path, path], **changes), lambda *_: None).problems
    assert problems
    assert message in "\n".join(problems)


def test_a_list_that_is_not_understood_is_left_to_uproot(tmp_path, monkeypatch):
    path = wide(tmp_path / "one.root", branches=3)
    with open_tree(str(path)) as tree:
        expected = tree.read(["met", "jet_pt"])
    monkeypatch.setattr(tree_branches, "_ABOVE", {})
    tree_branches._branches.cache_clear()
    read = uproot.open(path, object_cache=None, custom_classes=tree_branches.FileClasses())["Events"]
    assert not read.member("fBranches").scanned
    with open_tree(str(path)) as tree:
        found = tree.read(["met", "jet_pt"])
    for name, column in expected.items():
        assert np.array_equal(found[name].values, column.values)


@pytest.mark.parametrize("version", ["5.3.0", "5.7.5", "5.8.0", "6.0.0rc1"])
def test_a_version_of_uproot_that_is_not_tested_reads_files_by_itself(tmp_path, monkeypatch, version):
    path = wide(tmp_path / "one.root", branches=3)
    assert isinstance(tree_branches.file_classes(), tree_branches.FileClasses)
    monkeypatch.setattr(uproot, "__version__", version)
    assert tree_branches.file_classes() is None
    with open_tree(str(path)) as tree:
        assert tree.read(["jet_pt"])["jet_pt"].offsets is not None


def test_a_branch_that_cannot_be_described_alone_is_read_with_all_others(tmp_path, monkeypatch):
    path = wide(tmp_path / "one.root", branches=3)

    def fail(*_):
        raise DeserializationError("", None, None, {}, str(path))

    monkeypatch.setattr(tree_branches.Branches, "described", fail)
    with open_tree(str(path)) as tree:
        assert len(tree.read(["met"])["met"].values) == 400
        assert tree.read(["jet_pt"])["jet_pt"].offsets is not None


def test_a_file_that_is_written_again_has_its_new_names(tmp_path):
    path = wide(tmp_path / "one.root", branches=2)
    with open_tree(str(path)) as tree:
        assert "unused_1" in tree.names
    with uproot.recreate(path) as file:
        file.mktree("Events", {"other": "f4"})
        file["Events"].extend({"other": np.ones(3, "f4")})
    with open_tree(str(path)) as tree:
        assert tree.own_names == ("other",)


def test_a_file_that_is_kept_open_is_described_once_and_closed_in_the_end(tmp_path, monkeypatch):
    path = wide(tmp_path / "one.root", branches=2)
    opened = []
    original = uproot.source.file.FileResource.__init__

    def begin(self, name):
        original(self, name)
        opened.append(self)

    monkeypatch.setattr(uproot.source.file.FileResource, "__init__", begin)
    with kept_open(1):
        for _ in range(3):
            with open_tree(str(path)) as tree:
                assert len(tree.read(["met"])["met"].values) == 400
        assert len(opened) == 1
        assert not opened[0].closed
        wide(path, branches=2, events=7)  # another content
        with open_tree(str(path)) as tree:
            assert (tree.entries, len(tree.read(["met"])["met"].values)) == (7, 7)
    assert len(opened) == 2
    assert all(resource.closed for resource in opened)
    with open_tree(str(path)):
        assert len(opened) == 3
