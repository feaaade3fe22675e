"""The whole of `hepda train`: processor time of an earlier commit and of the present tree, run in turn.

    python benchmarks/whole.py [--commit 53539d9] [--config configs/tth.yaml] [--repeats 3] [--goal 0.35] [--json FILE]

The commit is checked out beside the present tree, and both train the analysis file, on the same ntuples, with the
Python that runs this script, one after the other, with empty caches. Processor time is that of all processes of a
run, also of those that outlive their parent, so that other work on the machine changes it little; the clock means
something only on an idle machine. Each repeat has another `training.seed`, the same for both, and AUC, KS distance
and efficiency shift of each model have to agree within the noise of the trainings: the errors that metrics.json gives
for the members of an ensemble, and the interval of the number for a single training (for a KS distance, the one that
two samples of the same distribution have). Exit status 1 if one of them does not agree within --pulls errors, or the
ratio is above --goal. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

from children import cpu_of_children, inherit_orphans, wait_for_orphans

from hepda.workflows.machine import processor

ROOT = Path(__file__).parents[1]
NTUPLES = Path("analyses/tth/ntuples")
"""What configs/tth.yaml reads."""


class Number(NamedTuple):
    """A number of metrics.json with the error that another training of the same model gives it."""

    value: float
    error: float


class Run(NamedTuple):
    """The processor time and the clock of a run, in s, and its numbers by name."""

    cpu: float
    clock: float
    numbers: dict[str, Number]


@contextmanager
def checked_out(commit: str, ntuples: Path) -> Iterator[Path]:
    """Provide a folder with a commit, which is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "--detach", tree, commit], check=True)
        try:
            place = tree / NTUPLES
            if not ntuples.is_dir():
                raise SystemExit(f"{ntuples}: no such folder")
            shutil.rmtree(place, ignore_errors=True)  # both read the same events: the commit may have had fewer
            place.symlink_to(ntuples.resolve(), target_is_directory=True)
            yield tree
        finally:
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", tree], check=True)


