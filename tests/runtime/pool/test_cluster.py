"""Tasks in order, wherever they are done; one who does them may be killed at any time."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepda.config import load_config
from hepda.errors import ConfigError, DataError, ProcessError, SourceError
from hepda.events.dataset import load, reading, spans
from hepda.events.dataset.load import load_table
from hepda.events.resolve import dataset_spec
from hepda.events.table import fingerprint
from hepda.runtime.pool import check_cluster, keep_cluster, open_pool, release_cluster
from hepda.runtime.pool.dask_pool import Dask
from hepda.runtime.pool.dask_queue import WORKERS
from hepda.runtime.pool.dask_workers import Connection
from hepda.runtime.pool.interface import ignore_progress
from hepda.runtime.resources import Resources
from tests.factory import write_analysis, write_sample
from tests.tasks import noted, scaled, stepwise

pytestmark = pytest.mark.slow

distributed = pytest.importorskip("distributed")
N = 600


def times(folder: Path) -> Counter[int]:
    return Counter(int(note.name.partition(".")[0]) for note in folder.iterdir())


@pytest.fixture
def cluster() -> Any:
    """Two workers in processes of their own, as `--cluster 2` starts them, and their scheduler's address.

    New for each test: a worker that another test has killed is now and then not started again.
    """
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, memory_limit=0, dashboard_address=None, silence_logs=50
    ) as result:
        yield result


def whole(cluster: Any) -> Any:
    """The cluster when it has both workers."""
    with distributed.Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=180)
    return cluster


@pytest.fixture(params=["here", "processes", pytest.param("dask", marks=pytest.mark.slow)])
def where(request: pytest.FixtureRequest) -> tuple[int, str | None]:
    if request.param == "dask":
        return 1, whole(request.getfixturevalue("cluster")).scheduler_address
    return {"here": 1, "processes": 2}[request.param], None


def test_results_come_in_order_and_errors_as_they_are(where: tuple[int, str | None], tmp_path: Path) -> None:
    with open_pool(*where) as pool:
        assert list(pool.stream(noted, [(tmp_path, n, "") for n in range(12)])) == [n * n for n in range(12)]
        assert set(times(tmp_path).values()) == {1}
        with pytest.raises(DataError, match="item 20 is wrong"):
            list(pool.stream(noted, [(tmp_path, 19, ""), (tmp_path, 20, "wrong"), (tmp_path, 21, "")]))
        assert list(pool.stream(noted, [])) == []


def test_a_map_has_the_shared_value_and_tells_its_progress(where: tuple[int, str | None]) -> None:
    messages: list[tuple[str, int, int]] = []
    with open_pool(*where, shared=3, progress=lambda *message: messages.append(message)) as pool:
        assert pool.map(scaled, [4, 1, 2]) == [12, 3, 6]
        assert pool.map(scaled, []) == []
    assert sorted(message for message in messages if message[0] != WORKERS) == [
        (f"item {number}", 1, 1) for number in (1, 2, 4)
    ]


def test_only_a_few_are_done_ahead(where: tuple[int, str | None], tmp_path: Path) -> None:
    with open_pool(*where) as pool:
        results = pool.stream(noted, ((tmp_path, n, "") for n in range(100)))
        assert next(results) == 0
        time.sleep(1)
        assert len(times(tmp_path)) <= 6
        results.close()


@pytest.mark.parametrize("where", ["processes", "dask"], indirect=True)
def test_who_is_killed_costs_what_it_had_in_hand(where: tuple[int, str | None], tmp_path: Path) -> None:
    with open_pool(*where) as pool:
        items = [(tmp_path, n, "once" if n == 5 else "") for n in range(16)]
        assert list(pool.stream(noted, items)) == [n * n for n in range(16)]
    result = times(tmp_path)
    assert result[5] >= 2 and set(result) == set(range(16))
    # At most what was asked for when it happened is done again: two a worker.
    assert sum(result.values()) <= 16 + 4 and max(result.values()) == 2


@pytest.mark.parametrize("where", ["processes", "dask"], indirect=True)
def test_a_task_that_ends_whoever_does_it_is_given_up(
    where: tuple[int, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr("hepda.runtime.pool.processes.RETRIES", 1)
    if where[1] is not None:
        monkeypatch.setattr(request.getfixturevalue("cluster").scheduler, "allowed_failures", 1)
    with open_pool(*where) as pool, pytest.raises(ProcessError, match="same part of the work"):
        list(pool.stream(noted, [(tmp_path, 0, ""), (tmp_path, 1, "always")]))
    assert times(tmp_path)[1] == 2


class EndsAtTheLook:
    """A future that ends just when a look at it has timed out."""

    def __init__(self, error: Exception | None) -> None:
        self.error, self.status = error, "pending"

    def done(self) -> bool:
        return self.status != "pending"

    def result(self, timeout: float | None = None) -> int:
        if not self.done():
            self.status = "error" if self.error else "finished"
            raise TimeoutError(f"timed out after {timeout} s.")
        if self.error is not None:
            raise self.error
        return 7


def test_what_ends_just_when_a_look_times_out_is_not_a_time_out(cluster: Any) -> None:
    with distributed.Client(cluster, set_as_default=False) as client:
        pool = Dask(Connection(client, None), None, ignore_progress)
        assert pool._result(EndsAtTheLook(None)) == 7
        for error in (DataError("item 1 is wrong"), TimeoutError("of the task itself")):
            with pytest.raises(type(error), match=str(error)):
                pool._result(EndsAtTheLook(error))


# --- an analysis --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_analysis(tmp_path_factory.mktemp("files"), N)


def test_a_worker_that_is_killed_in_the_middle_of_an_analysis(
    path: Path, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    baseline = load_table(dataset_spec(load_config(path)))
    monkeypatch.setattr(reading, "MOST_ENTRIES", 50)
    scheduler = whole(cluster).scheduler
    killed: list[str] = []

    def kill(_: str, done: int, total: int) -> None:
        if done >= total // 3 and not killed:
            address, worker = next((a, w) for a, w in scheduler.workers.items() if w.processing)
            killed.append(address)
            os.kill(cluster.workers[worker.name].pid, signal.SIGKILL)

    started = len(scheduler.transition_log)
    resources = Resources(cluster=scheduler.address, folder=tmp_path / "table")
    result = load_table(dataset_spec(load_config(path)), kill, resources)
    for name in ("features", "weight", "key", "fold", "label"):
        np.testing.assert_array_equal(getattr(result.table, name), getattr(baseline.table, name))
    assert result.samples == baseline.samples and result.files == baseline.files
    assert killed
    log = list(scheduler.transition_log)[started:]
    tries = Counter(key for key, *_ in [(t[0], t[1], t[2]) for t in log if t[2] == "processing"])
    assert len(tries) == 6 * N // 50  # every span
    again = [key for key, number in tries.items() if number > 1]
    assert 1 <= len(again) <= 4, again  # what the one that was killed had in hand, of 72


def test_a_worker_of_another_hepda_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(path)
    plan, inputs = load.inspect(dataset_spec(config))
    sample = load.sample_spans(dataset_spec(config), plan, "signal", inputs["signal"], version="another")
    with pytest.raises(ProcessError, match="another version of hepda"):
        spans.read_span(sample.spans[0])
    assert fingerprint.data_version() != "another"


def test_a_broken_file_is_told_from_another_process(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "_MANY", 1)
    monkeypatch.setattr(reading, "MOST_ENTRIES", 200)
    third = write_sample(tmp_path / "third.root", N, 5, signal=False, cross_section=20.0)

    def vanish(*_: Any) -> None:
        third.unlink(missing_ok=True)

    with pytest.raises(SourceError, match=r"third\.root: cannot be opened"):
        load_table(dataset_spec(load_config(path, [f"samples.third.files={third}"])), vanish, Resources(processes=2))


@pytest.mark.parametrize("text", ["0", "-2", "slurm:0", "slurn", "host:8786", "tcp://host", "htcondor:x", ""])
def test_clusters_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="must be a number of workers, the address of a Dask scheduler"):
        check_cluster(text)


def test_a_scheduler_file_must_exist(tmp_path: Path) -> None:
    path = tmp_path / "scheduler.json"
    with pytest.raises(ConfigError, match="there is no such file; `dask scheduler --scheduler-file"):
        check_cluster(str(path))
    path.touch()
    check_cluster(str(path))


def test_clusters_that_may_be() -> None:
    for text in (None, "3", "tcp://host:8786", "slurm", "htcondor:20"):
        check_cluster(text)


def test_a_scheduler_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hepda.runtime.pool.cluster._WAIT", 0.5)
    with pytest.raises(ConfigError, match="the scheduler does not answer"), open_pool(1, "tcp://127.0.0.1:9"):
        pass


def test_a_cluster_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hepda.runtime.pool.cluster._WAIT", 3.0)
    monkeypatch.setattr("hepda.runtime.pool.dask_pool.LOOK", 0.5)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None, silence_logs=50) as empty,
        open_pool(1, empty.scheduler_address) as pool,
        pytest.raises(ProcessError, match="no worker for 3 s; start workers"),
    ):
        list(pool.stream(abs, [1]))


def test_a_batch_system_that_is_not_described() -> None:
    pytest.importorskip("dask_jobqueue")
    with pytest.raises(ConfigError, match=r"--cluster slurm: .*jobqueue\.slurm"), open_pool(1, "slurm"):
        pass


SUBMIT = r"""#!{python}
# As a batch system with one machine, this one: the job is started at once, by itself, and its number is its process's.
import pathlib, re, subprocess, sys
text = pathlib.Path(sys.argv[-1]).read_text()
arguments = re.search(r"^Arguments = .-c '(.*)'.$", text, re.M)  # of HTCondor, which doubles quotes
command = text if arguments is None else arguments[1].replace("''", "'").replace('""', '"')
with open("{log}", "a") as log:
    job = subprocess.Popen(["/bin/sh", "-c", command], start_new_session=True, stdout=log, stderr=log)
