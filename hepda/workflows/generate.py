"""Run a generator page (such as analyses/tth/generate.py) on several processes, and write its ntuples.

A page is a Python file that the user names and that holds the physics: `SAMPLES` (name -> SampleSpec),
`generate_chunk(spec, seed) -> Chunk` and `assemble(samples) -> files`. This module does the rest: it generates chunks
with their own seeds on several processes, keeps finished chunks so that an interrupted run can continue, rounds the
values, and writes ROOT files.

A setting of `SampleSpec.physics` can be changed for a run: the same seeds through another detector, for example.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import awkward as ak
import numpy as np

from hepda.errors import ConfigError, MissingExtraError, nearest
from hepda.runtime.pool import cores, open_pool

# Bits of mantissa kept of float32 branches: a pt has a precision of 0.1 %, an angle near 1 of 0.001, a mass of 0.4 %.
MANTISSA_BITS = {"mass": 7}
DEFAULT_BITS = 9

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SampleSpec:
    """A sample to generate: `events` collisions in chunks of `chunk`; the page defines the content of `physics`.

    unavailable: why it cannot be generated here, such as a program that is missing; empty if it can.
    """

    events: int
    chunk: int
    cross_section: float  # pb, branching ratios included
    physics: dict[str, Any]
    unavailable: str = ""


@dataclass(frozen=True)
class Chunk:
    """Selected events as columns (flat or jagged), with the number and the weights of the events generated for them."""

    columns: dict[str, Any]
    generated: int
    sum_of_weights: float


@lru_cache
def load_page(path: Path) -> ModuleType:
    """Import the generator page at `path`; it may import modules beside it.

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
        with _imports_from(path.resolve().parent):
            specification.loader.exec_module(module)
    except ModuleNotFoundError as error:
        if error.name in ("pythia8mc", "fastjet"):
            raise MissingExtraError(error.name, "generate") from error
        raise
    missing = [required for required in ("SAMPLES", "generate_chunk", "assemble") if not hasattr(module, required)]
    if missing:
        raise ConfigError(f"the generator page {path} does not define {', '.join(missing)}")
    return module


@contextmanager
def _imports_from(folder: Path) -> Iterator[None]:
    """Look for modules in a folder first, for the block; those found there are not kept for pages of other folders."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and Path(file).parent == folder:
                del sys.modules[name]


def overridden(physics: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Return the `physics` of a sample with settings changed.

    Args:
        physics: of a sample.
        settings: texts `key=value`, or `key.field=value` for a field of a dataclass such as a detector.

    Raises:
        ConfigError: a text has another form, names no setting, or its value is not of the setting's type.

    """
    result = dict(physics)
    for setting in settings:
        dotted, equals, text = setting.partition("=")
        key, *inner = dotted.strip().split(".")
        if not equals or len(inner) > 1:
            raise ConfigError(f"--set {setting}: is not of the form key=value or key.field=value.")
        if key not in result:
            raise ConfigError(f"--set {setting}: the samples have no setting {key!r}.{nearest(key, result)}")
        if not inner:
            result[key] = _like(result[key], text, setting)
            continue
        section, name = result[key], inner[0]
        if not is_dataclass(section) or isinstance(section, type):
            raise ConfigError(f"--set {setting}: {key} has no fields.")
        names = [field.name for field in fields(section)]
        if name not in names:
            raise ConfigError(f"--set {setting}: {key} has no field {name!r}.{nearest(name, names)}")
        result[key] = replace(section, **{name: _like(getattr(section, name), text, setting)})
    return result


def _like(value: Any, text: str, setting: str) -> Any:
    """Return a text as a value of the type of `value`: a number, yes or no, or a text."""
    kind = type(value)
    if kind is bool:
        if text not in ("true", "false"):
            raise ConfigError(f"--set {setting}: the value must be true or false.")
        return text == "true"
    if kind not in (int, float, str):
        raise ConfigError(
            f"--set {setting}: is not a number or a text, and cannot be set here; name one of its fields."
        )
    try:
        return kind(text)
    except ValueError as error:
        raise ConfigError(f"--set {setting}: the value must be of the kind of {value!r}.") from error


