"""Tasks in parallel: order, progress, what goes wrong, and no process that stays."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hepda import timing
from hepda.errors import ConfigError, DataError, ProcessError
from hepda.runtime.pool import kept_workers, open_pool
from hepda.timing import IDLE, START, timed
from tests.tasks import noted, scaled


def silent(what, done, total):
    pass


def square(shared, item, send):
    send(f"item {item}", 1, 1)
    if item == shared.get("wrong"):
        raise ConfigError(f"item {item} is wrong")
    if item == shared.get("killed"):
        os._exit(9)
    if item == shared.get("waits"):
        Path(shared["note"]).write_text(str(os.getpid()))
        time.sleep(60)
    return item * item, os.getpid()


def run(task, items, processes, *, shared, progress):
    """The results of the tasks, in no more processes than there are tasks."""
    with open_pool(min(processes, len(items)), shared=shared, progress=progress) as pool:
        return pool.map(task, items)


def test_in_this_process_results_come_in_order_and_errors_as_they_are():
    calls = []
    result = run(square, [3, 1, 2], 1, shared={}, progress=lambda *call: calls.append(call))
    assert result == [(value, os.getpid()) for value in (9, 1, 4)]
    assert calls == [("item 3", 1, 1), ("item 1", 1, 1), ("item 2", 1, 1)]
    assert run(square, [5], 8, shared={}, progress=silent) == [(25, os.getpid())]
    assert run(square, [], 8, shared={}, progress=silent) == []
    with pytest.raises(ConfigError, match="item 1 is wrong"):
        run(square, [3, 1], 1, shared={"wrong": 1}, progress=silent)


@pytest.mark.slow
def test_in_processes_results_come_in_order_with_all_that_was_said():
    calls = []
    result = run(square, [3, 1, 2, 0], 2, shared={}, progress=lambda *call: calls.append(call))
    assert [value for value, _ in result] == [9, 1, 4, 0]
    assert os.getpid() not in {process for _, process in result}
    assert sorted(calls) == [(f"item {item}", 1, 1) for item in range(4)]
    assert not multiprocessing.active_children()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shared", "error", "message"),
    [({"wrong": 2}, ConfigError, "item 2 is wrong"), ({"killed": 2}, ProcessError, "ended from outside.*memory")],
)
def test_what_goes_wrong_in_a_process_ends_the_others(tmp_path, shared, error, message):
    shared = shared | {"waits": 1, "note": str(tmp_path / "note")}
    start = time.monotonic()
    with pytest.raises(error, match=message):
        run(square, [1, 2], 2, shared=shared, progress=silent)
    while multiprocessing.active_children() and time.monotonic() - start < 30:
        time.sleep(0.05)  # the pool's own thread reaps them: joining them here would race with it
    assert not multiprocessing.active_children() and time.monotonic() - start < 55


SCRIPT = """
import sys
from hepda.runtime.pool import open_pool
from tests.runtime.pool.test_processes import silent, square

if __name__ == "__main__":
    with open_pool(2, shared={"waits": 1, "note": sys.argv[1]}, progress=silent) as pool:
        pool.map(square, [1, 2])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    note, script = tmp_path / "note", tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = Path(__file__).parents[3]
    process = subprocess.Popen([sys.executable, script, note], env={**os.environ, "PYTHONPATH": str(root)})
    try:
        end = time.monotonic() + 50
        while not (note.exists() and note.read_text()):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    worker = Path("/proc") / note.read_text() / "stat"
    end = time.monotonic() + 10
    while worker.exists() and worker.read_text().rpartition(")")[2].split()[0] not in "ZX":
        assert time.monotonic() < end, "the worker outlives its parent"
        time.sleep(0.1)


def processes_of(pool, count):
    """The process of each of `count` tasks, which all wait for the others."""
    return {process for process, *_ in pool.map(gather, [count] * count)}


def gather(folder, count, send):
    """The process, the memory that it holds for the task, and its processor time; returns when `count` have come."""
    if folder is not None:
        (folder / str(os.getpid())).touch()
        end = time.monotonic() + 30
        while len(list(folder.iterdir())) < count:
            assert time.monotonic() < end
            time.sleep(0.01)
    return os.getpid(), time.process_time()


def grow(megabytes, _, send):
    """Keep so much memory after the task, as a library does that caches."""
    KEPT.append(np.ones(megabytes * 1_000_000, np.uint8))
    return os.getpid()


