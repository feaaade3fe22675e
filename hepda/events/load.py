"""load_table: from the analysis file to one FeatureTable, everything checked before any training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepda.config import AnalysisConfig, NetworkConfig
from hepda.errors import DataError, SourceError
from hepda.events.chunks import SPAN_ENTRIES, ChunkReader, Faults, Rows
from hepda.events.guards import check_sample, check_table
from hepda.events.plan import Plan, SamplePlan, check_plots, make_plan
from hepda.events.samples import (
    Metadata,
    Normalisation,
    SampleSummary,
    WeightSums,
    metadata_of,
    normalisation_of,
)
from hepda.events.skipped import BrokenFileError, SkippedFile, Skips
from hepda.events.sources import Tree, expand, open_tree, size_of
from hepda.events.splits import fold_of, is_validation
from hepda.events.stitching import Stitching
from hepda.events.systematics import check_systematics
from hepda.events.table import FeatureTable

Progress = Callable[[str, int, int], None]
"""Called with the sample, events read so far and events in all files."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file that was read; sums are over the physical weights of its selected events."""

    sample: str
    path: str
    bytes: int | None
    entries: int
    sums: WeightSums

    def as_manifest(self) -> dict[str, Any]:
        """The file's part of manifest.json."""
        return {
            "sample": self.sample,
            "path": self.path,
            "bytes": self.bytes,
            "entries": self.entries,
            "selected": self.sums.entries,
            "sumw": self.sums.sumw,
            "sumw2": self.sums.sumw2,
            "n_eff": self.sums.n_eff,
            "lost": {"selection": self.entries - self.sums.entries},
        }


@dataclass(frozen=True, slots=True)
class LoadedEvents:
    """The table, what each sample is worth, which files it came from, and which were left out."""

    table: FeatureTable
    samples: dict[str, SampleSummary]
    files: tuple[FileRecord, ...]
    skipped: tuple[SkippedFile, ...] = ()

    def manifest(self) -> list[dict[str, Any]]:
        """The files' part of manifest.json."""
        return [*(file.as_manifest() for file in self.files), *(file.as_manifest() for file in self.skipped)]


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that was opened and found good, not yet read; replaced: branches, and what is read in their place."""

    path: str
    entries: int
    branches: tuple[str, ...]
    metadata: Metadata
    plan: SamplePlan
    replaced: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SampleRows:
    """What was read of one sample: chunks of its selected events, its files, and missing features by name."""

    normalisation: Normalisation
    rows: list[Rows]
    files: list[FileRecord]
    gaps: dict[str, int]


def load_table(config: AnalysisConfig, on_progress: Progress | None = None) -> LoadedEvents:
    """Read every sample of `config`: only the branches that are needed, each file's events once.

    All files are opened and checked before the first is read. Raises SourceError (a file, tree or branch),
    ExpressionError (an expression or a name in it) and DataError (numbers that are not finite, a sample
    without events after the selection, a fold without a class), each naming where and what to do.
    """
    skips = Skips(config)
    plan, inputs = inspect(config, skips)
    while True:
        try:
            return _load(config, plan, inputs, skips, on_progress)
        except BrokenFileError as error:
            # Its sum of weights is in the factors of what was read already, so all is read again without it.
            files = inputs[error.sample]
            (broken,) = (file for file in files if file.path == error.path)
            skips.take(error.sample, error.path, error, broken.entries, broken.metadata)
            if len(files) == 1:
                raise
            files.remove(broken)


def _load(
    config: AnalysisConfig,
    plan: Plan,
    inputs: dict[str, list[InputFile]],
    skips: Skips,
    on_progress: Progress | None,
) -> LoadedEvents:
    """Read the files of `inputs`. Raises BrokenFileError for one that cannot be read after all."""
    total = sum(file.entries for files in inputs.values() for file in files)
    parts: list[FeatureTable] = []
    summaries: dict[str, SampleSummary] = {}
    records: list[FileRecord] = []
    done = 0

    def report(name: str, entries: int) -> None:
        nonlocal done
        done += entries
        if on_progress is not None:
            on_progress(name, done, total)

    for name in inputs:
        summary, part, read = _read_sample(config, plan, name, inputs, report)
        summaries[name] = summary
        parts.append(part)
        records.extend(read)
    table = _concatenate(parts, _column_defaults(config))
    check_table(config, table)
    return LoadedEvents(table, summaries, tuple(records), tuple(skips.files))


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
        return InputFile(path, tree.entries, tree.branches, metadata, sample_plan)


@contextmanager
def sample_tree(config: AnalysisConfig, name: str, path: str) -> Iterator[Tree]:
    """The tree of one file of a sample, with the sample's aliases."""
    sample = config.samples[name]
    with open_tree(path, sample.tree or config.tree, sample.aliases, config.reading.retries) as tree:
        yield tree


def _read_sample(
    config: AnalysisConfig,
    plan: Plan,
    name: str,
    inputs: Mapping[str, list[InputFile]],
    report: Callable[[str, int], None],
) -> tuple[SampleSummary, FeatureTable, list[FileRecord]]:
    """Read and check the files of one sample."""
    read = read_rows(config, plan, name, inputs[name], report, inputs)
    summary = _summary(config, plan, name, read)
    check_sample(summary)
    return summary, table_of(config, name, read.rows), read.files


