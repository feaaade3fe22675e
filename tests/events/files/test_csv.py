"""CSV as a source of events, and events in memory that become a file."""

import gzip
from pathlib import Path

import awkward as ak
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hepda.errors import DataError, SourceError
from hepda.events.files.formats import has_suffix, is_text
from hepda.events.files.frames import kept_frame, write_frame
from hepda.events.files.locations import expand
from hepda.events.files.opening import open_tree

FRAME = pd.DataFrame({
    "run": [1, 1, 2], "event": [5, 2**62 + 1, 7], "x": [1.5, np.nan, -2.0], "good": [True, False, True],
    "name": ["a", "b", "c"],
})  # fmt: skip


@pytest.mark.parametrize(
    ("name", "separator"), [("a.csv", ","), ("a.tsv", "\t"), ("A.CSV.gz", ","), ("a.tsv.gz", "\t")]
)
def test_columns_and_types_are_those_of_the_text(tmp_path, name, separator):
    FRAME.to_csv(tmp_path / name, index=False, sep=separator, compression="gzip" if name.endswith("gz") else None)
    with open_tree(str(tmp_path / name)) as tree:
        assert (tree.entries, tree.branches) == (3, ("run", "event", "x", "good"))
        assert "holds string" in tree.refused["name"]
        columns = tree.read(["event", "x", "good"], 1, 3)
    assert columns["event"].values.tolist() == [2**62 + 1, 7] and columns["event"].values.dtype.kind == "i"
    assert columns["x"].missing.tolist() == [True, False] and columns["x"].values[1] == -2.0
    assert columns["good"].values.tolist() == [False, True]


def test_a_type_holds_for_the_whole_column_however_late_its_fraction_comes(tmp_path):
    rows = 300_000  # more than the block in which pyarrow usually finds the types
    values = np.zeros(rows)
    values[-1] = 0.5
    (tmp_path / "a.csv").write_text("x\n" + "\n".join(f"{v:g}" for v in values) + "\n")
    with open_tree(str(tmp_path / "a.csv")) as tree:
        assert tree.read(["x"], rows - 2, None)["x"].values.tolist() == [0.0, 0.5]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n3\n", "cannot be read as CSV: .*every further line have as many values"),
        ("", r"is empty \(0 bytes\)"),
    ],
)
def test_a_damaged_file_is_an_error_that_says_where(tmp_path, text, said):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(SourceError, match=f"a.csv: {said}"), open_tree(str(path)):
        pass


def test_two_columns_of_a_name_have_numbers(tmp_path):
    (tmp_path / "a.csv").write_text("x, x ,y\n1,2,3\n")
    with open_tree(str(tmp_path / "a.csv")) as tree:
        assert tree.own_names == ("x;1", "x;2", "y") or "y" in tree.branches


def test_a_folder_has_text_only_if_it_has_nothing_else(tmp_path):
    FRAME.to_csv(tmp_path / "cutflow.csv")
    assert expand([str(tmp_path)], "FILES") == [str(tmp_path / "cutflow.csv")]
    FRAME.to_parquet(tmp_path / "events.parquet")
    assert expand([str(tmp_path)], "FILES") == [str(tmp_path / "events.parquet")]
    assert is_text("x.tsv.gz") and not is_text("x.root") and has_suffix("A.ROOT") and not has_suffix("x.gz")


def test_another_file_compressed_is_not_taken_for_csv(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"x\n1\n"))
    with pytest.raises(SourceError, match="is not a ROOT file"), open_tree(str(path)):
        pass


SOURCES = {
    "pandas": FRAME.assign(lists=[[1.0, 2.0], [], [3.0]]),
    "pandas with an index": FRAME.assign(lists=[[1.0, 2.0], [], [3.0]]).set_index(["run", "event"]),
    "pyarrow": pa.Table.from_pandas(FRAME.assign(lists=[[1.0, 2.0], [], [3.0]])),
    "awkward": ak.Array({
        "run": [1, 1, 2], "event": [5, 2**62 + 1, 7], "x": [1.5, None, -2.0], "lists": [[1.0, 2.0], [], [3.0]],
    }),
    "columns": {
        "run": np.array([1, 1, 2]), "event": np.array([5, 2**62 + 1, 7]), "x": [1.5, None, -2.0],
        "lists": ak.Array([[1.0, 2.0], [], [3.0]]),
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", SOURCES)
def test_events_in_memory_are_a_file_of_the_same_columns(tmp_path, kind):
    path = kept_frame(SOURCES[kind], tmp_path, "ttH", "sources['ttH']")
    with open_tree(str(path)) as tree:
        columns = tree.read(["run", "event", "x", "lists"])
    assert columns["event"].values.tolist() == [5, 2**62 + 1, 7] and columns["x"].missing.tolist() == [
        False,
        True,
        False,
    ]
    assert columns["lists"].values.tolist() == [1, 2, 3] and columns["lists"].offsets.tolist() == [0, 2, 2, 3]


def test_the_same_events_are_written_once_and_others_beside_them(tmp_path):
    first = kept_frame(FRAME, tmp_path, "ttH", "s")
    before = first.stat().st_mtime_ns
    assert kept_frame(FRAME.copy(), tmp_path, "ttH", "s") == first and first.stat().st_mtime_ns == before
    other = kept_frame(FRAME.iloc[:2], tmp_path, "ttH", "s")
    assert sorted(Path(tmp_path).iterdir()) == sorted([first, other])


@pytest.mark.parametrize("data", [FRAME.iloc[:0], {}, ak.Array([1.0]), {"x": [1], "y": [1, 2]}, {"x": [object()]}])
def test_what_is_no_events_is_refused_and_leaves_no_file(tmp_path, data):
    with pytest.raises(DataError, match=r"^sources\['x'\]: "):
        write_frame(data, tmp_path / "x.parquet", "sources['x']")
    assert list(tmp_path.iterdir()) == []
