"""A scan of the strength of an adaptation over several seeds on a batch system, by law (https://law.readthedocs.io).

    pip install law
    export PYTHONPATH=$PWD LAW_CONFIG_FILE=$PWD/law.cfg
    law index
    law run Compare --analysis tth.yaml --strengths 0,100,1000 --seeds 1,2 --workflow local
    law run Compare --analysis tth.yaml --strengths 0,100,1000 --seeds 1,2 --workflow slurm

A branch that was killed continues from its last checkpoint when law starts it again. Options that the batch system of a
site needs (partition, account) are in `slurm_job_config`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import law
import luigi

law.contrib.load("slurm")


class Scan(law.Task):
    """The parameters of a scan."""

    analysis = luigi.Parameter(description="analysis file")
    model = luigi.Parameter(default="dann", description="model whose strength is varied")
    strengths = law.CSVParameter(default=(0.0, 100.0, 1000.0), cls=luigi.FloatParameter)
    seeds = law.CSVParameter(default=(1, 2), cls=luigi.IntParameter)
    settings = law.CSVParameter(default=(), description="further KEY=VALUE of the analysis file")
    folder = luigi.Parameter(default="scan", description="folder of the runs")

    def hepda(self, *words: str) -> None:
        """Run a command of hepda, HEPDA if that is set, and raise CalledProcessError if it fails."""
        subprocess.run([*shlex.split(os.environ.get("HEPDA", "hepda")), *words], check=True)  # noqa: S603

    def run_of(self, strength: float, seed: int) -> Path:
        """Return the run directory of a point."""
        return Path(str(self.folder)) / f"strength{strength:g}-seed{seed}"


class Train(Scan, law.LocalWorkflow, law.slurm.SlurmWorkflow):
    """A training for each strength and seed: a branch of the workflow, a job of the batch system."""

    def create_branch_map(self) -> dict[int, tuple[float, int]]:
        """Return strength and seed of each branch."""
        return dict(enumerate((strength, seed) for strength in self.strengths for seed in self.seeds))

    def output(self) -> law.LocalFileTarget:
        """Return the file that a complete run has."""
        return law.LocalFileTarget(str((self.run_of(*self.branch_data) / "metrics.json").absolute()))

    def run(self) -> None:
        """Train one point."""
        strength, seed = self.branch_data
        overrides = [f"models.{self.model}.domain.strength={strength:g}", f"seed={seed}", *self.settings]
        self.hepda(
            "train", "--config", str(self.analysis), "--output", str(self.run_of(strength, seed)),
            "--cache", str(Path(str(self.folder)) / ".hepda-cache"), "--plots", "none", "--resume", "--overwrite",
            *(word for override in overrides for word in ("--set", override)),
        )  # fmt: skip

    def slurm_output_directory(self) -> law.LocalDirectoryTarget:
        """Return the folder of the job files and of their output, which the nodes share."""
        return law.LocalDirectoryTarget(str((Path(str(self.folder)) / "jobs").absolute()))

    def slurm_job_config(self, config: Any, job_num: int, branches: list[int]) -> Any:
        """Return the options of a job."""
        config.custom_content += [("time", "02:00:00"), ("mem", "4G"), ("cpus-per-task", 1)]
        return config


class Compare(Scan):
    """All runs on one page."""

    workflow = luigi.Parameter(default="local", description="local or slurm")

    def requires(self) -> Train:
        """Return the trainings."""
        return Train.req(self, workflow=self.workflow)

    def output(self) -> law.LocalFileTarget:
        """Return the page."""
        return law.LocalFileTarget(str((Path(str(self.folder)) / "comparison.html").absolute()))

    def run(self) -> None:
        """Compare all runs."""
        runs = [str(self.run_of(strength, seed)) for strength in self.strengths for seed in self.seeds]
        self.hepda("compare", *runs, "--output", self.output().path)
