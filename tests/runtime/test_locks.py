"""One lock for every verb that writes into a folder: who holds it, and what becomes of it when its owner ends."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hepda.errors import ConfigError
from hepda.runtime import locks
from hepda.runtime.locks import LOCK, Owner, locked

HOLD = """
import sys, pathlib
from hepda.runtime.locks import locked
with locked(pathlib.Path(sys.argv[1]), "train"):
    print("held", flush=True)
    sys.stdin.read()
"""


def owner_of(folder: Path) -> Owner | None:
    """The owner that the lock of a folder names; None without a lock, or if it names no owner."""
    lock = folder / LOCK
    return locks._read(lock.read_bytes()) if lock.exists() else None


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the lock of the folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_two_processes_do_not_write_into_one_folder(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    other = holder(run)
    try:
        owner = owner_of(run)
        assert owner is not None and (owner.pid, owner.verb) == (other.pid, "train") and not owner.ended
        with pytest.raises(ConfigError) as raised, locked(run, "evaluate", "--output"):
            pass
        who = f"another `hepda train` (process {other.pid} on {socket.gethostname()},"
        assert f"--output {run}: {who}" in str(raised.value)
        assert (run / LOCK).exists()
    finally:
        other.communicate("")
    with locked(run, "evaluate"):
        assert owner_of(run).verb == "evaluate"  # type: ignore[union-attr]
    assert not tmp_path.joinpath("runs").exists() or not (run / LOCK).exists()


def test_a_lock_of_a_process_that_was_killed_is_taken_over(tmp_path: Path) -> None:
    other = holder(tmp_path / "run")
    other.kill()
    other.communicate()
    assert (tmp_path / "run" / LOCK).exists() and owner_of(tmp_path / "run").ended  # type: ignore[union-attr]
    with locked(tmp_path / "run", "fit"):
        pass
    assert not (tmp_path / "run" / LOCK).exists()


def test_nested_locks_of_one_process_are_refused_too(tmp_path: Path) -> None:
    with locked(tmp_path, "fit"), pytest.raises(ConfigError, match="another `hepda fit`"), locked(tmp_path, "scan"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_was_made_for_nothing_goes_again(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b", "train"):
        assert (tmp_path / "a" / "b" / LOCK).is_file()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "a", "train"):
        (tmp_path / "a" / "kept").write_text("")
        _ = 1 / 0
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["kept"]


@pytest.mark.parametrize(
    ("change", "free"),
    [
        ({}, False),  # this process, which runs
        ({"host": "elsewhere.example"}, False),  # nobody here knows whether it runs
        ({"born": 1}, True),  # the number of the process is another one's by now
        ({"pid": 2**22 + 1}, True),  # no process has that number
    ],
)
def test_without_locks_of_the_system_the_name_of_the_owner_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], free: bool
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def unsupported(handle: int, how: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    born = locks._born(os.getpid())
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "verb": "scan", "since": "now", "born": born} | change
    (tmp_path / LOCK).write_text(json.dumps(owner))
    assert owner_of(tmp_path) == Owner(**owner)  # type: ignore[arg-type]
    if free:
        with locked(tmp_path, "train"):
            assert owner_of(tmp_path).verb == "train"  # type: ignore[union-attr]
    else:
        with pytest.raises(ConfigError, match=r"another `hepda scan`.*remove .*hepda-lock"), locked(tmp_path, "train"):
            pass


def test_a_lock_that_names_nobody_is_taken(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("not JSON")
    assert owner_of(tmp_path) is None
    with locked(tmp_path, "apply"):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    inside = tmp_path / "file" / "run"
    with pytest.raises(ConfigError, match=r"--output .*cannot be made"), locked(inside, "fit", "--output"):
        pass
