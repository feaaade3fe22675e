"""Long tasks on the workers of a scheduler: one on each, done again when it is lost, none on a worker that is unfit."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from hepda.errors import ConfigError, ProcessError
from hepda.runtime.pool import Lost, dask_queue, open_pool
from hepda.runtime.pool.dask_queue import WORKERS
from hepda.runtime.pool.nodes import Node
from tests.tasks import endless, in_steps, scaled, whose

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Any:
    """A scheduler with one worker, in a process of its own."""
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, memory_limit=0, dashboard_address=None, silence_logs=50
    ) as result:
        yield result


def test_a_task_that_ends_its_workers_costs_itself_alone(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_queue, "TRIES", 2)
    with open_pool(1, cluster.scheduler_address, shared=tmp_path) as pool:
        slow, lost = pool.try_map(in_steps, [1, -1])
    assert slow == 4  # its worker was ended three times, but never without progress in between
    assert isinstance(lost, Lost) and "ended from outside 2 times in sequence" in lost.why
    assert {number: len(list(tmp_path.glob(f"{number}.*"))) for number in (1, -1)} == {1: 4, -1: 2}


def test_a_task_that_no_other_may_do_without_ends_the_work(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_queue, "TRIES", 2)
    with (
        open_pool(1, cluster.scheduler_address, shared=tmp_path) as pool,
        pytest.raises(ProcessError, match="ended from outside"),
    ):
        pool.map(in_steps, [-2])
    assert len(list(tmp_path.glob("-2.*"))) == 2


def test_a_worker_that_joins_late_takes_what_waits(
    cluster: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shown: list[tuple[int, int]] = []

    def join(what: str, done: int, total: int) -> None:
        if what == WORKERS:
            shown.append((done, total))
            cluster.scale(2)

    with caplog.at_level(logging.INFO, "hepda"), open_pool(1, cluster.scheduler_address, shared=tmp_path, progress=join) as pool:  # fmt: skip # noqa: E501
        processes = pool.map(whose, list(range(30)))
    assert len(set(processes)) == 2 and {path.name for path in tmp_path.iterdir()} == set(map(str, processes))
    assert shown[0] == (1, 1) and (2, 2) in shown
    assert "item 7 of one process" in caplog.messages  # what a task logs arrives here


def test_a_command_that_is_interrupted_stops_what_its_workers_do(cluster: Any, tmp_path: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if what != WORKERS:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), open_pool(1, cluster.scheduler_address, shared=tmp_path, progress=interrupt) as pool:  # fmt: skip # noqa: E501
        pool.map(endless, [1])
    deadline, steps = time.monotonic() + 60, ["", (tmp_path / "1").read_text()]
    while steps[-1] != steps[-2] and time.monotonic() < deadline:
        time.sleep(1.0)
        steps.append((tmp_path / "1").read_text())
    assert int(steps[-1]) < 9_999 and steps[-1] == steps[-2]
    with open_pool(1, cluster.scheduler_address, shared=2) as pool:  # the worker itself goes on
        assert pool.map(scaled, [21]) == [42]


def described(needs: str, threads: int) -> Node:
    """A worker whose name decides what it is, in place of `describe_node`."""
    name = str(distributed.get_worker().name)
    if needs == "none" or name != "0":
        return Node(f"host{name}", "", "it has no shared folder")
    return Node(f"host{name}", "AVX2")


def described_by_processor(needs: str, threads: int) -> Node:
    """A worker whose name is its processor."""
    return Node("host", f"processor {distributed.get_worker().name}")


def test_workers_that_cannot_be_used_get_nothing_and_if_none_can_it_is_an_error(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.scale(2)
    cluster.wait_for_workers(2, timeout=120)
    monkeypatch.setattr(dask_queue, "_GRACE", 0.5)
    monkeypatch.setattr(dask_queue, "describe_node", described)
    with open_pool(1, cluster.scheduler_address, shared=tmp_path, needs="some") as pool:  # type: ignore[arg-type]
        assert len(set(pool.map(whose, list(range(4))))) == 1
    assert "a worker is not used. host1: it has no shared folder" in caplog.messages
    none = open_pool(1, cluster.scheduler_address, shared=tmp_path, needs="none")  # type: ignore[arg-type]
    with none as pool, pytest.raises(ConfigError, match="none of its workers can be used:\nhost0: it has no shared"):
        pool.map(whose, [1])
    monkeypatch.setattr(dask_queue, "describe_node", described_by_processor)
    caplog.clear()
    with open_pool(1, cluster.scheduler_address, shared=tmp_path) as pool:
        pool.map(whose, list(range(6)))
    assert any("several kinds of processors (processor 0; processor 1)" in line for line in caplog.messages)


def test_a_worker_without_hepda_is_unfit(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: Any) -> Node:
        raise ModuleNotFoundError("No module named 'hepda'")

    monkeypatch.setattr(dask_queue, "_GRACE", 0.0)
    monkeypatch.setattr(dask_queue, "describe_node", absent)
    with open_pool(1, cluster.scheduler_address) as pool, pytest.raises(ConfigError, match="hepda cannot be run there: ModuleNotFoundError"):  # fmt: skip # noqa: E501
        pool.map(scaled, [1])
