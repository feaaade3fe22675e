"""Varied events: the branches that are read, the events that come of it, and what is refused before training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import uproot

from hepda.config import load_config
from hepda.errors import ConfigError, ExpressionError, HepdaError, SourceError
from hepda.events.dataset.load import inspect, load_table
from hepda.events.dataset.variations import Reading, read_factors, read_varied, readings
from hepda.events.files.opening import Tree, open_tree
from hepda.events.resolve import dataset_spec
from tests.factory import write_analysis, write_sample

JES = "systematics.jes={kind: shape, up: {jet_pt: jet_pt_jes_up}, down: {jet_pt: jet_pt_jes_down}}"
B_TAG = (
    "systematics.b_tag={kind: weight, up: b_weight_up / b_weight, down: b_weight_down / b_weight, samples: background}"
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_analysis(tmp_path_factory.mktemp("analysis"), n=300)


def silent(*_: object) -> None:
    pass


def test_a_shape_is_what_a_file_with_shifted_branches_gives(path: Path, tmp_path: Path) -> None:
    """Selection, features and weights follow the replaced branch: held against a file where it is the nominal one."""
    with uproot.open(path.parent / "background.root") as file:
        shifted = file["events"]["jet_pt_jes_up"].array()
    write_sample(tmp_path / "shifted.root", 300, 2, signal=False, cross_section=20.0, spoil={"jet_pt": shifted})
    # A selection on the momenta, so that other events pass.
    cut = "selection=(n_jets >= 5) & (n_b >= 2) & (ht > 500)"
    config = load_config(path, [JES, cut])
    nominal = load_table(dataset_spec(config)).table
    expected = load_table(
        dataset_spec(load_config(path, [cut, f"samples.background.files={tmp_path / 'shifted.root'}"]))
    ).table
    expected = expected.select(expected.of_samples(["background"]))
    result = read_varied(dataset_spec(config), Reading("background", "jes", "up"), silent)
    assert np.array_equal(result.features, expected.features) and np.array_equal(result.weight, expected.weight)
    assert np.array_equal(result.key, expected.key) and np.array_equal(result.fold, expected.fold)
    assert len(result) > int(nominal.of_samples(["background"]).sum())


def test_factors_are_those_of_the_branches(path: Path) -> None:
    config = load_config(path, [B_TAG])
    table = load_table(dataset_spec(config)).table
    key, factors = read_factors(dataset_spec(config), "background", silent)
    assert np.array_equal(key, table.key[table.of_samples(["background"])])
    with uproot.open(path.parent / "background.root") as file:
        events = file["events"].arrays(["b_weight", "b_weight_up", "b_weight_down", "jet_b"], library="np")
    passed = np.array([np.sum(tags >= 3) >= 2 for tags in events["jet_b"]])
    for side in ("up", "down"):
        by_hand = events[f"b_weight_{side}"].astype(float) / events["b_weight"].astype(float)
        assert factors[f"b_tag:{side}"] == pytest.approx(by_hand[passed], rel=1e-12)


def test_each_pass_is_named_once(path: Path) -> None:
    config = load_config(path, [JES, B_TAG, "systematics.one={kind: shape, up: {met: lepton_pt}, samples: [signal]}"])
    assert readings(dataset_spec(config)) == [
        Reading("signal", "jes", "up"), Reading("signal", "jes", "down"), Reading("background", "jes", "up"),
        Reading("background", "jes", "down"), Reading("signal", "one", "up"), Reading("background"),
    ]  # fmt: skip


def test_training_reads_nothing_for_systematics(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The branches that `hepda train` reads are the same with and without systematics."""
    asked: list[tuple[str, tuple[str, ...]]] = []
    read = Tree.read

    def spy(tree: Tree, names: list[str], start: int = 0, stop: int | None = None) -> object:
        asked.append((tree.path, tuple(names)))
        return read(tree, names, start, stop)

    monkeypatch.setattr(Tree, "read", spy)
    load_table(dataset_spec(load_config(path)))
    without, asked[:] = list(asked), []
    load_table(dataset_spec(load_config(path, [JES, B_TAG])))
    assert asked == without and without


@pytest.mark.parametrize(
    ("override", "kind", "expected"),
    [
        ("systematics.x={kind: shape, up: {jet_pt: jet_pt_jes_pu}}", ConfigError, "Did you mean 'jet_pt_jes_up'?"),
        ("systematics.x={kind: shape, up: {jetpt: jet_pt_jes_up}}", ConfigError, "Did you mean 'jet_pt'?"),
        ("systematics.x={kind: shape, up: {ht: met}}", ConfigError, "systematics.x.up.ht: is a variable; replace the"),
        ("systematics.x={kind: weight, up: b_wight_up / b_weight}", ExpressionError, "Did you mean 'b_weight_up'?"),
        ("systematics.x={kind: weight, up: b_weight_up / (, down: '1'}", ExpressionError, "systematics.x.up"),
    ],
)
def test_a_wrong_name_is_refused_before_anything_is_read(
    path: Path, override: str, kind: type[HepdaError], expected: str
) -> None:
    with pytest.raises(kind, match=r".*") as caught:
        inspect(dataset_spec(load_config(path, [override])))
    assert expected in str(caught.value) and "systematics.x" in str(caught.value)


def test_a_factor_that_is_not_finite_is_named(path: Path) -> None:
    config = load_config(path, ["systematics.x={kind: weight, up: 1 / (n_extra_b - n_extra_b)}"])
    with pytest.raises(HepdaError, match=r"systematics\.x\.up"):
        read_factors(dataset_spec(config), "background", silent)


def test_a_replaced_branch_by_any_of_its_names(tmp_path: Path) -> None:
    """`Jet.pt` replaced is `Jet_pt` replaced, and what counts the jets stays."""
    file = tmp_path / "events.root"
    branches = {"Jet_pt": np.array([1.0, 2.0]), "Jet_pt_up": np.array([3.0, 4.0])}
    with uproot.recreate(file) as out:
        out.mktree("events", dict.fromkeys(branches, np.float64))
        out["events"].extend(branches)
    with open_tree(str(file), "events") as tree:
        replaced = tree.replaced({"Jet.pt": "Jet_pt_up"})
        assert replaced.read(["Jet_pt"])["Jet_pt"].values.tolist() == [3.0, 4.0]
        assert tree.read(["Jet_pt"])["Jet_pt"].values.tolist() == [1.0, 2.0]
        with pytest.raises(SourceError, match="Did you mean"):
            tree.replaced({"Jet_pt": "Jet_pt_op"})
