import json
import math
import subprocess

import numpy as np
import pyarrow.parquet as pq
import pytest

from hepda.errors import ConfigError
from hepda.runtime import run_directory


def leftovers(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_text_is_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "note.txt"
    run_directory.write_text(path, "µ = 1\n")
    run_directory.write_text(path, "µ = 2\n")
    assert path.read_text(encoding="utf-8") == "µ = 2\n" and leftovers(path.parent) == []

    def broken(self, target):
        raise OSError("the disk is full")

    monkeypatch.setattr(type(path), "replace", broken)
    with pytest.raises(OSError, match="full"):
        run_directory.write_text(path, "half")
    assert path.read_text(encoding="utf-8") == "µ = 2\n" and leftovers(path.parent) == []


def test_json_keeps_every_digit_and_every_none(tmp_path):
    path = tmp_path / "metrics.json"
    value = {
        "auc": np.float64(0.1) + np.float64(0.2),
        "float32": np.float32(0.1),
        "n": np.int64(2**53 + 1),
        "ok": np.bool_(True),
        "none": None,
        "list": (1, 2.5, np.int8(3)),
        "array": np.array([0.1, 0.2]),
        1: "a key that is a number",
    }
    run_directory.write_json(path, value)
    assert run_directory.read_json(path) == {
        "auc": 0.1 + 0.2,
        "float32": float(np.float32(0.1)),
        "n": 2**53 + 1,
        "ok": True,
        "none": None,
        "list": [1, 2.5, 3],
        "array": [0.1, 0.2],
        "1": "a key that is a number",
    }
    assert path.read_text().endswith("}\n")


@pytest.mark.parametrize("bad", [math.nan, math.inf, np.float64("nan"), np.array([1.0, np.nan])])
def test_a_number_that_is_none_is_not_written_as_nan(tmp_path, bad):
    with pytest.raises(ValueError, match="use None and a reason"):
        run_directory.write_json(tmp_path / "metrics.json", {"models": [{"auc": bad}]})
    assert not (tmp_path / "metrics.json").exists()


def test_a_folder_that_is_no_run_directory_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"is not a run directory: it has no metrics\.json"):
        run_directory.read_json(tmp_path / "metrics.json")
    (tmp_path / "metrics.json").write_text('{"schema": 1, ')
    with pytest.raises(ConfigError, match=r"metrics\.json cannot be read.*line 1"):
        run_directory.read_json(tmp_path / "metrics.json")


def test_histories_go_through_csv_and_back(tmp_path):
    histories = {
        "network-fold0": {"class_loss": [0.6931471805599453, 0.1 + 0.2], "seconds": [1.0, 2.0]},
        "dann-fold0": {"class_loss": [0.5, 0.4, 0.3], "domain_loss": [None, 0.69, None], "odd": [None] * 3},
        "bdt-fold0": {},
    }
    path = tmp_path / "history.csv"
    run_directory.write_text(path, run_directory.history_csv(histories))
    lines = path.read_text().splitlines()
    assert lines[0] == "training,epoch,class_loss,seconds,domain_loss,odd" and len(lines) == 6
    assert lines[1] == "network-fold0,1,0.6931471805599453,1.0,,"
    read = run_directory.read_history(path)
    assert read["network-fold0"] == histories["network-fold0"]
    assert read["dann-fold0"] == {"class_loss": [0.5, 0.4, 0.3], "domain_loss": [None, 0.69, None]}
    assert set(read) == {"network-fold0", "dann-fold0"}  # trees have no epochs


def test_histories_of_numpy_numbers_and_of_odd_lengths(tmp_path):
    path = tmp_path / "history.csv"
    columns = {"loss": [np.float64(0.1), np.float32(0.5)], "late": [1.0], 'a "name", with a comma': [1.0, 2.0]}
    run_directory.write_text(path, run_directory.history_csv({"a": columns}))
    assert run_directory.read_history(path)["a"] == {
        "loss": [0.1, 0.5],
        "late": [1.0, None],
        'a "name", with a comma': [1.0, 2.0],
    }


def test_scores_are_a_parquet_table(tmp_path):
    path = tmp_path / "run" / "scores.parquet"
    columns = {"key": np.array([1, 2**64 - 1], np.uint64), "network": np.array([0.25, 0.75], np.float32)}
    run_directory.write_scores(path, columns)
    table = pq.read_table(path)
    assert table.column_names == ["key", "network"]
    assert table["key"].to_pylist() == [1, 2**64 - 1]
    assert table["network"].to_numpy().dtype == np.float32
    assert leftovers(path.parent) == []
    with pytest.raises(ValueError, match="length"):
        run_directory.write_scores(path, columns | {"short": np.zeros(1)})
    assert pq.read_table(path).num_rows == 2 and leftovers(path.parent) == []


def test_numbers_that_count_up_need_little_space(tmp_path):
    events = np.arange(20_000, dtype=np.int64) + 2**40
    run_directory.write_scores(tmp_path / "scores.parquet", {"event": events, "m": np.zeros(20_000, np.float32)})
    assert np.array_equal(pq.read_table(tmp_path / "scores.parquet")["event"].to_numpy(), events)
    assert (tmp_path / "scores.parquet").stat().st_size < 20_000  # eight bytes each, as they stand


def test_provenance_names_versions_seed_and_commit(tmp_path, monkeypatch):
    about = run_directory.provenance(7)
    assert about["seed"] == 7 and about["versions"]["numpy"] == np.__version__
    assert about["time"].endswith("+00:00")
    assert {"python", "torch", "uproot", "hepda"} <= set(about["versions"])
    json.dumps(about)
    monkeypatch.setattr(run_directory.metadata, "version", lambda name: f"version of {name}")
    assert run_directory.provenance(1)["versions"]["xgboost-cpu"] == "version of xgboost-cpu"


def test_the_commit_has_a_plus_where_the_tree_has_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert run_directory.git_commit() is None
    run = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "a").write_text("1")
    for command in (["init", "-q"], ["add", "a"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*run, *command], check=True)
    clean = run_directory.git_commit()
    assert len(clean) == 40
    (tmp_path / "a").write_text("2")
    assert run_directory.git_commit() == clean + "+"
    monkeypatch.setenv("PATH", "")
    assert run_directory.git_commit() is None