def train(tree: Path, config: Path, settings: list[str]) -> Run:
    """Train an analysis file with the hepda of a tree, and return what it took and gave."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        arguments = [word for setting in settings for word in ("--set", setting)]
        command = [sys.executable, "-m", "hepda", "train", "--config", tree / config, "--output", output, *arguments]
        environment = {name: value for name, value in os.environ.items() if name != "HEPDA_CACHE"}
        before, start = cpu_of_children(), time.perf_counter()
        done = subprocess.run(
            command, cwd=tree, env={**environment, "PYTHONPATH": str(tree)}, capture_output=True, text=True, check=False
        )
        clock = time.perf_counter() - start
        if done.returncode:
            raise SystemExit(f"{tree}: hepda train failed:\n{done.stdout}{done.stderr}")
        wait_for_orphans()
        metrics = json.loads((output / "metrics.json").read_text())
        return Run(cpu_of_children() - before, clock, dict(numbers_of(metrics)))


def numbers_of(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Number]]:
    """Yield AUC, KS distance and efficiency shifts of every model by name, as far as they were measured."""
    for model, entry in metrics["models"].items():
        noise = entry.get("training_noise") or {}
        for domain, auc in entry.get("auc", {}).items():
            error = noise.get("auc", {}).get("error")
            if auc["value"] is not None:
                half = (auc["high"] - auc["low"]) / 2
                yield f"{model}, AUC {domain}", Number(auc["value"], half if error is None else error)
        for pair, bias in entry.get("bias", {}).items():
            if bias.get("ks") is not None:
                yield f"{model}, KS {pair}", Number(bias["ks"], bias["ks_null"])
            shifts = noise.get("efficiency_shift", {}).get(pair, {})
            for efficiency, shift in (bias.get("efficiency_shift") or {}).items():
                value = shift["value"] if isinstance(shift, dict) else shift
                error = shifts.get(efficiency, {}).get("error")
                error = _half_width(bias, shift, efficiency) if error is None else error
                if value is not None and error is not None:
                    yield f"{model}, shift {pair} at {efficiency}", Number(value, error)


def _half_width(bias: Mapping[str, Any], shift: Any, efficiency: str) -> float | None:
    """Return the statistical error of an efficiency shift; None if the file has none."""
    if isinstance(shift, dict) and shift.get("error") is not None:
        return float(shift["error"])
    if isinstance(shift, dict) and shift.get("low") is not None:
        return float(shift["high"] - shift["low"]) / 2
    error: float | None = (bias.get("efficiency_shift_error") or {}).get(efficiency)
    return error


class Agreement(NamedTuple):
    """The means of a number in the runs of both, and by how many errors they differ."""

    old: float
    new: float
    pull: float


def agreement(old: list[Number], new: list[Number]) -> Agreement:
    """Compare a number of the runs of one with that of the runs of the other, one of each repeat."""
    means = [mean(number.value for number in numbers) for numbers in (old, new)]
    error = math.hypot(*(number.error for number in (*old, *new))) / len(old)
    difference = means[1] - means[0]
    return Agreement(*means, difference / error if error else (0.0 if difference == 0.0 else math.inf))


def agreements(old: list[Run], new: list[Run]) -> tuple[dict[str, Agreement], list[str]]:
    """Compare all numbers of the old runs with those of the new ones; also return those that a new run has not."""
    names = [name for name in old[0].numbers if all(name in run.numbers for run in old)]
    common = [name for name in names if all(name in run.numbers for run in new)]
    compared = {name: agreement([r.numbers[name] for r in old], [r.numbers[name] for r in new]) for name in common}
    return compared, [name for name in names if name not in compared]


def interleaved(options: argparse.Namespace) -> dict[str, list[Run]]:
    """Return the runs of the old commit and of the present tree, which took turns."""
    runs: dict[str, list[Run]] = {"old": [], "new": []}
    with checked_out(options.commit, options.ntuples) as old:
        for repeat in range(1, options.repeats + 1):
            settings = [*options.settings, f"training.seed={repeat}"]
            for name, tree in (("old", old), ("new", ROOT)):
                run = train(tree, options.config, settings)
                runs[name].append(run)
                print(f"repeat {repeat}, {name}: CPU {run.cpu:.1f} s, clock {run.clock:.1f} s", flush=True)
    return runs


def main() -> int:
    """Run both in turn and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commit", default="53539d9")
    parser.add_argument("--config", type=Path, default=Path("configs/tth.yaml"), help="of each tree; or a full path")
    parser.add_argument("--ntuples", type=Path, default=ROOT / NTUPLES, help="files of configs/tth.yaml")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--goal", type=float, default=0.35)
    parser.add_argument("--pulls", type=float, default=4.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    inherit_orphans()
    runs = interleaved(options)
    machine, ratios = processor(), [new.cpu / old.cpu for old, new in zip(runs["old"], runs["new"], strict=True)]
    print(f"{machine['name']}, {machine['instructions']}, {machine['cores']} cores; Python {platform.python_version()}")
    for name, of in runs.items():
        cpu, clock = (median(getattr(run, key) for run in of) for key in ("cpu", "clock"))
        print(f"{name}: CPU {cpu:.1f} s, clock {clock:.1f} s (medians)")
    each = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    print(f"ratio of CPU: {median(ratios):.3f} (goal {options.goal}); of each repeat: {each}")
    compared, missing = agreements(runs["old"], runs["new"])
    for name, result in compared.items():
        print(f"{name:55} {result.old:9.4f} {result.new:9.4f} {result.pull:+6.2f} errors")
    different = [name for name, result in compared.items() if abs(result.pull) > options.pulls]
    print(f"{len(compared)} numbers; more than {options.pulls:g} errors apart: {', '.join(different) or 'none'}")
    if missing:
        print(f"missing in the present tree: {', '.join(missing)}")
    if options.json is not None:
        times = {name: [{"cpu": run.cpu, "clock": run.clock} for run in of] for name, of in runs.items()}
        content = {"processor": machine, "commit": options.commit, "runs": times, "ratios": ratios}
        options.json.write_text(json.dumps(content | {"pulls": {n: r.pull for n, r in compared.items()}}, indent=1))
    return int(bool(different or missing) or median(ratios) > options.goal)


if __name__ == "__main__":
    sys.exit(main())
