"""The examples of scans on a batch system, run on this machine where Snakemake and law are installed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.factory import write_analysis

EXAMPLES = Path(__file__).parents[1] / "examples" / "scan"
HEPDA = f"{sys.executable} -m hepda"
STRENGTHS, SEEDS = (0, 10), (2,)


def needs(program: str) -> str:
    """The path of a program; the test is skipped without it."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


@pytest.fixture
def page(tmp_path: Path) -> Path:
    domain = {"method": "dann", "source": "background", "target": "background_alt"}
    models = {"dann": {"kind": "network", "encoder": [4], "domain": domain}}
    return write_analysis(
        tmp_path, n=300, models=models, features=["ht", "m_bb"], evaluation={"probes": False, "bootstrap": 2},
        training={"processes": 1, "epochs": 2},
    )  # fmt: skip


def run(words: list[str], folder: Path, **environment: str) -> str:
    variables = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])} | environment
    done = subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def check_scan(folder: Path, page: Path) -> None:
    """Every point was trained with its strength and seed, and the page has all of them."""
    for strength in STRENGTHS:
        for seed in SEEDS:
            config = yaml.safe_load((folder / f"strength{strength}-seed{seed}" / "config.yaml").read_text())
            assert (config["models"]["dann"]["domain"]["strength"], config["seed"]) == (strength, seed)
            metrics = json.loads((folder / f"strength{strength}-seed{seed}" / "metrics.json").read_text())
            assert set(metrics["models"]) == {"dann"}
    text = page.read_text()
    assert all(f"strength{strength}-seed{seed}" in text for strength in STRENGTHS for seed in SEEDS)


@pytest.mark.slow
def test_snakemake_trains_every_point_once_and_compares_them(page: Path, tmp_path: Path) -> None:
    words = [
        needs("snakemake"), "--snakefile", str(EXAMPLES / "Snakefile"), "--directory", str(tmp_path / "work"),
        "--cores", "2", "--config", f"hepda={HEPDA}", f"analysis={page}", f"strengths={list(STRENGTHS)}",
        f"seeds={list(SEEDS)}",
    ]  # fmt: skip
    run(words, tmp_path)
    check_scan(tmp_path / "work" / "runs", tmp_path / "work" / "comparison.html")
    assert "Nothing to be done" in run(words, tmp_path)
    profile = yaml.safe_load((EXAMPLES / "slurm" / "config.yaml").read_text())
    assert profile["executor"] == "slurm" and profile["jobs"] > 1


@pytest.mark.slow
def test_law_trains_every_branch_and_compares_them(page: Path, tmp_path: Path) -> None:
    words = [
        needs("law"), "run", "law_scan.Compare", "--analysis", str(page), "--folder", str(tmp_path / "scan"),
        "--strengths", ",".join(map(str, STRENGTHS)), "--seeds", ",".join(map(str, SEEDS)), "--local-scheduler",
    ]  # fmt: skip
    variables = {
        "HEPDA": HEPDA, "LAW_HOME": str(tmp_path / "law"), "LAW_CONFIG_FILE": str(EXAMPLES / "law.cfg"),
        "PYTHONPATH": f"{EXAMPLES}{os.pathsep}{Path(__file__).parents[1]}",
    }  # fmt: skip
    run(words, tmp_path, **variables)
    check_scan(tmp_path / "scan", tmp_path / "scan" / "comparison.html")
