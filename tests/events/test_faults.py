"""What files have been seen to do to analyses: each is told, with its place, or does no harm.

Faults of a file as a whole are in test_sources.py and test_formats.py, those of a cache and of files that change while
they are read in test_cache.py, those of an analysis file in tests/test_config.py, those of a run in tests/test_cli.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from hepda.config import load_config
from hepda.errors import DataError, ExpressionError, HepdaError, SourceError
from hepda.events.dataset import chunks
from hepda.events.dataset.load import LoadedEvents, load_table
from hepda.events.files.opening import open_tree
from hepda.events.kind import EventsKind
from hepda.events.resolve import dataset_spec
from tests.factory import write_analysis, write_sample

N = 80


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    # With so few events the signed weights of a part of a fold may add up to less than 0, which no training takes.
    write_analysis(tmp_path, N, negative_weights="absolute")
    return tmp_path


def loaded(folder: Path, *overrides: str) -> LoadedEvents:
    return load_table(dataset_spec(load_config(folder / "small.yaml", overrides)))


def two(folder: Path, **spoil: Any) -> str:
    """The sample `third` of two files, the second of which has other branches."""
    write_sample(folder / "more.root", N, 9, signal=False, cross_section=20.0, spoil=spoil)
    return f"samples.third.files=[{folder}/third.root, {folder}/more.root]"


@pytest.mark.slow
def test_bits_that_flip_are_told_or_change_numbers_alone(folder: Path) -> None:
    """Wherever a bit flips: hepda's own error, or a table; never another exception, and never a table of other events.

    ROOT keeps no checksum of its baskets, so a number may change without a trace; how many events there are may not.
    """
    path = folder / "third.root"
    content = path.read_bytes()
    complete = loaded(folder)
    generator = np.random.default_rng(3)
    n_errors = 0
    for place in generator.integers(0, len(content), 24):
        broken = bytearray(content)
        broken[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(bytes(broken))
        try:
            result = load_table(dataset_spec(load_config(folder / "small.yaml", ["samples.third.use=evaluate"])))
        except HepdaError as error:
            n_errors += 1
            assert "third" in str(error), error
        else:
            assert result.samples["third"].entries == complete.samples["third"].entries
    assert n_errors >= 2


@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int32])
def test_a_number_may_have_another_type_in_another_file(folder: Path, kind: Any) -> None:
    met = np.arange(N).astype(kind)
    table = loaded(folder, two(folder, met=met.astype(np.float32) if kind is np.float16 else met)).table
    third = table.select(table.of_samples(["third"]))
    column = third.features[:, third.names.index("met")]
    assert set(column[-3:]) < set(range(N))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"jet_pt": np.ones(N, np.float32)}, "variables.ht.*needs a list|is one number per event|sum"),
        ({"met": ak.Array([[1.0, 2.0]] * N)}, "met.*is a list per event"),
        ({"met": None}, r"'met'.*more\.root"),
    ],
)
def test_a_branch_that_changes_its_shape_between_files_is_told(folder: Path, spoil: Any, message: str) -> None:
    with pytest.raises((ExpressionError, SourceError), match=f"(?s){message}"):
        loaded(folder, two(folder, **spoil))


def test_a_branch_that_becomes_text_is_told(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for number, name in enumerate(("signal", "background", "signal_alt", "background_alt", "third", "data")):
        with uproot.open(folder / f"{name}.root") as file:
            pq.write_table(ak.to_arrow_table(file["events"].arrays(), extensionarray=False), folder / f"{name}.parquet")
        assert number < 6
    text = pq.read_table(folder / "third.parquet")
    at = text.column_names.index("met")
    pq.write_table(text.set_column(at, "met", pa.array(["forty"] * N)), folder / "more.parquet")
    overrides = [f"samples.{name}.files={folder}/{name}.parquet" for name in
                 ("signal", "background", "signal_alt", "background_alt", "data")]  # fmt: skip
    files = f"samples.third.files=[{folder}/third.parquet, {folder}/more.parquet]"
    with pytest.raises((ExpressionError, SourceError), match=r"'met'.*more\.parquet"):
        loaded(folder, "normalisation=null", *overrides, files)


def test_lists_whose_lengths_disagree_are_told_with_the_entry_of_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ENTRIES", 10)
    with uproot.open(folder / "third.root") as file:
        eta = file["events"]["jet_eta"].array()
    short = ak.concatenate([eta[:17], eta[17:18, :-1], eta[18:]])
    write_sample(folder / "third.root", N, 5, signal=False, shift=-1.0, cross_section=20.0, spoil={"jet_eta": short})
    with pytest.raises(ExpressionError, match=r"different lengths.*entry 17 of .*third\.root: "):
        loaded(folder)
    with pytest.raises(ExpressionError, match=r"different lengths.*entry 17 of "):  # after events that are cut away
        loaded(folder, "selection=event % 2 == 1")


def test_a_file_without_entries_among_others_does_no_harm(folder: Path) -> None:
    write_sample(folder / "none.root", 0, 9, signal=False, cross_section=20.0, generated=4 * N)
    baseline, more = loaded(folder), loaded(folder, f"samples.third.files=[{folder}/none.root, {folder}/third.root]")
    assert more.samples["third"].entries == N
    # It has been generated: its events, none of which passed, are in the sum of weights.
    ratio = more.samples["third"].sums.sumw / baseline.samples["third"].sums.sumw
    assert 0 < ratio < 1
    assert next((f.entries, f.sums.entries) for f in more.files if f.sample == "third") == (0, 0)


@pytest.mark.parametrize("flag", [-999.0, -99.0])
def test_a_flag_is_a_number_until_it_is_said_to_be_none(folder: Path, flag: float) -> None:
    met = np.linspace(1, 80, N).astype(np.float32)
    met[::4] = flag
    write_sample(folder / "third.root", N, 5, signal=False, cross_section=20.0, spoil={"met": met})
    kept = loaded(folder).table
    third = kept.of_samples(["third"])
    column = kept.names.index("met")
    assert (kept.features[third][:, column] == flag).any()
    cut = loaded(folder, f"selection=(n_jets >= 5) & (n_b >= 2) & (met > {flag + 1})").table
    assert (cut.features[:, column] > flag + 1).all() and len(cut) < len(kept)


def test_infinite_and_missing_numbers_are_placed_by_sample_and_entry(folder: Path) -> None:
    for value in (np.nan, np.inf, -np.inf):
        met = np.ones(N, np.float32)
        met[[11, 30]] = value
        write_sample(folder / "third.root", N, 5, signal=False, cross_section=20.0, spoil={"met": met})
        with pytest.raises(
            DataError, match=r"samples\.third: the feature 'met' .* in 2 selected .* entry 11 of .*third"
        ):
            loaded(folder)


def test_events_that_repeat_are_counted_told_and_in_one_fold(tmp_path: Path) -> None:
    folder, n = tmp_path, 2000  # enough for a training, which `load` asks for
    write_analysis(folder, n)
    event = np.arange(n).astype(np.uint64) + np.uint64(2**63)  # numbers that no signed integer holds
    event[40:60] = event[:20]
    write_sample(folder / "third.root", n, 5, signal=False, cross_section=20.0, spoil={"event": event})
    kind = EventsKind(load_config(folder / "small.yaml"))
    lines = kind.load(lambda *_: None)
    count = kind.loaded.samples["third"].duplicates
    assert count > 0 and any(
        line.startswith(f"third: {count} selected events have the run and event") for line in lines
    )
    third = kind.table.select(kind.table.of_samples(["third"]))
    for key in np.unique(third.key):
        assert len(np.unique(third.fold[third.key == key])) == 1
        assert len(np.unique(third.validation[third.key == key])) == 1


@pytest.mark.slow
def test_unicode_in_names_of_files_branches_and_features(tmp_path: Path) -> None:
    place = tmp_path / "é – data"
    write_analysis(place, N, negative_weights="absolute")
    for name, seed in (("signal", 1), ("background", 2), ("signal_alt", 3), ("background_alt", 4), ("third", 5)):
        # µ is the micro sign here; an expression turns it into the Greek letter, as Python does with names.
        extra = {"µ_pt": np.arange(N).astype(np.float32), "größe.β": np.ones(N, np.float32)}
        write_sample(place / f"{name}.root", N, seed, signal="signal" in name, cross_section=1.0, spoil=extra)
    write_sample(place / "data.root", N, 6, signal=False, data=True, spoil=extra)
    result = load_table(dataset_spec(load_config(place / "small.yaml", ["features=[ht, μ_pt, größe_β]"])))
    assert result.table.names == ("ht", "μ_pt", "größe_β")
    assert (result.table.features[:, 2] == 1).all() and result.table.features[:, 1].max() > 10
    assert "é – data" in result.files[0].path


def test_dots_in_names_and_what_no_expression_can_say(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("events", {"lep.pt": np.float32, "x-y": np.float32, "2nd": np.float32})
        file["events"].extend({name: np.ones(3, np.float32) for name in ("lep.pt", "x-y", "2nd")})
    with open_tree(str(tmp_path / "a.root"), aliases={"xy": "x-y", "second": "2nd"}) as tree:
        read = tree.read(["lep.pt", "lep_pt", "xy", "second"])
    assert all((column.values == 1).all() for column in read.values())


def test_anchors_are_taken_and_merged(folder: Path) -> None:
    text = (folder / "small.yaml").read_text()
    anchored = text.replace(
        "class: background\n    domain: simulation", "<<: &bkg {class: background}\n    domain: simulation"
    )
    anchored = anchored.replace("class: background\n    domain: third", "<<: *bkg\n    domain: third")
    assert anchored.count("bkg") == 2
    (folder / "other.yaml").write_text(anchored)
    first, other = load_config(folder / "small.yaml"), load_config(folder / "other.yaml")
    assert first == other
