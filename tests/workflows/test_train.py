"""What becomes of a finished run: it is never lost unasked, keeps its figures, and may be copied and moved."""

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hepda import cli
from hepda.config import load_config
from hepda.errors import ConfigError, HepdaError
from hepda.events.results import figures
from hepda.events.results.figures import inputs
from hepda.report.drawing import Drawing
from hepda.runtime import exchange, looks, run_directory
from hepda.runtime import figures as listed_figures
from hepda.runtime.locks import locked
from hepda.runtime.plots import PlotOptions, Plots
from hepda.workflows import fit
from hepda.workflows import train as analysis
from hepda.workflows.checks import text_problems
from tests.factory import Silent, heard, write_analysis

TINY = {
    "models": {"bdt": {"kind": "bdt", "iterations": 5}}, "features": ["ht", "m_bb"],
    "evaluation": {"probes": False, "bootstrap": 0, "blind": None,
                   "bias": {"between": ["simulation", "alternative", "data"]}},
    "training": {"epochs": 1, "processes": 1},
}  # fmt: skip


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is drawn are the two figures of one feature: figures cost more than all else."""
    monkeypatch.setattr(figures, "drawings", lambda data: list(inputs.input_drawings(data))[:2])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_analysis(tmp_path_factory.mktemp("analysis"), n=1000, luminosity=1.0, **TINY)


@pytest.fixture(scope="module")
def original(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("original")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "drawings", lambda data: list(inputs.input_drawings(data))[:2])
        analysis.train(load_config(page), folder / "run", PlotOptions(Plots.ALL), Silent())
    return folder / "run"


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, with what a fit left."""
    shutil.copytree(original, tmp_path / "run")
    run_directory.write_json(tmp_path / "run" / "fit.json", {"stamp": "1", "toys": 0, "models": {"bdt": {}}})
    run_directory.write_json(tmp_path / "run" / "workspace-bdt.json", {})
    return tmp_path / "run"


def content(run: Path) -> dict[str, bytes]:
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def train(page: Path, run: Path, *overrides: str, **more: Any) -> tuple[analysis.TrainOutcome, list[str]]:
    with heard() as lines:
        return analysis.train(load_config(page, overrides), run, None, Silent(), **more), lines


def test_a_run_holds_its_figures_and_names_them_by_relative_paths(original: Path) -> None:
    assert sorted(path.name for path in original.iterdir()) == sorted([*analysis.FILES, looks.FILE, "models", "plots"])
    listed = json.loads((original / "figures.json").read_text())
    assert [entry["file"] for entry in listed] == ["plots/features_overview.png", "plots/input_separations.png"]
    assert all((original / entry["file"]).with_suffix(".pdf").is_file() for entry in listed)
    assert {path.stem for path in (original / "plots" / "data").iterdir()} == {"features_overview", "input_separations"}


def test_a_finished_run_is_not_trained_again_unasked(page: Path, run: Path) -> None:
    before = content(run)
    with pytest.raises(ConfigError, match=r"finished run.*--overwrite.*--output.*hepda evaluate"):
        train(page, run)
    assert content(run) == before


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["hepda.workflows.train.run_jobs", "hepda.events.kind.EventsKind.measure",
                                   "hepda.events.kind.EventsKind.figures",
                                   "hepda.report.page.write_report"])  # fmt: skip
