"""Check whether two commits give the same numbers, to the last bit: train analysis files with both and compare.

    python benchmarks/same_numbers.py OLD NEW [--configs digits speech_tones tth] [--folder DIR]

Each commit is checked out beside the working tree and trains with the Python that runs this script. Compared are every
number of metrics.json except times and rates, and every column of scores.parquet. A run that is in --folder already is
used again. Exit status 1 if anything differs; the differences are printed with both values.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TIMES = ("seconds", "cpu_seconds", "rows_per_second")
"""Keys of metrics.json that differ from run to run."""
SHOWN = 20


def differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Yield a line for every value of `old` that is missing or different in `new`; keys of `new` alone are ignored."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key, value in old.items():
            if key in TIMES:
                continue
            if key not in new:
                yield f"{place}/{key}: gone"
            else:
                yield from differences(value, new[key], f"{place}/{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f"{place}/{number}")
    elif not (old == new or (isinstance(old, float) and isinstance(new, float) and math.isnan(old + new))):
        yield f"{place}: {old!r} became {new!r}"


def score_differences(old: Path, new: Path) -> Iterator[str]:
    """Yield a line for every column of scores.parquet that is not the same to the last bit."""
    before, after = pq.read_table(old), pq.read_table(new)
    for name in before.column_names:
        if name not in after.column_names:
            yield f"scores.parquet: no column {name!r}"
            continue
        one, other = before[name], after[name]
        if len(one) != len(other):
            yield f"scores.parquet/{name}: {len(one)} rows became {len(other)}"
        elif pa.types.is_floating(one.type):
            old_values, new_values = one.to_numpy(), other.to_numpy()
            if old_values.tobytes() != new_values.tobytes():
                yield f"scores.parquet/{name}: {np.nanmax(np.abs(old_values - new_values)):.3g} at most"
        elif one.to_pylist() != other.to_pylist():
            yield f"scores.parquet/{name}: other values"


def train(commit: str, config: str, folder: Path) -> Path:
    """Train an analysis file at a commit into `folder`, unless its run is there; return the run directory."""
    name = subprocess.run(["git", "rev-parse", commit], capture_output=True, text=True, check=True).stdout.strip()
    run = folder / name[:12] / config
    if (run / "report.html").exists():
        return run
    tree = folder / name[:12] / "tree"
    if not tree.exists():
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(tree), name], check=True)
    command = [sys.executable, "-m", "hepda", "train", "--config", f"{config}.yaml", "--output", str(run), "--plots"]
    # Earlier commits draw every figure, and the option names a folder for them.
    earlier = not (tree / "hepda" / "runtime" / "plots.py").exists()
    command.append(str(folder / name[:12] / "plots" / config) if earlier else "none")
    subprocess.run(command, cwd=tree, check=True, env=os.environ | {"PYTHONPATH": str(tree)})
    return run


def main() -> int:
    """Train, compare, print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--configs", nargs="+", default=["digits", "speech_tones", "tth"])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "hepda-same-numbers")
    options = parser.parse_args()
    status = 0
    for config in options.configs:
        old, new = (train(commit, config, options.folder.resolve()) for commit in (options.old, options.new))
        metrics = (json.loads((run / "metrics.json").read_text(encoding="utf-8")) for run in (old, new))
        lines = [*differences(*metrics), *score_differences(old / "scores.parquet", new / "scores.parquet")]
        print(f"{config}: {'the same' if not lines else f'{len(lines)} differences'}")
        for line in lines[:SHOWN]:
            print(f"  {line}")
        status = status or bool(lines)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
