"""TensorBoard and MLflow: what is read back from their local files is the history of the run."""

import json
import math
import shutil
import sys
from pathlib import Path

import pytest

from hepda import cli
from hepda.config import load_config
from hepda.errors import MissingExtraError
from hepda.runtime import run_directory
from hepda.runtime.plots import PlotOptions, Plots
from hepda.workflows import train
from hepda.workflows.tracking import track
from tests.factory import Silent, write_analysis

METHODS = ("dann", "mmd")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a network with a reversed head and of one with a term, of three epochs."""
    folder = tmp_path_factory.mktemp("tracking")
    models = {
        method: {
            "kind": "network", "encoder": [4],
            "domain": {"method": method, "source": "background", "target": "background_alt"},
        }
        for method in METHODS
    }  # fmt: skip
    page = write_analysis(
        folder, n=400, models=models, features=["ht", "m_bb"], evaluation={"probes": False, "bootstrap": 2},
        training={"processes": 1, "epochs": 3, "patience": None},
    )  # fmt: skip
    train.train(load_config(page), folder / "run", PlotOptions(Plots.NONE), Silent())
    return folder / "run"


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "run")
    return tmp_path / "run"


def expected(run: Path) -> dict[str, dict[str, list[float]]]:
    histories = run_directory.read_history(run / "history.csv")
    return {
        name: {key: [v for v in values if v is not None and math.isfinite(v)] for key, values in columns.items()}
        for name, columns in histories.items()
    }


def auc_of(run: Path, model: str) -> float:
    return json.loads((run / "metrics.json").read_text())["models"][model]["auc"]["simulation"]["value"]


def test_tensorboard_reads_every_history_back(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert cli.main(["report", str(run), "--plots", "none", "--track", "tensorboard"]) == 0
    folder = run.parent / "tensorboard" / "run"
    assert f"tensorboard --logdir {folder.parent}" in capsys.readouterr().out
    track(run, "tensorboard")  # a second time replaces the first
    histories = expected(run)
    assert set(histories) == {f"{method}-fold{fold}-member0" for method in METHODS for fold in (0, 1)}
    for training, columns in histories.items():
        events = accumulator.EventAccumulator(str(folder / training)).Reload()
        for name, values in columns.items():
            if values:
                assert [e.value for e in events.Scalars(name)] == pytest.approx(values, rel=1e-6)
        assert [e.step for e in events.Scalars("class_loss")] == [1, 2, 3]
    events = accumulator.EventAccumulator(str(folder / "dann-results")).Reload()
    [auc] = events.Scalars("results/auc/simulation/value")
    assert auc.value == pytest.approx(auc_of(run, "dann"))


def test_mlflow_reads_every_history_back(run: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    store = f"sqlite:///{run.parent / 'mlflow.db'}"
    for _ in range(2):  # a second time replaces the first
        assert f"mlflow ui --backend-store-uri {store}" in track(run, "mlflow")
    client = mlflow.MlflowClient(tracking_uri=store)
    [experiment] = [e for e in client.search_experiments() if e.name == load_config(run / "config.yaml").name]
    found = {entry.info.run_name: entry for entry in client.search_runs([experiment.experiment_id])}
    assert set(found) == {"run", *expected(run)}
    for training, columns in expected(run).items():
        number = found[training].info.run_id
        assert found[training].data.tags["mlflow.parentRunId"] == found["run"].info.run_id
        assert found[training].data.params["domain.method"] == training.partition("-")[0]
        for name, values in columns.items():
            measured = [m.value for m in client.get_metric_history(number, name)] if values else []
            assert measured == pytest.approx(values)
    assert found["run"].data.metrics["dann/auc/simulation/value"] == pytest.approx(auc_of(run, "dann"))


@pytest.mark.parametrize("tracker", ["tensorboard", "mlflow"])
def test_without_its_library_the_extra_is_named(run: Path, monkeypatch: pytest.MonkeyPatch, tracker: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == tracker]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, tracker, None)
    with pytest.raises(MissingExtraError, match=rf"hepda\[{tracker}\]"):
        track(run, tracker)


@pytest.mark.parametrize("command", ["train", "report"])
def test_a_library_that_is_not_installed_is_named_before_anything_is_done(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    before = sorted(path for path in run.parent.rglob("*"))
    new = ["--config", str(run / "config.yaml"), "--output", str(run.parent / "new")]
    arguments = {"train": new, "report": [str(run)]}[command]
    assert cli.main([command, *arguments, "--track", "mlflow"]) == 2
    said = capsys.readouterr()
    assert "--track mlflow: mlflow is not installed; install it with: pip install 'hepda[mlflow]'" in said.err
    assert "network" not in said.out and sorted(run.parent.rglob("*")) == before
