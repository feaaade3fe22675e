"""The commands and programs of docs/export.md, on a run that `hepda train` and `hepda fit` made."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pyhf
import pytest

from hepda.cli import main
from hepda.export import EXPORTS, fits
from hepda.export.finished_run import read_run
from hepda.results.fit_file import FitFile
from tests.export import datacard
from tests.factory import write_analysis

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")]
PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    hepda (export runs/tth --format (\w+))$", PAGE, re.MULTILINE)
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SYSTEMATICS = {
    "norm": {"kind": "norm", "value": 0.1, "samples": "background"},
    "jes": {"kind": "shape", "up": {"jet_pt": "jet_pt_jes_up"}, "down": {"jet_pt": "jet_pt_jes_down"}},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fitted run, `runs/tth`, of a model called network, with the folder of each format beside it."""
    folder = tmp_path_factory.mktemp("page")
    evaluation = {
        "probes": False,
        "bootstrap": 5,
        "blind": "score > 0.5",
        "bias": {"between": ["simulation", "alternative"]},
    }
    page = write_analysis(
        folder, n=800, models={"network": {"kind": "bdt", "iterations": 10}}, systematics=SYSTEMATICS,
        evaluation=evaluation, training={"processes": 1},
    )  # fmt: skip
    run = folder / "runs" / "tth"
    assert main(["train", "--config", str(page), "--output", str(run), "--plots", "none"]) == 0
    assert main(["fit", str(run), "--toys", "0", "--plots", "none", "--processes", "1"]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command, _ in COMMANDS:
            assert main(shlex.split(command)) == 0, command
    return run


def test_the_page_has_a_command_for_every_format() -> None:
    assert sorted(name for _, name in COMMANDS) == sorted(EXPORTS)
    assert len(PROGRAMS) == 2


def test_every_format_has_its_files(run: Path) -> None:
    found = {name: {path.name for path in (run.parent / f"tth-{name}").iterdir()} for _, name in COMMANDS}
    assert found["workspace"] == {"network.json", "network-background.json", "network-patchset.json"}
    assert found["combine"] == {"network.txt", "network.root"} and found["onnx"] == {"network.onnx"}
    assert found["hepdata"] == {"submission.tar.gz", "submission"}
    assert {"signal_strength.tex", "uncertainties_of_mu_by_group.tex", "impacts.tex", "tables.tex"} <= found["latex"]
    assert {"signal_strength.csv", "yields_before_the_fit.csv"} <= found["csv"] and found["text"] == {"tables.txt"}


@pytest.mark.parametrize("program", PROGRAMS, ids=["cabinetry", "pyhf"])
def test_the_programs_of_the_page_find_the_fit(
    run: Path, program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cabinetry")
    monkeypatch.chdir(run.parents[1])
    backend = pyhf.get_backend()
    try:
        exec(compile(program, "export.md", "exec"), {})  # noqa: S102 - a program of this repository
    finally:
        pyhf.set_backend(*backend)
    fitted = FitFile.from_json(json.loads((run / "fit.json").read_text())).models["network"]
    shown = fitted.expected if fitted.observed.mu is None else fitted.observed
    value = float(capsys.readouterr().out.splitlines()[-1])
    if "cabinetry" in program:
        assert value == pytest.approx(shown.mu, abs=1e-3 * max(shown.error or 1.0, 1.0))
    else:  # -2 ln L at mu = 0.5, at most by rounding below that of the best strength
        assert shown.nll is not None and value > 2 * shown.nll - 1e-3


def test_the_datacard_is_the_fit(run: Path) -> None:
    (fitted,) = fits.fit_of(read_run(run), "combine").models.values()
    templates = fits.templates_of(fitted)
    card = datacard.read(run.parent / "tth-combine" / "network.txt")
    values = {"jes": -1.0, "norm": 2.0}
    expected = np.concatenate(list(card.expected({"r": 1.5, **values}).values()))
    np.testing.assert_allclose(expected, templates.expected(1.5, values), rtol=1e-9)