def seeds_of(sample: str, spec: SampleSpec, seed: int) -> list[int]:
    """Return one seed for each chunk, fixed by the name of the sample and the seed of the run.

    The seeds do not depend on the other samples that are generated.
    """
    base = zlib.crc32(f"{sample}:{seed}".encode()) % 400_000
    # Pythia takes seeds up to 900,000,000; the page makes two of each.
    return [base * 1000 + i for i in range(-(-spec.events // spec.chunk))]


def chosen_samples(
    module: ModuleType, names: list[str] | None, scale: float, settings: Sequence[str] = ()
) -> dict[str, SampleSpec]:
    """Return the samples to generate, by name.

    Args:
        module: the generator page.
        names: the samples to take; None for all that can be generated here.
        scale: factor on the number of events of each sample; at least one event is generated.
        settings: changed settings, as of `overridden`.

    Raises:
        ConfigError: the page has no sample of one of the names, or it cannot be generated here; or as of `overridden`.

    """
    available: dict[str, SampleSpec] = module.SAMPLES
    for name in names or []:
        if name not in available:
            raise ConfigError(f"the generator page has no sample {name!r}.{nearest(name, available)}")
        if available[name].unavailable:
            raise ConfigError(f"sample {name!r} cannot be generated: {available[name].unavailable}.")
    selected = names or [name for name, spec in available.items() if not spec.unavailable]
    reasons: dict[str, list[str]] = {}
    for name in sorted(set(available) - set(selected)) if not names else []:
        reasons.setdefault(available[name].unavailable, []).append(name)
    for reason, left_out in reasons.items():
        log.warning(f"{', '.join(left_out)}: left out, {reason}.")
    return {
        name: replace(
            available[name],
            events=max(1, round(scale * available[name].events)),
            physics=overridden(available[name].physics, settings),
        )
        for name in selected
    }


def _generate_chunk(task: tuple[str, str, int, str, tuple[str, ...]]) -> str:
    """Generate one chunk and write it completely or not at all; return the name of the sample."""
    page, sample, seed, target, settings = task
    module = load_page(Path(page))  # its classes are not those of another process: settings travel as text
    spec: SampleSpec = module.SAMPLES[sample]
    chunk: Chunk = module.generate_chunk(replace(spec, physics=overridden(spec.physics, settings)), seed)
    path = Path(target)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    ak.to_parquet(ak.zip(chunk.columns, depth_limit=1), temporary)
    about = {"generated": chunk.generated, "sum_of_weights": chunk.sum_of_weights}
    path.with_suffix(".json").write_text(json.dumps(about), encoding="utf-8")
    temporary.replace(path)
    return sample


def generate_chunks(
    page: Path,
    specs: dict[str, SampleSpec],
    folder: Path,
    *,
    seed: int,
    processes: int,
    settings: Sequence[str] = (),
) -> Iterator[tuple[str, int, int]]:
    """Generate the chunks that are not in `folder` yet.

    Args:
        page: the generator page.
        specs: the samples by name.
        folder: the folder of the chunks.
        seed: of the run.
        processes: number of processes.
        settings: changed settings, which `specs` have already.

    Yields:
        (sample, done, all): first ("", number of chunks present, all), then one for each chunk as it finishes.

    """
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [
        (name, spec, number, chunk_path(folder, name, spec, number))
        for name, spec in specs.items()
        for number in seeds_of(name, spec, seed)
    ]
    todo = [task for task in tasks if not task[3].exists()]
    done = len(tasks) - len(todo)
    yield "", done, len(tasks)
    chunks = [(str(page), name, number, str(path), tuple(settings)) for name, _, number, path in todo]
    with open_pool(min(processes, len(todo))) as pool:
        for sample in pool.stream(_generate_chunk, chunks):
            done += 1
            yield sample, done, len(tasks)


def chunk_path(folder: Path, sample: str, spec: SampleSpec, seed: int) -> Path:
    """Return the file of a chunk; it depends on the settings of the sample."""
    return folder / f"{sample}-{zlib.crc32(repr((spec.chunk, spec.physics)).encode()):08x}-{seed}.parquet"


def collect(folder: Path, name: str, spec: SampleSpec, seed: int) -> Chunk:
    """Return all chunks of a sample as one, in the order of their seeds."""
    paths = [chunk_path(folder, name, spec, number) for number in seeds_of(name, spec, seed)]
    tables = ak.concatenate([ak.from_parquet(path) for path in paths])
    about = [json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) for path in paths]
    return Chunk(
        columns={field: tables[field] for field in tables.fields},
        generated=sum(entry["generated"] for entry in about),
        sum_of_weights=sum(entry["sum_of_weights"] for entry in about),
    )


def rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """Round to float32 with `bits` of mantissa, to nearest: digits beyond the detector's resolution are not stored."""
    raw = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    drop = 23 - bits
    truncated = (raw + np.uint32(1 << (drop - 1))) & np.uint32(0xFFFFFFFF ^ ((1 << drop) - 1))
    result: np.ndarray = truncated.view(np.float32)
    return result


def smallest_integer(values: np.ndarray) -> np.dtype[Any]:
    """Return the smallest signed type that holds all the values, so that no branch wraps around."""
    if not len(values):
        return np.dtype(np.int8)
    return np.result_type(
        np.int8, *(np.min_scalar_type(-abs(int(value)) - 1) for value in (values.min(), values.max()))
    )


def compact(name: str, values: Any) -> Any:
    """Return a branch in the smallest sufficient type: small integers, floats with rounded mantissas."""
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
    """Write the TTrees `events` and `metadata` (one entry), completely or not at all.

    Args:
        path: the ROOT file.
        columns: the branches of the events, flat or jagged.
        about: the branches of `metadata`.
        run: the run number of the events.

    Returns:
        The number of events.

    """
    import uproot

    n = len(next(iter(columns.values())))
    keys = {"run": np.full(n, run, np.uint32), "event": np.arange(1, n + 1, dtype=np.uint64)}
    branches = keys | {name: compact(name, values) for name, values in columns.items()}
    jagged = {name: values for name, values in branches.items() if not isinstance(values, np.ndarray)}
    flat = {name: values for name, values in branches.items() if isinstance(values, np.ndarray)}
    if jagged:  # one counter for all of them, as in usual ntuples: njet
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
    settings: Sequence[str] = (),
    progress: Callable[[str, int, int], None] = lambda sample, done, total: None,
) -> dict[Path, int]:
    """Generate the samples of a page and write its files to `output`.

    Finished chunks are kept in `output`/.chunks, so an interrupted run continues where it stopped. The same page,
    seed and scale give the same files, whatever the number of processes.

    Args:
        page: the generator page.
        output: the folder of the files.
        samples: names of the samples to generate; None for all.
        scale: factor on the number of events of each sample.
        seed: of the run.
        processes: number of processes; None for the cores that may be used.
        settings: changed settings of the physics of all samples, `key=value`, as of `overridden`.
        progress: called with (sample, done, all) as chunks finish.

    Returns:
        The number of events of each file.

    Raises:
        ConfigError: the page is missing, lacks one of the names that a page must have, or does not have a given sample
            or setting.
        MissingExtraError: Pythia or fastjet is not installed.

    """
    module = load_page(page)
    specs = chosen_samples(module, samples, scale, settings)
    folder = output / ".chunks"
    processes = processes or cores()
    for sample, done, total in generate_chunks(page, specs, folder, seed=seed, processes=processes, settings=settings):
        progress(sample, done, total)
    chunks = {name: collect(folder, name, spec, seed) for name, spec in specs.items()}
    return {
        output / f"{name}.root": write_ntuple(output / f"{name}.root", columns, about, run=run_of(name))
        for name, (columns, about) in module.assemble(chunks).items()
    }


def run_of(name: str) -> int:
    """Return the run number of a file, from its name.

    A file of truths (`data_truth`) has the run number of its events (`data`).
    """
    return 100_000 + zlib.crc32(name.removesuffix("_truth").encode()) % 900_000
