"""Looks at held-out domains are counted, and no count is lost."""

import json
from pathlib import Path

import pytest

from hepda.errors import ConfigError
from hepda.runtime import exchange, looks
from tests.factory import heard


def test_looks_are_appended_and_counted_by_domain_and_command(tmp_path: Path) -> None:
    assert looks.read(tmp_path) == [] and looks.sentences([]) == []
    looks.record(tmp_path, "train", ["third", "fourth"])
    first = json.loads((tmp_path / looks.FILE).read_text())
    with heard() as lines:
        looks.record(tmp_path, "fit", ["third"])
        looks.record(tmp_path, "fit", ["third"])
    entries = json.loads((tmp_path / looks.FILE).read_text())
    assert entries[:2] == first  # what was recorded stays as it is
    assert [(e["command"], e["domain"]) for e in entries] == [
        ("train", "third"), ("train", "fourth"), ("fit", "third"), ("fit", "third"),
    ]  # fmt: skip
    third, fourth = looks.sentences(looks.read(tmp_path))
    assert third.startswith("Held-out domain third: looked at 3 times in this directory (train 1, fit 2; ")
    assert fourth.startswith("Held-out domain fourth: looked at once in this directory (train 1; ")
    assert third in lines  # the terminal says it too


def test_without_held_out_domains_there_is_no_file(tmp_path: Path) -> None:
    looks.record(tmp_path, "train", [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["no JSON", "[1]", '[{"time": "now"}]', '{"third": 2}'])
def test_a_damaged_file_is_not_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / looks.FILE).write_text(content)
    with pytest.raises(ConfigError, match=r"looks\.json cannot be read"):
        looks.record(tmp_path, "fit", ["third"])
    assert (tmp_path / looks.FILE).read_text() == content


def test_a_folder_with_nothing_but_looks_may_get_a_run(tmp_path: Path) -> None:
    looks.record(tmp_path, "train", ["third"])
    exchange.check_ours(tmp_path, "--output")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"notes\.txt"):
        exchange.check_ours(tmp_path, "--output")
