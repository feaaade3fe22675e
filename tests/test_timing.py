"""Parts of a run: they add up, inner ones are not in outer ones, and nothing is measured unless asked for."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from threading import Thread

import pytest

from hepda import timing
from hepda.timing import IMPORTS, Sums, timed


def burn(seconds: float) -> None:
    """Use the processor for so long."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@timed("inner")
def inner(seconds: float) -> float:
    burn(seconds)
    return seconds


def test_without_a_profile_nothing_is_measured() -> None:
    with timed("outer"):
        assert inner(0.0) == 0.0
    assert timing.recorder() is None
    assert timing.stop().parts == {}


def test_parts_add_up_and_the_inner_one_is_not_in_the_outer_one() -> None:
    begin = time.process_time()
    timing.start()
    with timed("outer"):
        burn(0.02)
        assert inner(0.05) == 0.05
        with timed("outer"):  # a part in itself is the same part
            inner(0.01)
    parts = timing.stop().parts
    used = time.process_time() - begin
    assert set(parts) == {(), ("outer",), ("outer", "inner")}
    assert parts["outer", "inner"].calls == 2 and parts["outer",].calls == 2
    assert parts["outer", "inner"].cpu == pytest.approx(0.06, abs=0.01)
    assert parts["outer",].cpu == pytest.approx(0.02, abs=0.01)
    assert sum(part.cpu for part in parts.values()) == pytest.approx(used, abs=0.002)


def test_an_error_ends_the_part_in_which_it_is_raised() -> None:
    timing.start()
    with pytest.raises(ZeroDivisionError), timed("outer"), timed("wrong"):
        1 / 0  # noqa: B018
    with timed("after"):
        pass
    assert ("after",) in timing.stop().parts


def test_other_threads_change_nothing() -> None:
    timing.start()
    with timed("outer"):
        thread = Thread(target=inner, args=(0.0,))
        thread.start()
        thread.join()
    assert set(timing.stop().parts) == {(), ("outer",)}


def test_imports_are_a_part_of_the_stage_by_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time\nend = time.process_time() + 0.03\n"
                                                "while time.process_time() < end: pass\n")  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    timing.start()
    with timed("stage"), timed("part"):
        import slow_to_import  # type: ignore[import-not-found]
    parts = timing.stop().parts
    assert parts["stage", IMPORTS, "slow_to_import"].cpu >= 0.03
    assert parts["stage", "part"].cpu < 0.02
    assert not any(type(finder).__module__ == timing.__name__ for finder in sys.meta_path)
    assert slow_to_import.end > 0.0


def test_the_sums_of_a_worker_are_added() -> None:
    sums, others = Sums(), Sums()
    with timing.measured(("stage", "task"), others):
        timing.add_products([((2, 3, 4), 5.0)])
        inner(0.0)
    sums.add(others)
    sums.add(others)
    assert sums.parts["stage", "task", "inner"].calls == 2
    assert sums.products == {("stage", "task"): {(2, 3, 4): 10.0}}
    assert timing.recorder() is None
