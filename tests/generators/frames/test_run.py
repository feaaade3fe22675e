"""A whole run of frame prediction, from the analysis file to the report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hepda.cli import main
from hepda.config import load_any
from hepda.evaluation.differences.frames import psnr
from hepda.evaluation.variance import spread
from hepda.generators.frames.kind import FramesKind
from hepda.generators.jobs import read_images
from hepda.kinds import kind_of
from hepda.results.entries.frames import FramesMetrics
from hepda.runtime.plots import PlotOptions, Plots
from hepda.workflows import compare, train
from tests.generators.frames.analysis import SMALL, small
from tests.generators.test_run import Quiet
from tests.reports import assert_no_table_is_empty

Run = tuple[Path, FramesMetrics]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("frames")
    outcome = train.train(small(), folder / "run", PlotOptions(Plots.ALL, folder / "plots"), Quiet())
    assert isinstance(outcome.metrics, FramesMetrics)
    return folder / "run", outcome.metrics


def test_a_run_leaves_what_every_run_leaves(run: Run) -> None:
    folder, metrics = run
    for name in train.FILES:
        assert (folder / name).is_file(), name
    page = (folder / "report.html").read_text()
    for text in ("Quality of the predicted frames", "Differences between models", "last frame", "Sharpness / truth"):
        assert text in page
    drawn = {path.name for path in (folder / "plots").glob("*.png")}
    assert drawn == {"frames.png", "history_l2.png", "history_adversary.png"}
    assert_no_table_is_empty(folder, kind_of(load_any(folder / "config.yaml")))
    assert main(["check", str(folder)]) == 0
    assert json.dumps(metrics.to_json(), allow_nan=False)


def test_the_numbers_are_those_of_the_saved_frames(run: Run) -> None:
    folder, metrics = run
    kind = kind_of(load_any(folder / "config.yaml"))
    assert isinstance(kind, FramesKind)
    kind.load(Quiet().step)
    test = kind.sequences.test
    np.testing.assert_array_equal(read_images(folder, "last", 0)[:, 0], test[:, -2])
    true, seeds = test[:, -1] / 255.0, {}
    for model in ("l2", "adversary"):
        seeds[model] = [psnr(read_images(folder, model, m)[:, 0] / 255.0, true).mean() for m in (0, 1)]
        assert metrics.models[model].quality["psnr"].seeds == pytest.approx(seeds[model], rel=1e-5)
    last = metrics.models["last"].quality["psnr"]
    assert last.value == pytest.approx(psnr(test[:, -2] / 255.0, true).mean(), rel=1e-5) and last.low is None
    entry = metrics.comparison["adversary"]["l2"]["psnr"]
    expected = spread([a - b for a, b in zip(seeds["adversary"], seeds["l2"], strict=True)])
    assert (entry.paired, entry.number) == ("seeds", 2)
    assert entry.difference.value == pytest.approx(expected["value"], rel=1e-3)
    assert entry.difference.low == pytest.approx(expected["low"], rel=1e-3)
    of_sequences = metrics.comparison["l2"]["last"]["psnr"]
    assert (of_sequences.paired, of_sequences.number) == ("sequences", 20)
    assert metrics.models["last"].quality["sharpness"].value == pytest.approx(1.0, abs=0.1)


def test_evaluation_gives_the_same_numbers_and_runs_are_compared(run: Run, tmp_path: Path) -> None:
    folder, metrics = run
    again = train.evaluate(folder, PlotOptions(Plots.NONE), Quiet())
    assert again.metrics == metrics
    copy = shutil.copytree(folder, tmp_path / "copy")
    content = json.loads((copy / "metrics.json").read_text())
    content["samples"]["train"] += 1  # the runs differ
    (copy / "metrics.json").write_text(json.dumps(content))
    compare.compare([folder, copy], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "Sharpness / truth" in page and "data:image/png" in page


def test_networks_that_are_not_those_of_the_analysis_file_are_told(run: Run) -> None:
    models = SMALL["models"] | {"l2": SMALL["models"]["l2"] | {"width": 5}}
    found = kind_of(small(models=models)).check_models(run[0])
    wrong = {name for name, problem in found.items() if problem}
    assert len(found) == 4 and wrong == {f"models/l2/fold0-member{member}.safetensors" for member in (0, 1)}
    assert "'width': 4" in found["models/l2/fold0-member0.safetensors"]


def test_what_is_read_and_trained_is_told_before() -> None:
    kind = kind_of(small())
    lines, problems = kind.check(Quiet().step)
    assert problems == [] and "96 sequences" in lines[0] and "20 of" in lines[0]
    planned = kind.planned()
    assert planned is not None
    assert {model.name: (model.trainings, model.epochs) for model in planned.models} == {
        "last": (1, None), "l2": (2, 2), "adversary": (2, 2),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sequences": {"digit": 16}}, "no room to move"),
        ({"models": {"l2": {"kind": "network", "losses": {"squared": 0.0}}}}, "nothing is learned"),
        ({"training": {"patience": 3}}, "no effect on frame prediction"),
        ({"evaluation": {"metrics": ["psnr", "psnr"]}}, "twice"),
        ({"source": {"data": "digitz"}}, "digitz"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict, words: str) -> None:
    with pytest.raises(Exception, match=words):
        small(**changes)
