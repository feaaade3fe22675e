"""Opening files: what is read, and what each broken or misnamed file says."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from hepda.errors import HepdaError, SourceError
from hepda.events.dataset import chunks
from hepda.events.files import locations
from hepda.events.files.opening import expand, open_file, open_tree
from tests.factory import write_sample

DATA = Path(os.environ.get("HEPDA_DATA", Path(__file__).parents[3] / "../shared/data")) / "events"


def real(name: str) -> str:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not here; set HEPDA_DATA to the folder that holds events/")
    return str(path)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return write_sample(tmp_path / "a.root", 50, 1, signal=True)


def test_flat_and_jagged_branches_in_part(sample: Path) -> None:
    with uproot.open(sample) as file:
        expected = file["events"].arrays(["jet_pt", "met", "event", "jet_b"], library="ak")
    with open_tree(str(sample), "events") as tree:
        assert tree.entries == 50
        columns = tree.read(["jet_pt", "met", "event", "jet_b"], 10, 30)
    assert columns["met"].values.dtype == np.float64
    assert columns["jet_b"].values.dtype == np.int64
    assert columns["event"].values.tolist() == expected["event"][10:30].tolist()
    offsets = columns["jet_pt"].offsets
    assert offsets is not None
    lists = ak.unflatten(columns["jet_pt"].values, np.diff(offsets))
    assert ak.all(lists == expected["jet_pt"][10:30])


def test_unsigned_64_bit_keys_survive(tmp_path: Path) -> None:
    events = np.array([0, 2**63, 2**64 - 1], dtype=np.uint64)
    path = write_sample(tmp_path / "a.root", 3, 1, signal=True, spoil={"event": events})
    with open_tree(str(path), "events") as tree:
        assert tree.read(["event"])["event"].values.tolist() == events.tolist()


def test_rntuple_reads_alike(tmp_path: Path) -> None:
    path = tmp_path / "r.root"
    jets = ak.Array([[1.0, 2.0], [], [3.0]])
    with uproot.recreate(path) as file:
        file.mkrntuple("events", {"jet_pt": "var * float64", "met": np.float64})
        file["events"].extend({"jet_pt": jets, "met": np.array([1.0, 2.0, 3.0])})
    with open_tree(str(path), "events") as tree:
        columns = tree.read(["jet_pt", "met"], 1, 3)
    assert columns["jet_pt"].values.tolist() == [3.0]
    assert columns["met"].values.tolist() == [2.0, 3.0]


def test_missing_tree_and_branch_suggest_the_nearest(sample: Path) -> None:
    with (
        pytest.raises(SourceError, match=r"no tree 'event'\. Did you mean 'events'\?"),
        open_tree(str(sample), "event"),
    ):
        pass
    with (
        open_tree(str(sample), "events") as tree,
        pytest.raises(SourceError, match=r"no branch 'jet_ptt'\. Did you mean 'jet_pt'\?"),
    ):
        tree.read(["jet_ptt"])


def test_files_and_globs(sample: Path, tmp_path: Path) -> None:
    second = write_sample(tmp_path / "b.root", 2, 2, signal=True)
    assert expand([str(tmp_path / "*.root")], "x") == [str(sample), str(second)]
    with pytest.raises(SourceError, match=r"samples\.x: no file matches .*/c\*\.root"):
        expand([str(tmp_path / "c*.root")], "samples.x")
    with pytest.raises(SourceError, match=r"aa\.root does not exist\. Did you mean 'a\.root'"):
        expand([str(tmp_path / "aa.root")], "x")
    with pytest.raises(SourceError, match="there is no folder"):
        expand([str(tmp_path / "nowhere" / "a.root")], "x")
    assert expand([str(tmp_path)], "x") == [str(sample), str(second)]
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.txt").write_text("")
    with pytest.raises(SourceError, match=r"none is a folder without any file of events \(\.root, "):
        expand([str(tmp_path / "none")], "x")
    with pytest.raises(SourceError, match="is listed twice"):
        expand([str(sample), str(tmp_path / "*.root")], "x")
    assert expand(["root://host//a.root"], "x") == ["root://host//a.root"]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
def test_truncated(sample: Path, share: float) -> None:
    content = sample.read_bytes()
    sample.write_bytes(content[: int(share * len(content))])
    with (
        pytest.raises(SourceError, match=r"a\.root: (is truncated|cannot read).*[Cc]opy"),
        open_file(str(sample)),
    ):
        pass


def test_empty_and_foreign_files(sample: Path) -> None:
    sample.write_bytes(b"")
    with pytest.raises(SourceError, match="is empty"), open_file(str(sample)):
        pass
    sample.write_bytes(b"PNG1 and so on")
    with pytest.raises(SourceError, match="is not a ROOT file"), open_file(str(sample)):
        pass
    sample.unlink()
    with pytest.raises(SourceError, match="cannot be opened: No such file"), open_file(str(sample)):
        pass


def test_a_basket_that_does_not_decompress(sample: Path) -> None:
    with uproot.open(sample) as file:
        branch = file["events"]["jet_pt"]
        start, size = int(branch.member("fBasketSeek")[0]), int(branch.member("fBasketBytes")[0])
    broken = bytearray(sample.read_bytes())
    for place in range(start + size // 2, start + size):
        broken[place] ^= 0xFF
    sample.write_bytes(bytes(broken))
    with open_tree(str(sample), "events") as tree:
        assert len(tree.read(["met"])["met"].values) == 50
        with pytest.raises(SourceError, match=r"a\.root: cannot read branches .* truncated or corrupt"):
            tree.read(["jet_pt"])


@pytest.mark.parametrize("make", ["mktree", "mkrntuple"])
def test_corrupt_offsets_of_lists_that_are_not_compressed(tmp_path: Path, make: str) -> None:
    """Nothing is unpacked that could fail, and uproot takes the offsets as they are."""
    lengths = np.array([2, 3, 1, 4, 2, 3])
    with uproot.recreate(tmp_path / "a.root", compression=None) as file:
        getattr(file, make)("events", {"x": "var * float64"})
        file["events"].extend({"x": ak.unflatten(np.arange(15.0), lengths)})
    content = (tmp_path / "a.root").read_bytes()
    ends = np.cumsum(lengths)
    if make == "mktree":  # where each list begins in the basket, in bytes
        with uproot.open(tmp_path / "a.root") as file:
            key = int(file["events"]["x"].basket(0).member("fKeylen"))
        good = np.asarray(key + 8 * ends[:-1], dtype=">i4").tobytes()
        bad = [np.asarray(key + 8 * wrong, ">i4") for wrong in (ends[[0, 3, 2, 1, 4]], -9 * ends[:-1])]
    else:
        good = np.asarray(ends, dtype="<i8").tobytes()
        bad = [np.asarray(ends[[0, 3, 2, 1, 4, 5]], "<i8"), np.asarray(ends * 9, "<i8")]
    assert content.count(good) == 1
    for offsets in bad:
        (tmp_path / "a.root").write_bytes(content.replace(good, offsets.tobytes()))
        raises = pytest.raises(SourceError, match=r"a\.root: cannot read branches .* truncated or corrupt")
        with open_tree(str(tmp_path / "a.root"), "events") as tree, raises:
            tree.read(["x"])


def test_a_broken_header(sample: Path) -> None:
    content = sample.read_bytes()
    sample.write_bytes(content[:4] + bytes(60) + content[64:])
    with pytest.raises(SourceError, match=r"a\.root: "), open_tree(str(sample), "events"):
        pass


@pytest.mark.parametrize(
    ("name", "tree", "flat", "jagged", "entries"),
    [
        ("uproot-HZZ.root", "events", "MET_px", "Jet_Px", 2421),
        ("uproot-HZZ-zstd.root", "events", "MET_px", "Muon_E", 2421),
        ("uproot-Zmumu.root", "events", "E1", None, 2304),
        ("nanoAOD_2015_CMS_Open_Data_ttbar.root", "Events", "event", "Jet_pt", 200),
        pytest.param(
            "cmsopendata2015_ttbar_19980_NANOAOD_RNTupleImporter_rntuple_v1-0-0-1.root",
            "Events",
            "event",
            "Jet_pt",
            10,
            marks=pytest.mark.slow,  # uproot takes seconds over its 1313 fields
        ),
    ],
)
def test_real_files(name: str, tree: str, flat: str, jagged: str | None, entries: int) -> None:
    with open_tree(real(name), tree) as handle:
        columns = handle.read([flat] if jagged is None else [flat, jagged])
    assert len(columns[flat].values) == entries
    if jagged is not None:
        offsets = columns[jagged].offsets
        assert offsets is not None
        assert len(offsets) == entries + 1
        assert np.isfinite(columns[jagged].values).all()


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "FIRST_WAIT", 0.0)
    with (
        pytest.raises(HepdaError, match=r"http://127\.0\.0\.1:9/a\.root: cannot be reached|aiohttp is not installed"),
        open_file("http://127.0.0.1:9/a.root"),
    ):
        pass


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/a.root", r"not read by ftp://, only by their paths and by root://, https://, s3://; copy"),
        ("zip://a.root::https://host/a.zip", r"not read by zip://"),
        ("zip::https://host/a*.zip", r"not read by zip::https://"),
        ("github://who:what@main/a.root", r"not read by github://"),
        ("simplecache::root://host//a.root", r"not read by simplecache::root://"),
        ("file:///tmp/a.root", r"not read by file://.*; write only the path"),
        (
            "http://host/a.root",
            r"by http anybody between the server and this machine can change the events; write https://",
        ),
        ("http://127.0.0.1.host/a.root", r"by http anybody between"),
        ("nothing://host/a.root", r"not read by nothing://"),
    ],
)
def test_only_urls_of_some_schemes_are_followed(url: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations, "attempt", lambda *_: pytest.fail("it was followed"))
    with pytest.raises(SourceError, match=rf"samples\.x\.files: {re.escape(url)}: .*{message}"):
        expand([url], "samples.x.files")
    with pytest.raises(SourceError, match=message), open_file(url):
        pass


def test_urls_that_are_followed() -> None:
    urls = ["root://host//a.root", "https://host/a.root", "s3://bucket/a.root", "http://localhost:8000/a.root"]
    assert expand(urls, "x") == urls


def test_stretches_end_where_the_file_packs_events_together() -> None:
    def cut(entries: int, ends: Sequence[int]) -> list[int]:
        pairs = list(chunks.stretches(entries, ends, usual=100, most=400))
        assert [start for start, _ in pairs] == [0, *(stop for _, stop in pairs[:-1])][: len(pairs)]
        return [stop for _, stop in pairs]

    assert cut(0, ()) == []
    assert cut(250, ()) == [100, 200, 250]  # nothing is known: cut anywhere
    assert cut(250, range(60, 250, 60)) == [60, 120, 180, 240, 250]
    assert cut(250, range(10, 251, 10)) == [100, 200, 250]  # as many as are usual
    assert cut(600, (250, 600)) == [250, 600]  # more than usual, but not too many
    assert cut(600, (600,)) == [100, 200, 600]  # too many to be read at once: cut until they are not


def test_files_are_read_in_the_parts_that_they_are_packed_in(tmp_path: Path) -> None:
    numbers = np.arange(1000, dtype=np.int32)
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("events", {"n": "i4"})
        for first in range(0, 1000, 250):
            file["events"].extend({"n": numbers[first : first + 250]})
    pq.write_table(pa.table({"n": numbers}), tmp_path / "a.parquet", row_group_size=300)
    for name, ends in (("a.root", (250, 500, 750, 1000)), ("a.parquet", (300, 600, 900, 1000))):
        with open_tree(str(tmp_path / name)) as tree:
            assert tree.ends(["n"]) == ends
    path = DATA / "Run2012BC_DoubleMuParked_Muons_1000evts_rntuple_v1-0-0-0.root"
    if path.is_file():
        with open_tree(str(path)) as tree:
            assert tree.ends(["nMuon"]) == (1000,)
