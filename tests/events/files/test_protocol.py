"""The same events in every format give the same columns, features and weights; what is particular to each."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
import yaml

from hepda.config import load_config
from hepda.errors import HepdaError, SourceError
from hepda.events.dataset.load import load_table
from hepda.events.expressions.columns import Column
from hepda.events.expressions.evaluator import Evaluator
from hepda.events.expressions.names import check_names
from hepda.events.expressions.parser import needed_names, parse
from hepda.events.files.opening import Tree, open_tree
from hepda.events.resolve import dataset_spec
from tests.factory import analysis, write_analysis
from tests.root_files import write_split

DATA = Path(os.environ.get("HEPDA_DATA", Path(__file__).parents[3] / "../shared/data")) / "events"
RNG = np.random.default_rng(8)
N = 30
LENGTHS = RNG.integers(0, 5, N)
JETS = ak.unflatten(RNG.uniform(20, 100, LENGTHS.sum()).astype(np.float32), LENGTHS)
TAGS = ak.unflatten(RNG.integers(0, 5, LENGTHS.sum()).astype(np.int8), LENGTHS)
EVENTS: dict[str, Any] = {
    "Jet_pt": JETS,
    "Jet_tag": TAGS,
    "met": RNG.exponential(50, N).astype(np.float32),
    "event": np.arange(N, dtype=np.uint64) + np.uint64(2**63),
    "good": RNG.random(N) < 0.5,
}


def as_tree(path: Path, make: str = "mktree") -> None:
    types = {
        k: "var * " + str(v.type.content.content) if isinstance(v, ak.Array) else v.dtype for k, v in EVENTS.items()
    }
    with uproot.recreate(path) as file:
        getattr(file, make)("events", types)
        file["events"].extend(EVENTS)


def as_ntuple(path: Path) -> None:
    as_tree(path, "mkrntuple")


def as_ntuple_of_records(path: Path) -> None:
    jets = ak.zip({"pt": JETS, "tag": TAGS})
    flat = {name: EVENTS[name] for name in ("met", "event", "good")}
    with uproot.recreate(path) as file:
        file.mkrntuple("events", ak.zip({"Jet": jets, **flat}, depth_limit=1))


def as_parquet(path: Path) -> None:
    table = pa.table({name: ak.to_arrow(ak.Array(values), extensionarray=False) for name, values in EVENTS.items()})
    pq.write_table(table, path, row_group_size=7)


def as_parquet_of_records(path: Path) -> None:
    jets = ak.to_arrow(ak.zip({"pt": JETS, "tag": TAGS}), extensionarray=False)
    flat = {name: pa.array(EVENTS[name]) for name in ("met", "event", "good")}
    pq.write_table(pa.table({"Jet": jets, **flat}), path, row_group_size=11)


def as_hdf5(path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py (extra hdf5) is not installed")
    events = np.zeros(N, dtype=[("met", "f4"), ("event", "u8"), ("good", "?")])
    for name in events.dtype.names:
        events[name] = EVENTS[name]
    jets = np.full((N, 6), -99, dtype=[("pt", "f4"), ("tag", "i1"), ("valid", "?")])
    jets["valid"] = np.arange(6) < LENGTHS[:, None]
    for name, values in (("pt", JETS), ("tag", TAGS)):
        jets[name][jets["valid"]] = ak.to_numpy(ak.flatten(values))
    with h5py.File(path, "w") as file:
        file.create_dataset("events", data=events, chunks=(8,))
        file.create_dataset("Jet", data=jets, chunks=(8, 6))


WRITERS: list[tuple[str, Callable[[Path], None]]] = [
    ("a.root", as_tree),
    ("b.root", as_ntuple),
    ("c.root", as_ntuple_of_records),
    ("d.parquet", as_parquet),
    ("e.parquet", as_parquet_of_records),
    ("f.h5", as_hdf5),
]


def lists(column: Column) -> list[Any]:
    values = column.values.tolist()
    return values if column.offsets is None else [values[a:b] for a, b in pairwise(column.offsets)]


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_every_format_reads_alike(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / name)
    with open_tree(str(tmp_path / name)) as tree:
        assert tree.entries == N
        for start, stop in ((0, None), (5, 23), (7, 14), (29, 30), (10, 10)):
            columns = tree.read(["Jet_pt", "Jet.pt", "Jet.tag", "nJet", "met", "event", "good"], start, stop)
            part = slice(start, stop)
            for spelled in ("Jet_pt", "Jet.pt"):
                assert lists(columns[spelled]) == JETS[part].to_list()
            assert lists(columns["Jet.tag"]) == TAGS[part].to_list()
            assert columns["nJet"].values.tolist() == LENGTHS[part].tolist()
            assert columns["met"].values.tolist() == EVENTS["met"][part].tolist()
            assert columns["event"].values.tolist() == EVENTS["event"][part].tolist()
            assert columns["good"].values.tolist() == EVENTS["good"][part].tolist()
        text = parse("sum(Jet.pt[Jet_tag >= 3]) * good + nJet + met")
        check_names([text], {}, tree.branches, tree.path)
        read = tree.read(sorted(needed_names([text], {})))
        values, _ = Evaluator(read, {}, N).number(text)
        expected = ak.sum(JETS[TAGS >= 3], axis=1) * EVENTS["good"] + LENGTHS + EVENTS["met"]
        np.testing.assert_allclose(values, expected, rtol=1e-6)
        with pytest.raises(SourceError, match=r"no branch 'Jet_ptt'\. Did you mean 'Jet_pt'"):
            tree.read(["Jet_ptt"])


def twin(folder: Path, name: str, suffix: str) -> None:
    """The events of a ROOT file of the factory once more, as Parquet or HDF5; the ROOT file goes."""
    with uproot.open(folder / f"{name}.root") as file:
        events = file["events"].arrays(library="ak")
    events = events[[field for field in events.fields if not field.startswith("njet")]]
    path = folder / f"{name}.{suffix}"
    if suffix == "parquet":
        pq.write_table(ak.to_arrow_table(events, extensionarray=False), path, row_group_size=50)
    else:
        h5py = pytest.importorskip("h5py", reason="h5py (extra hdf5) is not installed")
        with h5py.File(path, "w") as file:
            flat = {f: np.asarray(events[f]) for f in events.fields if events[f].ndim == 1}
            jagged = [f for f in events.fields if events[f].ndim == 2]
            rows = np.zeros(len(events), dtype=[(f, v.dtype) for f, v in flat.items()])
            for field, values in flat.items():
                rows[field] = values
            number = ak.num(events[jagged[0]])
            kinds = [(f.removeprefix("jet_"), np.asarray(ak.flatten(events[f])).dtype) for f in jagged]
            jets = np.zeros((len(events), 14), dtype=[*kinds, ("valid", "?")])
            jets["valid"] = np.arange(14) < np.asarray(number)[:, None]
            for field in jagged:
                jets[field.removeprefix("jet_")][jets["valid"]] = ak.to_numpy(ak.flatten(events[field]))
            file["events"], file["jet"] = rows, jets
    (folder / f"{name}.root").unlink()


@pytest.mark.parametrize("suffix", ["parquet", "h5"])
def test_an_analysis_of_other_formats_is_the_same(tmp_path: Path, suffix: str) -> None:
    path = write_analysis(tmp_path, 300)
    normalisation = {"cross_section": 2.0, "sum_of_weights": 500.0}
    text = analysis()
    for sample in ("signal", "background"):
        text["samples"][sample] |= normalisation
    path.write_text(yaml.safe_dump(text))
    expected = load_table(dataset_spec(load_config(path))).table
    for sample in ("signal", "background", "data"):
        twin(tmp_path, sample, suffix)
        text["samples"][sample]["files"] = f"{sample}.{suffix}"
    path.write_text(yaml.safe_dump(text))
    loaded = load_table(dataset_spec(load_config(path)))
    np.testing.assert_array_equal(loaded.table.features, expected.features)
    np.testing.assert_array_equal(loaded.table.weight, expected.weight)
    np.testing.assert_array_equal(loaded.table.key, expected.key)


def test_parquet_tells_what_is_missing_and_what_is_no_number(tmp_path: Path) -> None:
    table = pa.table(
        {
            "x": pa.array([1.0, None, 3.0]),
            "some": pa.array([[1.0, None], None, []], pa.list_(pa.float64())),
            "name": pa.array(["a", "b", "c"]),
            "deep": pa.array([[[1.0]], [], []], pa.list_(pa.list_(pa.float64()))),
            "met": pa.array([{"pt": 1.5, "phi": 2.0}] * 3),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    with open_tree(str(tmp_path / "a.parquet"), "any name: a Parquet file is one table") as tree:
        columns = tree.read(["x", "some", "met.pt"])
        assert columns["x"].missing is not None
        assert columns["x"].missing.tolist() == [False, True, False]
        assert columns["some"].offsets is not None
        assert columns["some"].offsets.tolist() == [0, 2, 2, 2]
        assert columns["some"].missing is not None
        assert columns["some"].missing.tolist() == [False, True]
        assert columns["met.pt"].values.tolist() == [1.5] * 3
        assert "name" not in tree.branches
        with pytest.raises(SourceError, match=r"a\.parquet: .*'deep' holds .*not numbers or lists of numbers"):
            tree.read(["deep"])


NULLABLE = {
    "x": pa.float64(),
    "flag": pa.bool_(),
    "count": pa.uint64(),
    "some": pa.list_(pa.float32()),
    "three": pa.list_(pa.int32(), 3),
    "met": pa.struct([("pt", pa.float64()), ("ok", pa.bool_())]),
    "jets": pa.list_(pa.struct([("pt", pa.float64()), ("b", pa.int8())])),
}


def nullable(rng: np.random.Generator, kind: pa.DataType) -> Any:
    """A value of this Arrow type, at every level missing in a fifth of the cases."""
    if rng.random() < 0.2:
        return None
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        number = 3 if pa.types.is_fixed_size_list(kind) else int(rng.integers(0, 4))
        return [nullable(rng, kind.value_type) for _ in range(number)]
    if pa.types.is_struct(kind):
        return {field.name: nullable(rng, field.type) for field in kind}
    return bool(rng.integers(2)) if pa.types.is_boolean(kind) else int(rng.integers(1, 100))


def plain(column: Column) -> list[Any]:
    """A column as Python has it, None for what is missing."""
    values = np.asarray(column.values, dtype=object)
    if column.missing is not None:
        values[column.missing] = None
    if column.offsets is None:
        return list(values)
    return [list(part) for part in np.split(values, column.offsets[1:-1])] if len(column.offsets) > 1 else []


@pytest.mark.parametrize("rows", [7, 8, 50, 1000])
@pytest.mark.parametrize(("start", "stop"), [(0, 60), (1, 2), (3, 17), (8, 16), (9, 60), (13, 14), (5, 5)])
def test_validity_of_parquet_is_that_of_its_rows_wherever_a_span_starts(
    tmp_path: Path, rows: int, start: int, stop: int
) -> None:
    """awkward's from_arrow (2.14) reads the validity bits of a sliced Arrow array from the wrong place."""
    rng = np.random.default_rng(3)
    expected = {name: [nullable(rng, kind) for _ in range(60)] for name, kind in NULLABLE.items()}
    table = pa.table({name: pa.array(expected[name], kind) for name, kind in NULLABLE.items()})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=rows)
    with open_tree(str(tmp_path / "a.parquet")) as tree:
        columns = tree.read(
            ["x", "flag", "count", "some", "three", "met.pt", "met.ok", "jets.pt", "jets.b"], start, stop
        )
    part = {name: values[start:stop] for name, values in expected.items()}
    for name in ("x", "flag", "count"):
        assert plain(columns[name]) == part[name]
    for name in ("some", "three"):
        assert plain(columns[name]) == [values or [] for values in part[name]]
    for name in ("pt", "ok"):
        assert plain(columns[f"met.{name}"]) == [met and met[name] for met in part["met"]]
    for name in ("pt", "b"):
        assert plain(columns[f"jets.{name}"]) == [[jet and jet[name] for jet in jets or []] for jets in part["jets"]]


