"""A small run of all methods, which several tests read."""

from __future__ import annotations

from pathlib import Path

import pytest

from hepda.runtime.plots import PlotOptions, Plots
from hepda.workflows import train
from tests.events.refinement.toy import config
from tests.speech.test_run import Quiet


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refinement")
    train.train(config(folder, 4000), folder / "run", PlotOptions(Plots.FEW, folder / "plots"), Quiet())
    return folder / "run"
