"""`hepda scan --cluster` and `hepda train --cluster`: the trainings on Dask workers, some of which are killed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hepda.workflows.scan import trainings
from tests.factory import write_analysis
from tests.tasks import fatal_at_5
from tests.test_cli import run_cli, sets
from tests.workflows.scan.test_run import SMALL, STRENGTH, rows_of, timeless

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.slow
LONGER = (*SMALL, "training.epochs=12")
POINTS = ("--vary", f"{STRENGTH}=0,5", "--seeds", "2")


def scan(config: Path, folder: Path, *arguments: str) -> tuple[int, str, str]:
    result: tuple[int, str, str] = run_cli(
        "scan", "--config", config, "--output", folder, "--processes", 1, *sets(*LONGER), *POINTS, *arguments
    )
    return result


@pytest.fixture(scope="module")
def ntuples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_analysis(tmp_path_factory.mktemp("analysis"), n=600)


@pytest.fixture(scope="module", autouse=True)
def same_kernels() -> Iterator[None]:
    """The choice of this process is sent along: whatever a worker would measure must not matter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hepda.adversarial.training.settings.worthwhile", lambda: False)
        yield


@pytest.fixture(scope="module")
def local(ntuples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scan by this process."""
    folder = tmp_path_factory.mktemp("local") / "scan"
    assert scan(ntuples, folder)[0] == 0
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, memory_limit=0, dashboard_address=None, silence_logs=50
    ) as result:
        yield result


@contextmanager
def killing(cluster: Any, ready: Callable[[], bool]) -> Iterator[list[int]]:
    """Kill the process of a worker that has a training, once, as soon as `ready` says so."""
    killed: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set() and not killed:
            if ready():
                busy = [worker for worker in list(cluster.scheduler.workers.values()) if worker.processing]
                if busy:
                    killed.append(cluster.workers[busy[0].name].pid)
                    os.kill(killed[0], signal.SIGKILL)
            time.sleep(0.002)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def test_a_scan_one_of_whose_workers_is_killed_is_the_local_one(
    local: Path, ntuples: Path, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the workers were started in another folder
    folder = Path("here") / "scan"
    with killing(cluster, lambda: any(folder.glob("trainings/*/*.checkpoint"))) as killed:
        status, _, err = scan(ntuples, folder, "--cluster", cluster.scheduler_address)
    assert (status, err) == (0, "") and killed
    assert timeless(rows_of(folder)) == timeless(rows_of(local))
    log = (folder / "log.txt").read_text()
    assert "was lost; another one continues what it did" in log and " worker tcp://" in log
    assert {path.name for path in folder.iterdir()} == {path.name for path in local.iterdir()}
    networks = sorted(path.relative_to(folder) for path in folder.glob("trainings/*/models/*/*.safetensors"))
    assert networks == sorted(path.relative_to(local) for path in local.glob("trainings/*/models/*/*.safetensors"))
    assert not [path for path in folder.rglob("*") if path.name.endswith(".tmp") or path.name.startswith(".cluster")]


def test_a_training_that_ends_its_workers_is_named_and_done_by_the_next_command(
    local: Path, ntuples: Path, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(trainings, "perform", fatal_at_5)
        patch.setattr("hepda.runtime.pool.dask_queue.TRIES", 2)
        status, out, err = scan(ntuples, tmp_path / "scan", "--cluster", cluster.scheduler_address)
    assert status == 3 and "report: " in out
    assert err.startswith("hepda: dann: strength 5: 1 of 2 seeds failed: dann-fold")
    assert "ended from outside 2 times in sequence" in err and "The same command does it again" in err
    rows, expected = rows_of(tmp_path / "scan"), timeless(rows_of(local))
    assert timeless(rows)[:3] == expected[:3] and rows[3]["auc_simulation"] == ""
    assert [p["failed"] for p in json.loads((tmp_path / "scan" / "scan.json").read_text())["points"]] == [0, 1]
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("scan/trainings/*/*.npz")}
    assert scan(ntuples, tmp_path / "scan")[0] == 0  # on this machine
    assert len(kept) == 6 and {path: path.stat().st_mtime_ns for path in kept} == kept
    assert timeless(rows_of(tmp_path / "scan")) == expected


def test_a_cluster_that_does_not_share_the_folder_is_an_error_before_anything_is_trained(
    ntuples: Path, tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hepda.runtime.pool.dask_queue._GRACE", 0.0)
    monkeypatch.setattr("hepda.runtime.pool.nodes.secrets.token_hex", lambda _: "0" * 32)
    private = threading.Event()

    def elsewhere() -> None:  # as a node sees a folder of the same name on its own disk
        while not private.is_set():
            for token in tmp_path.glob("scan/trainings/.cluster-00000000"):
                token.write_text("another")
            time.sleep(0.002)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    try:
        status, _, err = scan(ntuples, tmp_path / "scan", "--cluster", cluster.scheduler_address)
    finally:
        private.set()
        thread.join()
    assert status == 2 and "is not the folder that the command writes into" in err and "all nodes share" in err
    assert not list(tmp_path.glob("scan/trainings/*/*.npz"))


def test_a_run_whose_trainings_a_cluster_did_is_the_local_one(ntuples: Path, cluster: Any, tmp_path: Path) -> None:
    words = ("train", "--config", ntuples, "--plots", "none", *sets(*SMALL, "evaluation.probes=false"))
    for name, more in (("here", ()), ("there", ("--cluster", cluster.scheduler_address))):
        status, _, err = run_cli(*words, "--output", tmp_path / name, *more)
        assert (status, err) == (0, "")
    here, there = (pq.read_table(tmp_path / name / "scores.parquet") for name in ("here", "there"))
    assert here.equals(there) and {"network", "dann", "bdt"} <= set(here.column_names)
    manifests = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("here", "there")]
    assert set(manifests[0]["training"]) == set(manifests[1]["training"])