def read_rows(
    config: AnalysisConfig,
    plan: Plan,
    name: str,
    files: list[InputFile],
    report: Callable[[str, int], None],
    inputs: Mapping[str, list[InputFile]] | None = None,
) -> SampleRows:
    """Read the files of one sample, chunk by chunk.

    inputs: files of the samples that it is stitched to, opened here if not given. Raises BrokenFileError for a file
    that cannot be read, DataError for numbers that are not finite.
    """
    normalisation = normalisation_of(config, name, [file.metadata for file in files])
    factor = _factor(config, plan, name, normalisation, inputs)
    faults, gaps = Faults(), dict[str, int]()
    rows: list[Rows] = []
    records = []
    for file in files:
        variables, key = file.plan.variables, config.split.key
        reader = ChunkReader(name, variables, file.plan, factor, config.missing, key, faults, gaps)
        own: list[Rows] = []
        try:
            with sample_tree(config, name, file.path) as found:
                tree = found.replaced(file.replaced)
                for start in range(0, file.entries, SPAN_ENTRIES):
                    stop = min(start + SPAN_ENTRIES, file.entries)
                    own.extend(reader.read(tree, start, stop))
                    report(name, stop - start)
        except SourceError as error:
            raise BrokenFileError(name, file.path, error) from error
        sums = WeightSums.of(np.concatenate([np.zeros(0), *(r.weight for r in own)]))
        records.append(FileRecord(name, file.path, size_of(file.path), file.entries, sums))
        rows.extend(own)
    faults.complain()
    return SampleRows(normalisation, rows, records, gaps)


def _factor(
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


def _summary(config: AnalysisConfig, plan: Plan, name: str, read: SampleRows) -> SampleSummary:
    sample, rows, normalisation = config.samples[name], read.rows, read.normalisation
    cuts = plan.cuts_of(name)
    left = sum((r.cut_counts for r in rows), np.zeros(len(cuts), dtype=np.int64))
    keys = np.concatenate([np.zeros(0, np.uint64), *(r.key for r in rows)])
    return SampleSummary(
        name=name,
        class_=sample.class_,
        domain=sample.domain,
        entries=sum(file.entries for file in read.files),
        sums=WeightSums.of(np.concatenate([np.zeros(0), *(r.weight for r in rows)])),
        normalisation=normalisation.factor,
        sum_of_weights=normalisation.sum_of_weights,
        cross_section=normalisation.cross_section,
        cut_flow=tuple((cut.text, int(n)) for cut, n in zip(cuts, left, strict=True)),
        duplicates=len(keys) - len(np.unique(keys)),
        missing=read.gaps,
    )


_LABELS = {"signal": 1, "background": 0, None: -1}


def table_of(config: AnalysisConfig, name: str, rows: list[Rows]) -> FeatureTable:
    """The table of the rows of one sample."""
    sample = config.samples[name]
    key = np.concatenate([r.key for r in rows])
    n = len(key)
    return FeatureTable(
        features=np.concatenate([r.features for r in rows]),
        names=config.features,
        weight=np.concatenate([r.weight for r in rows]),
        label=np.full(n, _LABELS[sample.class_], dtype=np.int8),
        domain=np.full(n, config.domains.index(sample.domain), dtype=np.int16),
        domain_names=config.domains,
        sample=np.full(n, list(config.samples).index(name), dtype=np.int16),
        sample_names=tuple(config.samples),
        fold=fold_of(key, config.split.folds),
        validation=is_validation(key, config.split.validation),
        key=key,
        columns={name: np.concatenate([r.columns[name] for r in rows]) for name in rows[0].columns},
    )


def _column_defaults(config: AnalysisConfig) -> dict[str, Any]:
    """What an event has in the columns that its sample does not fill."""
    defaults: dict[str, Any] = {}
    for model, section in config.models.items():
        if isinstance(section, NetworkConfig) and section.domain is not None:
            defaults[f"domain:{model}:mask"] = np.bool_(False)
            defaults[f"domain:{model}:weight"] = np.float64(0.0)
            defaults[f"domain:{model}:side"] = np.int8(-1)
    return defaults | {name: np.float64(np.nan) for name in config.columns}


def _concatenate(parts: list[FeatureTable], defaults: dict[str, Any]) -> FeatureTable:
    """One table of all samples, in the order of the analysis file."""
    if not parts:
        raise DataError("There is no sample to read.")

    def column(name: str, default: Any) -> NDArray[Any]:
        return np.concatenate([part.columns.get(name, np.full(len(part), default)) for part in parts])

    def rows(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    return FeatureTable(
        features=rows("features"),
        names=parts[0].names,
        weight=rows("weight"),
        label=rows("label"),
        domain=rows("domain"),
        domain_names=parts[0].domain_names,
        sample=rows("sample"),
        sample_names=parts[0].sample_names,
        fold=rows("fold"),
        validation=rows("validation"),
        key=rows("key"),
        columns={name: column(name, default) for name, default in defaults.items()},
    )
