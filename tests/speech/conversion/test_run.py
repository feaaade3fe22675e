"""A whole run of conversion, from the analysis file to the report and to other recordings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hepda.cli import main
from hepda.config import load_any
from hepda.kinds import kind_of
from hepda.results.conversion import ConversionMetrics
from hepda.runtime.plots import PlotOptions, Plots
from hepda.speech.conversion.jobs import COLUMNS
from hepda.workflows import compare, train
from tests.reports import assert_no_table_is_empty
from tests.speech.conversion.analysis import small
from tests.speech.test_run import Quiet


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ConversionMetrics]:
    folder = tmp_path_factory.mktemp("conversion")
    outcome = train.train(small(), folder / "run", PlotOptions(Plots.ALL, folder / "plots"), Quiet())
    assert isinstance(outcome.metrics, ConversionMetrics)
    return folder / "run", outcome.metrics


def test_a_run_leaves_what_every_run_leaves(run: tuple[Path, ConversionMetrics]) -> None:
    folder, metrics = run
    for name in train.FILES:
        assert (folder / name).is_file(), name
    page = (folder / "report.html").read_text()
    for text in ("Conversion to another effect", "References in room 0.5 s", "Difference to copy", "<audio controls"):
        assert text in page
    assert {path.name for path in (folder / "plots").glob("*.png")} >= {"effects.png", "spectrograms.png"}
    assert json.dumps(metrics.to_json(), allow_nan=False)
    assert_no_table_is_empty(folder, kind_of(load_any(folder / "config.yaml")))


def test_the_judges_know_the_truth_from_its_source(run: tuple[Path, ConversionMetrics]) -> None:
    _, metrics = run
    copy, truth = metrics.models["copy"].seen, metrics.models["truth"].seen
    assert truth.judged.value > 0.8 and copy.judged.value < 0.2
    assert (copy.distance.value, truth.distance.value) == (1.0, 0.0)
    assert metrics.models["truth"].probe is None and metrics.models["network"].probe is not None
    assert metrics.models["network"].probe.chance == pytest.approx(1.0 / 3.0)


def test_the_numbers_are_those_of_the_scores(run: tuple[Path, ConversionMetrics]) -> None:
    folder, metrics = run
    kind = kind_of(load_any(folder / "config.yaml"))
    kind.load(Quiet().step)
    scores = kind.saved_scores(folder)
    tests = kind.tests  # type: ignore[attr-defined]
    seen = np.isin(tests.wanted.numpy(), [0, 1, 3])
    network = scores["network"][:, seen]
    column = {name: network[..., number] for number, name in enumerate(COLUMNS)}
    numbers = metrics.models["network"]
    assert numbers.seen.judged.value == pytest.approx(column["judged"].mean(), abs=1e-6)
    assert numbers.seen.distance.value == pytest.approx(
        column["distance"].sum() / column["source_distance"].sum(), rel=1e-5
    )
    assert numbers.seen.word_errors.value == pytest.approx(
        column["wrong_words"].sum() / column["words"].sum(), rel=1e-5
    )
    assert numbers.seeds["judged"] == pytest.approx(column["judged"].mean(axis=1).tolist(), abs=1e-6)
    by_string = [column["judged"][:, tests.string.numpy()[seen] == string].mean() - 0.0 for string in range(4)]
    mean = np.mean(by_string)
    half = 3.182 * np.std(by_string, ddof=1) / 2.0  # Student's t, three degrees of freedom
    assert numbers.seen.judged.high == pytest.approx(mean + half, abs=2e-3)
    difference = metrics.comparison["network"]["judged"]
    assert (difference.paired, difference.number) == ("strings", 4)


def test_evaluation_gives_the_same_numbers_and_runs_are_compared(
    run: tuple[Path, ConversionMetrics], tmp_path: Path
) -> None:
    folder, metrics = run
    assert train.evaluate(folder, PlotOptions(Plots.NONE), Quiet()).metrics == metrics
    copy = shutil.copytree(folder, tmp_path / "copy")
    compare.compare([folder, copy], tmp_path / "page.html")
    assert "Judged as wanted" in (tmp_path / "page.html").read_text()


def test_recordings_are_converted_to_the_environment_of_a_reference(
    run: tuple[Path, ConversionMetrics], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = run
    random = np.random.default_rng(1)
    soundfile.write(tmp_path / "one.wav", 0.1 * random.normal(size=22_051), 22_050)
    soundfile.write(tmp_path / "room.wav", 0.1 * random.normal(size=9_000), 8_000)
    command = ["apply", str(folder), str(tmp_path / "one.wav"), "--output", str(tmp_path / "out")]
    assert main(command) == 2 and "--reference: name a recording" in capsys.readouterr().err
    assert main([*command, "--reference", str(tmp_path / "room.wav"), "--model", "truth"]) == 2
    assert "'truth' is no model" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert main([*command, "--reference", str(tmp_path / "room.wav"), "--model", "network"]) == 0
    info = soundfile.info(tmp_path / "out" / "one.wav")
    assert (info.samplerate, info.frames) == (22_050, 22_051)
    summary = json.loads((tmp_path / "out" / "apply.json").read_text())
    assert summary["reference"] == str(tmp_path / "room.wav") and summary["files"][0]["peak"] > 0.0
