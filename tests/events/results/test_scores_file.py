import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hepda.errors import ConfigError
from hepda.events.results.scores_file import ScoresFile
from hepda.runtime import run_directory

N = 1000


def written(folder, **changes):
    """scores.parquet in row groups of 300 events, the first of which has one sample only."""
    generator = np.random.default_rng(0)
    sample = np.r_[np.zeros(400, np.int16), generator.integers(0, 3, N - 400).astype(np.int16)]
    columns = {
        "key": generator.integers(0, 2**63, N).astype(np.uint64),
        "sample": pa.DictionaryArray.from_arrays(pa.array(sample), pa.array(["ttH", "ttjets", "data"])),
        "weight": generator.normal(size=N),
        "m": generator.random(N).astype(np.float32),
        "m.p_tt": generator.random(N).astype(np.float32),
    } | changes
    pq.write_table(pa.table(columns), folder / "scores.parquet", row_group_size=300)
    return sample, columns


KINDS = {"key": "u", "sample": run_directory.NAMES, "weight": "f", "m": "f"}


def test_columns_are_those_of_the_file(tmp_path):
    sample, columns = written(tmp_path)
    scores = ScoresFile(tmp_path, KINDS)
    for name in ("key", "weight", "m", "m.p_tt"):
        assert scores[name].dtype == columns[name].dtype and np.array_equal(scores[name], columns[name])
    codes, names = scores.codes("sample")
    assert names == ("ttH", "ttjets", "data") and np.array_equal(codes, sample)
    assert "m" in scores and "n" not in scores and scores.rows == N
    with pytest.raises(KeyError):
        scores["n"]


def test_only_what_is_asked_for_is_read_a_row_group_at_a_time(tmp_path, monkeypatch):
    written(tmp_path)
    scores, read = ScoresFile(tmp_path, KINDS), []
    original = pq.ParquetFile.read_row_group

    def counted(self, group, columns, **options):
        table = original(self, group, columns=columns, **options)
        read.append((columns, table.num_rows))
        return table

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    assert len(scores["weight"]) == N
    assert read == [(["weight"], 300)] * 3 + [(["weight"], 100)]


def test_names_that_differ_between_row_groups_are_put_together(tmp_path):
    first, second = (
        pa.table({"sample": pa.DictionaryArray.from_arrays(pa.array(codes, pa.int16()), pa.array(names))})
        for codes, names in (([0, 1, 0], ["a", "b"]), ([0, 1, 1], ["b", "c"]))
    )
    with pq.ParquetWriter(tmp_path / "scores.parquet", first.schema) as writer:
        writer.write_table(first)
        writer.write_table(second)
    codes, names = ScoresFile(tmp_path, {"sample": run_directory.NAMES}).codes("sample")
    assert [names[code] for code in codes] == ["a", "b", "a", "b", "c", "c"]


@pytest.mark.parametrize(
    ("changes", "kinds", "message"),
    [
        ({}, {"n": "f"}, "has no scores of the model 'n'"),
        ({"m": np.zeros(N, np.int64)}, KINDS, "the column 'm' is not one that"),
        ({"sample": np.zeros(N)}, KINDS, "the column 'sample' is not one that"),
    ],
)
def test_a_column_that_is_missing_or_of_another_kind_is_named(tmp_path, changes, kinds, message):
    written(tmp_path, **changes)
    with pytest.raises(ConfigError, match=message):
        ScoresFile(tmp_path, kinds)


def test_gaps_and_files_that_are_missing_or_broken_are_named(tmp_path):
    written(tmp_path, m=pa.array([None] + [0.5] * (N - 1)))
    with pytest.raises(ConfigError, match="the column 'm' is not one that"):
        ScoresFile(tmp_path, KINDS)["m"]
    (tmp_path / "scores.parquet").write_bytes(b"PAR1 nothing else")
    with pytest.raises(ConfigError, match=r"scores\.parquet cannot be read: .*train again"):
        ScoresFile(tmp_path, KINDS)
    (tmp_path / "scores.parquet").unlink()
    with pytest.raises(ConfigError, match=r"has no scores\.parquet"):
        ScoresFile(tmp_path, KINDS)
