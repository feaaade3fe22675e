"""docs/cluster.md: its commands parse, its configurations make job scripts, and its script runs."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from hepda.cli import app
from hepda.config import load_config
from hepda.runtime.pool import check_cluster
from hepda.runtime.pool.cluster import described
from hepda.workflows.scan import ScanOptions
from hepda.workflows.scan.run import make_plan
from tests.factory import write_analysis

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[1] / "docs" / "cluster.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(yaml|sh)\n(.*?)^```$", PAGE, re.M | re.S)
SHELL = [text.replace("\\\n", "") for kind, text in BLOCKS if kind == "sh"]
COMMANDS = [line.removesuffix(" &") for text in SHELL for line in text.splitlines()]
(SCRIPT,) = (text for text in SHELL if text.startswith("#!"))


def commands(program: str) -> list[list[str]]:
    """The arguments of every command of the page that begins with `program`."""
    words = [shlex.split(line.removeprefix("srun ")) for line in COMMANDS if not line.startswith("#")]
    return [of_line[1:] for of_line in words if of_line[:1] == [program]]


@contextmanager
def configured(system: str, folder: Path) -> Iterator[Any]:
    """The cluster that the configuration of the page describes, with folders and network of this machine."""
    jobqueue = pytest.importorskip("dask_jobqueue")  # which registers its defaults
    import dask

    assert jobqueue
    text = next(text for kind, text in BLOCKS if kind == "yaml" and f"  {system}:" in text)
    settings = yaml.safe_load(text.replace("/shared/me", str(folder)).replace("ib0", "lo"))
    merged = dask.config.merge({"jobqueue": dask.config.get("jobqueue")}, settings)  # as Dask reads the file
    with dask.config.set(merged), described(system) as cluster:
        yield cluster


def worker_arguments(line: str) -> dict[str, Any]:
    """What `dask worker` understands of a command line."""
    from distributed.cli.dask_worker import main

    words = shlex.split(line)
    return main.make_context("dask worker", words[words.index("distributed.cli.dask_worker") + 1 :]).params


def test_every_command_of_hepda_parses() -> None:
    program: Any = typer.main.get_command(app)
    found = commands("hepda")
    assert len(found) == 4
    for verb, *arguments in found:
        context = program.commands[verb].make_context(verb, arguments, resilient_parsing=False)
        cluster = context.params["cluster"]
        if cluster != "$file":
            check_cluster(cluster)


def test_the_scan_has_500_trainings() -> None:
    for arguments in [found[1:] for found in commands("hepda") if found[0] == "scan"]:
        options = dict(zip(arguments[::2], arguments[1::2], strict=True))
        plan = make_plan(ScanOptions(options["--config"], vary=(options["--vary"],), seeds=int(options["--seeds"])))
        config = load_config(options["--config"])
        networks = config.split.folds * config.models["dann"].ensemble
        assert len(plan.points) * plan.options.seeds * networks == 500


def test_the_configuration_for_slurm_makes_the_job_script(tmp_path: Path) -> None:
    with configured("slurm", tmp_path) as cluster:
        script = cluster.job_script()
    for line in ("-p short", "-A atlas", "--cpus-per-task=4", "--mem=12G", "-t 02:00:00", "--constraint=rome"):
        assert f"#SBATCH {line}\n" in script
    assert f"source {tmp_path}/venv/bin/activate\n" in script and (tmp_path / "logs").is_dir()
    (command,) = (line for line in script.splitlines() if "dask_worker" in line)
    asked = worker_arguments(command)
    assert (asked["n_workers"], asked["nthreads"], asked["memory_limit"]) == ("4", 1, "0")
    assert command.split()[0] == sys.executable


def test_the_configuration_for_htcondor_makes_the_job_script(tmp_path: Path) -> None:
    with configured("htcondor", tmp_path) as cluster:
        script = cluster.job_script()
    assert '+JobFlavour = "longlunch"\n' in script and 'requirements = regexp("EPYC", CPUModelString)\n' in script
    assert "RequestCpus = MY.DaskWorkerCores\n" in script and "MY.DaskWorkerCores = 1\n" in script
    (arguments,) = re.findall(r"^Arguments = .-c '(.*)'.$", script, re.M)
    prologue, command = arguments.replace("''", "'").replace('""', '"').split("; ", 1)
    assert prologue == f"source {tmp_path}/venv/bin/activate"
    asked = worker_arguments(command)
    assert (asked["nthreads"], asked["memory_limit"]) == (1, "0")


def test_the_commands_of_dask_parse() -> None:
    pytest.importorskip("distributed")
    from distributed.cli import dask_scheduler, dask_worker

    programs = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}
    found = commands("dask")
    assert [words[0] for words in found] == ["scheduler", "worker", "scheduler", "worker"]
    for name, *arguments in found:
        asked = programs[name].make_context(name, arguments).params
        assert name == "scheduler" or (asked["nthreads"], asked["memory_limit"]) == (1, "0")


def test_the_script_of_an_allocation_scans_with_its_workers(tmp_path: Path) -> None:
    """In place of Slurm: `srun` starts two workers, and the files are those of a small analysis."""
    pytest.importorskip("distributed")
    config = write_analysis(tmp_path, n=300)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "srun").write_text('#!/bin/bash\n"$@" &\n"$@" &\ntrap "kill %1 %2" TERM\nwait\n')
    (tmp_path / "bin" / "srun").chmod(0o755)
    small = "features=[ht, m_bb] plots={} training.epochs=1 evaluation.bootstrap=2 evaluation.blind=null"
    sets = " ".join(f"--set {shlex.quote(word)}" for word in re.split(r" (?=\w+[.=])", small))
    script = SCRIPT.replace("cd /shared/me/analysis", f"cd {tmp_path}")
    script = script.replace("source /shared/me/venv/bin/activate\n", "").replace("tth.yaml", f"{config} {sets}")
    script = re.sub(r"strength=[\d,]+", "strength=0,5", script.replace("--seeds 5", "--seeds 1"))
    path = os.pathsep.join([str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    started = subprocess.Popen(
        ["bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, "PATH": path, "SLURM_JOB_ID": "7", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        output, _ = started.communicate(timeout=500)
    finally:
        with suppress(ProcessLookupError):  # scheduler and workers end with the script, however it ends
            os.killpg(started.pid, signal.SIGKILL)
    assert "report: runs/strengths/scan.html" in output, output
    assert (tmp_path / "runs" / "strengths" / "scan.csv").is_file()
    workers = set(re.findall(r"worker (tcp://\S+) on ", (tmp_path / "runs" / "strengths" / "log.txt").read_text()))
    assert len(workers) == 2
