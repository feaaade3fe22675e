"""Samples in memory: all branches that features and objects need, and the table of events with changed objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hepda.config.refinement.objects import ObjectsConfig
from hepda.errors import DataError
from hepda.events.dataset.chunks import ChunkReader, Faults
from hepda.events.dataset.inputs import factor_of, open_inputs, sample_tree
from hepda.events.dataset.plan import ReadingPlan, SamplePlan, make_plan
from hepda.events.dataset.reading import table_of
from hepda.events.dataset.samples import normalisation_of
from hepda.events.dataset.skipped_files import Skips
from hepda.events.dataset.splits import event_key
from hepda.events.dataset.stitching import Stitching
from hepda.events.expressions.columns import Column
from hepda.events.expressions.parser import parse
from hepda.events.files.in_memory import ENTRY, ColumnsInMemory
from hepda.events.files.opening import integers
from hepda.events.refinement.objects import changed_branches, object_branches
from hepda.events.specs import DatasetSpec
from hepda.events.table.feature_table import FeatureTable


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """The events of a sample before the selection of the analysis, in the order of the files.

    entry: in their file, int64 [n]; weight: physical, signed [n]; key: [n]; fold: [n].
    """

    entry: NDArray[np.int64]
    weight: NDArray[np.float64]
    key: NDArray[np.uint64]
    fold: NDArray[np.int8]


@dataclass(frozen=True, slots=True, eq=False)
class FileEvents:
    """All entries of one file of a sample: columns by name; key: of every entry [n]."""

    spec: DatasetSpec
    sample: str
    path: str
    plan: SamplePlan
    factor: float | Stitching
    columns: Mapping[str, Column]
    key: NDArray[np.uint64]

    def table(self, columns: Mapping[str, Column] | None = None) -> FeatureTable:
        """Return the selected events with all features, and their entries in the column `ENTRY`.

        Args:
            columns: in place of those of the file; None: those of the file.

        Raises:
            DataError: a number is not finite.

        """
        return self._read(self.plan, self.columns if columns is None else columns)

    def members(self, own: int) -> Members:
        """Return the events of the sample, which the first `own` cuts of the plan define."""
        table = self._read(replace(self.plan, features=(), cuts=self.plan.cuts[:own]), self.columns)
        return Members(table.columns[ENTRY].astype(np.int64), table.weight, table.key, table.fold)

    def _read(self, plan: SamplePlan, columns: Mapping[str, Column]) -> FeatureTable:
        faults = Faults()
        reader = ChunkReader(
            self.sample, plan.variables, plan, self.factor, self.spec.missing, self.spec.split.key, faults, {}
        )
        rows = list(reader.read(ColumnsInMemory(self.path, columns), 0, len(self.key)))
        faults.complain()
        if not rows:
            raise DataError(f"{self.path}: has no events.")
        spec = self.spec if plan.features else replace(self.spec, features=())
        return table_of(spec, self.sample, rows)


@dataclass(frozen=True, slots=True, eq=False)
class SampleEvents:
    """A sample in memory, and which of its events are members of it, file by file."""

    name: str
    files: tuple[FileEvents, ...]
    members: tuple[Members, ...] = field(default=())

    @property
    def weight(self) -> NDArray[np.float64]:
        """The physical weights of all members [n]."""
        return np.concatenate([part.weight for part in self.members])

    @property
    def fold(self) -> NDArray[np.int8]:
        """The folds of all members [n]."""
        return np.concatenate([part.fold for part in self.members])


def in_memory(plan: SamplePlan) -> SamplePlan:
    """Return the plan for events in memory, whose table has their entries in the column `ENTRY`."""
    columns = {**plan.columns, ENTRY: parse(ENTRY, "entry")}
    return replace(plan, columns=columns, branches=(*plan.branches, ENTRY))


def read_sample(
    spec: DatasetSpec, plan: ReadingPlan, objects: ObjectsConfig, name: str, *, refined: bool
) -> SampleEvents:
    """Read all files of a sample.

    Args:
        spec: what determines the tables of the analysis.
        plan: its parsed expressions.
        objects: the branches of objects.
        name: the sample.
        refined: whether its objects are to be changed, so that it needs all branches of simulation.

    Raises:
        SourceError: a file or a branch is missing.
        DataError: a number is not finite, or a branch of jets is no list.

    """
    return read_columns(spec, plan, name, object_branches(objects, known=refined), changed_branches(objects))


def read_columns(
    spec: DatasetSpec, plan: ReadingPlan, name: str, needed: Sequence[str], optional: Sequence[str] = ()
) -> SampleEvents:
    """Read what features and weights need of all files of a sample, and further branches.

    Args:
        spec: what determines the tables of the analysis.
        plan: its parsed expressions.
        name: the sample.
        needed: further branches.
        optional: those that are read where a file has them.

    Raises:
        SourceError: a file or a branch is missing.
        DataError: a number is not finite.

    """
    inputs = open_inputs(spec, plan, name, Skips(spec))
    normalisation = normalisation_of(spec, name, [file.metadata for file in inputs])
    factor = factor_of(spec, plan, name, normalisation, None)
    files = []
    for file in inputs:
        with sample_tree(spec, name, file.path) as tree:
            tree.require(tuple(needed))
            present = {*tree.names}
            more = [branch for branch in optional if branch in present]
            names = sorted({*file.plan.branches, *spec.split.key, *needed, *more})
            columns = tree.read(names)
        entries = np.arange(file.entries)
        keys = [integers(columns[key], f"{file.path}: the branch {key!r}", entries) for key in spec.split.key]
        files.append(FileEvents(spec, name, file.path, in_memory(file.plan), factor, columns, event_key(*keys)))
    own = len(plan.own_cuts.get(name, ()))
    return SampleEvents(name, tuple(files), tuple(file.members(own) for file in files))


def read_samples(
    spec: DatasetSpec, objects: ObjectsConfig, refined: tuple[str, ...], others: tuple[str, ...]
) -> dict[str, SampleEvents]:
    """Read samples that are refined, and others, by name."""
    plan = make_plan(spec)
    return {
        name: read_sample(spec, plan, objects, name, refined=name in refined)
        for name in dict.fromkeys([*refined, *others])
    }
