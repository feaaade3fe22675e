"""`hepda train --dry-run`: what would be done, in numbers that follow from the files, and nothing on the disk."""

import re
from pathlib import Path

import pytest

from hepda import cli
from hepda.config import load_config
from hepda.events.dry_run import planned
from hepda.events.resolve import dataset_spec
from tests.factory import analysis, write_analysis


def everything(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.mark.slow
def test_a_dry_run_states_files_trainings_and_time_and_writes_nothing(tmp_path, capsys):
    page = write_analysis(tmp_path, n=300)
    before = everything(tmp_path)
    assert cli.main(["train", "--config", str(page), "--output", str(tmp_path / "run"), "--dry-run"]) == 0
    assert everything(tmp_path) == before
    text = capsys.readouterr().out
    config = load_config(page)
    for name in config.samples:
        assert re.search(rf"^  {name}: .*{name}\.root, \d+ entries, [\d.]+ MB$", text, re.M), name
    for name in config.models:
        assert re.search(rf"^  {name} \(\w+\): \d+ trainings", text, re.M), name
    assert str(tmp_path / "run") in text and text.endswith("nothing was trained or written\n")
    assert re.search(r"all: about \d+ (s|min) on", text)


def test_rows_are_those_of_the_folds_the_validation_and_the_domain_loss(tmp_path):
    models = {
        "network": {"kind": "network", "encoder": [4], "ensemble": 3},
        "dann": {
            "kind": "network", "encoder": [4],
            "domain": {"method": "dann", "source": "background", "target": "background_alt", "batch_share": 0.25},
        },
    }  # fmt: skip
    config = load_config(write_analysis(tmp_path, n=300, models=models, training={"epochs": 7, "batch_size": 300}))
    plan = planned(dataset_spec(config))
    network, dann = plan.models
    entries = {line.partition(":")[0]: int(re.search(r"(\d+) entries", line)[1]) for line in plan.reads}
    rows = (entries["signal"] + entries["background"]) * (1 - 1 / config.split.folds)
    rows *= (1 - config.split.validation) * 7
    assert network.trainings == 3 * config.split.folds and network.rows == pytest.approx(rows)
    assert dann.rows == pytest.approx(rows * 4 / 3)  # a target row for every three source rows


def test_a_missing_file_and_a_finished_run_are_refused_as_in_a_training(tmp_path, capsys):
    samples = analysis()["samples"]
    page = write_analysis(tmp_path, n=50)
    (tmp_path / "signal.root").unlink()
    assert samples and cli.main(["train", "--config", str(page), "--output", str(tmp_path / "r"), "--dry-run"]) == 2
    assert "signal.root does not exist" in capsys.readouterr().err


def test_other_kinds_of_data_name_their_models(tmp_path, capsys):
    assert cli.main(["train", "--config", "digits.yaml", "--output", str(tmp_path / "r"), "--dry-run"]) == 0
    assert re.search(r"dann \(network\): \d+ trainings of at most \d+ epochs", capsys.readouterr().out)