print(job.pid, file=open("{log}.jobs", "a"))
print("Submitted batch job", job.pid, "submitted to cluster", job.pid)
"""
CANCEL = """#!{python}
import os, signal, sys
for job in sys.argv[1:]:
    try:
        os.killpg(int(job.partition(".")[0]), signal.SIGKILL)
    except ProcessLookupError:
        pass
print("cancelled", *sys.argv[1:], file=open("{log}", "a"))
"""


def batch_system(folder: Path, monkeypatch: pytest.MonkeyPatch, submit: str, cancel: str) -> Path:
    """Put the two scripts in front of the PATH, and return their log."""
    log, place = folder / "jobs.log", folder / "bin"
    place.mkdir()
    for name, text in ((submit, SUBMIT), (cancel, CANCEL)):
        (place / name).write_text(text.format(python=sys.executable, log=log))
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    return log


@pytest.mark.parametrize(("system", "submit", "cancel"), [
    ("slurm", "sbatch", "scancel"), ("htcondor", "condor_submit", "condor_rm"),
])  # fmt: skip
def test_jobs_of_a_batch_system_do_the_work_and_are_cancelled(
    system: str, submit: str, cancel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler, scripts and workers are dask-jobqueue's; two scripts start and end the jobs in place of a farm."""
    pytest.importorskip("dask_jobqueue")
    import dask

    log = batch_system(tmp_path, monkeypatch, submit, cancel)
    described = {"cores": 1, "memory": "1GB", "disk": "1GB", "walltime": "00:10:00", "interface": "lo"}
    (tmp_path / "notes").mkdir()
    with (
        dask.config.set({f"jobqueue.{system}.{key}": value for key, value in described.items()}),
        open_pool(1, f"{system}:1") as pool,
    ):
        assert list(pool.stream(noted, [(tmp_path / "notes", n, "") for n in range(6)])) == [n * n for n in range(6)]
    assert set(times(tmp_path / "notes").values()) == {1}
    assert "cancelled" in log.read_text()


