"""Wide files: the cost of the columns that an analysis does not use.

    python benchmarks/wide.py [--columns 1500] [--events 20000] [--repeats 5] [--formats ttree rntuple parquet]
                              [--file NANOAOD] [--folder DIR] [--json FILE]

Two samples are written once into --folder, with --columns columns each (a third of them lists), and the same events
with the 20 columns alone that the analysis uses. Of each format, interleaved in new processes on one thread, in CPU
time of the user and of the system:

    open    uproot (pyarrow for Parquet) opens the wide file and lists its columns: the floor of `init`
    init    `hepda init` of the wide file
    check   `hepda check` of the analysis, with the wide files and with the narrow ones
    load    `load_table` without a cache, in the same way, without the imports

--file: another file for `open` and `init`, such as NanoAOD. Numbers are medians over the repeats, ratios medians of the
ratios within a repeat.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from children import cpu_of_children

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import uproot
import yaml

FLAT = tuple(f"x{i}" for i in range(12))
KEYS = ("run", "event")
VARIABLES = {
    "n_jets": "count(jet_pt)", "ht": "sum(jet_pt)", "n_b": "count(jet_b[jet_b > 0.8])", "jet_pt_1": "jet_pt[0]",
    "m_jets": "mass(sum(p4(jet_pt, jet_eta, jet_phi, jet_mass)))", "eta_max": "max(abs(jet_eta))",
}  # fmt: skip
OPEN = {
    "ttree": "import uproot; uproot.open({path!r})[{tree!r}].keys()",
    "rntuple": "import uproot; uproot.open({path!r})[{tree!r}].keys()",
    "parquet": "import pyarrow.parquet as pq; pq.ParquetFile({path!r}).schema_arrow.names",
}
LOAD = """
import resource, sys, time
import awkward, pyarrow.parquet, uproot
from hepda.config import load_config
from hepda.events.dataset.load import load_table
from hepda.events.resolve import dataset_spec
spec = dataset_spec(load_config({path!r}))
start = time.process_time()
print(len(load_table(spec).table), time.process_time() - start)
"""


def columns(events: int, number: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Return columns by name, and the names of those that the analysis uses."""
    rng = np.random.default_rng(seed)
    lengths = 2 + rng.poisson(2.5, events)
    total = int(lengths.sum())

    def lists() -> ak.Array:
        return ak.unflatten(rng.exponential(40, total).astype(np.float32), lengths)

    used: dict[str, Any] = {
        "run": np.ones(events, np.uint32),
        "event": np.arange(events, dtype=np.uint64) + seed * 10**9,
    }
    used |= {"jet_pt": lists(), "jet_eta": 0.01 * lists(), "jet_phi": 0.01 * lists(), "jet_mass": 0.1 * lists()}
    used |= {"jet_b": 0.01 * lists()}
    used |= {name: rng.normal(size=events).astype(np.float32) for name in FLAT}
    used |= {"weight": np.ones(events, np.float32)}
    others = number - len(used)
    listed = {f"Coll{i // 10}_part{i % 10}": lists() for i in range(others // 3)}
    flat = {f"HLT_path{i}": rng.random(events) < 0.1 for i in range(others - len(listed))}
    return used | listed | flat, list(used)


def write(path: Path, kind: str, content: dict[str, Any]) -> None:
    """Write columns as one of the formats, once."""
    if path.exists():
        return
    temporary = path.with_suffix(".tmp")
    if kind == "parquet":
        import pyarrow as pa

        arrays = {name: ak.to_arrow(ak.Array(values), extensionarray=False) for name, values in content.items()}
        pq.write_table(pa.table(arrays), temporary, compression="zstd")
    else:
        types = {
            n: v.dtype if isinstance(v, np.ndarray) else f"var * {v.type.content.content}" for n, v in content.items()
        }
        with uproot.recreate(temporary, compression=uproot.ZSTD(1)) as file:
            if kind == "ttree":
                file.mktree("Events", types, counter_name=lambda name: f"n{name}")
                file["Events"].extend(content)
            else:
                file.mkrntuple("Events", content)
    temporary.rename(path)


def analysis(path: Path, files: list[Path]) -> Path:
    """Write the analysis of two files."""
    samples = {
        name: {"files": str(file), "class": name, "domain": "simulation"}
        for name, file in zip(("signal", "background"), files, strict=True)
    }
    text = {
        "name": path.stem, "luminosity": 1.0, "normalisation": None, "samples": samples, "variables": VARIABLES,
        "features": [*VARIABLES, *FLAT], "selection": "n_jets >= 3", "weight": "weight", "missing": -1,
        "split": {"key": list(KEYS)}, "models": {"bdt": {"kind": "bdt"}},
    }  # fmt: skip
    path.write_text(yaml.safe_dump(text, sort_keys=False))
    return path


def cpu_of(command: list[str]) -> float:
    """Return the CPU time of a new process (s)."""
    before = cpu_of_children()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return cpu_of_children() - before


def load_cpu(config: Path) -> float:
    """Return the CPU time of `load_table` in a new process, without its imports (s)."""
    command = [sys.executable, "-c", LOAD.format(path=str(config))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def actions(kind: str, folder: Path, options: argparse.Namespace) -> dict[str, Callable[[], float]]:
    """Write the files of a format and return what is measured."""
    ending = "parquet" if kind == "parquet" else "root"
    paths: dict[str, list[Path]] = {"wide": [], "narrow": []}
    for seed, sample in enumerate(("signal", "background")):
        content, used = columns(options.events, options.columns, seed)
        for width, names in (("wide", list(content)), ("narrow", used)):
            path = folder / f"{sample}-{kind}-{width}-{options.columns}-{options.events}.{ending}"
            write(path, kind, {name: content[name] for name in names})
            paths[width].append(path)
    configs = {width: analysis(folder / f"{kind}_{width}.yaml", files) for width, files in paths.items()}
    looked_at = str(paths["wide"][0] if options.file is None else options.file)
    opening = OPEN[kind].format(path=looked_at, tree=options.tree)
    hepda = [sys.executable, "-m", "hepda"]
    measured: dict[str, Callable[[], float]] = {
        "open": lambda: cpu_of([sys.executable, "-c", opening]),
        "init": lambda: cpu_of([*hepda, "init", looked_at]),
    }
    for width, config in configs.items():
        measured[f"check {width}"] = lambda config=config: cpu_of([*hepda, "check", "--config", str(config)])  # type: ignore[misc]
        measured[f"load {width}"] = lambda config=config: load_cpu(config)  # type: ignore[misc]
    return measured


RATIOS = (("init", "open"), ("check wide", "check narrow"), ("load wide", "load narrow"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--columns", type=int, default=1500)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--formats", nargs="+", choices=list(OPEN), default=list(OPEN))
    parser.add_argument("--file", type=Path)
    parser.add_argument("--tree", default="Events")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "hepda-benchmark")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, list[float]]] = {}
    for kind in options.formats:
        measured = actions(kind, options.folder, options)
        times: dict[str, list[float]] = {name: [] for name in measured}
        for _ in range(options.repeats):
            for name, action in measured.items():
                times[name].append(action())
        found[kind] = times
        print(f"{kind}, {options.columns} columns, {options.events} events, CPU s, medians of {options.repeats}")
        for name, values in times.items():
            print(f"  {name:14}{statistics.median(values):8.2f}")
        for above, below in RATIOS:
            ratio = statistics.median(a / b for a, b in zip(times[above], times[below], strict=True))
            print(f"  {above} / {below}: {ratio:.2f}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    sys.exit(main())
