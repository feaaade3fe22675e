"""Speed of reading events: from jagged TTrees to 20 features of tth.yaml, compared with the same code by hand.

    python benchmarks/reading.py [--events 2000000] [--repeats 5] [--threads 2] [--folder DIR] [--json FILE]
                                 [--root PYTHON] [--coffea PYTHON]

Two files (zstd), signal and background, are written once into --folder. They give 20 features, the weight and the
key of every event:

    hepda       `load_table` on an analysis file with the expressions of tth.yaml
    by hand     the floor: uproot reads exactly those branches, the same formulas are written in awkward
    RDataFrame  the same formulas in C++ and `AsNumpy`, on one thread and on --threads (--root: a Python that has ROOT)
    coffea      NanoEvents over the same files, the formulas by hand (--coffea: a Python that has coffea)

The first two are interleaved in one process on one thread and measured in CPU time; the others run in processes of
their own, in between. Numbers are medians over the repeats, ratios medians of the ratios within a repeat. All four must
give the same sums of features. What is not installed is skipped, with the reason. Times by wall clock are meaningful
only on a machine without other load.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import awkward as ak
import numpy as np
import reading_by_hand
import uproot
import yaml

from hepda.config import AnalysisConfig, load_config
from hepda.events.dataset.load import load_table
from hepda.events.resolve import dataset_spec

HERE = Path(__file__).parent
VARIABLES = {
    "good": "jet_pt > 25",
    "jets": "p4(jet_pt, jet_eta, jet_phi, jet_mass)[good]",
    "pt": "jet_pt[good]",
    "tag": "jet_b[good]",
    "lepton": "p4(lepton_pt, lepton_eta, lepton_phi, 0)",
    "by_tag": "sort(jets, tag + pt / 100000)",
    "bins": "sort(tag)",
    "b_jets": "by_tag[:4]",
}
FEATURES = {
    "n_jets": "count(pt)",
    "n_b70": "count(tag[tag >= 3])",
    "n_b77": "count(tag[tag >= 2])",
    "tag_3": "bins[2]",
    "tag_sum": "sum(bins[:5])",
    "ht": "sum(pt)",
    "jet_pt_1": "pt[0]",
    "jet_pt_3": "pt[2]",
    "jet_pt_5": "pt[4]",
    "m_bb_closest": "pair_mass_closest(b_jets)",
    "m_bb_max": "pair_mass_max(b_jets)",
    "dr_bb_min": "pair_delta_r_min(b_jets)",
    "dr_bb_mean": "pair_delta_r_mean(b_jets)",
    "deta_bb_max": "pair_delta_eta_max(b_jets)",
    "m_jets": "mass(sum(jets))",
    "centrality_jets": "centrality(jets)",
    "dr_lep_bb": "delta_r(lepton, by_tag[0] + by_tag[1])",
    "lepton_pt": None,
    "met": None,
    "mt_w": "transverse_mass(lepton_pt, lepton_phi, met, met_phi)",
}
CHUNK = 100_000


def write(path: Path, events: int, seed: int) -> None:
    """Write events with 4 to 12 jets, falling in pt, in one TTree."""
    rng = np.random.default_rng(seed)
    temporary = path.with_suffix(".tmp")
    with uproot.recreate(temporary, compression=uproot.ZSTD(5)) as file:
        for start in range(0, events, CHUNK):
            branches = chunk(rng, min(CHUNK, events - start), start)
            if not start:
                file.mktree("events", {name: getattr(v, "dtype", None) or v.type for name, v in branches.items()})
            file["events"].extend(branches)
    temporary.rename(path)


def chunk(rng: np.random.Generator, n: int, start: int) -> dict[str, Any]:
    """Return the branches of n events."""
    number = 4 + np.minimum(rng.poisson(1.6, n), 8)
    m, owner = int(number.sum()), np.repeat(np.arange(n), number)
    pt = 20 + rng.exponential(55, m)
    pt = pt[np.lexsort((-pt, owner))]
    pt[np.arange(m) - np.repeat(np.cumsum(number) - number, number) < 2] += 10  # two jets above the threshold
    jets = {
        "pt": pt,
        "eta": np.clip(rng.normal(0, 1.1, m), -2.5, 2.5),
        "phi": rng.uniform(-np.pi, np.pi, m),
        "mass": 0.1 * pt,
    }
    lists = {name: ak.unflatten(values.astype(np.float32), number) for name, values in jets.items()}
    lists["b"] = ak.unflatten(rng.choice(5, m, p=[0.5, 0.15, 0.1, 0.1, 0.15]).astype(np.int8), number)
    flat = {
        "lepton_pt": 27 + rng.exponential(40, n),
        "lepton_eta": rng.uniform(-2.4, 2.4, n),
        "lepton_phi": rng.uniform(-np.pi, np.pi, n),
        "met": rng.exponential(50, n),
        "met_phi": rng.uniform(-np.pi, np.pi, n),
        "gen_weight": np.where(rng.random(n) < 0.15, -1, 1),
        "b_weight": rng.normal(1, 0.1, n),
    }
    keys = {"run": np.ones(n, np.uint32), "event": np.arange(start, start + n, dtype=np.uint64)}
    return keys | {name: values.astype(np.float32) for name, values in flat.items()} | {"jet": ak.zip(lists)}


def analysis(folder: Path, files: list[Path]) -> AnalysisConfig:
    """Return the analysis file of the benchmark."""
    samples = {
        name: {"files": str(path), "class": name, "domain": "simulation"}
        for name, path in zip(("signal", "background"), files, strict=True)
    }
    text = {
        "name": "reading", "luminosity": 1.0, "tree": "events", "normalisation": None, "samples": samples,
        "variables": VARIABLES | {name: text for name, text in FEATURES.items() if text is not None},
        "features": list(FEATURES), "weight": "gen_weight * b_weight", "missing": -1,
        "split": {"key": ["run", "event"]}, "models": {"bdt": {"kind": "bdt"}},
    }  # fmt: skip
    (folder / "reading.yaml").write_text(yaml.safe_dump(text, sort_keys=False))
    return load_config(folder / "reading.yaml")


def timed(action: Callable[[], np.ndarray]) -> dict[str, Any]:
    """Return the number of events, the seconds in CPU time and by wall clock, and the sums of features."""
    cpu, wall = time.process_time(), time.perf_counter()
    with np.errstate(all="ignore"):
        table = action()
    about = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    return {"events": len(table), **about, "sums": table.sum(axis=0, dtype=np.float64).tolist()}


def others(options: argparse.Namespace, files: list[Path]) -> dict[str, list[str] | str]:
    """Return the commands of the programs that run in other processes, or the reason why they do not run."""
    paths = [str(path) for path in files]
    found: dict[str, list[str] | str] = {}
    for threads in (1, options.threads):
        name = f"RDataFrame, {threads} thread{'s' * (threads > 1)}"
        script = [str(HERE / "reading_rdataframe.py"), str(threads), "1", *paths]
        found[name] = [options.root, "-W", "ignore", *script] if options.root else "no --root PYTHON"
    script = [str(HERE / "reading_by_hand.py"), "--coffea", *paths]
    found["coffea"] = [options.coffea, "-W", "ignore", *script] if options.coffea else "no --coffea PYTHON"
    for name, command in found.items():
        if isinstance(command, list):
            module = "ROOT" if name.startswith("RDataFrame") else "coffea"
            tried = subprocess.run([command[0], "-c", f"import {module}"], capture_output=True, text=True, check=False)
            if tried.returncode:
                found[name] = (tried.stderr.strip().splitlines() or ["cannot be started"])[-1]
    return found


def measure(options: argparse.Namespace, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return one entry for each repeat, by program."""
    files = [folder / f"{name}-{options.events}.root" for name in ("signal", "background")]
    for seed, path in enumerate(files):
        if not path.exists():
            write(path, options.events // 2, seed)
    config = analysis(folder, files)
    here: dict[str, Callable[[], np.ndarray]] = {
        "hepda": lambda: load_table(dataset_spec(config)).table.features,
        "by hand": lambda: reading_by_hand.by_uproot([str(path) for path in files]),
    }
    elsewhere = others(options, files)
    found: dict[str, list[dict[str, Any]]] = {}
    for _ in range(options.repeats):
        for name, action in here.items():
            found.setdefault(name, []).append(timed(action))
        for name, command in elsewhere.items():
            if isinstance(command, list):
                environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                found.setdefault(name, []).append(json.loads(done.stdout.splitlines()[-1]))
    for name, command in elsewhere.items():
        if isinstance(command, str):
            print(f"{name}: skipped: {command}")
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "hepda-benchmark")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--root")
    parser.add_argument("--coffea")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    found = measure(options, options.folder)
    reference = found["hepda"]
    print(f"{options.events} events, {len(FEATURES)} features, medians of {options.repeats}")
    print(f"{'':24}{'M events / CPU s':>18}{'M events / s':>14}{'hepda takes, CPU':>18}{'wall':>8}")
    for name, runs in found.items():
        for a, b in zip(runs, reference, strict=True):
            np.testing.assert_allclose(a["sums"], b["sums"], rtol=1e-5, err_msg=name)
        rates = [statistics.median(r["events"] / r[kind] / 1e6 for r in runs) for kind in ("cpu", "wall")]
        ratios = [
            statistics.median(b[kind] / a[kind] for a, b in zip(runs, reference, strict=True))
            for kind in ("cpu", "wall")
        ]
        print(f"{name:24}{rates[0]:18.3f}{rates[1]:14.3f}{ratios[0]:18.3f}{ratios[1]:8.3f}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    sys.exit(main())
