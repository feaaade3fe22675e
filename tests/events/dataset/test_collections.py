"""Collections of objects: from lists in files to padded rows, in memory and on the disk, varied, and counted."""

from dataclasses import replace

import awkward as ak
import numpy as np
import pytest
import uproot

from hepda.config import load_config
from hepda.errors import DataError, ExpressionError
from hepda.events.check import check_events
from hepda.events.check_collections import cut_off_lines, object_counts
from hepda.events.check_text import lines
from hepda.events.dataset.contents import contents_of
from hepda.events.dataset.load import load_table
from hepda.events.dataset.variations import Reading, read_factors, read_varied
from hepda.events.resolve import dataset_spec
from hepda.events.table.fingerprint import table_identity
from hepda.runtime.resources import Resources
from tests.factory import write_analysis

COLLECTIONS = {
    "jets": {
        "max": 6,
        "features": {"pt": "jet_pt[jet_pt > 30]", "eta": "jet_eta[jet_pt > 30]", "tag": "jet_b[jet_pt > 30]"},
        "four_momentum": ["pt", "eta", 0, 0],
    },
    "third_b": {"features": {"pt": "pt(b_jets[2])", "eta": "eta(b_jets[2])"}},
}
SYSTEMATICS = {"jes": {"kind": "shape", "up": {"jet_pt": "jet_pt_jes_up"}, "down": {"jet_pt": "jet_pt_jes_down"}}}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_analysis(tmp_path_factory.mktemp("sets"), 400, collections=COLLECTIONS, systematics=SYSTEMATICS)


@pytest.fixture(scope="module")
def spec(path):
    return dataset_spec(load_config(path))


@pytest.fixture(scope="module")
def loaded(spec):
    return load_table(spec)


def expected_jets(path, table, sample, pt="jet_pt"):
    """The padded jets of the selected events of a sample, by awkward."""
    with uproot.open(path.parent / f"{sample}.root") as file:
        tree = file["events"].arrays(["event", pt, "jet_pt", "jet_eta", "jet_b"])
    good = tree[pt] > 30
    lists = [tree[pt][good], tree["jet_eta"][good], tree["jet_b"][good]]
    number = ak.to_numpy(ak.num(lists[0]))
    padded = np.stack([ak.to_numpy(ak.fill_none(ak.pad_none(x, 6, clip=True), -1.0)) for x in lists], axis=2)
    return number, padded.astype(np.float32).reshape(len(number), -1)


def test_lists_become_padded_rows(path, spec, loaded):
    table = loaded.table
    rows = table.sample == table.sample_names.index("background")
    jets = table.collections["jets"][rows]
    assert jets.dtype == np.float32
    assert jets.flags.c_contiguous
    number, padded = expected_jets(path, table, "background")
    all_rows = np.concatenate([number[:, None], padded], axis=1).astype(np.float32)
    # the selection keeps some events, in their order: each row of the table is one of the file
    found, position = [], 0
    for row in jets:
        while not np.array_equal(all_rows[position], row):
            position += 1
        found.append(position)
        position += 1
    assert len(found) == int(rows.sum()) > 200
    assert jets[:, 0].max() > 6  # more than are kept: the count is that of the file


def test_a_collection_of_numbers_is_one_object_or_none(spec, loaded):
    table = loaded.table
    third = table.collections["third_b"]
    feature = table.features[:, table.names.index("b3_pt")]
    assert third.shape == (len(table), 3)
    assert np.array_equal(third[:, 0], feature != -1)
    assert np.array_equal(third[:, 1], feature)
    assert np.all(third[third[:, 0] == 0, 1:] == -1)
    assert 0 < third[:, 0].mean() < 1


def test_features_are_what_they_are_without_collections(path, spec, loaded):
    plain = load_table(replace(spec, collections={}))
    assert np.array_equal(plain.table.features, loaded.table.features)
    assert np.array_equal(plain.table.weight, loaded.table.weight)
    assert plain.table.collections == {}
    names = [name for name, _ in contents_of({}, plain.table)]
    more = [name for name, _ in contents_of({}, loaded.table)]
    assert set(more) - set(names) == {f"objects {c} of {s}" for c in COLLECTIONS for s in spec.samples}


