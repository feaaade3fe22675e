"""Running a generator page (such as analyses/tth/generate.py) on several processes, and writing its ntuples.

A page is a Python file that the user names and that holds the physics: `SAMPLES` (name -> SampleSpec),
`generate_chunk(spec, seed) -> Chunk` and `assemble(samples) -> files`. This module does the rest: chunks with seeds of
their own on several processes, finished chunks kept so that an interrupted run goes on, rounding, and ROOT files.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import awkward as ak
import numpy as np

from hepda.errors import ConfigError, MissingExtraError, nearest
from hepda.runtime.processes import submit, workers

# Bits of mantissa that are kept of float32 branches: a pt to 0.1 %, an angle near 1 to 0.001, a mass to 0.4 %.
MANTISSA_BITS = {"mass": 7}
DEFAULT_BITS = 9


@dataclass(frozen=True)
class SampleSpec:
    """A sample to generate: `events` collisions in chunks of `chunk`; `physics` is the page's own."""

    events: int
    chunk: int
    cross_section: float  # pb, branching ratios included
    physics: dict[str, Any]


@dataclass(frozen=True)
class Chunk:
    """Selected events as columns (flat or jagged), with what was generated to get them."""

    columns: dict[str, Any]
    generated: int
    sum_of_weights: float


@lru_cache
def load_page(path: Path) -> ModuleType:
    """Import the generator page at `path`.

    Raises:
        ConfigError: the file is missing or lacks one of the names that a page must have.
        MissingExtraError: Pythia or fastjet is not installed.

    """
    if not path.is_file():
        raise ConfigError(f"there is no generator page {path}; the example's is analyses/tth/generate.py")
    name = f"hepda_generator_{zlib.crc32(str(path.resolve()).encode()):08x}"
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise ConfigError(f"{path} is not a Python file; a generator page must be one")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except ModuleNotFoundError as error:
        if error.name in ("pythia8mc", "fastjet"):
            raise MissingExtraError(error.name, "generate") from error
        raise
    missing = [wanted for wanted in ("SAMPLES", "generate_chunk", "assemble") if not hasattr(module, wanted)]
    if missing:
        raise ConfigError(f"the generator page {path} does not define {', '.join(missing)}")
    return module


