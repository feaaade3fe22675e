"""What hepda says: to whom, from which level on, and what log.txt keeps of it."""

from __future__ import annotations

import io
import logging
import re
from pathlib import Path

import pytest

from hepda.runtime import log
from hepda.runtime.console import Bars
from hepda.runtime.pool import open_pool
from hepda.runtime.progress import Clock
from tests.factory import Silent, heard
from tests.tasks import logging_task

LOGGER = logging.getLogger("hepda.tests")


def test_a_library_user_hears_what_the_configuration_asks_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log file needs more than the user has asked to hear, and nobody hears more for it."""
    for level, expected in ((logging.WARNING, ["warned"]), (logging.INFO, ["told", "warned"])):
        caplog.clear()
        with caplog.at_level(level), log.logged("train") as file:
            file.write_to(tmp_path / f"{level}.txt")
            LOGGER.info("told")
            LOGGER.warning("warned")
        assert [record.getMessage() for record in caplog.records if record.name == LOGGER.name] == expected
        assert "INFO told\n" in (tmp_path / f"{level}.txt").read_text()
    LOGGER.info("not told")
    assert "not told" not in caplog.text and capsys.readouterr() == ("", "")
    assert log.LOGGER.level == logging.NOTSET and [type(h) for h in log.LOGGER.handlers] == [logging.NullHandler]


def test_the_log_is_appended_and_has_times_stages_and_errors(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    with log.logged("train") as file, Clock(Silent())("load"):
        LOGGER.info("before the file is known")
        assert not path.exists()
        file.write_to(path)
    with pytest.raises(ValueError, match="broken"), log.logged("evaluate") as file:
        file.write_to(path)
        raise ValueError("broken")
    lines = path.read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|ERROR) ", line) for line in lines)
    texts = [line.split(" ", 3)[3] for line in lines]
    assert texts[0].startswith("hepda train, version ")
    assert texts[1:3] == ["load begins", "before the file is known"] and re.match(r"load took \d\.\d s", texts[3])
    assert texts[4] == "hepda train is finished" and texts[-1] == "ValueError: broken"


def test_a_command_that_is_refused_leaves_no_log(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="refused"), log.logged("train"):
        raise ValueError("refused")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("level", "expected"),
    [(logging.INFO, ["told", "[warned]"]), (logging.WARNING, ["[warned]"]), (logging.DEBUG, None)],
)
def test_the_terminal_shows_lines_as_they_are(level: int, expected: list[str] | None) -> None:
    bars = Bars(level)
    bars.console.file = io.StringIO()
    with bars:
        with Clock(bars)("load"):
            LOGGER.info("told")
        LOGGER.warning("[warned]")
    shown = bars.console.file.getvalue().splitlines()
    if expected is None:
        assert shown[:2] == ["load begins", "told"] and shown[2].startswith("load took") and shown[3:] == ["[warned]"]
    else:
        assert shown == expected


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_a_worker_logs_is_heard(processes: int) -> None:
    with heard() as lines, open_pool(processes) as pool:  # closed before the log
        assert list(pool.stream(logging_task, [1, 2])) == [1, 2]
    assert sorted(lines) == ["item 1", "item 2"]
