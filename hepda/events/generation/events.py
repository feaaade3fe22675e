"""Samples in memory of which flows learn, and new events with the structure of theirs, as tables of features."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hepda.adversarial.data.weights import negative_weights
from hepda.baselines.reweighting import WeightedEvents, density_ratio
from hepda.config.event_generator.analysis import EventGeneratorConfig
from hepda.config.event_generator.models import EventGeneratorModel, FlowConfig
from hepda.errors import ConfigError, DataError
from hepda.events.dataset.plan import make_plan
from hepda.events.dataset.splits import part_of
from hepda.events.expressions.columns import Column
from hepda.events.files.in_memory import ENTRY
from hepda.events.generation.flows import ORIGIN, TARGET, EventFlow, LabelledEvents
from hepda.events.generation.objects import (
    EventObjects,
    columns_of,
    events_of,
    joined,
    object_branches,
)
from hepda.events.refinement.samples import FileEvents, SampleEvents, read_columns
from hepda.events.resolve import dataset_spec
from hepda.events.table.feature_table import FeatureTable
from hepda.runtime import run_directory
from hepda.runtime.pool import Send
from hepda.runtime.run_directory import MODELS

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
_PARTS = 3
"""Of the events of a ratio: one trains, one calibrates, one has the ratio."""
ROW = "row"
"""The column of scores.parquet that numbers the ratios."""
FlowOf = Callable[[str, int], EventFlow]
"""From the name of a model and a fold to the flow that draws its events."""


@dataclass(frozen=True, slots=True, eq=False)
class GeneratorSample:
    """The selected events of a sample.

    events: its files; table: features, weights, folds and keys; objects, flavour: of the same events, in their order;
    file, entry: where an event is [n].
    """

    events: SampleEvents
    table: FeatureTable
    objects: EventObjects
    flavour: NDArray[np.int64]
    file: NDArray[np.int64]
    entry: NDArray[np.int64]

    def label(self, process: int, generator: int) -> NDArray[np.int64]:
        """Return process, class of flavour and generator [n, 3]."""
        n = len(self.table)
        return np.column_stack([np.full(n, process), self.flavour, np.full(n, generator)])

    def structure(self) -> NDArray[np.float32]:
        """Return what structures of events differ by, as columns for trees [n, k]."""
        objects = self.objects
        tags = -np.sort(-np.where(objects.present, objects.tag, -1), axis=1)[:, :6]
        flavours = [(objects.flavour == number).sum(axis=1) for number in (5, 4)]
        of_event = [objects.present.sum(axis=1), objects.tag.sum(axis=1), *flavours, self.flavour]
        return np.column_stack([*of_event, tags]).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class MadeEvents:
    """Generated events that the selection keeps: their table, whose weights have the factors, and the number of the
    event of the origin whose structure each has [n].
    """

    table: FeatureTable
    row: Rows


@dataclass(slots=True, eq=False)
class GeneratorEvents:
    """The samples of an analysis, by name."""

    config: EventGeneratorConfig
    samples: Mapping[str, GeneratorSample]
    _ratios: dict[tuple[str, str, int], Floats] = field(default_factory=dict)
    _starts: dict[tuple[Any, ...], torch.Tensor] = field(default_factory=dict)
    _drawn: dict[tuple[Any, ...], MadeEvents] = field(default_factory=dict)

    @classmethod
    def read(cls, config: EventGeneratorConfig, progress: Send) -> GeneratorEvents:
        """Read the samples of all processes.

        Raises:
            SourceError: a file or a branch is missing.
            ExpressionError: a feature or the selection cannot be formed.
            DataError: a number is not finite, objects are no lists, or a fold has too few events.

        """
        spec = dataset_spec(config.analysis)
        plan, samples, names = make_plan(spec), {}, config.samples
        needed = (*object_branches(config.objects), *config.objects.flavour_class)
        for number, name in enumerate(names, 1):
            samples[name] = sample_of(config, read_columns(spec, plan, name, needed))
            progress("samples", number, len(names))
        jets = max(sample.objects.present.shape[1] for sample in samples.values())
        wide = {name: replace(sample, objects=sample.objects.widened(jets)) for name, sample in samples.items()}
        return cls(config, wide)

    @property
    def folds(self) -> int:
        """The number of folds."""
        return self.config.analysis.split.folds

    def lines(self) -> list[str]:
        """Return the events and the yield of each sample, a line each."""
        return [
            f"{name}: {len(sample.table)} selected events, yield {sample.table.weight.sum():.4g}"
            for name, sample in self.samples.items()
        ]

    # ---- what a flow learns from ----

    def learned_from(self, fold: int) -> LabelledEvents:
        """Return the events of all folds but one; every process and generator counts as much as any other.

        Weights are used by the policy of the analysis for negative ones.
        """
        policy, parts = self.config.analysis.negative_weights, []
        for number, process in enumerate(self.config.processes.values()):
            for generator, name in ((ORIGIN, process.origin), (TARGET, process.target)):
                sample = self.samples[name]
                weight = _trained(sample.table.weight, policy, name)
                rows = np.flatnonzero((sample.table.fold != fold) & (weight != 0.0))
                share = weight[rows] / np.abs(weight[rows]).sum()
                parts.append((sample.objects.rows(rows), sample.label(number, generator)[rows], share))
        objects, labels, shares = zip(*parts, strict=True)
        return LabelledEvents(joined(list(objects)), np.concatenate(labels), np.concatenate(shares))

    # ---- what it draws ----

    def givers(self, process: str, start: str, fold: int) -> Rows:
        """Return the events of the origin whose structure the flow of a fold draws events with.

        Events that are carried are those that the flow has not seen, at most half of its own fold: the others are
        compared with them. Events from noise have the structure of those of the next fold, which the flow has learned
        from, as they are judged on its own.
        """
        table = self.samples[self.config.processes[process].origin].table
        carried = start == "events"
        rows = np.flatnonzero(table.fold == (fold if carried else (fold + 1) % self.folds))
        most = min(self.config.evaluation.events or len(rows), len(rows) // 2 if carried else len(rows))
        random = np.random.default_rng([self.config.seed, 3])
        return np.sort(random.choice(rows, most, replace=False))

    def unused(self, process: str, start: str, fold: int) -> Rows:
        """Return the events of the origin in a fold that the flow of the fold draws nothing with."""
        table = self.samples[self.config.processes[process].origin].table
        return np.setdiff1d(np.flatnonzero(table.fold == fold), self.givers(process, start, fold))

    def ratio(self, model: str, process: str, fold: int, flow: FlowOf) -> Floats:
        """Return p_B / p_A of all events of the origin [n], learned without the events of the fold.

        It is the ratio of the structures of events, or of all features, as the model says; of the features of events
        that a flow has carried to s = 1, where the model has one. Each event has that of trees of other events, and an
        event that is not selected after it was carried has 1.

        Args:
            model: the model.
            process: the process.
            fold: the fold.
            flow: returns the flow of a model and fold.

        """
        place = model, process, fold
        same = next((other for other in self._ratios if self._alike(place, other)), None)
        if same is not None:
            return self._ratios.setdefault(place, self._ratios[same])
        if place not in self._ratios:
            section, names = self.config.models[model], self.config.processes[process]
            origin, target = self.samples[names.origin], self.samples[names.target]
            of_structure = isinstance(section, FlowConfig) and section.left == "structure"
            rows, columns = np.arange(len(origin.table)), origin.structure() if of_structure else origin.table.features
            if isinstance(section, FlowConfig) and not of_structure:
                rows, columns = self._carried(model, process, fold, flow)
            of_target = target.structure() if of_structure else target.table.features
            known = origin.table.fold[rows] != fold
            target_rows = np.flatnonzero(target.table.fold != fold)
            ratio = density_ratio(
                _weighted(origin, rows[known], columns[known]), _weighted(target, target_rows, of_target[target_rows]),
                seed=self.config.seed,
            )  # fmt: skip
            values = np.ones(len(origin.table))
            values[rows[known]] = ratio.factor
            values[rows[~known]] = ratio.fitted(_weighted(origin, rows[~known], columns[~known]))
            self._ratios[place] = values
        return self._ratios[place]

    def _alike(self, place: tuple[str, str, int], other: tuple[str, str, int]) -> bool:
        """Return whether the ratio of another model is the same one: that of structures, which no network changes."""
        sections = [self.config.models[name] for name in (place[0], other[0])]
        of_structure = all(isinstance(one, FlowConfig) and one.left == "structure" for one in sections)
        return place == other or (of_structure and place[1:] == other[1:])

    def _carried(self, model: str, process: str, fold: int, flow: FlowOf) -> tuple[Rows, NDArray[np.float32]]:
        """Return events that the flow of a fold carries to s = 1, of all folds, and their features."""
        made = [self._made(model, process, fold, number, float(TARGET), flow) for number in range(self.folds)]
        return np.concatenate([one.row for one in made]), np.concatenate([one.table.features for one in made])

    def ratios(self, model: str, flow: FlowOf) -> Floats:
        """Return the ratios of all processes, fold by fold, one after the other."""
        return np.concatenate([self.ratio(model, *place, flow) for place in self._places()])

    def use_ratios(self, model: str, values: NDArray[np.floating]) -> None:
        """Take ratios as `ratios` returned them, in place of learning them."""
        sizes = [len(self.samples[self.config.processes[process].origin].table) for process, _ in self._places()]
        parts = np.split(np.asarray(values, dtype=np.float64), np.cumsum(sizes)[:-1])
        self._ratios |= {(model, *place): part for place, part in zip(self._places(), parts, strict=True)}

    @property
    def ratio_count(self) -> int:
        """The number of ratios of a model."""
        return self.folds * sum(len(self.samples[process.origin].table) for process in self.config.processes.values())

    def _places(self) -> list[tuple[str, int]]:
        return [(process, fold) for process in self.config.processes for fold in range(self.folds)]

    def factors(self, model: str, process: str, fold: int, rows: Rows, scale: float) -> Floats:
        """Return the factors on the weights of events of the origin at s [n]: (p_B / p_A)^s.

        Guidance makes of densities p_A^(1 - s) p_B^s; the yield goes the same way, from A to B. The ratios have been
        learned, or are those of `use_ratios`.
        """
        section = self.config.processes[process]
        tables = [self.samples[name].table for name in (section.origin, section.target)]
        yields = [float(table.weight[table.fold != fold].sum()) for table in tables]
        power, weight = self._ratios[model, process, fold][rows] ** scale, tables[0].weight[rows]
        factor: Floats = power * (weight.sum() / (weight * power).sum()) * (yields[1] / yields[0]) ** scale
        return factor

    def drawn(self, model: str, process: str, fold: int, scale: float, flow: FlowOf) -> MadeEvents:
        """Return events of a process at s by the model of a fold, with the share of the fold in the yield.

        Arguments as of `ratio`.
        """
        made = self._made(model, process, fold, fold, scale, flow)
        rows = self.givers(process, start_of(self.config.models[model]), fold)
        weight = self.samples[self.config.processes[process].origin].table.weight
        factor = np.zeros(len(weight))
        factor[rows] = self.factors(model, process, fold, rows, scale) * (
            weight.sum() / weight[rows].sum() / self.folds
        )
        return MadeEvents(replace(made.table, weight=made.table.weight * factor[made.row]), made.row)

    def _made(self, model: str, process: str, fold: int, number: int, scale: float, flow: FlowOf) -> MadeEvents:
        """Return events at s without the factors of s.

        Models of one network that start alike have the same ones, which are drawn once.

        Args:
            model: the model.
            process: the process.
            fold: the fold whose flow draws them.
            number: the fold that `givers` is asked for.
            scale: s.
            flow: as of `ratio`.

        """
        section = self.config.models[model]
        start = start_of(section)
        rows, table = self.givers(process, start, number), self.samples[self.config.processes[process].origin].table
        if not isinstance(section, FlowConfig):
            return MadeEvents(table.select(rows), rows)
        place = section.of or model, start, section.steps, process, fold, number
        if (*place, scale) not in self._drawn:
            if place not in self._starts:
                random = torch.Generator().manual_seed(seed_of(self.config.seed, process, fold))
                self._starts[place] = self.start(model, process, fold, rows, flow, random)
            objects = self.objects(model, process, fold, rows, scale, flow, self._starts[place])
            new, kept = self.table(self.samples[self.config.processes[process].origin], rows, objects)
            self._drawn[(*place, scale)] = MadeEvents(new, rows[kept])
        return self._drawn[(*place, scale)]

    def start(
        self, model: str, process: str, fold: int, rows: Rows, flow: FlowOf, random: torch.Generator
    ) -> torch.Tensor:
        """Return what is carried to s: noise, or what events of the origin are carried to [n, columns].

        Args:
            model: the model, a flow.
            process: the process.
            fold: the fold of the flow.
            rows: events of the origin.
            flow: as of `ratio`.
            random: draws noise.

        """
        section, network = self._flow_config(model), flow(model, fold)
        if section.start == "noise":
            return torch.randn(len(rows), network.columns, generator=random)
        sample, label = self._told(process)
        return network.encoded(sample.objects.rows(rows), label[rows], section.steps)

    def objects(
        self, model: str, process: str, fold: int, rows: Rows, scale: float, flow: FlowOf, start: torch.Tensor
    ) -> EventObjects:
        """Return new objects with the structures of `rows` of the origin at s; start: as of `start`."""
        sample, label = self._told(process)
        section = self._flow_config(model)
        return flow(model, fold).drawn(sample.objects.rows(rows), label[rows], scale, start, section.steps)

    def _told(self, process: str) -> tuple[GeneratorSample, NDArray[np.int64]]:
        """Return the sample of generator A of a process, and what flows are told of its events."""
        sample = self.samples[self.config.processes[process].origin]
        return sample, sample.label(list(self.config.processes).index(process), ORIGIN)

    def _flow_config(self, model: str) -> FlowConfig:
        section = self.config.models[model]
        if not isinstance(section, FlowConfig):
            raise TypeError(f"{model} has no network")
        return section

    def table(self, sample: GeneratorSample, rows: Rows, objects: EventObjects) -> tuple[FeatureTable, Rows]:
        """Return the selected ones of events with new objects, and their numbers in `rows`.

        Every feature is formed anew by the expressions of the analysis; weights, keys and further numbers are those of
        the events that had these structures.
        """
        tables, numbers = [], []
        for number, file in enumerate(sample.events.files):
            of_file = np.flatnonzero(sample.file[rows] == number)
            if not len(of_file):
                continue
            entries = sample.entry[rows[of_file]]
            columns = new_columns(self.config, file, entries, objects.rows(of_file))
            table = replace(file, columns=columns, key=file.key[entries]).table()
            numbers.append(of_file[table.columns[ENTRY].astype(np.int64)])
            tables.append(replace(table, columns={}, collections={}))
        return stacked(tables), np.concatenate(numbers)


def new_columns(
    config: EventGeneratorConfig, file: FileEvents, entries: NDArray[np.int64], objects: EventObjects
) -> dict[str, Column]:
    """Return the branches of events with new objects; single numbers that are no objects are those of `entries`.

    Raises:
        DataError: a feature needs a list that is not drawn.

    """
    drawn = columns_of(objects, config.objects)
    columns = drawn | {
        name: column.take(entries, None)
        for name, column in file.columns.items()
        if name not in drawn and column.offsets is None
    }
    missing = [name for name in file.plan.branches if name not in columns and name != ENTRY]
    if missing:
        raise DataError(
            f"{file.path}: features, selection or weight read {', '.join(missing)}: lists that a generator does not "
            "draw. Use features without them."
        )
    return columns


def stacked(tables: Sequence[FeatureTable]) -> FeatureTable:
    """Return tables of the same columns as one."""
    if len(tables) == 1:
        return tables[0]
    names = ("features", "weight", "label", "domain", "sample", "fold", "validation", "key")
    arrays: dict[str, Any] = {name: np.concatenate([getattr(table, name) for table in tables]) for name in names}
    return replace(tables[0], **arrays)


def start_of(section: EventGeneratorModel) -> str:
    """Return what a model starts with: `noise`, or `events` of generator A."""
    return section.start if isinstance(section, FlowConfig) else "events"


def read_flow(config: EventGeneratorConfig, run: Path, model: str, fold: int) -> EventFlow:
    """Return the flow of a model and fold of a run."""
    section = config.models[model]
    owner = section.of if isinstance(section, FlowConfig) else None
    return EventFlow.load(flow_file(run, owner or model, fold))


def read_ratios(run: Path, config: EventGeneratorConfig, number: int) -> dict[str, NDArray[np.float32]]:
    """Return the ratios of every model that a run has saved.

    Args:
        run: the run directory.
        config: its analysis.
        number: `ratio_count` of the events that are read now.

    Raises:
        ConfigError: they are not of these events.

    """
    saved = run_directory.read_scores(run, {ROW: "iu"} | dict.fromkeys(config.models, "f"))
    if len(saved[ROW]) != number:
        raise ConfigError(
            f"{run / 'scores.parquet'} is not of the events that {run / 'config.yaml'} reads: files have changed. "
            "Train again."
        )
    return {model: saved[model].to_numpy() for model in config.models}


def flow_file(run: Path, model: str, fold: int) -> Path:
    """Return the file of a flow of a run."""
    return run / MODELS / model / f"fold{fold}-member0.safetensors"


def seed_of(base: int, process: str, fold: int) -> int:
    """Return the seed of the noise of a process in a fold: the same at every s, so that its events change with s."""
    return zlib.crc32(f"{base}:{process}:{fold}".encode())


def sample_of(config: EventGeneratorConfig, events: SampleEvents) -> GeneratorSample:
    """Return the selected events of all files with their objects."""
    tables, objects, flavours, files, entries = [], [], [], [], []
    for number, file in enumerate(events.files):
        table = file.table()
        entry = table.columns[ENTRY].astype(np.int64)
        objects.append(events_of(file.columns, config.objects, entry, file.path))
        counts_of = [file.columns[name].values[entry] > 0 for name in config.objects.flavour_class]
        flavours.append(np.select(counts_of, range(1, len(counts_of) + 1), 0).astype(np.int64) if counts_of
                        else np.zeros(len(entry), dtype=np.int64))  # fmt: skip
        tables.append(replace(table, columns={}, collections={}))
        files.append(np.full(len(entry), number))
        entries.append(entry)
    table = stacked(tables)
    for fold in range(config.analysis.split.folds):
        if not table.weight[table.fold == fold].sum() > 0.0:
            raise DataError(f"samples.{events.name}: fold {fold} has no positive sum of weights after the selection.")
    parts = [np.concatenate(part) for part in (flavours, files, entries)]
    return GeneratorSample(events, table, joined(objects), *parts)


def _trained(weight: Floats, policy: str, name: str) -> Floats:
    """Return the weights of a training by the policy of the analysis."""
    try:
        return negative_weights(weight, policy).weight
    except DataError as error:
        raise DataError(f"samples.{name}: {error}") from error


def _weighted(sample: GeneratorSample, rows: Rows, columns: NDArray[np.float32]) -> WeightedEvents:
    part = part_of(sample.table.key[rows], _PARTS).astype(np.int64)
    return WeightedEvents(np.ascontiguousarray(columns), sample.table.weight[rows], part)
