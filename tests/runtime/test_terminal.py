"""Terminals that are narrow, and terminals and logs without UTF-8: real ones, behind pty and behind pipes."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hepda.runtime.terminal import NumberTable, legible

SUMMARY = """
import json, sys, pathlib, types
from hepda import cli
from hepda.events.results.tables.sections import terminal_table
from hepda.runtime.console import Bars
from hepda.results.events import EventMetrics
metrics = EventMetrics.from_json(json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")))
report = pathlib.Path("runs/\\u00e9t\\u00e9/report.html")
outcome = types.SimpleNamespace(
    report=report, metrics=metrics, table=terminal_table(metrics), seconds={"train": 1.0}, next_step=""
)
def told(*_):
    bars = Bars()
    bars.say("training samples: 15 % \\u00b1 1 \\u2192 \\u201ckeep\\u201d")
    cli._print_outcome(outcome, bars)
cli.app = lambda *_, **__: told()
sys.exit(cli.main([]))
"""
STYLES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def interval(value: float, error: float) -> dict[str, float]:
    return {"value": value, "low": value - error, "high": value + error}


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    """The numbers of README's table, as a file."""
    models: dict[str, Any] = {}
    for name in ("network", "dann_data"):
        shifts = [("alternative", -0.245, 0.060), ("third", -0.619, 0.052)]
        models[name] = {
            "auc": {
                "simulation": interval(0.8466, 0.0022), "alternative": interval(0.8582, 0.0022),
                "third": interval(0.8690, 0.0066),
            },
            "bias": {
                f"simulation:{other}": {
                    "class": "background", "ks": 0.1203, "ks_null": 0.01, "efficiency_shift": {"0.3": shift},
                    "efficiency_shift_error": {"0.3": error},
                }
                for other, shift, error in shifts
            },
            "significance": {"asimov": {"value": 11.8}, "asimov_with_bias": {"value": 1.44}},
        }  # fmt: skip
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({"name": "tth", "samples": {}, "models": models}))
    return path


def on_a_terminal(code: str, argument: Path, columns: int, **environment: str) -> tuple[int, str]:
    """Exit status and what a terminal of so many columns shows of a Python program."""
    pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))
    import struct

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
    inherited = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(argument)], stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True,
        env=inherited | {"TERM": "xterm"} | environment,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    return process.wait(), STYLES.sub("", shown.decode("utf-8"))


@pytest.mark.parametrize("columns", [80, 40])
def test_no_number_of_the_final_table_is_cut_on_a_narrow_terminal(metrics: Path, columns: int) -> None:
    status, shown = on_a_terminal(SUMMARY, metrics, columns, PYTHONUTF8="1")
    assert status == 0
    for number in ("0.8466(22)", "0.8582(22)", "0.8690(66)", "24.5(6.0)", "61.9(5.2)", "11.8", "1.44"):
        assert shown.count(number) == 2, (number, shown)
    table = shown[: shown.index("report:")]
    assert all(len(line.rstrip("\r")) <= columns for line in table.split("\n"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "terminal"),
    [
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, True),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, False),
        ({"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}, True),
        ({"PYTHONIOENCODING": "latin-1"}, False),
    ],
)
def test_a_terminal_or_a_log_without_utf8_gets_every_number(
    metrics: Path, environment: dict[str, str], terminal: bool
) -> None:
    if terminal:
        status, shown = on_a_terminal(SUMMARY, metrics, 80, **environment)
    else:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONIO", "PYTHONUTF8"))}
        done = subprocess.run(
            [sys.executable, "-c", SUMMARY, str(metrics)], capture_output=True, env=clean | environment, check=False
        )
        status, shown = done.returncode, (done.stdout + done.stderr).decode("latin-1")
    assert status == 0, shown
    for number in ("0.8466(22)", "-24.5(6.0)", "-61.9(5.2)", "11.8", "1.44"):
        assert number in shown
    assert "[sigma]" in shown
    assert '-> "keep"' in shown and ("+-" in shown or "\xb1" in shown)
    assert "report: runs/" in shown


def rendered(table: NumberTable, width: int) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table, crop=False)
    return console.export_text().splitlines()


def test_a_table_that_fits_is_one_and_headings_stay_whole() -> None:
    table = NumberTable(["Model", "AUC simulation"], [["network", "0.8(1)"], ["a", "0.9(1)"]], "tth", "a caption")
    lines = rendered(table, 60)
    assert sum("AUC simulation" in line for line in lines) == 1
    last = [line.split() for line in lines if line.strip()][-3:]
    assert last == [["network", "0.8(1)"], ["a", "0.9(1)"], ["a", "caption"]]


@pytest.mark.parametrize("width", [10, 17, 25, 40, 79])
def test_parts_hold_every_number_whole_and_name_their_rows(width: int) -> None:
    head = ["Model", *(f"Shift at {i} %, alternative" for i in range(7))]
    rows = [[f"model_{r}", *(f"{r}.{i}234(56)" for i in range(7))] for r in range(2)]
    text = "\n".join(rendered(NumberTable(head, rows), width))
    assert all(cell in text for row in rows for cell in row)


def test_characters_that_an_encoding_lacks_are_written_in_words() -> None:
    text = "µ = 1 ± 2 → σ(été) “ok” − \u4e2d"
    assert legible(text, "utf-8") is text
    assert legible(text, "ascii") == 'mu = 1 +- 2 -> sigma(ete) "ok" - \\u4e2d'
    assert legible("é ± σ", "latin-1") == "é ± sigma"
