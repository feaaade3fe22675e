"""What is checked before anything is trained: where networks are trained, and in which precision."""

from __future__ import annotations

from pathlib import Path

import pytest

from hepda.config import load_config
from hepda.errors import ConfigError
from hepda.runtime import exchange
from hepda.runtime.locks import locked
from hepda.workflows.checks import check_device, check_output_folders, check_precision, device_on
from tests.factory import write_analysis
from tests.pretended import PretendedCuda


def test_devices_of_a_cluster_are_those_of_its_workers() -> None:
    check_device("cuda:9", "slurm:20")  # each worker is asked before its first training
    with pytest.raises(ConfigError, match=r"--device .cuda:9.: "):
        check_device("cuda:9")
    for cluster in (None, "slurm:20"):
        with pytest.raises(ConfigError, match="must be auto, cpu or cuda"):
            check_device("tpu", cluster)


def test_auto_is_one_device_for_all_workers() -> None:
    assert (device_on("8", "auto"), device_on(None, "auto")) == ("cpu", "auto")
    assert (device_on("8", "cuda"), device_on(None, "cuda")) == ("cuda", "cuda")


def test_bfloat16_is_refused_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load_config(write_analysis(tmp_path, n=50))
    asked = load_config(write_analysis(tmp_path, n=50, training={"epochs": 2, "precision": "bfloat16"}))
    settings = "hepda.adversarial.training.settings.multiplies_bfloat16"
    monkeypatch.setattr(settings, lambda: False)
    check_precision(plain, "cpu")
    check_precision(asked, "cuda")
    with pytest.raises(ConfigError, match=r"training\.precision: .*emulates.*float32"):
        check_precision(asked, "cpu")
    monkeypatch.setattr(settings, lambda: True)
    check_precision(asked, "cpu")
    with (
        PretendedCuda(bfloat16=False),
        pytest.raises(ConfigError, match=r"training\.precision: .*in which Pretended GPU"),
    ):
        check_precision(asked, "cuda")


def test_a_folder_that_another_process_has_just_begun_is_told_from_a_foreign_one(tmp_path: Path) -> None:
    """Between the creation of the working folder and its mark, its files are not known to be those of a run."""
    run = tmp_path / "run"
    with locked(run, "train"):
        (run / exchange.WORK).mkdir()
        with pytest.raises(ConfigError, match=r"another `hepda train` .* is writing there"):
            check_output_folders(run, None)
    with pytest.raises(ConfigError, match="not of a run"):
        check_output_folders(run, None)
