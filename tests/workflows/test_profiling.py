"""`hepda train --profile`: the parts of a run, added up over its processes, and what the machine could do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hepda.cli import main
from hepda.results.profile import Profile
from hepda.runtime import run_directory
from hepda.workflows import machine, profiling
from tests.factory import write_analysis

pytestmark = pytest.mark.slow

SMALL = (
    "features=[ht, m_bb]", "plots={}", "evaluation.bootstrap=5", "evaluation.probes=false", "evaluation.blind=null",
    "models.bdt=null", "models.dann=null", "models.network.training.epochs=3",
)  # fmt: skip


def part(path: str, cpu: float, clock: float, calls: int = 1) -> dict[str, Any]:
    return {"path": path.split("/"), "cpu": cpu, "clock": clock, "calls": calls}


def profile_of(*parts: dict[str, Any], cpu: float = 20.0) -> Profile:
    work = {"path": ["train", "dann"], "m": 1000, "k": 50, "n": 20, "count": 500.0, "gflops": 2.0, "seconds": 0.5}
    return Profile.from_json(
        {
            "name": "example", "version": "1", "commit": None, "processes": 2, "cpu": cpu, "clock": 12.0,
            "processor": {"name": "Abacus", "instructions": "AVX2", "bfloat16": False, "cores": 2},
            "parts": list(parts), "possible": {"copy_gb_per_second": 10.0, "products": [work]},
        }
    )  # fmt: skip


def test_parts_contain_what_is_inside_them_and_small_ones_are_together() -> None:
    profile = profile_of(
        part("load", 2.0, 2.5),
        part("train", 0.5, 6.0),
        part("train/dann", 1.0, 1.1, 2),
        part("train/dann/forward", 4.0, 4.5, 100),
        part("train/dann/backward", 10.0, 11.0, 100),
        part("train/dann/batches", 0.05, 0.1, 100),
        part("train/dann/checkpoint", 0.05, 0.1, 4),
    )
    parts, products = profiling.tables(profile)
    rows = {row[0]: list(row[1:]) for row in parts.rows}
    assert list(rows) == [
        "whole run",
        "load",
        "train",
        "  dann",
        "    backward",
        "    forward",
        "    smaller parts",
        "rest",
    ]
    assert rows["train"] == ["15.6", "78.0", "22.8", "1"]
    assert rows["  dann"] == ["15.1", "75.5", "16.8", "2"]
    assert rows["    smaller parts"][0] == "0.1" and rows["rest"][0] == "2.4"
    assert "Abacus, AVX2, 2 cores" in parts.caption
    # 500 products of 2 million operations in 0.5 s, where the training needed 15.1 s
    assert products.rows == [["dann", "15.1", "0.5", "30.20", "2", "0"]]
    console = Console(width=80, record=True)
    console.print(parts, crop=False)
    assert "\n     backward " in console.export_text()


def test_a_profile_is_written_and_read_with_the_same_content() -> None:
    content = profile_of(part("load", 1.0, 1.0)).to_json()
    assert Profile.from_json(json.loads(json.dumps(content))).to_json() == content


def test_the_processor_and_its_rates_are_those_of_this_machine() -> None:
    processor = machine.processor()
    assert processor["name"] and processor["instructions"] and isinstance(processor["bfloat16"], bool)
    seconds = machine.product_seconds([(512, 64, 64), (64, 8, 8)])
    assert 0.0 < seconds[64, 8, 8] < seconds[512, 64, 64] < 1.0


def test_a_run_with_a_profile_leaves_it_and_one_without_removes_it(tmp_path: Path) -> None:
    config, run = write_analysis(tmp_path, 500), tmp_path / "run"
    sets = [word for setting in (*SMALL, "training.processes=2") for word in ("--set", setting)]
    command = ["train", "--config", str(config), "--output", str(run), *sets]
    # a process of its own: what this one may have started before, a server of workers, imports nothing for the run
    shown = subprocess.run(
        [sys.executable, "-m", "hepda", *command, "--profile"], check=True, capture_output=True, text=True
    ).stdout
    assert "Profile of small" in shown and "Products of matrices" in shown
    profile = Profile.from_json(run_directory.read_json(run / run_directory.PROFILE))
    parts = {tuple(part.path): part for part in profile.parts}
    measured = sum(part.cpu for part in profile.parts)
    assert 0.0 < measured <= profile.cpu + 1e-9
    for path in (
        ("load", "reading"), ("load", "expressions"), ("train", "network", "forward"), ("train", "network", "backward"),
        ("train", "network", "batches"), ("train", "network", "optimizer"), ("train", "network", "validation"),
        ("evaluate", "differences"), ("draw", "roc_simulation"), ("train", "process start"),
        ("train", "workers between tasks"), ("start-up",),
    ):  # fmt: skip
        assert path in parts, path
    assert parts["train", "network"].calls == 2  # one for each fold
    assert {tuple(work.path) for work in profile.possible.products} == {("train", "network")}
    # two processes for the whole run: none starts after the first stage that has some
    assert sum(part.calls for path, part in parts.items() if path[-1:] == ("process start",)) == 2
    assert main([*command, "--overwrite"]) == 0
    assert not (run / run_directory.PROFILE).exists()
