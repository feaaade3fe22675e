"""A small run of all models, and of classifiers, which several tests read."""

from __future__ import annotations

from pathlib import Path

import pytest

from hepda.config import validate_any
from hepda.runtime.plots import PlotOptions, Plots
from hepda.workflows import train
from tests.events.generation.toy import analysis
from tests.speech.test_run import Quiet


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generation")
    data = analysis(folder, 2000)
    data["analysis"]["training"] = {"processes": 1}
    train.train(validate_any(data["analysis"]), folder / "classifiers", PlotOptions(Plots.NONE), Quiet())
    data["evaluation"]["classifiers"] = str(folder / "classifiers")
    train.train(validate_any(data), folder / "run", PlotOptions(Plots.FEW, folder / "plots"), Quiet())
    return folder / "run"
