"""Editors: the schema of the package is that of the code, every analysis file names it, and fits it."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from docs.schema import schema_text
from hepda import cli
from hepda.editors import MODELINE, SCHEMA, modeline
from tests.factory import write_analysis

REPOSITORY = Path(__file__).parents[1]
CONFIGS = sorted((REPOSITORY / "configs").glob("*.yaml"))


def test_the_schema_of_the_package_is_that_of_the_code():
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), "run `python docs/schema.py`"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_names_the_schema(path):
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == modeline(path.parent)
    assert (path.parent / first.removeprefix(MODELINE)).samefile(SCHEMA)


def test_a_first_analysis_file_names_the_schema(tmp_path, capsys):
    write_analysis(tmp_path, n=50)
    assert cli.main(["init", str(tmp_path / "signal.root"), "--output", str(tmp_path / "mine.yaml")]) == 0
    first = (tmp_path / "mine.yaml").read_text().splitlines()[0]
    assert first == MODELINE + SCHEMA.as_uri()


def test_the_hook_accepts_the_configs_and_tells_every_problem(tmp_path):
    """The entry of the hook is called as pre-commit calls it: with the changed files at its end."""
    [hook] = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text())
    program, *words = hook["entry"].split()
    assert program == "hepda"
    (tmp_path / "bad.yaml").write_text("kind: events\nnmae: x\n")
    (tmp_path / "worse.yaml").write_text("models: {a: [\n")
    good = [str(path) for path in CONFIGS[:2]]

    def called(*files: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "hepda", *words, *files], capture_output=True, text=True, check=False, cwd=REPOSITORY
        )

    done = called(*good)
    assert done.returncode == 0 and done.stdout.count("no problem found") == 2
    done = called(good[0], str(tmp_path / "bad.yaml"), str(tmp_path / "worse.yaml"))
    assert done.returncode == 2 and "nmae" in done.stderr and "worse.yaml" in done.stderr


def test_data_are_opened_for_one_file_alone(capsys):
    assert cli.main(["check", "--config", "tth.yaml", "digits.yaml"]) == 2
    assert "--config-only" in capsys.readouterr().err
    assert cli.main(["check"]) == 2
    assert "one analysis file by --config" in capsys.readouterr().err
