"""The `hepda` command before its libraries are there: help and version are what the command line itself prints."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from docs.help_text import help_text
from hepda import __version__, start
from hepda.versions import versions

HEAVY = ("typer", "numpy", "pydantic", "rich", "inspect")


def ran(*arguments, columns="100"):
    """What a new process printed, and which of the heavy modules it had imported in the end."""
    code = "import sys; from hepda.start import entry; entry(); print([m for m in HEAVY if m in sys.modules])"
    code = code.replace("HEAVY", repr(HEAVY))
    environment = os.environ | {"COLUMNS": columns, "PYTHONPATH": str(Path(start.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def test_the_help_that_is_kept_is_that_of_the_command_line():
    kept = Path(start.HELP).read_text(encoding="utf-8")
    assert kept == help_text(), "run `python docs/help_text.py`"
    assert kept.startswith("Usage: hepda [OPTIONS] COMMAND [ARGS]...")


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_import_no_library(argument):
    status, printed = ran(argument)
    assert status == 0 and printed.endswith("[]\n")
    if argument == "--help":
        assert printed == help_text() + "[]\n"
    else:
        assert printed.startswith(f"hepda {__version__}\npython ")


def test_the_version_names_the_packages_that_are_needed_and_there():
    lines = dict(line.split(" ", 1) for line in versions().splitlines())
    assert lines["hepda"] == __version__ and lines["numpy"] == np.__version__
    assert "pytest" not in lines and "is missing" not in lines.values()


@pytest.mark.parametrize(
    ("words", "expected"),
    [("hepda tr", "train"), ("hepda train --dry", "--dry-run"), ("hepda train --config tt", "tth.yaml")],
)
def test_the_shell_completes_commands_options_and_analysis_files(words, expected):
    environment = os.environ | {
        "_HEPDA_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")),
        "PYTHONPATH": str(Path(start.__file__).parents[1]),
    }  # fmt: skip
    code = "import sys; sys.argv[1:] = []; from hepda.start import entry; entry()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True,
        cwd=Path(start.__file__).parents[1],
    )  # fmt: skip
    assert expected in done.stdout.split()


def test_everything_else_is_left_to_the_command_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert start.prepared(["--help"]) is None  # lines of another length
    monkeypatch.setenv("COLUMNS", "200")
    assert start.prepared(["--help"]) == help_text()
    for arguments in ([], ["train", "--help"], ["--version", "--help"], ["--help", "train"], ["-v", "--help"]):
        assert start.prepared(arguments) is None
