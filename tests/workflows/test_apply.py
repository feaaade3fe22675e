"""`hepda apply`: friends of any files, held against the scores that the run itself has kept."""

import contextlib
import io
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from hepda.cli import main
from hepda.config import load_config, resolved_yaml
from hepda.errors import ConfigError, DataError
from hepda.events import steps
from hepda.events.dataset.splits import event_key, fold_of
from hepda.events.files.friend_trees import branch_names, friend_file
from hepda.events.kind import combine
from hepda.events.resolve import dataset_spec, model_specs
from hepda.events.table.store import write_table
from hepda.events.training import friends
from hepda.events.training.jobs import jobs_of
from hepda.events.training.scoring import score_table
from hepda.runtime import run_directory
from hepda.runtime.jobs import run_jobs
from hepda.runtime.locks import locked
from hepda.workflows import apply
from tests.factory import write_analysis, write_sample

N = 300
MODELS = ("network", "dann", "bdt")
SHAPE = {"jes": {"kind": "shape", "up": {"jet_pt": "jet_pt_jes_up"}, "down": {"jet_pt": "jet_pt_jes_down"}}}


class Silent:
    """Progress that nobody sees; `stop` raises as Ctrl-C does once so many events are done."""

    def __init__(self, stop=None):
        self.stop, self.steps = stop, []

    def stage(self, name):
        pass

    def step(self, what, done, total):
        self.steps.append((what, done, total))
        if what == "events" and self.stop is not None and done >= self.stop:
            raise KeyboardInterrupt


