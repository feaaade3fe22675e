"""The cost of a scan besides its trainings: `python benchmarks/scan.py` (some minutes; --help lists the settings).

Both sides run the same jobs on the same processes. The trainings: `hepda.runtime.jobs.run_jobs` on a table that is
on disk already, nothing else. The scan: the whole `hepda scan`, from reading the ROOT files to the page. Measured are
wall clock, and CPU time of all processes (with `getrusage` of the ended children); `loops` is the time of the training
loops themselves.

With `--workers 1,2,4` the scan is done by so many Dask workers of this machine instead (`hepda scan --cluster`), one
number after the other and back again. `efficiency` is the CPU time of the trainings over that of the workers, from
their start; `idle` is the share of the workers' time without a task, from the first task to the last. Both hold on a
machine with other work on it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from children import cpu_of_children

TRAININGS = """
import json, sys
from pathlib import Path
from hepda.events import steps
from hepda.events.table.store import write_table
from hepda.workflows.scan.points import ScanSource, make_trial
from hepda.config import load_config
from hepda.config.scan import parse_vary
from hepda.runtime.jobs import run_jobs

config, vary, seeds, processes, folder, *base = sys.argv[1:]
key = parse_vary(vary)
source = ScanSource(config, tuple(base), (key.model,), load_config(config, base))
points = source.grid([key], ())
if __name__ == "__main__":
    table = Path(folder) / "table"
    if not table.exists():
        write_table(steps.load(points[0].config, lambda *_: None).table, table)
    else:
        jobs = []
        for number in range(int(seeds)):
            for point in points:
                jobs += make_trial(point, number, table, 0, Path(folder) / "trainings", "auto").jobs
        for job in jobs:
            job.work.mkdir(parents=True, exist_ok=True)
        found = run_jobs(jobs, int(processes), lambda *_: None)
        print(json.dumps({"jobs": len(jobs), "loops": sum(result.about["seconds"] for result in found)}))
"""


READING = """
import sys
from pathlib import Path
from hepda.config import load_config
from hepda.events import steps
from hepda.runtime.resources import Resources