@pytest.mark.xfail(strict=True, reason="awkward 2.14: from_arrow forgets where in its bits a sliced array starts")
def test_awkward_knows_the_validity_of_a_slice() -> None:
    """What hepda works round: where this passes, `ParquetFile.columns` may slice before it converts."""
    values = [None if number % 3 == 0 else number for number in range(20)]
    assert ak.from_arrow(pa.array(values).slice(4, 8)).to_list() == values[4:12]


def test_columns_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Parquet may have a name twice, and `a.b` both as a column and as a part of `a`."""
    arrays = [pa.array(values) for values in ([1, 2], [5, 6], [9, 0], [3, 4], [{"b": 7, "c": 1}, {"b": 8, "c": 2}])]
    pq.write_table(pa.table(arrays, names=["x", "a.b", "y", "x", "a"]), tmp_path / "a.parquet")
    with open_tree(str(tmp_path / "a.parquet"), aliases={"second": "x;2", "part": "a.b;2"}) as tree:
        columns = tree.read(["a.c", "y", "x;1", "second", "a.b;1", "part"])
        with pytest.raises(SourceError, match="'x' may be any of 2 branches"):
            tree.read(["x"])
        message = "'a.b' of f may be any of 2 branches (a.b;1, a.b;2); give the intended one another name by"
        with pytest.raises(HepdaError, match=re.escape(message)):
            check_names([parse("a.b + 1")], {}, tree.branches, "f", tree.refused)
    assert {name: plain(column) for name, column in columns.items()} == {
        "a.c": [1, 2], "y": [9, 0], "x;1": [1, 2], "second": [3, 4], "a.b;1": [5, 6], "part": [7, 8],
    }  # fmt: skip


def test_what_is_no_number_is_told_as_such_and_not_as_corrupt(tmp_path: Path) -> None:
    money = pa.array([Decimal("1.50"), Decimal("2.25")])
    kinds = {"d": money, "s": pa.array(["a", "b"]), "n": pa.nulls(2), "x": pa.array([1, 2])}
    pq.write_table(pa.table(kinds), tmp_path / "a.parquet")
    with open_tree(str(tmp_path / "a.parquet")) as tree:
        assert tree.branches == ("x",)
        for name, what in (("d", r"decimal128\(3, 2\)"), ("s", "string"), ("n", "null")):
            message = f"'{name}' holds {what}, not numbers or lists of numbers"
            with pytest.raises(SourceError, match=message):
                tree.read([name])
            with pytest.raises(HepdaError, match=message.replace(" holds", r" of a\.parquet holds")):
                check_names([parse(name)], {}, tree.branches, "a.parquet", tree.refused)


def test_datasets_of_one_name_are_told_apart(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py (extra hdf5) is not installed")
    jets = np.array([(1.0, 2.0, b"a"), (3.0, 4.0, b"b")], dtype=[("tracks.d0", "f4"), ("weights", "f4"), ("s", "S1")])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["jets"], file["weights"] = jets, np.array([5.0, 6.0])
        file["tracks"] = np.array([(7.0,), (8.0,)], dtype=[("d0", "f4")])
    with open_tree(str(tmp_path / "a.h5"), "jets") as tree:
        columns = tree.read(["tracks.d0;1", "tracks.d0;2", "weights;1", "weights;2"])
        assert [plain(column)[0] for column in columns.values()] == [1, 7, 2, 5]
        for name, message in (("weights", "may be any of 2"), ("s", r"holds \|S1 of 1 dim.*not numbers")):
            with pytest.raises(SourceError, match=f"'{name}' {message}"):
                tree.read([name])


def test_a_branch_whose_name_is_no_identifier_needs_an_alias(tmp_path: Path) -> None:
    tree = names_in(tmp_path, "jet-pt", "x", "lambda")
    for text, alias in (("jet-pt > 20", "jet_pt: jet-pt"), ("x + jet-pt", "jet_pt: jet-pt")):
        message = rf"'(jet|pt)' is neither .*There is a branch 'jet-pt', .*`aliases: {{{alias}}}`"
        with pytest.raises(HepdaError, match=message):
            check_names([parse(text)], {}, tree.branches, tree.path)
    with pytest.raises(HepdaError, match=r"'xx' is neither a variable nor a branch of .*Did you mean 'x'"):
        check_names([parse("xx")], {}, tree.branches, tree.path)


def test_only_the_row_groups_that_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_parquet(tmp_path / "a.parquet")
    asked: list[Any] = []
    read = pq.ParquetFile.read_row_groups

    def spy(self: Any, groups: Any, columns: Any, **rest: Any) -> Any:
        asked.append((groups, columns))
        return read(self, groups, columns=columns, **rest)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", spy)
    with open_tree(str(tmp_path / "a.parquet")) as tree:
        tree.read(["Jet_pt"], 7, 15)
    assert asked[0][0] == [1, 2]
    assert [name.partition(".")[0] for name in asked[0][1]] == ["Jet_pt"]


def test_hdf5_as_salt_has_it(tmp_path: Path) -> None:
    """Jets with half-precision fields, tracks with `valid`, bookkeeping in a group, labels as a plain dataset."""
    h5py = pytest.importorskip("h5py", reason="h5py (extra hdf5) is not installed")
    jets = np.zeros(3, dtype=[("pt", "f2"), ("eta", "f4"), ("flavour", "i4"), ("name", "S3")])
    jets["pt"] = [1.5, 2.5, 3.5]
    tracks = np.zeros((3, 4), dtype=[("d0", "f2"), ("valid", "?"), ("hits", "u1")])
    tracks["d0"], tracks["valid"] = np.arange(12).reshape(3, 4), [[1, 1, 0, 0], [0] * 4, [1, 0, 1, 1]]
    counts = np.array([(10, 4.5)], dtype=[("nEventsProcessed", "u8"), ("sumOfWeights", "f8")])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["jets"], file["tracks"], file["cutBookkeeper/nominal/counts"] = jets, tracks, counts
        file["weights"], file["probabilities"] = np.arange(3.0), np.arange(6.0).reshape(3, 2)
    with open_tree(str(tmp_path / "a.h5")) as tree:
        assert tree.tree == "jets"
        columns = tree.read(["pt", "tracks.d0", "tracks_hits", "ntracks", "weights", "probabilities"])
        assert columns["pt"].values.tolist() == [1.5, 2.5, 3.5]
        assert lists(columns["tracks.d0"]) == [[0, 1], [], [8, 10, 11]]
        assert columns["ntracks"].values.tolist() == [2, 0, 3]
        assert lists(columns["probabilities"]) == [[0, 1], [2, 3], [4, 5]]
        assert "name" not in tree.branches
    with open_tree(str(tmp_path / "a.h5"), "cutBookkeeper/nominal/counts") as tree:
        assert tree.read(["sumOfWeights"])["sumOfWeights"].values.tolist() == [4.5]
    with (
        pytest.raises(SourceError, match=r"no tree 'jet'\. Did you mean 'jets'"),
        open_tree(str(tmp_path / "a.h5"), "jet"),
    ):
        pass


def test_hdf5_of_plain_columns(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py (extra hdf5) is not installed")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["y"] = np.arange(4), np.arange(8).reshape(4, 2)
    with open_tree(str(tmp_path / "a.h5")) as tree:
        assert tree.entries == 4
        assert lists(tree.read(["y"], 1, 3)["y"]) == [[2, 3], [4, 5]]


@pytest.mark.parametrize("name", ["d.parquet", "f.h5"])
@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
def test_truncated_files_are_told(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    dict(WRITERS)[name](path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    raises = pytest.raises(SourceError, match=r"(d\.parquet|f\.h5): cannot read .* truncated or corrupt")
    with raises, open_tree(str(path)) as tree:
        tree.read(["met", "Jet_pt"])


def trees(path: Path, *names: str) -> str:
    with uproot.recreate(path) as file:
        for name in names:
            file.mktree(name, {"x": np.float64})
            file[name].extend({"x": np.zeros(2)})
    return str(path)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("mine",), "mine"),
        (("metadata",), "metadata"),
        (("mine", "metadata"), "mine"),
        (("Events", "Runs", "LuminosityBlocks", "MetaData", "ParameterSets"), "Events"),
        (("friends", "events", "metadata"), "events"),
        (("nominal", "jes_up"), None),
        ((), None),
    ],
)
def test_the_tree_is_found_where_the_file_tells_it(tmp_path: Path, names: tuple[str, ...], chosen: str | None) -> None:
    path = trees(tmp_path / "a.root", *names)
    if chosen is not None:
        with open_tree(path) as tree:
            assert tree.tree == chosen
        return
    listed = "has: nominal, jes_up" if names else "has no trees"
    raises = pytest.raises(SourceError, match=rf"does not say which of its trees .*{listed}.*Name it by `tree`")
    with raises, open_tree(path):
        pass


def names_in(tmp_path: Path, *branches: str, **aliases: str) -> Tree:
    with uproot.recreate(tmp_path / "n.root") as file:
        types = {name: "var * float64" if name.endswith("*") else np.float64 for name in branches}
        file.mktree("t", {name.rstrip("*"): kind for name, kind in types.items()})
        lists_ = ak.Array([[1.0, 2.0], []])
        file["t"].extend({n.rstrip("*"): lists_ if n.endswith("*") else np.arange(2.0) for n in branches})
    with open_tree(str(tmp_path / "n.root"), "t", aliases) as tree:
        return tree


def test_spellings_that_two_branches_share_belong_to_neither(tmp_path: Path) -> None:
    tree = names_in(tmp_path, "a.b", "a_b", "c.d_e", "c_d.e")
    assert (tree.names["a.b"].name, tree.names["a_b"].name) == ("a.b", "a_b")
    assert "c_d_e" not in tree.branches
    assert tree.own_names == ("a.b", "a_b", "c.d_e", "c_d.e")


def test_a_counter_of_the_file_stays_its_own(tmp_path: Path) -> None:
    tree = names_in(tmp_path, "nJet", "Jet_pt*", "Lepton_pt*", "Flag_x")
    with open_tree(tree.path) as again:
        assert again.read(["nJet"])["nJet"].values.tolist() == [0.0, 1.0]
        assert again.read(["nLepton"])["nLepton"].values.tolist() == [2, 0]
    assert "nFlag" not in tree.branches


def test_aliases_stand_above_branches(tmp_path: Path) -> None:
    tree = names_in(tmp_path, "x", "Jet_pt_nom*", "Jet_pt*", jet_pt="Jet_pt_nom", Jet_pt="Jet.pt_nom", n="nJet")
    with open_tree(tree.path, None, {"jet_pt": "Jet_pt_nom", "n": "nJet", "x-y": "x"}) as again:
        assert again.read(["n"])["n"].values.tolist() == [2, 0]
        assert again.read(["x-y"])["x-y"].values.tolist() == [0.0, 1.0]
    assert tree.names["Jet_pt"].name == tree.names["jet_pt"].name == "Jet_pt_nom"
    with pytest.raises(SourceError, match=r"no branch 'Jet_ptt', of which 'j' is the alias\. Did you mean 'Jet_pt'"):
        names_in(tmp_path, "Jet_pt*", j="Jet_ptt")


def test_samples_may_differ_in_names_variables_and_selection(tmp_path: Path) -> None:
    path = write_analysis(tmp_path, 200)
    with uproot.open(tmp_path / "data.root") as file:
        events = file["events"].arrays(library="ak")
    data = {f"Jet_{f[4:]}" if f.startswith("jet_") else f: events[f] for f in events.fields if not f.startswith("njet")}
    types = {k: f"var * {v.type.content.content}" if v.ndim == 2 else np.asarray(v).dtype for k, v in data.items()}
    with uproot.recreate(tmp_path / "renamed.root") as file:
        file.mktree("Data", types)
        file["Data"].extend(data)
    text = analysis()
    text["samples"]["data"] |= {
        "files": "renamed.root",
        "tree": "Data",
        "aliases": {f"jet_{x}": f"Jet_{x}" for x in ("pt", "eta", "phi", "mass", "b")},
        "variables": {"truth": "0 * met - 1"},
    }
    text["variables"]["truth"] = "n_extra_b + 1"
    text["samples"]["signal"]["selection"] = "met > 20"
    text["features"] = [*text["features"], "truth"]
    path.write_text(yaml.safe_dump(text))
    loaded = load_table(dataset_spec(load_config(path)))
    table = loaded.table
    truth = table.features[:, table.names.index("truth")]
    assert (truth[table.of_domain("data")] == -1).all()
    assert (truth[~table.of_domain("data")] >= 1).all()
    met = table.features[:, table.names.index("met")]
    assert met[table.of_samples(["signal"])].min() > 20 > met[table.of_samples(["background"])].min()
    assert loaded.samples["signal"].cut_flow[0][0] == "met > 20"
    plain = load_table(dataset_spec(load_config(write_analysis(tmp_path, 200)))).table
    is_data = plain.of_domain("data")
    np.testing.assert_array_equal(plain.features[is_data], table.features[table.of_domain("data"), :-1])


SPLIT = {
    "jet_pt": ak.Array([[1.0, 2.0], [], [3.0]]),
    "muo_pt": ak.Array([[4.0], [5.0, 6.0, 7.0], []]),
    "jet_ok": np.array([1.0, 2.0, 3.0]),
    "muo_ok": np.array([4.0, 5.0, 6.0]),
    "once": np.array([7.0, 8.0, 9.0]),
    "twice1": np.array([0.0, 1.0, 2.0]),
    "twice2": np.array([10.0, 11.0, 12.0]),
    "jet": np.zeros(3),
    "muo": np.zeros(3),
}


@pytest.fixture
def split(tmp_path: Path) -> str:
    """Two split branches with members of the same names, and two branches of one full name."""
    types = {name: "var * float64" if isinstance(v, ak.Array) else np.float64 for name, v in SPLIT.items()}
    inside = {"jet": ["jet_pt", "jet_ok", "once"], "muo": ["muo_pt", "muo_ok"]}
    renamed = {f"{parent}_{leaf}": f"____{leaf}" for parent in ("jet", "muo") for leaf in ("pt", "ok")}
    renamed |= {"twice1": "thesam", "twice2": "thesam"}
    return str(write_split(tmp_path / "split.root", SPLIT, types, inside, renamed))


def test_branches_of_one_leaf_name_are_read_each_by_itself(split: str) -> None:
    """uproot's `tree.arrays` (5.7) gives the first of them for all, whatever it is asked for."""
    with open_tree(split, aliases={"first": "thesam;1"}) as tree:
        columns = tree.read(["muo.____pt", "jet/____pt", "jet.____ok", "muo.____ok", "once", "first", "thesam;2"])
        assert lists(columns["jet/____pt"]) == SPLIT["jet_pt"].to_list()
        assert lists(columns["muo.____pt"]) == SPLIT["muo_pt"].to_list()
        for name, key in (("jet.____ok", "jet_ok"), ("muo.____ok", "muo_ok"), ("once", "once"), ("first", "twice1"),
                          ("thesam;2", "twice2")):  # fmt: skip
            assert columns[name].values.tolist() == SPLIT[key].tolist()
        message = "'____pt' may be any of 2 branches (jet.____pt, muo.____pt); write the intended one"
        with pytest.raises(SourceError, match=re.escape(message)):
            tree.read(["____pt"])
        with pytest.raises(HepdaError, match=re.escape(message.replace("' may", f"' of {split} may"))):
            check_names([parse("sum(____pt) > 3")], {}, tree.branches, split, tree.refused)
        with pytest.raises(SourceError, match=r"'thesam' may be any of 2 branches .*by the sample's `aliases`"):
            tree.read(["thesam"])
    raises = pytest.raises(SourceError, match="the branch '____ok', of which 'ok' is the alias, may be any of 2")
    with raises, open_tree(split, aliases={"ok": "____ok"}):
        pass


