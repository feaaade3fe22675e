"""Start-up: the CPU time before a command begins to work, beside Python's own start and single libraries.

    python benchmarks/startup.py [--repeats 7]

Each line is a new process on one thread; the lines are interleaved and the medians of user plus system time are shown,
with the ratio to Python's own start. `import ...` of a module of hepda is what a command, or a process of a pool,
imports before its first useful work.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

from children import cpu_of_children

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "hepda --version": ["-m", "hepda", "--version"],
    "hepda --help": ["-m", "hepda", "--help"],
    "hepda check --help": ["-m", "hepda", "check", "--help"],
    "import numpy": ["-c", "import numpy"],
    "import torch": ["-c", "import torch"],
    "import uproot": ["-c", "import uproot"],
    "import hepda.config": ["-c", "import hepda.config"],
    "import hepda.events.check": ["-c", "import hepda.events.check"],
    "import hepda.workflows.train": ["-c", "import hepda.workflows.train"],
    "import hepda.workflows.fit": ["-c", "import hepda.workflows.fit"],
    "import hepda.events.dataset.spans": ["-c", "import hepda.events.dataset.spans"],
}


def cpu_of(arguments: list[str]) -> float:
    """Return the CPU time of Python with these arguments (s)."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    before = cpu_of_children()
    subprocess.run([sys.executable, *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)
    return cpu_of_children() - before


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(options.repeats):
        for name, arguments in COMMANDS.items():
            times[name].append(cpu_of(arguments))
    floor = times["python -c pass"]
    print(f"{'':36}{'CPU s':>8}{'ratio':>8}")
    for name, values in times.items():
        ratio = statistics.median(a / b for a, b in zip(values, floor, strict=True))
        print(f"{name:36}{statistics.median(values):8.3f}{ratio:8.1f}")


if __name__ == "__main__":
    sys.exit(main())
