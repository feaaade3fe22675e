"""`hepda sample` of a run of generated events: a ROOT file that is a sample of any analysis file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import uproot

from hepda.config.event_generator.analysis import EventGeneratorConfig
from hepda.config.event_generator.models import FlowConfig
from hepda.errors import ConfigError, nearest, replacing
from hepda.events.expressions.columns import Column
from hepda.events.files.in_memory import ENTRY
from hepda.events.generation.events import GeneratorEvents, Rows, new_columns, read_ratios, start_of
from hepda.events.generation.judging import ENDS, Drawn
from hepda.events.generation.objects import EventObjects
from hepda.events.refinement.applying import branch_arrays, collections_of, tree_types
from hepda.runtime import run_directory
from hepda.runtime.hashes import check_hashes

TREE = "events"
"""The tree, if the analysis names none."""
EVENTS, SUMMARY = "events.root", "sample.json"
"""The files that are written."""
WEIGHT = "generated_weight"
"""The branch of the weights, in pb, without the `scale` of the sample: their sum is the cross section in the
selection."""
_PER_FB = 1000.0


@dataclass(frozen=True, slots=True)
class EventRequest:
    """What is asked for.

    Attributes:
        number: how many events.
        model: its name; None: the last one of the analysis file.
        wanted: `process` or `process/branch`, a class of flavour by its branch of `objects.flavour_class`; None: the
            first process.
        guidance: s.
        seed: of all random numbers; None: that of the analysis.

    """

    number: int
    model: str | None = None
    wanted: str | None = None
    guidance: float = 1.0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class SampledEvents:
    """What was generated: the model, the file, the number of events, their cross section (pb) and the seconds it took;
    extrapolation: whether s is outside 0 to 1.
    """

    model: str
    file: Path
    number: int
    cross_section: float
    seconds: float
    extrapolation: bool


def sample(config: EventGeneratorConfig, run: Path, request: EventRequest, output: Path) -> SampledEvents:
    """Generate events of a process at s.

    The structure of an event (jets, tag bins, flavours), its weight and its other branches are those of an event of
    generator A, which is drawn at random, once at most if there are enough; its flow has not seen it if events are
    carried. The branch `generated_weight` is signed and has the factors of s.

    Args:
        config: the analysis of the run.
        run: the run directory.
        request: what is asked for.
        output: a folder, which is made.

    Raises:
        ConfigError: there is no such model, process or class.
        SourceError: a file of the run or of generator A is missing, or a model is not the one that was trained.

    """
    manifest = run_directory.read_manifest(run)
    check_hashes(run, manifest)
    name, (process, flavour) = _model(config, request.model), _wanted(config, request.wanted)
    seed = config.seed if request.seed is None else request.seed
    run_directory.check_writable(output, "--output")
    begin = time.perf_counter()
    events = GeneratorEvents.read(config, lambda *_: None)
    events.use_ratios(name, read_ratios(run, config, events.ratio_count)[name])
    rows = _givers(events, name, (process, flavour), request.number, seed)
    drawn, weight = _drawn(events, run, name, process, rows, request.guidance, seed)
    columns = _columns(events, process, rows, drawn, weight, request.guidance)
    with replacing(output / EVENTS, ".root") as temporary, uproot.recreate(temporary) as out:
        origin = config.analysis.samples[config.processes[process].origin]
        _write(out, origin.tree or config.analysis.tree or TREE, columns)
    extrapolation = not ENDS[0] <= request.guidance <= ENDS[1]
    total = float(weight.sum())
    summary = {
        "run": str(run), "model": name, "number": len(rows), "process": process, "flavour": flavour,
        "guidance": request.guidance, "extrapolation": extrapolation, "seed": seed, "cross_section": total,
        "sample": {"weight": WEIGHT, "cross_section": 1.0, "sum_of_weights": 1.0},
    }  # fmt: skip
    run_directory.write_json(output / SUMMARY, summary)
    seconds = time.perf_counter() - begin
    return SampledEvents(name, output / EVENTS, len(rows), total, seconds, extrapolation)


def _model(config: EventGeneratorConfig, name: str | None) -> str:
    if name is None:
        return next(reversed(config.models))
    if name not in config.models:
        hint = nearest(name, config.models) or f" There are: {', '.join(config.models)}."
        raise ConfigError(f"--model: {name!r} is no model of this run.{hint}")
    return name


def _wanted(config: EventGeneratorConfig, wanted: str | None) -> tuple[str, str | None]:
    """Return the process and the class of flavour that are asked for."""
    process, _, flavour = (wanted or config.background).partition("/")
    for what, value, known in (("process", process, list(config.processes)),
                               ("class of flavour", flavour, ["", *config.objects.flavour_class])):  # fmt: skip
        if value not in known:
            hint = nearest(value, known) or f" There are: {', '.join(filter(None, known))}."
            raise ConfigError(f"--class: {value!r} is no {what} of this run.{hint}")
    return process, flavour or None


def _givers(events: GeneratorEvents, model: str, wanted: tuple[str, str | None], number: int, seed: int) -> Rows:
    """Return the events of generator A whose structure is taken, in their order: those with a ratio of the model."""
    config, (process, flavour), section = events.config, wanted, events.config.models[model]
    sample = events.samples[config.processes[process].origin]
    known = np.arange(len(sample.table))
    if isinstance(section, FlowConfig) and section.left == "features":
        known = np.concatenate([events.givers(process, section.start, fold) for fold in range(events.folds)])
    if flavour is not None:
        known = known[sample.flavour[known] == config.objects.flavour_class.index(flavour) + 1]
    if not len(known):
        raise ConfigError(f"--class: generator A has no event of {process}/{flavour}.")
    random = np.random.default_rng([seed, 5])
    return np.sort(random.choice(known, number, replace=number > len(known)))


def _drawn(
    events: GeneratorEvents, run: Path, model: str, process: str, rows: Rows, scale: float, seed: int
) -> tuple[EventObjects, np.ndarray]:
    """Return the objects of new events, and their weights in pb."""
    config, section = events.config, events.config.models[model]
    sample = events.samples[config.processes[process].origin]
    known = sample.table.fold[rows].astype(np.int64)
    flow_of = known if start_of(section) == "events" else (known - 1) % events.folds
    objects, weight = sample.objects.rows(rows), sample.table.weight[rows].copy()
    coordinates = objects.coordinates.copy()
    random, flow = torch.Generator().manual_seed(seed), Drawn(config, events, run).flow
    for fold in range(events.folds):
        of_fold = np.flatnonzero(flow_of == fold)
        if not len(of_fold):
            continue
        chosen = rows[of_fold]
        if isinstance(section, FlowConfig):
            start = events.start(model, process, fold, chosen, flow, random)
            new = events.objects(model, process, fold, chosen, scale, flow, start)
            coordinates[of_fold] = new.coordinates[:, : coordinates.shape[1]]
        weight[of_fold] *= events.factors(model, process, fold, chosen, scale)
    of_all = sample.table.weight.sum() / sample.table.weight[rows].sum()
    about = config.analysis.samples[config.processes[process].origin]
    luminosity = about.luminosity or config.analysis.luminosity
    return replace(objects, coordinates=coordinates), weight * of_all / (_PER_FB * luminosity * about.scale)


def _columns(
    events: GeneratorEvents, process: str, rows: Rows, objects: EventObjects, weight: np.ndarray, scale: float
) -> dict[str, Column]:
    """Return all branches of new events, file by file of those that gave the structure."""
    sample = events.samples[events.config.processes[process].origin]
    parts = []
    for number, file in enumerate(sample.events.files):
        of_file = np.flatnonzero(sample.file[rows] == number)
        if len(of_file):
            new = new_columns(events.config, file, sample.entry[rows[of_file]], objects.rows(of_file))
            parts.append(new | {WEIGHT: Column(weight[of_file]), "guidance": Column(np.full(len(of_file), scale))})
    return {name: _joined([part[name] for part in parts]) for name in parts[0] if name != ENTRY}


def _joined(columns: list[Column]) -> Column:
    values = np.concatenate([column.values for column in columns])
    if columns[0].offsets is None:
        return Column(values)
    lengths = np.concatenate([np.diff(column.offsets) for column in columns if column.offsets is not None])
    return Column(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def _write(out: uproot.WritableDirectory, tree: str, columns: Mapping[str, Column]) -> None:
    """Write a tree of all columns."""
    types = {
        name: (np.dtype(np.float32) if column.values.dtype.kind == "f" and name != WEIGHT else column.values.dtype,
               column.offsets is not None)
        for name, column in columns.items()
    }  # fmt: skip
    prefixes = {f"n{name.partition('_')[0]}" for name, (_, is_list) in types.items() if is_list and "_" in name}
    collections = collections_of(types, prefixes)
    types = {name: kind for name, kind in types.items() if name not in prefixes}  # counters are written with the lists
    out.mktree(tree, tree_types(types, collections))
    out[tree].extend(branch_arrays(columns, types, collections))
