"""Memory of reading and training, and growth of the time, from 10^5 events to as many as the disk holds.

    python benchmarks/size.py [--events 100000 1000000 10000000] [--table 50000000] [--memory 2GB] [--folder DIR]
                              [--stages load,again,train,trees,evaluate,whole,fit] [--json FILE]

`--events`: jagged trees (5 to 11 jets an event, float32, zstd) in files of a million events, read into 14 features and
trained on: `load` reads them into the table, `again` takes it from the cache, `train` trains a baseline and an
adversarial network for one epoch on both folds, `trees` trains trees of each library on all events of a fold,
`evaluate` computes the numbers of the scores, `whole` is `hepda train` from the files to the report, reported by its
stages, `fit` is `hepda fit` of the run that `whole` made, with 20 toys and replicas. `--table`: a table of 30 features
that is written without files of events, for numbers of events that are too large to generate; it has no `load`.

Each stage is a process of its own, with the processes that it starts. Memory is the largest sum over all of them,
measured about every 50 ms, of their own memory (anonymous pages, PSS: a page that two share counts once) and of
everything in memory (PSS with mapped files: those of the table, and those of the libraries). Times are CPU times.
The files in --folder stay until they are removed, and are used again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import uproot
import yaml
from children import cpu_of_children, inherit_orphans, wait_for_orphans

if TYPE_CHECKING:
    from hepda.events.specs import ModelSpec

FILE = 1_000_000
CHUNK = 50_000
COLUMNS = 30
VARIABLES = {
    "jets": "p4(jet_pt, jet_eta, jet_phi, jet_mass)",
    "b_jets": "jets[jet_b >= 3]",
    "ht": "sum(jet_pt)",
    "n_jets": "count(jet_pt)",
    "n_b": "count(b_jets)",
    "jet1_pt": "jet_pt[0]",
    "jet2_pt": "jet_pt[1]",
    "jet5_pt": "jet_pt[4]",
    "central": "centrality(jets)",
    "m_all": "mass(sum(jets))",
    "b1_pt": "pt(b_jets[0])",
    "b1_eta": "abs(eta(b_jets[0]))",
    "m_bb": "mass(b_jets[0] + b_jets[1])",
    "soft": "sum(jet_pt[jet_pt < 50])",
}
FEATURES = ["ht", "n_jets", "n_b", "jet1_pt", "jet2_pt", "jet5_pt", "central", "m_all", "b1_pt", "b1_eta", "m_bb",
            "soft", "met", "lepton_pt"]  # fmt: skip
TREES_ON = 500_000
"""Largest number of events that the trees of a fold are trained on, except in `trees`."""
TREES = 20
"""Number of trees in `trees`."""
TRAINING = {"epochs": 1, "batch_size": 1024, "patience": None}


def events(generator: np.random.Generator, n: int, first: int, harder: float) -> dict[str, Any]:
    """Return the branches of n events."""
    number = 5 + np.minimum(generator.poisson(1.3, n), 6)
    total = int(number.sum())

    def lists(values: np.ndarray) -> ak.Array:
        return ak.unflatten(values, number)

    pt = (25 + generator.exponential(55 * harder, total)).astype(np.float32)
    return {
        "run": np.ones(n, np.uint32),
        "event": np.arange(first, first + n).astype(np.uint64),
        "jet_pt": lists(pt),
        "jet_eta": lists(generator.normal(0, 1.2, total).astype(np.float32)),
        "jet_phi": lists(generator.uniform(-np.pi, np.pi, total).astype(np.float32)),
        "jet_mass": lists(np.float32(0.1) * pt),
        "jet_b": lists(generator.integers(0, 5, total).astype(np.int8)),
        "met": generator.exponential(50, n).astype(np.float32),
        "lepton_pt": (27 + generator.exponential(40, n)).astype(np.float32),
        "gen_weight": np.where(generator.random(n) < 0.1, -1.0, 1.0).astype(np.float32),
    }


def write_files(folder: Path, n: int) -> Path:
    """Write three samples of n events together; return the analysis file that trains on them."""
    folder.mkdir(parents=True, exist_ok=True)
    text: dict[str, Any] = {
        "name": f"size{n}", "luminosity": 1.0, "normalisation": None, "samples": {}, "variables": VARIABLES,
        "weight": "gen_weight", "features": FEATURES, "models": models(), "training": TRAINING,
        "evaluation": {"bias": {"between": ["simulation", "alternative"]}, "bootstrap": 20},
        "systematics": {"rate": {"kind": "norm", "value": 0.1, "samples": ["background"]}},
    }  # fmt: skip
    for place, (name, share) in enumerate({"signal": 0.3, "background": 0.5, "background_alt": 0.2}.items()):
        own = round(n * share)
        files = []
        for first in range(0, own, FILE):
            path = folder / f"{name}{first // FILE}.root"
            files.append(str(path))
            if not path.exists():
                _write_file(path, 10**9 * place + first, min(FILE, own - first), 1 + 0.2 * (place != 1))
        domain = "alternative" if "alt" in name else "simulation"
        text["samples"][name] = {"files": files, "class": name.partition("_")[0], "domain": domain}
    path = folder / "size.yaml"
    path.write_text(yaml.safe_dump(text, sort_keys=False))
    return path


def _write_file(path: Path, first: int, n: int, harder: float) -> None:
    generator = np.random.default_rng(first)
    part = path.with_suffix(".part")
    with uproot.recreate(part, compression=uproot.ZSTD(1)) as file:
        for start in range(0, n, CHUNK):
            branches = events(generator, min(CHUNK, n - start), first + start, harder)
            if start == 0:
                types = {
                    k: f"var * {ak.type(v).content.content}" if isinstance(v, ak.Array) else v.dtype
                    for k, v in branches.items()
                }
                file.mktree("events", types)
            file["events"].extend(branches)
    part.rename(path)


def models() -> dict[str, Any]:
    """Return the sections of a baseline, an adversarial network, and trees on a part of the events."""
    domain = {"source": ["background"], "target": ["background_alt"]}
    return {
        "network": {"kind": "network", "encoder": [64, 64]},
        "dann": {"kind": "network", "encoder": [64, 64], "domain": domain},
        "bdt": {"kind": "bdt", "iterations": 100, "events": TREES_ON},
    }


def write_table(folder: Path, n: int) -> Path:
    """Write a table of n events and 30 features to the disk as a stream; return an analysis file with its names."""
    from hepda.config import load_config
    from hepda.events.dataset.load import _column_defaults  # the columns that the models need
    from hepda.events.dataset.splits import event_key, fold_of, is_validation
    from hepda.events.resolve import dataset_spec, domains_of
    from hepda.events.table.feature_table import FeatureTable
    from hepda.events.table.store import TableWriter

    folder.mkdir(parents=True, exist_ok=True)
    names = tuple(f"x{i}" for i in range(COLUMNS))
    sample = {"files": str(folder / "none.root"), "class": "background"}
    text = {
        "name": f"table{n}", "luminosity": 1.0, "normalisation": None, "features": list(names), "models": models(),
        "training": TRAINING,
        "samples": {
            "signal": sample | {"class": "signal", "domain": "simulation"},
            "background": sample | {"domain": "simulation"},
            "background_alt": sample | {"domain": "alternative"},
        },
        "evaluation": {"bias": {"between": ["simulation", "alternative"]}, "bootstrap": 20},
    }  # fmt: skip
    path = folder / "size.yaml"
    path.write_text(yaml.safe_dump(text, sort_keys=False))
    if (folder / "table" / "names.json").exists():
        return path
    shutil.rmtree(folder / "table", ignore_errors=True)
    config = load_config(path)
    writer = TableWriter(folder / "table", _column_defaults(dataset_spec(config)))
    generator = np.random.default_rng(1)
    for first in range(0, n, FILE):
        m = min(FILE, n - first)
        code = np.sort(generator.choice(3, m, p=[0.3, 0.5, 0.2])).astype(np.int16)
        features = generator.standard_normal((m, COLUMNS), dtype=np.float32)
        features[:, :5] += 0.3 * (code == 0)[:, None]
        features[:, 5:8] += 0.3 * (code == 2)[:, None]
        key = event_key(np.arange(first, first + m))
        weight = np.where(generator.random(m) < 0.1, -1.0, 1.0)
        columns = {
            "domain:dann:mask": code > 0,
            "domain:dann:weight": np.where(code > 0, weight, 0.0),
            "domain:dann:side": np.choose(code, [0, 0, 1]).astype(np.int8),
        }
        writer.append(
            FeatureTable(
                features,
                names,
                weight,
                (code == 0).astype(np.int8),
                (code == 2).astype(np.int16),
                domains_of(config).names,
                code,
                tuple(config.samples),
                fold_of(key, 2),
                is_validation(key, 0.2),
                key,
                columns,
            )
        )
    writer.finish()
    return path


# --- the stages, each in a process of its own ---------------------------------------------------------------------


def stage(name: str, config: str, memory: str, processes: int) -> None:
    """Run a stage in this process and print its results."""
    from hepda.config import load_config
    from hepda.events import steps
    from hepda.events.dataset.load import LoadedEvents
    from hepda.events.kind import EventsKind, combine
    from hepda.events.resolve import evaluation_spec, model_specs
    from hepda.events.results.evaluate import EvaluationInput
    from hepda.events.results.scores_file import ScoresFile
    from hepda.events.table.store import open_table
    from hepda.events.training.jobs import check_memory, jobs_of
    from hepda.runtime.plots import PlotOptions
    from hepda.runtime.pool import preload
    from hepda.runtime.resources import Resources, memory_of
    from hepda.runtime.torchrun import run_jobs
    from hepda.workflows import fit, train

    path = Path(config)
    folder = path.parent
    loaded_config = load_config(path, [f"training.processes={processes}"])
    means = Resources(memory_of(memory), processes=processes, cache=folder / "cache")
    if name == "whole":
        plots = PlotOptions(folder=folder / "plots")
        done = train.train(loaded_config, folder / "run", plots, Telling(), resources=means)
        print(json.dumps({"rows": sum(sample.selected for sample in done.metrics.samples.values()), "note": ""}))
        return
    if name == "fit":
        options = fit.FitOptions(toys=20, replicas=20, output=folder / "fit", processes=processes)
        fit.fit(folder / "run", options, Telling())
        print(json.dumps({"rows": ScoresFile(folder / "run", {}).rows, "note": ""}))
        return
    if name in ("train", "evaluate") and processes > 1:
        preload(EventsKind.heavy)
    if (folder / "table").exists():
        loaded = LoadedEvents(open_table(folder / "table"), {}, (), folder=folder / "table")
    else:
        loaded = steps.load(loaded_config, lambda *_: None, means)
    run = folder / "run"
    if name == "train":
        work = run / ".work" / "size"
        work.mkdir(parents=True, exist_ok=True)
        number = check_memory(model_specs(loaded_config), loaded.table, means, processes)
        jobs = jobs_of(model_specs(loaded_config), loaded.folder, run, work, "auto")
        scores = combine(loaded_config, loaded.table, run_jobs(jobs, number, lambda *_: None))
        for model, score in scores.items():
            np.save(folder / f"{model}.npy", score)
    if name == "trees":
        train_trees(model_specs(loaded_config)["bdt"], loaded.folder or folder / "table", folder)
    if name == "evaluate":
        scores = {model: np.load(folder / f"{model}.npy", mmap_mode="r") for model in loaded_config.models}
        evaluated = EvaluationInput(evaluation_spec(loaded_config), loaded.table, scores)
        steps.numbers_of(evaluated, run / "models", processes, lambda *_: None)
    print(json.dumps({"rows": len(loaded.table), "note": loaded.note}))


def train_trees(model: ModelSpec, table: Path, folder: Path) -> None:
    """Train trees of every library that is installed on all events of a fold, and print their CPU time."""
    from hepda.events.training.jobs import EventJob, train_bdt

    for library in ("sklearn", "lightgbm", "xgboost"):
        if find_spec(library) is None:
            continue
        Telling().stage(library)
        section = model.section.model_copy(update={"library": library, "events": None, "iterations": TREES})
        place = folder / "trees" / library
        place.mkdir(parents=True, exist_ok=True)
        spec = replace(model, section=section)
        job = EventJob(1, "bdt", 0, 0, table, place, place, "cpu", "auto", spec=spec)
        job.folder.mkdir(parents=True, exist_ok=True)
        start = time.process_time()
        _, about, _ = train_bdt(job)
        cpu = time.process_time() - start
        print(f"cpu {library}: {about['events']} events, {about['epochs']} trees, {cpu:.1f} s with scores", flush=True)


class Telling:
    """A progress that prints the stages as lines for `measure`."""

    def stage(self, name: str) -> None:
        """Print that a stage begins."""
        print(f"stage {name}", flush=True)

    def step(self, what: str, done: int, total: int) -> None:
        """Do nothing."""


def tree_of(pid: int) -> Iterator[int]:
    """Yield a process and all that it has started."""
    yield pid
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from tree_of(int(child))
    except OSError:
        return


class Watch(threading.Thread):
    """Measures the memory of a process and its descendants until it ends: peaks in MB, in total and of each part."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.own, self.resident, self.over = pid, 0.0, 0.0, False
        self.part, self.parts = "start", dict[str, tuple[float, float]]()

    def run(self) -> None:
        """Measure every 50 ms, or less often where that takes a tenth of a core: the kernel adds up all pages."""
        while not self.over:
            own = resident = 0.0
            begin = time.thread_time()
            for pid in tree_of(self.pid):
                try:
                    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                except OSError:
                    continue
                told = {line.split(":")[0]: line.split()[1] for line in rollup if line.startswith("Pss")}
                own += float(told.get("Pss_Anon", 0)) / 1024
                resident += float(told.get("Pss", 0)) / 1024
            self.own, self.resident = max(self.own, own), max(self.resident, resident)
            before = self.parts.get(self.part, (0.0, 0.0))
            self.parts[self.part] = max(before[0], own), max(before[1], resident)
            time.sleep(max(0.05, 9 * (time.thread_time() - begin)))


