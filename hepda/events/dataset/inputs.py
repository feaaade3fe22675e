"""The files of an analysis, opened and found good before an event is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from hepda.config import AnalysisConfig
from hepda.errors import SourceError
from hepda.events.dataset.plan import Plan, SamplePlan, check_plots, make_plan
from hepda.events.dataset.samples import Metadata, Normalisation, metadata_of, normalisation_of
from hepda.events.dataset.skipped_files import Skips
from hepda.events.dataset.stitching import Stitching
from hepda.events.dataset.systematics import check_systematics
from hepda.events.files.opening import Tree, expand, open_tree


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that was opened and found good, not yet read.

    replaced: branches, and what is read in their place; ends: see `Tree.ends`.
    """

    path: str
    entries: int
    branches: tuple[str, ...]
    metadata: Metadata
    plan: SamplePlan
    replaced: Mapping[str, str] = field(default_factory=dict)
    ends: tuple[int, ...] = ()


def inspect(config: AnalysisConfig, skips: Skips | None = None) -> tuple[Plan, dict[str, list[InputFile]]]:
    """Parse every expression and open every file, without reading events; raises as `load_table` does.

    skips: takes note of the files that are left out.
    """
    plan = make_plan(config)
    skips = skips or Skips(config)
    inputs = {name: open_inputs(config, plan, name, skips) for name in config.samples}
    check_plots(config, {branch for files in inputs.values() for file in files for branch in file.branches})
    check_systematics(config, plan, inputs)
    return plan, inputs


def open_inputs(config: AnalysisConfig, plan: Plan, name: str, skips: Skips) -> list[InputFile]:
    """Open each file of a sample; check its tree, branches, expressions and metadata."""
    inputs = []
    last = None
    for path in expand(config.samples[name].files, f"samples.{name}.files"):
        try:
            inputs.append(_open_input(config, plan, name, path))
        except SourceError as error:
            skips.take(name, path, error)
            last = error
    if not inputs and last is not None:
        raise last
    return inputs


def _open_input(config: AnalysisConfig, plan: Plan, name: str, path: str) -> InputFile:
    with sample_tree(config, name, path) as tree:
        sample_plan = plan.for_sample(name, tree.branches, path)
        tree.require(config.split.key)
        metadata = metadata_of(config, name, tree, sample_plan.variables)
        ends = tree.ends([*sample_plan.branches, *config.split.key])
        return InputFile(path, tree.entries, tree.branches, metadata, sample_plan, ends=ends)


@contextmanager
def sample_tree(config: AnalysisConfig, name: str, path: str) -> Iterator[Tree]:
    """The tree of one file of a sample, with the sample's aliases."""
    sample = config.samples[name]
    with open_tree(path, sample.tree or config.tree, sample.aliases, config.reading.retries) as tree:
        yield tree


def factor_of(
    config: AnalysisConfig,
    plan: Plan,
    name: str,
    own: Normalisation,
    inputs: Mapping[str, list[InputFile]] | None,
) -> float | Stitching:
    """From the weight expression to the physical weight, alone or with the samples that it is stitched to."""
    covers = plan.stitched_to(name)
    if not covers:
        return own.factor
    factors = {name: own.factor}
    for other in covers.keys() - {name}:
        files = open_inputs(config, plan, other, Skips(config)) if inputs is None else inputs[other]
        factors[other] = normalisation_of(config, other, [file.metadata for file in files]).factor
    return Stitching(name, factors, covers)
