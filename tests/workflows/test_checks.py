"""What is checked before anything is trained: where networks are trained."""

from __future__ import annotations

import pytest

from hepda.errors import ConfigError
from hepda.workflows.checks import check_device, device_on


def test_devices_of_a_cluster_are_those_of_its_workers() -> None:
    check_device("cuda:9", "slurm:20")  # each worker is asked before its first training
    with pytest.raises(ConfigError, match="torch finds"):
        check_device("cuda:9")
    for cluster in (None, "slurm:20"):
        with pytest.raises(ConfigError, match="must be auto, cpu or cuda"):
            check_device("tpu", cluster)


def test_auto_is_one_device_for_all_workers() -> None:
    assert (device_on("8", "auto"), device_on(None, "auto")) == ("cpu", "auto")
    assert (device_on("8", "cuda"), device_on(None, "cuda")) == ("cuda", "cuda")
