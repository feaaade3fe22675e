"""A small run that is stored with the tests, made by an earlier commit, and a copy of it that a test may change."""

import shutil
from pathlib import Path

import pytest

STORED = Path(__file__).parents[1] / "data" / "run_format_2"


@pytest.fixture
def stored() -> Path:
    return STORED


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(STORED, tmp_path / "run")
    return tmp_path / "run"