def every_branch(parent: Any, front: str = "") -> Iterator[tuple[str, Any]]:
    for branch in parent.branches:
        if branch.branches:
            yield from every_branch(branch, f"{front}{branch.name}/")
        else:
            yield f"{front}{branch.name}", branch


@pytest.mark.parametrize(
    "name",
    [
        "uproot-HZZ.root",
        "uproot-HZZ-zstd.root",
        "uproot-Zmumu.root",
        "Run2012BC_DoubleMuParked_Muons_1000evts_rntuple_v1-0-0-0.root",
        *(
            pytest.param(name, marks=pytest.mark.slow)  # about a thousand branches each
            for name in (
                "nanoAOD_2015_CMS_Open_Data_ttbar.root",
                "PHYSLITE_example.root",
                "cmsopendata2015_ttbar_19980_NANOAOD_RNTupleImporter_rntuple_v1-0-0-1.root",
            )
        ),
    ],
)
def test_every_branch_of_real_files_is_what_uproot_has_for_it(name: str) -> None:
    with uproot.open(real(name)) as file, open_tree(real(name)) as tree:
        source = file[tree.tree]
        branches = dict(every_branch(source)) if hasattr(source, "branches") else {n: source[n] for n in tree.own_names}
        assert set(branches) == set(tree.own_names)
        readable = 0
        for field, branch in branches.items():
            try:
                column = tree.read([field])[field]
            except SourceError as error:
                assert re.search("holds .* not numbers or lists of numbers", str(error)), error
                continue
            expected = branch.array()
            if column.offsets is not None:
                np.testing.assert_array_equal(np.diff(column.offsets), ak.num(expected))
                expected = ak.flatten(expected)
            np.testing.assert_array_equal(column.values, ak.to_numpy(expected))
            readable += 1
        assert readable > len(branches) / 2