config, cache, *base = sys.argv[1:]
steps.load(load_config(config, base), lambda *_: None, Resources(cache=Path(cache)))
"""


def timed(command: list[str]) -> tuple[float, float, str]:
    """Return wall clock and CPU time (s) of a command and all processes that it starts, and its output."""
    before, start = cpu_of_children(), time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - start, cpu_of_children() - before, done.stdout


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="tth.yaml")
    parser.add_argument("--vary", default="models.dann.domain.strength=0,10,30,100,200")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1, help="the medians are printed")
    parser.add_argument("--workers", help="numbers of Dask workers, such as 1,2,4")
    parser.add_argument("--json", type=Path, help="write the numbers there as well")
    asked = parser.parse_args()
    if asked.workers:
        _efficiencies(asked, [int(number) for number in asked.workers.split(",")])
        return
    rows = [_measure(asked) for _ in range(asked.repeats)]
    middle = {key: sorted(row[key] for row in rows)[len(rows) // 2] for key in rows[0]}
    print(f"{middle['jobs']:.0f} trainings, {asked.processes} processes")
    for name in ("wall", "cpu"):
        scan, alone = middle[f"scan_{name}"], middle[f"trainings_{name}"]
        print(f"{name:5} trainings {alone:7.1f} s   scan {scan:7.1f} s   {scan / alone:.3f} of the trainings")
    print(f"loops {middle['loops']:.1f} s in all; scan {middle['scan_cpu'] / middle['loops']:.3f} of them in CPU time")
    if asked.json:
        asked.json.write_text(json.dumps(middle, indent=1))


def _measure(asked: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = folder / "trainings.py"
        script.write_text(TRAININGS)
        alone = [sys.executable, str(script), asked.config, asked.vary, str(asked.seeds), str(asked.processes), name]
        subprocess.run([*alone, *asked.set], check=True, capture_output=True)  # writes the table, which is not timed
        wall, cpu, printed = timed([*alone, *asked.set])
        scan_wall, scan_cpu, _ = timed([*_scan(asked, folder / "scan"), "--processes", str(asked.processes)])
    found = json.loads(printed.splitlines()[-1])
    return {**found, "trainings_wall": wall, "trainings_cpu": cpu, "scan_wall": scan_wall, "scan_cpu": scan_cpu}


def _scan(asked: argparse.Namespace, folder: Path) -> list[str]:
    scan = [sys.executable, "-m", "hepda", "scan", "--config", asked.config, "--vary", asked.vary]
    scan += ["--seeds", str(asked.seeds), "--output", str(folder)]
    return scan + [word for override in asked.set for word in ("--set", override)]


def _efficiencies(asked: argparse.Namespace, numbers: list[int]) -> None:
    """Measure and print the efficiency of scans on so many workers, in both orders."""
    rows: dict[int, list[dict[str, float]]] = {number: [] for number in numbers}
    with tempfile.TemporaryDirectory() as cache:  # the events are read once, which is not measured
        subprocess.run([sys.executable, "-c", READING, asked.config, cache, *asked.set], check=True)
        for repeat in range(asked.repeats):
            for number in numbers if repeat % 2 == 0 else numbers[::-1]:
                rows[number].append(_on_workers(asked, number, cache))
                print(number, rows[number][-1], file=sys.stderr, flush=True)
    middle = {
        number: {key: float(np.median([row[key] for row in of_number])) for key in of_number[0]}
        for number, of_number in rows.items()
    }
    print("workers  trainings   their CPU   workers' CPU   start-up   efficiency   without start-up   idle")
    for number, row in middle.items():
        after_start = row["trainings"] / (row["workers"] - row["start"])
        print(
            f"{number:7} {row['jobs']:10.0f} {row['trainings']:9.1f} s {row['workers']:12.1f} s {row['start']:8.1f} s"
            f" {row['trainings'] / row['workers']:12.3f} {after_start:18.3f} {row['idle']:6.3f}"
        )
    if asked.json:
        asked.json.write_text(json.dumps(middle, indent=1))


def _on_workers(asked: argparse.Namespace, number: int, cache: str) -> dict[str, float]:
    """Return what one scan on `number` workers costs: CPU times in s, and the idle share."""
    from distributed import Client, LocalCluster, get_task_stream

    with (
        tempfile.TemporaryDirectory() as name,
        LocalCluster(number, threads_per_worker=1, memory_limit=0, dashboard_address=None, silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(number)
        with get_task_stream(client, plot=False) as stream:
            subprocess.run(
                [*_scan(asked, Path(name) / "scan"), "--cluster", cluster.scheduler_address, "--cache", cache],
                check=True, capture_output=True,
            )  # fmt: skip
        workers = sum(client.run(time.process_time).values())
        cpu = [_training_cpu(path) for path in Path(name).glob("scan/trainings/*/*.npz")]
    tasks: list[dict[str, Any]] = [task for task in stream.data if task["key"].startswith("_call")]
    spans: dict[str, list[tuple[float, float]]] = {}
    for task in tasks:
        computed = [(part["start"], part["stop"]) for part in task["startstops"] if part["action"] == "compute"]
        spans.setdefault(task["worker"], []).extend(computed)
    starts, stops = zip(*(span for of_worker in spans.values() for span in of_worker), strict=True)
    busy = sum(_covered(of_worker) for of_worker in spans.values())
    idle = 1.0 - busy / (number * (max(stops) - min(starts)))
    return {"jobs": len(cpu), "trainings": sum(cpu), "workers": workers, "start": _start_up() * number, "idle": idle}


def _covered(spans: list[tuple[float, float]]) -> float:
    """Return the time that spans cover together; Dask may list one twice."""
    total, until = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, until))
        until = max(until, stop)
    return total


def _training_cpu(path: Path) -> float:
    """Return the CPU time (s) of the training that left a file, as its process measured it."""
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(file["text"].tobytes().decode())["about"]
    return float(about["cpu_seconds"])


def _start_up() -> float:
    """Return the CPU time (s) that a worker needs before its first task: Python and the libraries."""
    script = "import distributed, hepda.events.training.jobs, torch, time; print(time.process_time())"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
