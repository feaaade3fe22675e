"""`torchrun --nproc-per-node 2 -m hepda train`: two processes train as one, and one of them does the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hepda.runtime import torchrun
from tests.factory import write_analysis

pytestmark = pytest.mark.slow

SETTINGS = (
    "training.processes=1", "features=[ht, m_bb]", "plots={}", "evaluation.bootstrap=2", "models.bdt.iterations=5",
    "evaluation.blind=null", "luminosity=0.5", "training.optimizer=sgd", "training.learning_rate=0.05",
)  # fmt: skip


def train(config: Path, name: str, *start: str, more: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    sets = [word for setting in (*SETTINGS, *more) for word in ("--set", setting)]
    places = ("--output", str(config.parent / name), "--plots", "none")
    command = [sys.executable, *start, "-m", "hepda", "train", "--config", str(config), *places, *sets]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=500, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def test_two_processes_of_torchrun_leave_the_run_of_one(tmp_path: Path) -> None:
    config = write_analysis(tmp_path, n=300)
    in_two, in_one = train(config, "two", *TORCHRUN), train(config, "one")
    assert (in_one.returncode, in_two.returncode) == (0, 0), in_one.stderr + in_two.stderr
    assert in_two.stdout.count("report: ") == 1
    names = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*")}
    assert names == {path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*")}
    scores = [pq.read_table(tmp_path / name / "scores.parquet") for name in ("one", "two")]
    for model in ("network", "dann", "bdt"):
        assert np.abs(np.subtract(*(table[model].to_numpy() for table in scores))).max() < 1e-5, model


def test_what_is_wrong_ends_all_of_them(tmp_path: Path) -> None:
    config = write_analysis(tmp_path, n=300)
    done = train(config, "run", *TORCHRUN, more=("features=[ht, no_such_branch]",))
    assert done.returncode != 0
    assert done.stderr.count("no_such_branch") >= 1
    assert not (tmp_path / "run").exists()


def test_rank_and_world_size_without_torchrun_and_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    assert (torchrun.rank(), torchrun.world_size()) == (0, 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert (torchrun.rank(), torchrun.world_size()) == (0, 2)
    monkeypatch.setenv("RANK", "1")
    assert (torchrun.rank(), torchrun.world_size()) == (1, 2)