def test_a_job_whose_time_is_over_is_submitted_again_and_its_tasks_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dask_jobqueue")
    import dask

    log = batch_system(tmp_path, monkeypatch, "sbatch", "scancel")
    monkeypatch.setattr("hepda.runtime.pool.cluster._ENDED", 1.0)
    notes = tmp_path / "notes"
    notes.mkdir()
    jobs = log.with_name("jobs.log.jobs")
    over = notes.with_name("over")
    stopped: list[str] = []

    def time_is_over(what: str, done: int, total: int) -> None:
        if what.startswith("item") and done == 3 and not over.exists():
            os.killpg(int(jobs.read_text()), signal.SIGKILL)
            stopped.append(what.removeprefix("item "))
            over.touch()

    described = {"cores": 2, "memory": "1GB", "walltime": "00:10:00", "interface": "lo"}
    with (
        dask.config.set({f"jobqueue.slurm.{key}": value for key, value in described.items()}),
        open_pool(1, "slurm:1", shared=notes, progress=time_is_over) as pool,
    ):
        assert pool.map(stepwise, [1, 2]) == [6, 6]
    assert len(jobs.read_text().split()) == 2
    assert {note.name for note in notes.iterdir()} == {f"{item}.{step}" for item in (1, 2) for step in range(1, 7)}
    [item] = stopped
    first, second = ({(notes / f"{item}.{step}").read_text() for step in steps} for steps in ((1, 2, 3), (4, 5, 6)))
    assert len(first) == len(second) == 1 and first != second


def test_all_pools_of_a_command_use_one_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    ended: list[str] = []

    def connect(cluster: str, stack: Any) -> Connection:
        started.append(cluster)
        stack.callback(ended.append, cluster)
        return Connection(None, None)

    monkeypatch.setattr("hepda.runtime.pool.cluster._connect", connect)
    with keep_cluster("slurm:20"):
        assert started == []  # the events may come from the cache
        for _ in range(2):
            with open_pool(1, "slurm:20"):
                pass
        assert (started, ended) == (["slurm:20"], [])
        release_cluster("slurm:20")
        assert ended == ["slurm:20"]
    with keep_cluster(None), open_pool(1, "2"):
        pass
    assert (started, ended) == (["slurm:20", "2"], ["slurm:20", "2"])


def test_a_batch_system_that_refuses_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask_jobqueue")
    import dask

    (tmp_path / "sbatch").write_text("#!/bin/sh\necho 'Invalid account' >&2; exit 1\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    described = {"cores": 1, "memory": "1GB", "walltime": "00:10:00", "interface": "lo"}
    with (
        dask.config.set({f"jobqueue.slurm.{key}": value for key, value in described.items()}),
        pytest.raises(ConfigError, match=r"slurm:1: the batch system does not take the job: .*Invalid account"),
        open_pool(1, "slurm:1"),
    ):
        pass