def seeds_of(sample: str, spec: SampleSpec, seed: int) -> list[int]:
    """One seed for each chunk: fixed by the sample's name and the run's seed, whatever else is generated."""
    base = zlib.crc32(f"{sample}:{seed}".encode()) % 400_000
    # Pythia takes seeds up to 900,000,000; the page makes two of each.
    return [base * 1000 + i for i in range(-(-spec.events // spec.chunk))]


def chosen_samples(module: ModuleType, names: list[str] | None, scale: float) -> dict[str, SampleSpec]:
    """The page's samples, or those named, with `scale` times their events."""
    known: dict[str, SampleSpec] = module.SAMPLES
    for name in names or []:
        if name not in known:
            raise ConfigError(f"the generator page has no sample {name!r}.{nearest(name, known)}")
    wanted = names or list(known)
    return {name: replace(known[name], events=max(1, round(scale * known[name].events))) for name in wanted}


def _work(page: str, sample: str, seed: int, target: str) -> str:
    """One chunk in a process of its own: generated and written whole, or not at all."""
    module = load_page(Path(page))
    chunk: Chunk = module.generate_chunk(module.SAMPLES[sample], seed)
    path = Path(target)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    ak.to_parquet(ak.zip(chunk.columns, depth_limit=1), temporary)
    about = {"generated": chunk.generated, "sum_of_weights": chunk.sum_of_weights}
    path.with_suffix(".json").write_text(json.dumps(about))
    temporary.replace(path)
    return sample


def generate_chunks(
    page: Path, specs: dict[str, SampleSpec], folder: Path, *, seed: int, processes: int
) -> Iterator[tuple[str, int, int]]:
    """Make the chunks that `folder` does not hold yet; yields (sample, done, all) as they arrive."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [
        (name, spec, number, chunk_path(folder, name, spec, number))
        for name, spec in specs.items()
        for number in seeds_of(name, spec, seed)
    ]
    todo = [task for task in tasks if not task[3].exists()]
    done = len(tasks) - len(todo)
    yield "", done, len(tasks)
    with workers(processes) as pool:
        futures = submit(pool, _work, [(str(page), name, number, str(path)) for name, _, number, path in todo])
        for future in as_completed(futures):
            done += 1
            yield future.result(), done, len(tasks)


def chunk_path(folder: Path, sample: str, spec: SampleSpec, seed: int) -> Path:
    """Where a chunk is kept; other settings are another file."""
    return folder / f"{sample}-{zlib.crc32(repr((spec.chunk, spec.physics)).encode()):08x}-{seed}.parquet"


def collect(folder: Path, name: str, spec: SampleSpec, seed: int) -> Chunk:
    """All chunks of a sample, in the order of their seeds, as one."""
    paths = [chunk_path(folder, name, spec, number) for number in seeds_of(name, spec, seed)]
    tables = ak.concatenate([ak.from_parquet(path) for path in paths])
    about = [json.loads(path.with_suffix(".json").read_text()) for path in paths]
    return Chunk(
        columns={field: tables[field] for field in tables.fields},
        generated=sum(entry["generated"] for entry in about),
        sum_of_weights=sum(entry["sum_of_weights"] for entry in about),
    )


def rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """float32 with `bits` of mantissa, rounded to nearest: what the detector cannot resolve is not stored."""
    raw = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    drop = 23 - bits
    kept = (raw + np.uint32(1 << (drop - 1))) & np.uint32(0xFFFFFFFF ^ ((1 << drop) - 1))
    result: np.ndarray = kept.view(np.float32)
    return result


def smallest_integer(values: np.ndarray) -> np.dtype[Any]:
    """The smallest signed type that holds all the values; no branch wraps around."""
    if not len(values):
        return np.dtype(np.int8)
    return np.result_type(
        np.int8, *(np.min_scalar_type(-abs(int(value)) - 1) for value in (values.min(), values.max()))
    )


def compact(name: str, values: Any) -> Any:
    """A branch in its smallest honest type: small integers, floats with rounded mantissas."""
    array = ak.Array(values)
    jagged = array.ndim > 1
    flat = ak.to_numpy(ak.flatten(array)) if jagged else ak.to_numpy(array)
    if flat.dtype.kind == "f":
        bits = next((b for part, b in MANTISSA_BITS.items() if part in name.split("_")), DEFAULT_BITS)
        flat = rounded(flat, bits)
    elif name not in ("run", "event"):
        flat = flat.astype(smallest_integer(flat))
    return ak.unflatten(flat, ak.to_numpy(ak.num(array))) if jagged else flat


def write_ntuple(path: Path, columns: dict[str, Any], about: dict[str, float], run: int) -> int:
    """Write the TTrees `events` and `metadata` (one entry), whole or not at all; returns the number of events."""
    import uproot

    n = len(next(iter(columns.values())))
    keys = {"run": np.full(n, run, np.uint32), "event": np.arange(1, n + 1, dtype=np.uint64)}
    branches = keys | {name: compact(name, values) for name, values in columns.items()}
    jagged = {name: values for name, values in branches.items() if not isinstance(values, np.ndarray)}
    flat = {name: values for name, values in branches.items() if isinstance(values, np.ndarray)}
    if jagged:  # one counter for all of them, as ntuples have: njet
        flat["jet"] = ak.zip({name.removeprefix("jet_"): values for name, values in jagged.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with uproot.recreate(temporary, compression=uproot.ZSTD(9)) as file:
        types = {
            name: values.type.content if hasattr(values, "type") else values.dtype for name, values in flat.items()
        }
        file.mktree("events", types, title="selected events")
        file["events"].extend(flat)
        file.mktree("metadata", dict.fromkeys(about, np.float64), title="one entry: how to normalise")
        file["metadata"].extend({name: np.array([value], dtype=np.float64) for name, value in about.items()})
    temporary.replace(path)
    return n


def generate(
    page: Path,
    output: Path,
    *,
    samples: list[str] | None = None,
    scale: float = 1.0,
    seed: int = 1,
    processes: int | None = None,
    progress: Callable[[str, int, int], None] = lambda sample, done, total: None,
) -> dict[Path, int]:
    """Generate the samples of a page and write its files to `output`; returns file -> events.

    Finished chunks are kept in `output`/.chunks, so an interrupted run goes on where it stopped; the same page,
    seed and scale give the same files, whatever the number of processes (default: the cores that may be used).

    Raises:
        ConfigError, MissingExtraError: as `load_page` and for names that the page does not know.

    """
    module = load_page(page)
    specs = chosen_samples(module, samples, scale)
    folder = output / ".chunks"
    processes = processes or len(os.sched_getaffinity(0))
    for sample, done, total in generate_chunks(page, specs, folder, seed=seed, processes=processes):
        progress(sample, done, total)
    chunks = {name: collect(folder, name, spec, seed) for name, spec in specs.items()}
    return {
        output / f"{name}.root": write_ntuple(output / f"{name}.root", columns, about, run=run_of(name))
        for name, (columns, about) in module.assemble(chunks).items()
    }


def run_of(name: str) -> int:
    """Run number of a file, by its name; a file of truths (`data_truth`) has that of its events (`data`)."""
    return 100_000 + zlib.crc32(name.removesuffix("_truth").encode()) % 900_000