def test_a_training_that_fails_leaves_the_finished_run_as_it_was(
    page: Path, run: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(run)

    def broken(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage, broken)
        with pytest.raises(KeyboardInterrupt):
            train(page, run, "models.bdt.iterations=4", overwrite=True)
    left = content(run)
    if not stage.endswith("run_jobs"):  # the held-out domain was looked at, and that is not forgotten
        assert left.pop(looks.FILE) != before.pop(looks.FILE)
    assert {name: left[name] for name in before} == before
    assert all(name.startswith(".work/") for name in set(left) - set(before)) and exchange.resumable(run)
    # What was begun with --overwrite goes on without, and takes the place of the old run and its fit.
    outcome, messages = train(page, run, "models.bdt.iterations=4", resume=True)
    assert not any("nothing to resume" in line for line in messages)
    assert yaml.safe_load((run / "config.yaml").read_text())["models"]["bdt"]["iterations"] == 4
    assert outcome.folder == run and outcome.report == run / "report.html" and outcome.report.is_file()
    assert sorted(path.name for path in run.iterdir()) == sorted([*analysis.FILES, looks.FILE, "models", "plots"])


def test_resume_of_a_finished_run_does_nothing(page: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(run)
    monkeypatch.setattr(analysis, "run_jobs", None)  # nothing is trained
    outcome, messages = train(page, run, "training.processes=2", resume=True)
    assert messages[-1] == f"{run} is finished, with this analysis file and these data: there is nothing to do."
    assert content(run) == before and outcome.metrics.to_json() == json.loads((run / "metrics.json").read_text())
    with pytest.raises(ConfigError, match=r"differs from this one in models\.bdt\.iterations.*--overwrite"):
        train(page, run, "models.bdt.iterations=4", resume=True)
    manifest = json.loads((run / "manifest.json").read_text())
    run_directory.write_json(run / "manifest.json", manifest | {"inputs": "00000000"})
    with pytest.raises(ConfigError, match=r"other data.*--overwrite"):
        train(page, run, resume=True)
    del manifest["inputs"]  # as runs of before have it: the events are compared
    run_directory.write_json(run / "manifest.json", manifest)
    assert "there is nothing to do" in train(page, run, resume=True)[1][-1]


@pytest.mark.slow
def test_the_default_run_has_its_figures_in_plots_too_and_no_other_run_draws_over_them(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["train", "--config", str(page), "--no-cache", "--plots", "all"]
    assert cli.main(command) == 0
    png = tmp_path / "plots" / "small" / "input_separations.png"
    drawn = png.read_bytes()
    assert drawn == (tmp_path / "runs" / "small" / "plots" / "input_separations.png").read_bytes()
    assert png.with_suffix(".pdf").is_file()
    assert cli.main([*command, "--output", "runs/b", "--set", "plots={ht: {label: Other}}"]) == 0
    assert png.read_bytes() == drawn != (tmp_path / "runs" / "b" / "plots" / "input_separations.png").read_bytes()
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["small"]
    assert cli.main(["evaluate", "runs/b", "--plots-folder", "elsewhere", "--no-cache"]) == 0  # what is drawn stays
    assert (tmp_path / "elsewhere" / "input_separations.pdf").is_file() and png.read_bytes() == drawn
    png.unlink()
    assert cli.main(["report", "runs/small", "--plots", "none"]) == 0  # nothing to draw: it is copied again
    assert png.read_bytes() == drawn
    assert cli.main(command) == 2


@pytest.mark.slow
def test_a_run_that_was_moved_keeps_its_report_and_a_fit_of_a_copy_all_figures(original: Path, tmp_path: Path) -> None:
    moved = tmp_path / "far" / "away"
    shutil.copytree(original, moved)
    options = fit.FitOptions(toys=0, processes=1, plots=PlotOptions(Plots.ALL))
    with heard(logging.WARNING) as lines:
        fit.fit(moved, options, Silent())
    listed = json.loads((moved / "figures.json").read_text())
    assert [entry["file"] for entry in listed][:2] == ["plots/features_overview.png", "plots/input_separations.png"]
    assert len(listed) > 4 and all(entry["file"].startswith("plots/") for entry in listed)
    assert (moved / "report.html").read_text().count("data:image/png") == len(listed)
    assert lines == [] and [look.command for look in looks.read(moved)] == ["train", "fit"]
    assert "looked at 2 times in this directory" in (moved / "report.html").read_text()
    assert not (original / "plots" / "fit_region_bdt_all.png").exists()
    # A fit elsewhere takes copies along; a figure that is gone is said.
    (moved / "plots" / "input_separations.png").unlink()
    fit.fit(moved, fit.FitOptions(toys=0, output=tmp_path / "out", processes=1), Silent())
    shutil.rmtree(moved)
    drawn, lost = listed_figures.shown(tmp_path / "out")
    assert lost == [] and (tmp_path / "out" / "plots" / "features_overview.pdf").is_file()
    assert "input_separations" in [figure.image.stem for _, figure in drawn]  # it was drawn again, from its data
    (tmp_path / "out" / "plots" / "features_overview.png").unlink()
    _, (line,) = listed_figures.shown(tmp_path / "out")
    assert "All inputs" in line and "`hepda report` draws it again" in line


def test_a_figure_that_is_gone_is_said_on_the_terminal(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(original, run)
    (run / "plots" / "input_separations.png").unlink()
    assert cli.main(["fit", str(run), "--toys", "0", "--processes", "1", "--plots", "none"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "is no longer at" in out and "`hepda report` draws it again" in out
    assert cli.main(["report", str(run)]) == 0
    assert (run / "plots" / "input_separations.png").is_file()


def test_no_verb_writes_where_another_one_does(page: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = content(run)
    commands = [
        ["train", "--config", str(page), "--output", str(run), "--overwrite"],
        ["train", "--config", str(page), "--output", str(run), "--resume"],
        ["evaluate", str(run)],
        ["report", str(run)],
        ["fit", str(run)],
        ["scan", "--config", str(page), "--vary", "models.bdt.iterations=2,3", "--output", str(run.parent / "scan")],
        ["apply", str(run), str(page.parent / "data.root"), "--output", str(run.parent / "apply")],
    ]
    with locked(run, "train"), locked(run.parent / "scan", "scan"), locked(run.parent / "apply", "apply"):
        for command in commands:
            assert cli.main(command) == 2, command
            err = capsys.readouterr().err
            assert "another `hepda " in err and "process " in err and "wait until it has ended" in err, command
    assert content(run) == before


def test_a_training_of_nothing_leaves_no_folder(page: Path, tmp_path: Path) -> None:
    with pytest.raises(HepdaError, match="absent"):
        train(page, tmp_path / "runs" / "a", "samples.data.files=absent.root")
    assert list(tmp_path.iterdir()) == []


def failing() -> Any:
    raise IndexError("index 0 is out of bounds")


@pytest.mark.slow
def test_a_figure_that_fails_costs_neither_the_run_nor_the_other_figures(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawings(data: Any) -> list[Drawing]:
        return [Drawing("inputs", "bad", "A bad one", "", failing), next(inputs.input_drawings(data))]

    monkeypatch.setattr(figures, "drawings", drawings)
    _, messages = train(page, tmp_path / "run")
    message = "The figure “A bad one” could not be drawn: IndexError: index 0 is out of bounds"
    assert message in messages
    text = (tmp_path / "run" / "report.html").read_text()
    assert message in text and text.count("data:image/png") == 1
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(
        [*analysis.FILES, looks.FILE, "models", "plots"]
    )
    fit.fit(tmp_path / "run", fit.FitOptions(toys=0, processes=1), Silent())
    assert message in (tmp_path / "run" / "report.html").read_text()


def test_a_full_disk_is_not_taken_for_a_bad_figure(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hepda.report.drawing.write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        train(page, tmp_path / "run")
    run = tmp_path / "run"
    assert exchange.is_finished(run) and not exchange.resumable(run)  # the numbers are complete without the figures
    assert "2 figures are not drawn" in (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (r"plots={ht: {label: '$\frac{a$'}}", r"plots\.ht\.label: .*cannot be drawn: Expected"),
        (r"plots={ht: {label: H, unit: '$\foo$'}}", r"plots\.ht\.unit: .*Unknown symbol: .foo"),
        (r"plots={ht: {label: 'a $ b', unit: 'c _$ d'}}", r"plots\.ht: 'a \$ b \[c _\$ d\]' cannot be drawn"),
        (r"samples.signal.label='$t\bar{t$'", r"samples\.signal\.label: .*cannot be drawn"),
        (r"luminosity_label='45 nb$^{-1$'", r"luminosity_label: .*cannot be drawn"),
        ("samples.signal.color=reddish", r"samples\.signal\.color: 'reddish' is no colour"),
        ("plots={ht: {range: [1500, 0]}}", r"plots\.ht\.range.*from a smaller to a larger"),
        ("plots={ht: {range: [0, .inf]}}", r"plots\.ht\.range"),
        ("plots={ht: {range: [1.6e18, 1.6000000000000001e18]}}", r"plots\.ht"),
        ("plots={ht: {range: [0, 1], bins: 1000000000}}", r"plots\.ht\.bins"),
    ],
)
def test_labels_and_ranges_are_tried_before_anything_is_trained(
    page: Path, tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(page, tmp_path / "run", override)
    assert list(tmp_path.iterdir()) == []


def test_labels_that_look_odd_and_can_be_drawn_are_taken(page: Path) -> None:
    labels = {"a": "$H_T$", "b": "costs $5", "c": r"\$5 and \$6", "d": "100 % {of} ^it_", "e": "$\\sqrt{s}$ µ"}
    plots = {name: {"label": label, "unit": "GeV"} for name, label in labels.items()}
    config = load_config(page, ["plots={ht: {label: x}}"])
    config = config.model_copy(update={"plots": {name: config.plots["ht"].model_copy(update=plot)
                                                 for name, plot in plots.items()}})  # fmt: skip
    assert text_problems(config) == []


def test_somebody_elses_folder_is_not_emptied(page: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    for name in ("manifest.json", "config.yaml", "models/user.py", "report.html"):
        run_directory.write_text(site / name, "{}")
    before = content(site)
    for more in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(ConfigError, match="not of a run"):
            train(page, site, **more)
    assert content(site) == before


def test_a_scan_and_a_fit_take_no_folder_of_others(page: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = run.parent / "other"
    run_directory.write_text(other / "events.json", "[]")
    run_directory.write_text(other / "workspace-mine.json", "{}")
    run_directory.write_text(other / "report.html", "mine")
    before = content(other)
    scan = ["scan", "--config", str(page), "--vary", "models.bdt.iterations=2,3", "--output", str(other)]
    assert cli.main(scan) == 2 and "not of a scan" in capsys.readouterr().err
    assert cli.main(["fit", str(run), "--toys", "0", "--output", str(other)]) == 2
    assert "report.html would be replaced" in capsys.readouterr().err
    assert content(other) == before
    (other / ".work").mkdir()
    for name in before:
        (other / name).unlink()
    (other / ".work" / "mine").write_text("")
    assert cli.main(scan) == 2 and "not of a scan" in capsys.readouterr().err
    assert (other / ".work" / "mine").exists()


@pytest.mark.slow
def test_two_trainings_at_once_do_not_mix(page: Path, tmp_path: Path) -> None:
    words = ["train", "--config", page, "--output", tmp_path / "run", "--set", "models.bdt.iterations=3"]
    both = [
        subprocess.Popen([sys.executable, "-m", "hepda", *map(str, words)], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate()[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], outputs
    # the owner of a lock has no name yet at the very beginning
    assert any("another hepda is writing" in text or "another `hepda train`" in text or "finished run" in text
               for text in outputs), outputs  # fmt: skip
    assert exchange.is_finished(tmp_path / "run") and not (tmp_path / "run" / ".work").exists()


@pytest.mark.slow
def test_a_domain_of_variations_leaves_the_other_samples_out(tmp_path: Path) -> None:
    """Only the background is varied: the table of the variation has no rows of the signal."""
    dann = {
        "kind": "network", "encoder": [4],
        "domain": {"source": ["background"], "target": {"variation": ["jes"]}, "rows": "background", "head": [4]},
    }  # fmt: skip
    jes = {"kind": "shape", "up": {"jet_pt": "jet_pt_jes_up"}, "down": {"jet_pt": "jet_pt_jes_down"}}
    page = write_analysis(
        tmp_path, n=1000, luminosity=1.0, **{**TINY, "models": {"dann": dann}, "systematics": {"jes": jes}}
    )
    train(page, tmp_path / "run")
    parts = json.loads((tmp_path / "run" / "manifest.json").read_text())["data"]["parts"]
    assert {"weight of signal, jes_up", "features of background, jes_down"} <= set(parts)
    for command in ("evaluate", "fit"):  # both compare the recorded parts with what they read
        assert cli.main([command, str(tmp_path / "run"), "--plots", "none"]) == 0
