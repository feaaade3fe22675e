"""`hepda.train`: an analysis of events that are in memory, and the same events as files of every format."""

import json
import subprocess
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pandas as pd
import pytest
import yaml

import hepda
from hepda.api import training
from hepda.errors import ConfigError, DataError
from tests.tabular.factory import frame as animals

N = 700
FEATURES = ["x", "y"]


def events(seed, signal, shift=0.0):
    """Flat events of one sample, as a frame."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({
        "run": np.full(N, 1 + seed), "event": np.arange(N), "w": rng.choice([1.0, 1.0, 1.0, -0.5], N),
        "x": rng.normal(0.8 * signal + shift, 1.0, N), "y": rng.normal(0.5 * signal, 1.0, N),
    })  # fmt: skip


SOURCES = {"signal": events(1, 1), "background": events(2, 0), "other": events(3, 0, 0.5)}


def analysis(**keys):
    samples = {
        "signal": {"class": "signal", "domain": "nominal"},
        "background": {"class": "background", "domain": "nominal"},
        "other": {"class": "background", "domain": "other"},
    }
    base = {
        "name": "frames", "kind": "events", "samples": samples, "normalisation": None, "weight": "w",
        "features": FEATURES,
        "models": {"bdt": {"kind": "bdt", "iterations": 5}}, "training": {"processes": 1},
        "evaluation": {"bootstrap": 5, "bias": {"between": ["nominal", "other"]}}, "luminosity": 1.0,
    }  # fmt: skip
    return base | keys


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    return hepda.train(analysis(), folder / "run", sources=SOURCES, plots="none", progress=False)


def test_frames_are_the_samples_of_a_run(trained):
    assert trained.metrics.samples["signal"].selected == N
    joined = trained.join(SOURCES["signal"], sample="signal")
    assert joined["sample"].eq("signal").all() and joined["bdt"].between(0, 1).all()
    again = trained.models["bdt"].predict_proba(SOURCES["signal"])[:, 1]
    assert np.allclose(again, joined["bdt"], atol=1e-6)


def test_scores_are_joined_with_ntuples_by_the_numbers_that_identify_an_event(trained):
    """By pandas alone, by a part of the numbers, and by columns of another name."""
    other = SOURCES["other"]
    scores = trained.scores[trained.scores["sample"] == "other"]
    assert scores[["run", "event"]].dtypes.eq("int64").all()
    merged = other.merge(scores, on=["run", "event"], how="inner")
    assert len(merged) == N
    assert np.allclose(merged["bdt"], trained.models["bdt"].predict_proba(other)[:, 1], atol=1e-6)
    mine = other[["event", "x"]].rename(columns={"event": "EventNumber"}).sample(frac=1, random_state=1)
    by_event = trained.join(mine, sample="other", on={"event": "EventNumber"})
    assert np.allclose(by_event["bdt"], merged.set_index("event").loc[mine["EventNumber"], "bdt"], atol=1e-6)
    assert "run" not in by_event and by_event.index.equals(mine.index)
    assert trained.join(other[["run", "event"]], on=["event", "run"])["sample"].eq("other").all()
    with pytest.raises(DataError, match=r"several events with the same event: join each sample by itself"):
        trained.join(mine, on={"event": "EventNumber"})
    with pytest.raises(ConfigError, match=r"on: 'lumi' does not identify an event of the run; run, event do"):
        trained.join(mine, on=["lumi"])
    with pytest.raises(ConfigError, match=r"on: is empty"):
        trained.join(mine, on=[])


def test_later_commands_find_the_events_beside_the_run(trained):
    files = {name: Path(sample.files[0]) for name, sample in trained.config.samples.items()}
    assert {path.parent for path in files.values()} == {trained.path.parent / "sources"}
    assert all(path.is_file() and path.name.startswith(name) for name, path in files.items())
    assert len(trained.score(files["other"])) == N


def test_the_same_events_as_files_of_other_formats_give_the_same_table(trained, tmp_path):
    """CSV, HDF5, awkward arrays and columns: the checksums of the data in the manifest are those of the frames."""
    h5py = pytest.importorskip("h5py")
    signal = SOURCES["signal"]
    with h5py.File(tmp_path / "background.h5", "w") as file:
        file["events"] = SOURCES["background"].to_records(index=False)
    signal.to_csv(tmp_path / "signal.csv", index=False)
    sources = {
        "signal": str(tmp_path / "signal.csv"), "background": tmp_path / "background.h5",
        "other": ak.Array({name: SOURCES["other"][name].to_numpy() for name in SOURCES["other"]}),
    }  # fmt: skip
    other = hepda.train(analysis(), tmp_path / "run", sources=sources, plots="none", progress=False)
    assert other.manifest["data"]["parts"] == trained.manifest["data"]["parts"]
    pd.testing.assert_frame_equal(other.scores, trained.scores)


def test_a_yaml_takes_sources_and_overrides_and_a_finished_run_is_not_replaced(tmp_path, trained):
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(analysis()))
    arguments = {"sources": SOURCES, "overrides": ["models.bdt.iterations=3"], "plots": "none", "progress": False}
    run = hepda.train(path, tmp_path / "runs" / "r", **arguments)
    assert run.config.models["bdt"].iterations == 3 and run.metrics.samples["signal"].selected == N
    with pytest.raises(ConfigError, match="holds a finished run"):
        hepda.train(path, run.path, **arguments)
    resumed = hepda.train(path, run.path, existing="resume", **arguments)  # the same frames are the same files
    assert resumed.manifest["time"] == run.manifest["time"]


def test_paths_and_names_in_overrides_mean_the_same_with_and_without_sources(tmp_path):
    """Relative paths are those of the folder of the analysis file; a misspelt name begins no model."""
    content = analysis()
    for name, sample in content["samples"].items():
        sample["files"] = f"{name}.parquet"
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content))
    overrides = ["samples.background.files=elsewhere/other.root"]
    for sources in ({}, {"signal": "signal.parquet"}):
        config = training._loaded(tmp_path / "a.yaml", sources, overrides, tmp_path / "sources")
        assert config.samples["background"].files == (str(tmp_path / "elsewhere" / "other.root"),)
        with pytest.raises(ConfigError, match=r"models has no 'bdd'\. Did you mean 'bdt'"):
            training._loaded(tmp_path / "a.yaml", sources, ["models.bdd.iterations=3"], tmp_path / "sources")


def test_wrong_sources_are_refused_before_anything_is_trained(tmp_path):
    def refused(error, match, config=None, **arguments):
        with pytest.raises(error, match=match):
            hepda.train(config or analysis(), tmp_path / "run", progress=False, **arguments)
        assert not (tmp_path / "run").exists()

    refused(ConfigError, r"sources\['sgnal'\]: .* no such sample. Did you mean 'signal'", sources={"sgnal": {}})
    refused(DataError, r"sources\['signal'\]: has 0 events", sources={"signal": SOURCES["signal"].iloc[:0]})
    refused(DataError, "records with names", sources={"signal": ak.Array([1.0, 2.0])})
    refused(DataError, "cannot be read as columns", sources={"signal": {"x": [1, 2], "y": [1]}})
    refused(ConfigError, "samples.*files", sources={"signal": SOURCES["signal"]})
    refused(ConfigError, "existing='no'", existing="no")
    refused(ConfigError, "plots='some'", plots="some")


def test_a_table_in_memory_is_the_source_of_a_tabular_analysis(tmp_path):
    config = {
        "name": "animals", "kind": "tabular", "label": "kind", "weight": "w", "categorical": ["colour"],
        "domain": {"column": "site", "source": "home", "target": "away", "held_out": "far"},
        "split": {"key": "patient"}, "models": {"trees": {"kind": "bdt", "iterations": 3}},
        "training": {"processes": 1}, "evaluation": {"bootstrap": 5, "permutations": 20},
    }  # fmt: skip
    run = hepda.train(config, tmp_path / "run", sources={"files": animals()}, plots="none", progress=False)
    assert run.kind == "tabular" and len(run.scores) == len(animals()) and "trees" in repr(run)
    with pytest.raises(ConfigError, match="is a run of tabular, not of collider events"):
        _ = run.models


@pytest.mark.slow
def test_a_script_without_a_guard_trains_once_with_processes(tmp_path):
    """Workers do not run the script of the caller again."""
    (tmp_path / "script.py").write_text(
        "import json, sys\nimport hepda\nprint('begins')\n"
        "config = json.loads(sys.argv[1])\n"
        "run = hepda.train(config, sys.argv[2], plots='none', progress=False)\n"
        "print(run.summary.shape, __file__ == sys.argv[0])\n"
    )
    config = analysis(training={"processes": 2})
    for name, frame in SOURCES.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
        config["samples"][name]["files"] = str(tmp_path / f"{name}.csv")
    command = [sys.executable, str(tmp_path / "script.py"), json.dumps(config), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "begins" and done.stdout.count("begins") == 1
    assert done.stdout.splitlines()[-1].endswith("True")