def run_cli(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    return status, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of the files, and a run on them: three models, one of them an ensemble, three folds."""
    folder = tmp_path_factory.mktemp("files")
    path = write_analysis(
        folder, n=N, systematics=SHAPE, split={"folds": 3}, selection="(n_jets >= 6) & (n_b >= 2)",
        training={"epochs": 1, "batch_size": 128, "patience": None},
    )  # fmt: skip
    config = load_config(path, ["models.network.ensemble=2", "models.bdt.iterations=5"])
    run = folder / "run"
    loaded = steps.load(config, lambda *_: None)
    write_table(loaded.table, folder / "table")
    results = run_jobs(jobs_of(model_specs(config), folder / "table", run, folder / "work", "cpu"), 1, lambda *_: None)
    columns = steps.scores_columns(loaded.table, combine(config, loaded.table, results))
    run_directory.write_scores(run / "scores.parquet", columns)
    run_directory.write_text(run / "config.yaml", resolved_yaml(config))
    run_directory.write_json(run / "manifest.json", {"training": {}})
    return folder, run


def friend(path):
    with uproot.open(path) as file:
        return file["hepda"].arrays(library="np")


def events(path, *names):
    with uproot.open(path) as file:
        return file["events"].arrays(list(names), library="np")


def saved(run, sample):
    table = pq.read_table(run / "scores.parquet").to_pandas()
    return table[table["sample"] == sample]


# --- scores -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", ["signal", "background_alt", "third", "data"])
def test_training_files_get_the_scores_of_the_run_in_the_order_of_the_file(trained, tmp_path, sample):
    folder, run = trained
    done = apply.apply(run, [str(folder / f"{sample}.root")], tmp_path / "out", Silent(), processes=1)
    got, from_run = (
        friend(tmp_path / "out" / f"{sample}.root"),
        events(folder / f"{sample}.root", "run", "event", "jet_pt"),
    )
    want = saved(run, sample)
    for name in ("run", "event"):
        assert got[name].dtype.kind in "iu"
        assert np.array_equal(got[name], from_run[name])
    key = event_key(got["run"], got["event"])
    assert np.array_equal(got["fold"], fold_of(key, 3))
    assert 0 < got["selected"].sum() < N
    assert not got["selected"][[len(pt) < 6 for pt in from_run["jet_pt"]]].any()
    assert np.array_equal(key[got["selected"]], want["key"])
    for model in MODELS:
        score = got[f"score_{model}"]
        assert score.dtype == np.float32
        assert np.array_equal(np.isnan(score), ~got["selected"])
        np.testing.assert_allclose(score[got["selected"]], want[model], rtol=1e-6)
        assert np.ptp(want[model]) > 0.01
    assert done.records[0]["entries"] == N
    assert done.records[0]["selected"] == len(want)


def test_variations_are_scored_as_by_the_fit(trained, tmp_path):
    from hepda.events.dataset.variations import Reading, read_varied

    folder, run = trained
    apply.apply(run, [str(folder / "signal.root")], tmp_path / "out", Silent(), processes=1)
    got, config = friend(tmp_path / "out" / "signal.root"), load_config(run / "config.yaml")
    key = event_key(got["run"], got["event"])
    for side in ("up", "down"):
        table = read_varied(dataset_spec(config), Reading("signal", "jes", side), lambda *_: None)
        chosen = got[f"selected_jes_{side}"]
        assert np.array_equal(key[chosen], table.key)
        for model, score in score_table(model_specs(config).values(), run / "models", table).items():
            np.testing.assert_allclose(got[f"score_{model}_jes_{side}"][chosen], score, rtol=1e-6)
            assert np.isnan(got[f"score_{model}_jes_{side}"][~chosen]).all()
    moved = got["score_network_jes_up"] != got["score_network"]
    assert moved[got["selected"]].mean() > 0.9


def test_data_have_no_variations_and_that_is_said(trained, tmp_path):
    folder, run = trained
    done = apply.apply(run, [str(folder / "data.root")], tmp_path / "out", Silent(), processes=1)
    assert not [name for name in friend(tmp_path / "out" / "data.root") if "jes" in name]
    assert done.lines == [
        f"without jes_{side}, because the branch 'jet_pt_jes_{side}' is missing: data.root" for side in ("up", "down")
    ]


@pytest.mark.parametrize("kind", ["rntuple", "parquet"])
def test_every_format_holds_the_same(trained, tmp_path, kind):
    folder, run = trained
    path = str(folder / "signal.root")
    apply.apply(run, [path], tmp_path / "ttree", Silent(), processes=1)
    apply.apply(run, [path], tmp_path / kind, Silent(), kind=kind, processes=1)
    want = friend(tmp_path / "ttree" / "signal.root")
    if kind == "parquet":
        table = pq.read_table(tmp_path / kind / "signal.parquet")
        got = {name: table[name].to_numpy() for name in table.column_names}
    else:
        with uproot.open(tmp_path / kind / "signal.root") as file:
            assert file.classnames(cycle=False) == {"hepda": "ROOT::RNTuple"}
        got = friend(tmp_path / kind / "signal.root")
    assert list(got) == list(want)
    for name, values in want.items():
        assert np.array_equal(got[name], values, equal_nan=values.dtype.kind == "f"), name


def test_spans_do_not_change_what_is_scored(trained, monkeypatch):
    folder, run = trained
    config = load_config(run / "config.yaml")
    file = friends.inspect_file(dataset_spec(config), str(folder / "signal.root"), "signal")
    (complete,) = friends.spans(dataset_spec(config), file)
    parts = list(friends.spans(dataset_spec(config), file, usual=70, most=70))
    assert [len(span.key) for span in parts] == [70, 70, 70, 70, 20]
    assert np.array_equal(np.concatenate([span.key for span in parts]), complete.key)
    for variation, part in complete.parts.items():
        index = [span.parts[variation].index + 70 * i for i, span in enumerate(parts)]
        assert np.array_equal(np.concatenate(index), part.index)
        features = np.concatenate([span.parts[variation].table.features for span in parts])
        assert np.array_equal(features, part.table.features)


def test_a_file_in_several_spans_is_written_whole(trained, tmp_path, monkeypatch):
    folder, run = trained
    path = str(folder / "signal.root")
    apply.apply(run, [path], tmp_path / "whole", Silent(), processes=1)
    monkeypatch.setattr(apply, "spans", lambda spec, file: friends.spans(spec, file, usual=70, most=70))
    apply.apply(run, [path], tmp_path / "parts", Silent(), processes=1)
    complete, parts = (friend(tmp_path / name / "signal.root") for name in ("whole", "parts"))
    for name, values in complete.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(parts[name], values, rtol=1e-6)
        else:
            assert np.array_equal(parts[name], values)


def test_a_file_of_no_sample_without_weights_and_one_without_events(trained, tmp_path):
    _, run = trained
    big = np.arange(40, dtype=np.uint64) + np.uint64(2**63 + 5)
    write_sample(tmp_path / "new.root", 40, 11, signal=True, data=True, metadata=False, spoil={"event": big})
    write_sample(tmp_path / "none.root", 0, 12, signal=True)
    status, out, err = run_cli(
        "apply", run, tmp_path / "new.root", tmp_path / "none.root", "--output", tmp_path / "out", "--processes", 1
    )
    assert (status, err) == (0, "")
    got, nothing = (friend(tmp_path / "out" / name) for name in ("new.root", "none.root"))
    assert np.isfinite(got["score_bdt"]).sum() == got["selected"].sum() > 0
    assert got["event"].dtype == np.uint64
    assert got["event"][0] == 2**63 + 5
    assert {len(values) for values in nothing.values()} == {0}
    assert set(got) < set(nothing)
    assert f"2 files; 40 events, {got['selected'].sum()} selected" in out


# --- which sample a file is read as ---------------------------------------------------------------------------------


def renamed(config, **samples):
    """The config, with other sections of samples."""
    changed = {name: s.model_copy(update=samples.get(name, {})) for name, s in config.samples.items()}
    return config.model_copy(update={"samples": changed})


def test_a_file_is_read_as_the_sample_that_lists_it(trained):
    folder, run = trained
    config = load_config(run / "config.yaml")
    assert friends.sample_for(dataset_spec(config), str(folder / "signal.root"), None) == "signal"
    assert friends.sample_for(dataset_spec(config), "elsewhere.root", None) is None
    assert friends.sample_for(dataset_spec(config), "elsewhere.root", "data") == "data"
    with pytest.raises(ConfigError, match="Did you mean 'signal'"):
        friends.sample_for(dataset_spec(config), "elsewhere.root", "signl")
    url = renamed(config, third={"files": ("root://eos.cern.ch//x/*.root",)})
    assert friends.sample_for(dataset_spec(url), "root://eos.cern.ch//x/a.root", None) == "third"
    both = {"files": (str(folder),)}
    assert (
        friends.sample_for(dataset_spec(renamed(config, signal=both, third=both)), str(folder / "a.root"), None)
        == "signal"
    )
    with pytest.raises(ConfigError, match=r"signal, third.*--sample"):
        changed = renamed(config, signal=both, third=both | {"variables": {"ht": "met"}})
        friends.sample_for(dataset_spec(changed), str(folder / "a.root"), None)


def test_aliases_of_a_sample_hold_for_its_files(trained, tmp_path):
    folder, run = trained
    config = renamed(load_config(run / "config.yaml"), third={"aliases": {"met": "missing"}})
    met = events(folder / "third.root", "met")["met"]
    write_sample(tmp_path / "a.root", N, 5, signal=False, shift=-1.0, spoil={"met": None, "missing": met})
    file = friends.inspect_file(dataset_spec(config), str(tmp_path / "a.root"), "third")
    (span,) = friends.spans(dataset_spec(config), file)
    original = dataset_spec(load_config(run / "config.yaml"))
    (want,) = friends.spans(original, friends.inspect_file(original, str(folder / "third.root"), "third"))
    assert np.array_equal(span.parts[""].table.features, want.parts[""].table.features)
    with pytest.raises(Exception, match=r"'met' is neither.*\n(.*\n)*.*--sample"):
        friends.inspect_file(dataset_spec(config), str(tmp_path / "a.root"), None)


# --- interrupted, resumed, refused ----------------------------------------------------------------------------------


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.root")}


def test_interrupted_and_resumed_without_a_gap_or_a_double(trained, tmp_path):
    folder, run = trained
    files = [str(folder / f"{name}.root") for name in ("signal", "background", "third")]
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        apply.apply(run, files, out, Silent(stop=2 * N), processes=1)  # in the last span of the second file
    assert [path.name for path in sorted(out.glob("*"))] == [".apply", "apply.json", "log.txt", "signal.root"]
    assert not list(out.glob(".*.tmp"))
    first = contents(out)
    (out / ".background.root.99999.tmp").write_bytes(b"left by a process that was killed")
    (out / "third.root").write_bytes(b"renamed, but killed before its record was written")

    silent = Silent()
    done = apply.apply(run, files, out, silent, processes=1)
    assert done.kept == 1
    assert silent.steps[-1] == ("events", 2 * N, 2 * N)
    assert contents(out)["signal.root"] == first["signal.root"]
    assert sorted(path.name for path in out.glob(".*")) == [".apply"]
    for path in files:
        name = path.rpartition("/")[2]
        assert np.array_equal(friend(out / name)["event"], events(path, "event")["event"])
    summary = json.loads((out / "apply.json").read_text())
    assert [entry["output"] for entry in summary["files"]] == ["signal.root", "background.root", "third.root"]

    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.root")}
    assert apply.apply(run, files, out, Silent(), processes=1).kept == 3
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.root")} == before


def test_a_changed_input_or_output_is_scored_again(trained, tmp_path):
    _, run = trained
    path, out = tmp_path / "a.root", tmp_path / "out"
    write_sample(path, 50, 21, signal=True)
    apply.apply(run, [str(path)], out, Silent(), processes=1)
    write_sample(path, 60, 22, signal=True)
    assert apply.apply(run, [str(path)], out, Silent(), processes=1).kept == 0
    assert len(friend(out / "a.root")["event"]) == 60
    (out / "a.root").write_bytes(b"short")
    assert apply.apply(run, [str(path)], out, Silent(), processes=1).kept == 0
    assert len(friend(out / "a.root")["event"]) == 60


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"jet_b": None}, "'jet_b' is neither a variable nor a branch"),
        ({"event": None}, "has no branch 'event'"),
        ({"met": np.full(50, np.nan, np.float32)}, "the feature 'met' is not a finite number in 1 selected events"),
    ],
)
def test_a_file_whose_features_cannot_be_formed_is_refused(trained, tmp_path, spoil, message):
    _, run = trained
    good = write_sample(tmp_path / "a-good.root", 50, 30, signal=True)
    bad = write_sample(tmp_path / "bad.root", 50, 31, signal=True, spoil=spoil)
    if "met" in spoil:  # the last event must be a selected one
        chosen = np.flatnonzero(friends_selected(run, bad))
        met = np.ones(50, np.float32)
        met[chosen[-1]] = np.nan
        write_sample(bad, 50, 31, signal=True, spoil={"met": met})
    out = tmp_path / "out"
    status, _, err = run_cli("apply", run, good, bad, "--output", out, "--processes", 1)
    assert status == 2
    assert message in err
    assert "bad.root" in err
    assert "Traceback" not in err
    # Branches are looked at before anything is scored, numbers while the file is.
    assert [path.name for path in sorted(out.glob("*.root"))] == (["a-good.root"] if "met" in spoil else [])
    assert not list(out.glob(".*.tmp"))


def friends_selected(run, path):
    """Which events of a file with a NaN among its features are selected."""
    config = load_config(run / "config.yaml").model_copy(update={"features": ("ht",)})
    (span,) = friends.spans(dataset_spec(config), friends.inspect_file(dataset_spec(config), str(path), None))
    return np.isin(np.arange(50), span.parts[""].index)


def test_places_that_are_refused(trained, tmp_path):
    folder, run = trained
    signal = str(folder / "signal.root")
    with pytest.raises(ConfigError, match="would replace it"):
        apply.apply(run, [signal], folder, Silent(), processes=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match=r"holds files that are not of `hepda apply`"):
        apply.apply(run, [signal], tmp_path / "full", Silent(), processes=1)
    (tmp_path / "other").mkdir()
    shutil.copy(signal, tmp_path / "other" / "signal.root")
    with pytest.raises(ConfigError, match="would all be scored into"):
        apply.apply(run, [signal, str(tmp_path / "other/signal.root")], tmp_path / "out", Silent(), processes=1)
    with pytest.raises(ConfigError, match="not a run directory"):
        apply.apply(tmp_path / "other", [signal], tmp_path / "out", Silent(), processes=1)
    apply.apply(run, [signal], tmp_path / "out", Silent(), processes=1)
    with pytest.raises(ConfigError, match="other models, or in another format"):
        apply.apply(run, [signal], tmp_path / "out", Silent(), kind="parquet", processes=1)
    with locked(tmp_path / "out", "apply"), pytest.raises(ConfigError, match="another `hepda apply`"):
        apply.apply(run, [signal], tmp_path / "out", Silent(), processes=1)


def test_names_that_formats_take():
    assert branch_names(["EventInfoAuxDyn.eventNumber", "score_a-b"]) == {
        "EventInfoAuxDyn.eventNumber": "EventInfoAuxDyn_eventNumber", "score_a-b": "score_a_b"
    }  # fmt: skip
    with pytest.raises(ConfigError, match="one branch, 'score_a_b'"):
        branch_names(["score_a-b", "score_a+b"])


def test_a_full_disk_leaves_nothing(tmp_path):
    path = tmp_path / "a.parquet"
    types = {"x": np.dtype("f4")}
    with pytest.raises(ConfigError, match="No space left"), friend_file(path, "parquet", types) as write:
        write({"x": np.zeros(3, np.float32)})
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []
    with friend_file(path, "parquet", types) as write:
        write({"x": np.zeros(3, np.float32)})
    assert pq.read_table(path)["x"].type == pa.float32()


@pytest.mark.slow
def test_processes_do_not_change_the_scores(trained, tmp_path):
    folder, run = trained
    files = [str(folder / f"{name}.root") for name in ("signal", "background", "third")]
    for processes in (1, 2):
        apply.apply(run, files, tmp_path / str(processes), Silent(), processes=processes)
    first, second = (friend(tmp_path / str(n) / "third.root") for n in (1, 2))
    assert all(np.array_equal(first[n], second[n], equal_nan=first[n].dtype.kind == "f") for n in first)
    bad = write_sample(tmp_path / "bad.root", 50, 31, signal=True, spoil={"met": np.full(50, np.nan, np.float32)})
    with pytest.raises(DataError, match="'met'"):
        apply.apply(run, [*files, str(bad)], tmp_path / "3", Silent(), processes=2)
