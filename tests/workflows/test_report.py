"""`hepda report`: figures that were not asked for are drawn later, without the events."""

import json
import shutil
from pathlib import Path

import pytest

from hepda import cli
from hepda.config import load_config
from hepda.runtime import figures
from hepda.runtime.plots import PlotOptions, Plots
from hepda.workflows import train
from tests.factory import Silent, write_analysis


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of which nothing is drawn; the files that it read are gone."""
    folder = tmp_path_factory.mktemp("report")
    page = write_analysis(
        folder, n=700, models={"bdt": {"kind": "bdt", "iterations": 3}}, features=["ht", "m_bb"],
        evaluation={"probes": False, "bootstrap": 5, "bias": {"between": ["simulation", "alternative"]}},
        training={"processes": 1},
    )  # fmt: skip
    train.train(load_config(page), folder / "run", PlotOptions(Plots.NONE), Silent())
    for path in folder.glob("*.root"):
        path.unlink()
    return folder / "run"


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "run")
    return tmp_path / "run"


def pictures(run: Path, suffix: str = ".png") -> set[str]:
    return {path.stem for path in (run / "plots").glob(f"*{suffix}")}


def test_a_run_without_figures_names_them_and_the_command_that_draws_them(original: Path) -> None:
    text = (original / "report.html").read_text()
    assert pictures(original) == set() and "data:image/png" not in text
    assert f"hepda report {original} --plots all" in text and "All inputs" in text and "not drawn yet" not in text
    listed = figures.entries(original)
    assert len(listed) > 10 and all((original / entry.data).is_file() for entry in listed)


@pytest.mark.slow
def test_figures_are_drawn_without_events_and_all_of_them_with_pdf(run: Path, tmp_path: Path) -> None:
    kept = {name: (run / name).read_bytes() for name in ("metrics.json", "scores.parquet", "manifest.json")}
    warnings = json.loads((run / "remarks.json").read_text())["warnings"]
    assert cli.main(["report", str(run)]) == 0
    first = {entry.name for entry in figures.entries(run) if entry.first}
    assert pictures(run) == first >= {"features_overview", "roc_simulation", "ks"} and not pictures(run, ".pdf")
    text = (run / "report.html").read_text()
    assert text.count("data:image/png") == len(first) and f"hepda report {run} --plots all" in text
    assert all(line.split(",")[0] in text for line in warnings if "<" not in line)
    assert cli.main(["report", str(run), "--plots", "all", "--plots-folder", str(tmp_path / "note")]) == 0
    everything = {entry.name for entry in figures.entries(run)}
    assert pictures(run) == pictures(run, ".pdf") == everything > first
    assert {path.stem for path in (tmp_path / "note").glob("*.pdf")} == everything
    text = (run / "report.html").read_text()
    assert text.count("data:image/png") == len(everything) and "--plots all" not in text
    assert {name: (run / name).read_bytes() for name in kept} == kept


@pytest.mark.slow
def test_an_interrupted_drawing_leaves_a_complete_run_and_a_page_that_says_what_is_missing(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hepda.plotting.base.style.png", stop)
        assert cli.main(["report", str(run)]) == 130
    text = (run / "report.html").read_text()
    assert f"hepda report {run} --plots all" in text and "load this page again" not in text
    assert cli.main(["report", str(run)]) == 0 and pictures(run)


@pytest.mark.slow
def test_the_report_has_its_tables_before_the_first_figure(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pages: list[str] = []
    draw = train.draw_and_report

    def look(*given: object, **more: object) -> Path:
        pages.append((run / "report.html").read_text())
        return draw(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(train, "draw_and_report", look)
    write_analysis(
        tmp_path, n=700, models={"bdt": {"kind": "bdt", "iterations": 3}}, features=["ht", "m_bb"],
        evaluation={"probes": False, "bootstrap": 5, "bias": {"between": ["simulation", "alternative"]}},
        training={"processes": 1},
    )  # fmt: skip
    train.train(load_config(tmp_path / "small.yaml"), run, PlotOptions(), Silent(), overwrite=True)
    assert len(pages) == 1 and "load this page again in a moment" in pages[0] and "AUC" in pages[0]
    assert "data:image/png" not in pages[0] and "load this page again" not in (run / "report.html").read_text()


def test_a_run_of_an_earlier_hepda_has_to_be_evaluated_once(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "remarks.json").unlink()
    assert cli.main(["report", str(run), "--plots", "all"]) == 2
    assert f"hepda evaluate {run} --plots all" in capsys.readouterr().err
    assert cli.main(["report", str(run.parent)]) == 2
    assert "is not a run directory" in capsys.readouterr().err
    assert cli.main(["report", str(run), "--plots", "some"]) == 2


@pytest.mark.parametrize(
    ("options", "terminal", "environment", "opened"),
    [
        ([], True, {"DISPLAY": ":0"}, True),
        ([], True, {}, False),  # no display
        ([], False, {"DISPLAY": ":0"}, False),  # a pipe
        ([], True, {"DISPLAY": ":0", "CI": "true"}, False),
        (["--no-open"], True, {"DISPLAY": ":0"}, False),
        (["--open"], False, {}, True),
    ],
)
def test_the_page_is_shown_to_somebody_who_can_see_it(
    run: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], terminal: bool, environment: dict[str, str],
    opened: bool,
) -> None:  # fmt: skip
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    seen: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: seen.append(address) or True)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    assert cli.main(["report", str(run), "--plots", "none", *options]) == 0
    assert seen == ([(run / "report.html").as_uri()] if opened else [])