def real(name: str) -> str:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is not here; set HEPDA_DATA to the folder that holds events/")
    return str(DATA / name)


def test_nanoaod_by_dots_and_underscores() -> None:
    with open_tree(real("nanoAOD_2015_CMS_Open_Data_ttbar.root")) as tree:
        assert (tree.tree, tree.entries) == ("Events", 200)
        columns = tree.read(["Jet.pt", "Jet_pt", "nJet", "genWeight", "genTtbarId", "event"])
    offsets = columns["Jet.pt"].offsets
    assert offsets is not None
    assert columns["nJet"].values.tolist() == np.diff(offsets).tolist()
    assert columns["Jet.pt"] is not columns["nJet"]
    assert (columns["genWeight"].values < 0).mean() == pytest.approx(0.13, abs=0.02)


def test_nanoaod_as_rntuple_has_the_same_names() -> None:
    with open_tree(real("cmsopendata2015_ttbar_19980_NANOAOD_RNTupleImporter_rntuple_v1-0-0-1.root")) as tree:
        columns = tree.read(["Jet.pt", "nJet", "Muon_eta", "genWeight"])
    offsets = columns["Jet.pt"].offsets
    assert offsets is not None
    assert columns["nJet"].values.tolist() == np.diff(offsets).tolist()
    assert not any(name.startswith("_collection") for name in tree.branches)


