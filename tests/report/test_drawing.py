"""Data of all figures are kept; what is asked for is drawn, once, and only again if it would look different."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from hepda.plotting.base.plot import Plot
from hepda.plotting.base.style import figure, styled
from hepda.report import drawing
from hepda.report.drawing import Drawing
from hepda.runtime import figures
from hepda.runtime.plots import Plots
from hepda.runtime.pool import ignore_progress

CALLS: list[int] = []


@styled
def bar_figure(height: int) -> Figure:
    """Draw a bar, or fail below 0."""
    CALLS.append(height)
    if height < 0:
        raise ValueError(f"no bar of {height}")
    drawn, axes = figure()
    axes.bar([0], [height])
    return drawn


@pytest.fixture(autouse=True)
def calls() -> Iterator[None]:
    CALLS.clear()
    yield


def record(run: Path, by: str = "evaluate", **heights: int) -> None:
    """Keep a figure for each height; those whose name begins with `first` are looked at first."""
    drawings = [
        Drawing("inputs", name, f"Bar {name}", "", partial(Plot.of, bar_figure, height), first="first" in name)
        for name, height in heights.items()
    ]
    drawing.record(run, by, drawing.texts_of(drawings))


def draw(run: Path, plots: Plots = Plots.FEW) -> list[str]:
    return drawing.draw(run, plots, 1, ignore_progress)


def pictures(run: Path) -> set[str]:
    return {path.name for path in (run / "plots").iterdir() if path.is_file()}


def test_few_draws_those_that_are_looked_at_first_and_all_the_others_with_their_pdf(tmp_path: Path) -> None:
    record(tmp_path, first_a=1, b=2)
    assert draw(tmp_path, Plots.NONE) == [] and figures.not_drawn(tmp_path) == [
        ("evaluate", "inputs", "Bar first_a"), ("evaluate", "inputs", "Bar b"),
    ]  # fmt: skip
    assert draw(tmp_path) == ["first_a"] and pictures(tmp_path) == {"first_a.png"}
    assert [title for _, _, title in figures.not_drawn(tmp_path)] == ["Bar b"]
    assert draw(tmp_path, Plots.ALL) == ["first_a", "b"]
    assert pictures(tmp_path) == {"first_a.png", "first_a.pdf", "b.png", "b.pdf"}
    assert [figure.title for _, figure in figures.shown(tmp_path)[0]] == ["Bar first_a", "Bar b"]


def test_only_what_has_changed_is_drawn_again(tmp_path: Path) -> None:
    record(tmp_path, first_a=1, first_b=2, c=3)
    draw(tmp_path, Plots.ALL)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "plots").iterdir() if path.is_file()}
    CALLS.clear()
    record(tmp_path, first_a=1, first_b=5, c=4)
    # Pictures of other data than those that are listed are gone; they would be wrong.
    assert pictures(tmp_path) == {"first_a.png", "first_a.pdf"}
    assert draw(tmp_path) == ["first_b"] and CALLS == [5]
    assert draw(tmp_path) == [] and pictures(tmp_path) == {"first_a.png", "first_a.pdf", "first_b.png"}
    assert (tmp_path / "plots" / "first_a.png").stat().st_mtime_ns == before["first_a.png"]
    (tmp_path / "plots" / "first_a.png").unlink()
    assert "no longer at" in figures.shown(tmp_path)[1][0]
    assert draw(tmp_path) == ["first_a"] and figures.shown(tmp_path)[1] == []


def test_a_picture_of_other_code_is_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path, first_a=1, b=2)
    draw(tmp_path, Plots.ALL)
    monkeypatch.setattr(drawing, "drawing_version", lambda: "next")
    assert draw(tmp_path, Plots.NONE) == []
    assert draw(tmp_path) == ["first_a", "b"]  # drawn before, so the reader expects it
    assert draw(tmp_path, Plots.ALL) == [] and len(pictures(tmp_path)) == 4


def test_figures_of_another_command_stay_and_those_that_are_not_listed_go(tmp_path: Path) -> None:
    record(tmp_path, "fit", first_fit=1)
    record(tmp_path, first_a=1, first_b=2)
    draw(tmp_path)
    assert [entry.by for entry in figures.entries(tmp_path)] == ["evaluate", "evaluate", "fit"]
    (tmp_path / "plots" / "mine.png").write_bytes(b"mine")
    record(tmp_path, first_b=2)
    assert pictures(tmp_path) == {"first_b.png", "first_fit.png", "mine.png"}
    assert {path.name for path in (tmp_path / "plots" / "data").iterdir()} == {"first_b.json", "first_fit.json"}


def test_a_command_draws_its_own_figures_and_restores_those_of_others(tmp_path: Path) -> None:
    record(tmp_path, first_a=1, first_b=2)
    draw(tmp_path)
    record(tmp_path, "fit", c=1)
    (tmp_path / "plots" / "first_a.png").unlink()
    record_before = figures.entries(tmp_path)
    assert drawing.draw(tmp_path, Plots.ALL, 1, ignore_progress, "fit") == ["first_a", "c"]
    assert pictures(tmp_path) == {"first_a.png", "first_b.png", "c.png", "c.pdf"}
    assert [entry.file for entry in figures.entries(tmp_path)] == [entry.file for entry in record_before]


def test_a_pdf_alone_is_added_and_made_again_with_its_picture(tmp_path: Path) -> None:
    record(tmp_path, first_a=1)
    draw(tmp_path)
    before = (tmp_path / "plots" / "first_a.png").stat().st_mtime_ns
    assert draw(tmp_path, Plots.ALL) == ["first_a"] and pictures(tmp_path) == {"first_a.png", "first_a.pdf"}
    assert (tmp_path / "plots" / "first_a.png").stat().st_mtime_ns == before
    (tmp_path / "plots" / "first_a.png").unlink()
    (tmp_path / "plots" / "first_a.pdf").unlink()
    assert draw(tmp_path) == ["first_a"] and pictures(tmp_path) == {"first_a.png", "first_a.pdf"}


def test_a_figure_that_fails_has_a_reason_and_is_tried_again(tmp_path: Path) -> None:
    record(tmp_path, first_a=-1, first_b=2)
    assert draw(tmp_path) == ["first_b"]
    line = "The figure “Bar first_a” could not be drawn: ValueError: no bar of -1"
    assert figures.shown(tmp_path)[1] == [line] and figures.not_drawn(tmp_path) == []
    CALLS.clear()
    assert draw(tmp_path) == [] and CALLS == [-1]
    record(tmp_path, first_a=1, first_b=2)
    assert draw(tmp_path) == ["first_a"] and figures.shown(tmp_path)[1] == []


def test_data_that_cannot_be_made_cost_one_figure(tmp_path: Path) -> None:
    def broken() -> Plot:
        raise KeyError("x")

    bad = Drawing("inputs", "bad", "A bad one", "", broken)
    unkept = Drawing("inputs", "unkept", "A set", "", lambda: Plot(bar_figure, [{1}]))
    texts = drawing.texts_of([bad, unkept, Drawing("inputs", "a", "Good", "", lambda: Plot.of(bar_figure, 1))])
    assert [text.name for text in texts.figures] == ["a"]
    assert [failed.why for failed in texts.failed] == [
        "KeyError: 'x'", "TypeError: a figure cannot be kept with an argument of type set",
    ]  # fmt: skip
    drawing.record(tmp_path, "evaluate", texts)
    assert len(figures.shown(tmp_path)[1]) == 2 and draw(tmp_path, Plots.ALL) == ["a"]


def test_several_processes_draw_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "WORTH_PROCESSES", 2)
    for name, processes in (("one", 1), ("two", 2)):
        record(tmp_path / name, first_a=1, first_b=2, first_c=3)
        steps: list[tuple[str, int, int]] = []

        def progress(what: str, done: int, total: int, steps: list[tuple[str, int, int]] = steps) -> None:
            steps.append((what, done, total))

        drawing.draw(tmp_path / name, Plots.FEW, processes, progress)
        assert steps[0] == ("figures", 0, 3) and steps[-1] == ("figures", 3, 3)
    for path in (tmp_path / "one" / "plots").glob("*.png"):
        assert path.read_bytes() == (tmp_path / "two" / "plots" / path.name).read_bytes()


def test_a_copy_for_another_folder_has_the_pictures_and_a_copy_of_a_run_the_data_too(tmp_path: Path) -> None:
    run = tmp_path / "run"
    record(run, first_a=1, b=2)
    draw(run, Plots.ALL)
    assert [path.name for path in figures.copy(run, tmp_path / "plots", "evaluate")] == ["first_a.png", "b.png"]
    assert (tmp_path / "plots" / "b.pdf").is_file() and not (tmp_path / "plots" / "data").exists()
    figures.take(run, tmp_path / "other", "evaluate")
    (tmp_path / "other" / "plots" / "b.png").unlink()
    assert draw(tmp_path / "other", Plots.ALL) == ["b"]


def test_the_list_of_an_earlier_hepda_is_read(tmp_path: Path) -> None:
    entry = {"by": "evaluate", "section": "inputs", "title": "A", "caption": "c", "file": "plots/a.png"}
    (tmp_path / "figures.json").write_text(
        json.dumps([entry, {"by": "fit", "section": "fit", "title": "B", "why": "x"}])
    )
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "a.png").write_bytes(b"")
    assert [f.title for _, f in figures.shown(tmp_path)[0]] == ["A"] and len(figures.shown(tmp_path)[1]) == 1
    assert draw(tmp_path, Plots.ALL) == [] and figures.not_drawn(tmp_path) == []
    assert figures.entries(tmp_path)[0].to_json() == entry | {"first": False, "pdf": True}