KEPT = []


@pytest.mark.slow
def test_kept_workers_do_the_tasks_of_one_pool_after_the_other(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    messages = []
    with kept_workers():
        with open_pool(2, shared=tmp_path / "a") as pool:
            first = processes_of(pool, 2)
        with open_pool(2, shared=3, progress=lambda *message: messages.append(message)) as pool:
            assert pool.map(scaled, [4, 1, 2]) == [12, 3, 6]  # with the shared value of this pool
        assert sorted(messages) == [(f"item {number}", 1, 1) for number in (1, 2, 4)]
        with open_pool(2, shared=tmp_path / "b") as pool:
            assert processes_of(pool, 2) == first
            # one that is opened inside has processes of its own
            with open_pool(2, shared=5) as other:
                assert other.map(scaled, [1]) == [5]
        (tmp_path / "c").mkdir()
        with open_pool(1 + 1, shared=None) as pool, pytest.raises(DataError, match="item 1 is wrong"):
            list(pool.stream(noted, [(tmp_path / "c", 1, "wrong"), (tmp_path / "c", 2, "")]))
        with open_pool(2, shared=7) as pool:  # what nobody asked for any more is not taken for a result of this pool
            assert pool.map(scaled, [1, 2]) == [7, 14]
    assert len(first) == 2
    assert not multiprocessing.active_children()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_a_worker_that_keeps_much_memory_is_replaced():
    with kept_workers():
        with open_pool(2, shared=10) as pool:
            (small,) = pool.map(grow, [0])
        with open_pool(2, shared=400) as pool:
            (large,) = pool.map(grow, [0])
        with open_pool(2, shared=0) as pool:
            (new,) = pool.map(grow, [0])
    assert small == large != new


@pytest.mark.slow
def test_workers_that_wait_use_no_processor_time():
    with kept_workers():
        with open_pool(2) as pool:
            ((process, before),) = pool.map(gather, [1])
        time.sleep(0.5)
        with open_pool(2) as pool:
            ((same, after),) = pool.map(gather, [1])
    assert process == same and after - before < 0.1


@pytest.mark.slow
def test_a_profile_has_the_times_of_the_workers(tmp_path):
    timing.start()
    with timed("stage"), open_pool(2, shared=0.05) as pool:
        pool.map(burn_measured, range(4))
        assert sorted(pool.stream(noted, [(tmp_path, 1, ""), (tmp_path, 2, "")])) == [1, 4]
    parts = timing.stop().parts
    assert parts["stage", "burned"].calls == 4
    assert parts["stage", "burned"].cpu == pytest.approx(0.2, abs=0.05)
    assert parts["stage", START].calls == 2 and parts["stage", START].clock > 0.0
    assert parts["stage", IDLE].clock > 0.0
    assert parts["stage", "waiting for workers"].cpu < 0.1


def burn_measured(seconds, item, send):
    with timed("burned"):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass


class NotSentError(Exception):
    """Cannot be made again from its text."""

    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


def raise_what_cannot_be_sent(shared, item, send):
    raise NotSentError("this", "that")


@pytest.mark.slow
def test_an_error_that_cannot_be_sent_arrives_as_text():
    with pytest.raises(RuntimeError, match="NotSentError: this and that"), open_pool(2) as pool:
        pool.map(raise_what_cannot_be_sent, [1, 2])


@pytest.mark.slow
def test_a_worker_that_ends_between_two_pools_is_replaced_and_none_stays_that_has_nothing_to_do(tmp_path):
    (tmp_path / "a").mkdir()
    with kept_workers():
        with open_pool(2, shared=tmp_path / "a") as pool:
            first = processes_of(pool, 2)
        with open_pool(2, shared=None):
            os.kill(min(first), signal.SIGKILL)
            end = time.monotonic() + 30
            while len(multiprocessing.active_children()) > 1:
                assert time.monotonic() < end
                time.sleep(0.01)
        (tmp_path / "b").mkdir()
        with open_pool(2, shared=tmp_path / "b") as pool:
            assert processes_of(pool, 2) & first == {max(first)}
        for processes in (3, 2):
            (tmp_path / str(processes)).mkdir()
            with open_pool(processes, shared=tmp_path / str(processes)) as pool:
                assert len(processes_of(pool, processes)) == processes == len(multiprocessing.active_children())
    assert not multiprocessing.active_children()