def test_real_muons_of_2012() -> None:
    with open_tree(real("Run2012BC_DoubleMuParked_Muons_1000evts_rntuple_v1-0-0-0.root")) as tree:
        names = ["Muon_pt", "Muon_eta", "Muon_phi", "Muon_mass", "Muon.charge", "nMuon"]
        columns = tree.read(names)
    assert tree.entries == 1000
    masses = parse("mass(sum(p4(Muon_pt, Muon_eta, Muon_phi, Muon_mass)[:2]))")
    values, missing = Evaluator(columns, {}, 1000).number(masses)
    two = columns["nMuon"].values >= 2
    assert missing is None or (~missing[two]).all()
    near = np.abs(values[two] - 91.2) < 5
    assert near.sum() > 20  # Z bosons


def test_split_branches_of_physlite() -> None:
    with open_tree(real("PHYSLITE_example.root")) as tree:
        assert (tree.tree, tree.entries) == ("CollectionTree", 100)
        names = [
            "AnalysisJets.pt",
            "AnalysisJetsAuxDyn.pt",
            "AnalysisJets_pt",
            "nAnalysisJets",
            "EventInfo.eventNumber",
        ]
        columns = tree.read([*names, "EventInfo.mcEventWeights"])
    pt = columns["AnalysisJets.pt"]
    assert pt.offsets is not None
    assert len(pt.offsets) == 101
    assert pt.values.tolist() == columns["AnalysisJets_pt"].values.tolist()
    assert columns["nAnalysisJets"].values.tolist() == np.diff(pt.offsets).tolist()
    assert columns["EventInfo.eventNumber"].offsets is None


def test_a_folder_of_nanoaod_is_its_files(tmp_path: Path) -> None:
    from hepda.events.files.opening import expand

    folder = tmp_path / "nano"
    for part in ("0000/tree_1.root", "0000/tree_2.root", "0001/tree_1001.root"):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        trees(folder / part, "Events", "Runs")
    (folder / "0000" / "log.txt").write_text("")
    (folder / "0000" / ".tree_3.root.tmp").write_text("")
    paths = expand([str(folder)], "samples.tt.files")
    assert [str(Path(f).relative_to(folder)) for f in paths] == [
        "0000/tree_1.root",
        "0000/tree_2.root",
        "0001/tree_1001.root",
    ]


def test_an_extra_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    original = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "h5py":
            raise ImportError("No module named 'h5py'")
        return original(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    raises = pytest.raises(HepdaError, match=r"h5py is not installed; install it with: pip install 'hepda\[hdf5\]'")
    with raises, open_tree(str(tmp_path / "a.h5")):
        pass
