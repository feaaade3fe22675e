"""`hepda example`: toy events that a stranger trains on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import uproot

from hepda.cli import main
from hepda.config import load_config
from hepda.datasets import toy_events


def test_the_example_can_be_checked_and_has_the_yields_of_its_luminosity(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "toy"
    assert main(["example", str(folder), "--events", "600"]) == 0
    assert f"hepda train --config {folder / 'toy.yaml'}" in capsys.readouterr().out
    assert {path.name for path in folder.glob("*.root")} == {
        f"{name}.root" for name in ("signal", "background", "signal_alt", "background_alt", "background_third", "data")
    }
    assert main(["check", "--config", str(folder / "toy.yaml")]) == 0
    config = load_config(folder / "toy.yaml")
    with uproot.open(folder / "background.root") as file:
        about = file["metadata"].arrays(library="np")
        weights = file["events"]["gen_weight"].array(library="np")
    simulated = about["cross_section"][0] * 1000 * config.luminosity * weights.sum() / about["sum_of_weights"][0]
    with uproot.open(folder / "data.root") as file:
        data = file["events"].num_entries
    assert data == pytest.approx(1.05 * simulated + toy_events.DATA_SIGNAL, rel=0.01)


@pytest.mark.slow
def test_the_same_seed_writes_the_same_events(tmp_path: Path) -> None:
    first, again, other = (
        uproot.open(toy_events.write_events(tmp_path / name, 50, seed)[0])["events"]["met"].array(library="np")
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["{folder}"], "exists already"), (["{folder}/new", "--events", "10"], "need at least 500")],
)
def test_a_folder_in_use_and_too_few_events_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "file").write_text("mine")
    assert main(["example", *(argument.format(folder=tmp_path) for argument in arguments)]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
