"""Tasks in parallel: order, progress, what goes wrong, and no process that stays."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hepda.errors import ConfigError, ProcessError
from hepda.runtime.pool import open_pool


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
