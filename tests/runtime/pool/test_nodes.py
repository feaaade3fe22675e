"""What a worker says of itself before it gets a training."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from hepda.errors import StorageError
from hepda.runtime.pool import nodes
from hepda.runtime.pool.nodes import appears, describe_node, needs_of


def test_a_worker_that_shares_folders_and_versions_can_be_used(tmp_path: Path) -> None:
    reads = tmp_path / "table"
    reads.mkdir()
    with needs_of(tmp_path / "run" / "trainings", [reads], "cpu") as needs:
        assert needs.token.is_absolute() and needs.token.is_file()
        node = describe_node(needs, 1)
        assert node.why == "" and node.host and "," in node.processor
        assert list(needs.token.parent.iterdir()) == [needs.token]  # what the check wrote is gone
    assert not needs.token.exists()


def test_each_thing_that_is_missing_is_named(tmp_path: Path) -> None:
    with needs_of(tmp_path / "run", [tmp_path], "auto") as needs:
        assert "4 tasks at once" in describe_node(needs, 4).why and "--nworkers 4" in describe_node(needs, 4).why
        older = replace(needs, versions={**needs.versions, "torch": "1.0"})
        assert describe_node(older, 1).why.startswith("it has other versions: torch ")
        assert "instead of 1.0" in describe_node(older, 1).why
        without = replace(needs, folders=(tmp_path / "away",))
        assert f"{tmp_path / 'away'} does not exist there" in describe_node(without, 1).why
        assert "file system that all nodes share" in describe_node(without, 1).why
        other = replace(needs, content="of another command")  # a folder of the same name on a disk of the node
        assert "is not the folder that the command writes into" in describe_node(other, 1).why
        assert "CUDA devices there" in describe_node(replace(needs, device="cuda:99"), 1).why


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_text

    def refused(path: Path, *arguments: str, **settings: str) -> int:
        if path.name.startswith(".cluster-"):
            raise PermissionError(13, "Permission denied", str(path))
        return write(path, *arguments, **settings)

    with needs_of(tmp_path, [], "cpu") as needs:
        monkeypatch.setattr(Path, "write_text", refused)
        assert "cannot be written to from there (Permission denied)" in describe_node(needs, 1).why
    with pytest.raises(StorageError, match="cannot be written"), needs_of(tmp_path, [], "cpu"):
        pass


def test_a_file_that_another_machine_wrote_is_waited_for(tmp_path: Path) -> None:
    first, second = tmp_path / "scores", tmp_path / "failure"
    threading.Timer(0.3, second.touch).start()
    assert appears(first, second, patience=10.0)
    assert not appears(first, patience=0.0)


def test_the_version_of_hepda_changes_with_its_code() -> None:
    versions = nodes.installed()
    assert versions["hepda"].count("(") == 1 and {"torch", "numpy", "scikit-learn"} <= set(versions)