def test_the_cache_keeps_collections_and_another_maximum_is_another_table(spec, loaded, tmp_path):
    resources = Resources(cache=tmp_path)
    written, again = (load_table(spec, resources=resources) for _ in range(2))
    assert written.name == again.name
    for name, values in loaded.table.collections.items():
        assert isinstance(again.table.collections[name], np.memmap)
        assert np.array_equal(again.table.collections[name], values)
        assert np.array_equal(again.table.select(np.arange(5)).collections[name], values[:5])
    jets = spec.collections["jets"].model_copy(update={"max": 5})
    assert table_identity(replace(spec, collections={**spec.collections, "jets": jets})) != table_identity(spec)


def test_varied_jets_go_through_the_same_expressions(path, spec, loaded):
    table = read_varied(spec, Reading("background", "jes", "up"), lambda name, entries: None)
    _, varied = expected_jets(path, table, "background", "jet_pt_jes_up")
    assert set(np.unique(table.collections["jets"][:, 1])) <= set(np.unique(varied[:, 0]))
    nominal = loaded.table.collections["jets"][loaded.table.sample == 1]
    assert np.median(table.collections["jets"][:, 1]) / np.median(nominal[:, 1]) == pytest.approx(1.02, abs=0.01)


def test_factors_on_weights_read_no_objects(path):
    weight = {"b": {"kind": "weight", "up": "b_weight_up / b_weight"}}
    spec = dataset_spec(load_config(path, [f"systematics={weight}".replace("'", "")]))
    key, factors = read_factors(spec, "background", lambda name, entries: None)
    assert len(key) == len(factors["b:up"]) > 200


def test_objects_are_counted_and_what_is_cut_off(spec, loaded):
    table = loaded.table
    counts = {(count.collection, count.sample): count for count in object_counts(spec.collections, table)}
    assert len(counts) == len(COLLECTIONS) * len(spec.samples)
    number = table.collections["jets"][table.sample == table.sample_names.index("signal"), 0]
    count = counts["jets", "signal"]
    assert count.mean == pytest.approx(number.mean())
    assert (count.most, count.size) == (number.max(), 6)
    assert count.cut_off == pytest.approx(1 - np.minimum(number, 6).sum() / number.sum())
    assert count.events == pytest.approx(np.mean(number > 6))
    (line,) = cut_off_lines(list(counts.values()))
    assert line.startswith("objects of the collection jets after the 6 that are kept are cut off: signal ")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"max": 3, "features": {"pt": "jet_pt", "eta": "jet_eta[jet_pt > 40]"}}, "lists have different lengths"),
        ({"features": {"pt": "jet_pt"}}, r"say how many objects are kept, collections.jets.max"),
        ({"max": 3, "features": {"pt": "jet_pt", "met": "met"}}, "is one number per event, and jets has lists"),
        ({"max": 3, "features": {"pt": "jets"}}, "is a four-vector; take its pt"),
        ({"max": 3, "features": {"pt": "jet_ptt"}}, "jet_pt"),
    ],
)
def test_expressions_that_do_not_fit_are_one_message(path, section, message):
    config = load_config(path)
    section = type(config.collections["jets"]).model_validate(section)
    spec = replace(dataset_spec(config), collections={"jets": section})
    with pytest.raises(ExpressionError, match=message) as error:
        load_table(spec)
    assert "collections.jets.features." in str(error.value)


def test_objects_that_are_not_finite_are_refused_with_their_place(path):
    config = load_config(path, ["collections.jets.features.pt=log(jet_pt - jet_pt)[jet_pt > 30]"])
    with pytest.raises(DataError, match=r"the feature 'pt' of jets is not a finite number in .* entry"):
        load_table(dataset_spec(config))


def test_check_prints_the_objects_and_missing_features_of_objects(path):
    pt = "where(jet_b > 3, jet_pt, pt(jets[20]))[jet_pt > 30]"
    config = load_config(path, [f"collections.jets.features.pt={pt}"])
    result = check_events(config, lambda *_: None)
    assert result.problems == []
    text = "\n".join(lines("small", 10.0, result))
    assert "Objects of collections" in text
    (row,) = [line.split() for line in text.splitlines() if line.split()[:2] == ["jets", "background"]]
    count = next(c for c in result.objects if (c.collection, c.sample) == ("jets", "background"))
    assert row[2:5] == [f"{count.mean:.2f}", str(count.most), "6"]
    assert row[5] == f"{count.cut_off:.2%}"
    assert any(note.startswith("background: jets.pt is missing in ") for note in result.notes)
    assert not any("jets.pt" in warning for warning in result.warnings)
