"""The cost of a scan besides its trainings: `python benchmarks/scan.py` (some minutes; --help lists the settings).

Both sides run the same jobs on the same processes. The trainings: `hepda.runtime.jobs.run_jobs` on a table that is
on disk already, nothing else. The scan: the whole `hepda scan`, from reading the ROOT files to the page. Measured are
wall clock, and CPU time of all processes (with `getrusage` of the ended children); `loops` is the time of the training
loops themselves.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


def timed(command: list[str]) -> tuple[float, float, str]:
    """Return wall clock and CPU time (s) of a command and all processes that it starts, and its output."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, done.stdout


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="tth.yaml")
    parser.add_argument("--vary", default="models.dann.domain.strength=0,10,30,100,200")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1, help="the medians are printed")
    parser.add_argument("--json", type=Path, help="write the numbers there as well")
    asked = parser.parse_args()
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
        scan = [sys.executable, "-m", "hepda", "scan", "--config", asked.config, "--vary", asked.vary]
        scan += ["--seeds", str(asked.seeds), "--processes", str(asked.processes), "--output", f"{name}/scan"]
        scan += [word for override in asked.set for word in ("--set", override)]
        scan_wall, scan_cpu, _ = timed(scan)
    found = json.loads(printed.splitlines()[-1])
    return {**found, "trainings_wall": wall, "trainings_cpu": cpu, "scan_wall": scan_wall, "scan_cpu": scan_cpu}


if __name__ == "__main__":
    main()
