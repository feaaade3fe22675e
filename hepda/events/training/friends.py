"""Features of the events of any files for the models of a run.

Every event is kept in the order of the file; features are formed for the selected ones. The selection and the features
are formed as in training (`ChunkReader`). The shape systematics of the analysis are formed from the same reading, with
other branches in place of some.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config.events.systematics import ShapeSystematic
from hepda.errors import ConfigError, DataError, ExpressionError, SourceError, nearest
from hepda.events.dataset.chunks import MOST_ENTRIES, SPAN_ENTRIES, ChunkReader, Faults, stretches
from hepda.events.dataset.inputs import sample_tree
from hepda.events.dataset.plan import SamplePlan, make_plan
from hepda.events.dataset.reading import table_of
from hepda.events.dataset.splits import event_key
from hepda.events.dataset.systematics import SIDES
from hepda.events.expressions.names import check_names
from hepda.events.expressions.parser import needed_names, parse
from hepda.events.files.in_memory import ENTRY, ColumnsInMemory
from hepda.events.files.locations import is_remote
from hepda.events.files.opening import Tree, integers, open_tree
from hepda.events.specs import DatasetSpec, SystematicsSpec
from hepda.events.table.feature_table import FeatureTable

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class FriendFile:
    """A file whose features can be formed.

    sample: the sample whose tree, aliases and variables are used, None for those of the analysis; variations: the shape
    systematics whose branches the file has; absent: for the other shape systematics, the first branch that is missing.
    """

    path: str
    sample: str | None
    entries: int
    variations: tuple[str, ...]
    absent: dict[str, str]


@dataclass(frozen=True, slots=True)
class ScoredPart:
    """The selected events of a span: their positions in it, int64 [m], and the table of their features [m, k]."""

    index: NDArray[np.int64]
    table: FeatureTable


@dataclass(frozen=True, slots=True)
class EventSpan:
    """Consecutive events of a file, selected or not.

    keys: the branches that identify an event, [n] each; key: their hash [n]; parts: the nominal events under "", those
    of a shape systematic under `<systematic>_<side>`.
    """

    keys: dict[str, Array]
    key: NDArray[np.uint64]
    parts: dict[str, ScoredPart]


def shapes(systematics: SystematicsSpec) -> dict[str, Mapping[str, str]]:
    """Return the shape systematics by `<systematic>_<side>`: branch -> the branch that replaces it."""
    return {
        f"{name}_{side}": getattr(section, side)
        for name, section in systematics.sections.items()
        if isinstance(section, ShapeSystematic)
        for side in SIDES
        if getattr(section, side) is not None
    }


def sample_for(spec: DatasetSpec, path: str, named: str | None) -> str | None:
    """Return the sample whose tree, aliases and variables are used to read a file.

    It is the sample named by `--sample`, or a sample that lists the file.

    Args:
        spec: what determines the tables of the analysis.
        path: the file.
        named: the sample named by `--sample`; None if there is none.

    Returns:
        The name of the sample; None if no sample lists the file, so that those of the analysis itself are used.

    Raises:
        ConfigError: there is no sample of that name, or several that read the file differently list it.

    """
    if named is not None:
        if named not in spec.samples:
            raise ConfigError(f"--sample {named}: the run has no such sample.{nearest(named, spec.samples)}")
        return named
    names = [name for name, sample in spec.samples.items() if any(_lists(text, path) for text in sample.files)]
    ways = {repr((s.tree, s.aliases, s.variables)) for s in (spec.samples[name] for name in names)}
    if len(ways) > 1:
        raise ConfigError(
            f"{path} is of several samples with own variables or aliases ({', '.join(names)}); name one by --sample."
        )
    return names[0] if names else None


def _lists(pattern: str, path: str) -> bool:
    """Return whether a path, glob, folder or URL of the analysis file refers to the file at `path`.

    No server is contacted.
    """
    if is_remote(pattern) or is_remote(path):
        return fnmatchcase(path, pattern)
    file, listed = Path(path).resolve(), Path(pattern).resolve()
    return file == listed or listed in file.parents or fnmatchcase(str(file), str(listed))


def inspect_file(spec: DatasetSpec, path: str, sample: str | None) -> FriendFile:
    """Open a file and check that its features can be formed, without reading events.

    Args:
        spec: what determines the tables of the analysis.
        path: the file.
        sample: the sample that the file is read as; None for the analysis itself.

    Raises:
        SourceError: the file, its tree or a branch of the key is missing or broken.
        ExpressionError: a feature or the selection names a branch that the file does not have.

    """
    with _opened(spec, path, sample) as tree:
        _plan_of(spec, tree, sample)
        absent: dict[str, str] = {}
        for name, branches in shapes(spec.systematics).items():
            lost = [b for b in (*branches, *branches.values()) if b not in tree.names]
            if lost:
                absent[name] = lost[0]
            else:
                tree.replaced(branches)
        available = tuple(name for name in shapes(spec.systematics) if name not in absent)
        return FriendFile(path, sample, tree.entries, available, absent)


def spans(
    spec: DatasetSpec, file: FriendFile, usual: int = SPAN_ENTRIES, most: int = MOST_ENTRIES
) -> Iterator[EventSpan]:
    """Yield all events of a file in its order, in `stretches`; at least one span, which may be empty.

    Args:
        spec: what determines the tables of the analysis.
        file: the file, as `inspect_file` returned it.
        usual: usual number of entries of a span.
        most: largest number of entries of a span.

    Raises:
        SourceError: the file cannot be read, or has changed since `inspect_file` opened it.
        DataError: a feature of a selected event is not a finite number.

    """
    with _opened(spec, file.path, file.sample) as tree:
        plan = _plan_of(spec, tree, file.sample)
        if tree.entries != file.entries:
            raise SourceError(
                f"{file.path}: had {file.entries} entries and has {tree.entries}: it has changed; start again."
            )
        replaced = shapes(spec.systematics)
        instead = {"": dict[str, str]()} | {v: _instead(tree, replaced[v], plan) for v in file.variations}
        ends = tree.ends([name for name in (*plan.branches, *spec.split.key) if name != ENTRY])
        for bounds in [*stretches(file.entries, ends, usual, most)] or [(0, 0)]:
            yield _span(spec, file, tree, plan, instead, bounds)


def _span(
    spec: DatasetSpec,
    file: FriendFile,
    tree: Tree,
    plan: SamplePlan,
    instead: Mapping[str, Mapping[str, str]],
    bounds: tuple[int, int],
) -> EventSpan:
    start, stop = bounds
    key = spec.split.key
    nominal = {name for name in (*plan.branches, *key) if name != ENTRY}
    columns = tree.read(sorted(nominal.union(*(names.values() for names in instead.values()))), start, stop)
    entries = np.arange(start, stop)
    keys = {name: integers(columns[name], f"{file.path}: the branch {name!r}", entries) for name in key}
    owner = file.sample or next(iter(spec.samples))  # sets class and domain of the rows, on which no score depends
    parts = {}
    for variation, names in instead.items():
        faults = Faults()
        reader = ChunkReader(owner, plan.variables, plan, 1.0, spec.missing, key, faults, {})
        rows = list(reader.read(ColumnsInMemory(file.path, columns, names), start, stop))
        _complain(faults, variation)
        if rows:
            table = table_of(spec, owner, rows)
            parts[variation] = ScoredPart(table.columns[ENTRY].astype(np.int64) - start, table)
    return EventSpan(keys, event_key(*keys.values()), parts)


def _complain(faults: Faults, variation: str) -> None:
    """Raise DataError for features that are not finite.

    The message has their names, the first entry and the variation.
    """
    if faults.by_description:
        with_variation = f" with {variation}" if variation else ""
        lines = [
            f"{path}: {fault.partition(': ')[2]} in {count} selected events{with_variation}, first in entry {entry}."
            for fault, (count, path, entry) in faults.by_description.items()
        ]
        raise DataError("\n".join([*lines, "The models cannot score such events; correct the file, or leave it out."]))


def _plan_of(spec: DatasetSpec, tree: Tree, sample: str | None) -> SamplePlan:
    """Return a plan with features and selection only.

    A file that is scored needs no weight, no domain and no normalisation. The selection is that of the analysis: the
    selection of a sample defines which events belong to it, not which events can be scored.
    """
    plan = make_plan(spec)
    variables = plan.variables if sample is None else plan.variables_of(sample)
    needed = [*plan.inputs, *plan.cuts]
    try:
        check_names(needed, variables, tree.branches, tree.path)
        tree.require(spec.split.key)
    except (ExpressionError, SourceError) as error:
        special = [name for name, s in spec.samples.items() if s.aliases or s.variables]
        if sample is not None or not special:
            raise
        raise type(error)(
            f"{error}\nNo sample of the run lists {tree.path}; if it is to be read as one of them, name it by "
            f"--sample ({', '.join(special)} have own aliases or variables)."
        ) from error
    whole = SamplePlan(plan.features, plan.cuts, None, {}, {}, (), variables, plan.collections)
    of_file = whole.in_file(tree.branches)
    branches = tuple(sorted(needed_names(of_file.expressions, of_file.variables)))
    return replace(of_file, columns={ENTRY: parse(ENTRY, "entry")}, branches=(*branches, ENTRY))


def _instead(tree: Tree, branches: Mapping[str, str], plan: SamplePlan) -> dict[str, str]:
    """Return the branches that are read in place of the names that a plan needs.

    The length of a collection is not replaced.
    """
    new = {tree.names[old].name: replacement for old, replacement in branches.items()}
    fields = {name: tree.names[name] for name in plan.branches if name != ENTRY}
    return {name: new[field.name] for name, field in fields.items() if not field.counted and field.name in new}


@contextmanager
def _opened(spec: DatasetSpec, path: str, sample: str | None) -> Iterator[Tree]:
    if sample is None:
        with open_tree(path, spec.tree, {}, spec.reading.retries) as tree:
            yield tree
    else:
        with sample_tree(spec, sample, path) as tree:
            yield tree
