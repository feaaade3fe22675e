"""The files of an analysis: all are opened and checked before an event is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from hepda.errors import HepdaError, MissingTreeError, SourceError
from hepda.events.dataset.plan import ReadingPlan, SamplePlan, check_plots, make_plan
from hepda.events.dataset.samples import Metadata, Normalisation, metadata_of, normalisation_config, normalisation_of
from hepda.events.dataset.skipped_files import Skips
from hepda.events.dataset.stitching import Stitching
from hepda.events.dataset.systematics import check_systematics
from hepda.events.files.formats import SIDE
from hepda.events.files.opening import Tree, expand, open_file, open_tree
from hepda.events.specs import DatasetSpec


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that was opened and checked, but not yet read.

    replaced: branches, and those that are read in their place; ends: see `Tree.ends`; refused: see `Tree`; has_events:
    whether it has the tree at all: a job that selected nothing leaves only its sum of weights.
    """

    path: str
    entries: int
    branches: tuple[str, ...]
    metadata: Metadata
    plan: SamplePlan
    replaced: Mapping[str, str] = field(default_factory=dict)
    ends: tuple[int, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    has_events: bool = True


def inspect(spec: DatasetSpec, skips: Skips | None = None) -> tuple[ReadingPlan, dict[str, list[InputFile]]]:
    """Parse every expression and open every file, without reading events.

    Args:
        spec: what determines the table.
        skips: records the files that are left out.

    Raises:
        HepdaError: as `load_table`.

    """
    plan = make_plan(spec)
    skips = skips or Skips(spec)
    inputs = {name: open_inputs(spec, plan, name, skips) for name in spec.samples}
    check_plots(spec, {branch for files in inputs.values() for file in files for branch in file.branches})
    check_systematics(spec, plan, inputs)
    return plan, inputs


def open_inputs(spec: DatasetSpec, plan: ReadingPlan, name: str, skips: Skips) -> list[InputFile]:
    """Open each file of a sample; check its tree, branches, expressions and metadata.

    Args:
        spec: what determines the table.
        plan: its parsed expressions.
        name: the sample.
        skips: records the files that are left out.

    Raises:
        HepdaError: as `load_table`.

    """
    inputs = []
    empty: list[tuple[str, Metadata, MissingTreeError]] = []
    first: SourceError | None = None
    for path in expand(spec.samples[name].files, f"samples.{name}.files"):
        try:
            inputs.append(_open_input(spec, plan, name, path))
        except MissingTreeError as error:
            first = first or error
            metadata = _metadata_without_events(spec, plan, name, path)
            if metadata is None:
                skips.take(name, path, error)
            else:
                empty.append((path, metadata, error))
        except SourceError as error:
            skips.take(name, path, error)
            first = first or error
    if not inputs and first is not None:
        raise first
    for path, metadata, why in empty:
        skips.take_empty(name, path, why)
        inputs.append(replace(inputs[0], path=path, entries=0, metadata=metadata, ends=(), has_events=False))
    return inputs


def _metadata_without_events(spec: DatasetSpec, plan: ReadingPlan, name: str, path: str) -> Metadata | None:
    """Return what normalises the sample, from a file without its tree; None if there is nothing.

    A job that selected nothing leaves such a file. A sample that is normalised by something else has no such files:
    nothing distinguishes them from files in which the tree has another name.
    """
    if spec.samples[name].is_data or spec.samples[name].sum_of_weights != "file":
        return None
    try:
        with open_file(path, spec.reading.retries) as file:
            metadata = metadata_of(spec, name, file, None, plan.variables_of(name))
    except HepdaError:
        return None
    return None if metadata.sum_of_weights is None else metadata


def _open_input(spec: DatasetSpec, plan: ReadingPlan, name: str, path: str) -> InputFile:
    with sample_tree(spec, name, path) as tree:
        sample_plan = plan.for_sample(name, tree.branches, path, tree.refused)
        tree.require(spec.split.key)
        metadata = metadata_of(spec, name, tree.file, tree, sample_plan.variables)
        ends = tree.ends([*sample_plan.branches, *spec.split.key])
        return InputFile(path, tree.entries, tree.branches, metadata, sample_plan, ends=ends, refused=tree.refused)


@contextmanager
def sample_tree(spec: DatasetSpec, name: str, path: str) -> Iterator[Tree]:
    """Open the tree of one file of a sample, with the sample's aliases."""
    sample = spec.samples[name]
    tree_name, where = sample.tree or spec.tree, normalisation_config(spec, name)
    with open_tree(path, tree_name, sample.aliases, spec.reading.retries) as tree:
        if tree_name is None and where is not None and tree.tree in SIDE and tree.tree == where.tree:
            raise MissingTreeError(f"{path}: has no tree of events, only {tree.tree!r} of what normalises them.")
        yield tree


def factor_of(
    spec: DatasetSpec,
    plan: ReadingPlan,
    name: str,
    normalisation: Normalisation,
    inputs: Mapping[str, list[InputFile]] | None,
) -> float | Stitching:
    """Return the factor from the weight expression to the physical weight, or the stitching with other samples.

    Args:
        spec: what determines the table.
        plan: its parsed expressions.
        name: the sample.
        normalisation: the sample's own normalisation.
        inputs: the files of the samples that it is stitched to; None: they are opened here.

    """
    covers = plan.stitched_to(name)
    if not covers:
        return normalisation.factor
    factors = {name: normalisation.factor}
    for other in covers.keys() - {name}:
        files = open_inputs(spec, plan, other, Skips(spec)) if inputs is None else inputs[other]
        factors[other] = normalisation_of(spec, other, [file.metadata for file in files]).factor
    return Stitching(name, factors, covers)