def measure(name: str, config: Path, memory: str, processes: int) -> dict[str, Any]:
    """Run a stage in a process of its own; return what it prints, its CPU time (s) and its peaks (MB)."""
    command = [sys.executable, __file__, "--stage", name, "--config", str(config), "--memory", memory,
               "--processes", str(processes)]  # fmt: skip
    before, start = cpu_of_children(), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    watch = Watch(process.pid)
    watch.start()
    line, begins = "", [("start", 0.0)]
    for line in process.stdout or ():
        if line.startswith("stage "):
            watch.part = line.split()[1]
            begins.append((watch.part, time.perf_counter() - start))
        elif line.startswith("cpu "):
            print(line.strip())
    status = process.wait()
    seconds = time.perf_counter() - start
    watch.over = True
    wait_for_orphans()
    if status:
        raise SystemExit(f"{name} of {config} ended with {status}")
    told = json.loads(line)
    found = {"stage": name, "rows": told["rows"], "cpu": cpu_of_children() - before,
             "seconds": seconds, "own": watch.own, "resident": watch.resident}  # fmt: skip
    if len(watch.parts) > 1:
        clock = dict.fromkeys(watch.parts, 0.0)
        for (part, first), (_, last) in pairwise([*begins, ("end", seconds)]):
            clock[part] = clock.get(part, 0.0) + last - first
        found |= {"parts": watch.parts, "seconds_parts": clock}
        print("; ".join(f"{p} {clock[p]:.0f} s, {own:.0f} / {all_:.0f} MB" for p, (own, all_) in watch.parts.items()))
    print(f"{config.parent.name:>14} {name:>9}: {found['rows']:>10} rows, {found['cpu']:8.1f} s CPU, {seconds:.0f} s, "
          f"{found['own']:7.0f} MB of its own, {found['resident']:7.0f} MB resident", flush=True)  # fmt: skip
    return found


def main() -> None:
    """Measure, print, and write the requested files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, nargs="*", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--table", type=int, nargs="*", default=[])
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("size"))
    parser.add_argument("--stages", default="load,again,train")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--stage")
    parser.add_argument("--config")
    given = parser.parse_args()
    if given.stage:
        stage(given.stage, given.config, given.memory, given.processes)
        return
    inherit_orphans()
    found: dict[str, Any] = {"memory": given.memory, "processes": given.processes, "stages": []}
    places = [(n, given.folder / f"events{n}") for n in given.events]
    for n, place in [*places, *((n, given.folder / f"table{n}") for n in given.table)]:
        config = (write_table if place.name.startswith("table") else write_files)(place, n)
        for name in given.stages.split(","):
            if place.name.startswith("table") and name in ("load", "again"):
                continue
            if name == "load":
                shutil.rmtree(place / "cache", ignore_errors=True)
            if name in ("train", "whole"):
                shutil.rmtree(place / "run", ignore_errors=True)
            found["stages"].append({"events": n, **measure(name, config, given.memory, given.processes)})
            if given.json:
                given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
